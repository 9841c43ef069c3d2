//! Style that a linter cannot see: module docs, file length, the layer rule, fixed ports, stray
//! spawns, forbidden names, leftover markers.
//!
//! Each rule is one test that lists every offender; it reads the tree as text and builds nothing.
//! The layers and their arrows are those of ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this needs to be split, or to be listed in [`LONG_TABLES`].
const FILE_MAX: usize = 900;
/// Long files that are tables.
const LONG_TABLES: &[&str] = &[];

/// What each crate may depend on among ours (the crate `task` may be used by all but layer 0).
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("hcl", &[]),
    ("gossip", &["pack"]),
    ("pack", &[]),
    ("wire", &["pack", "types"]),
    ("pool", &["gossip", "metrics", "task"]),
    ("rpc", &["metrics", "task"]),
    ("pki", &[]),
    ("task", &[]),
    ("metrics", &[]),
    ("testkit", &[]),
    ("acl", &["hcl", "types"]),
    ("filter", &["types"]),
    ("state", &["types"]),
    ("raft", &["state", "metrics", "types", "task"]),
    ("vault", &["api"]),
    ("server", &["raft", "state", "acl", "filter", "pki", "metrics", "types", "vault", "task"]),
    ("forward", &["server", "wire", "acl", "metrics", "types", "task"]),
    (
        "agent",
        &[
            "forward", "server", "acl", "filter", "gossip", "pool", "pki", "metrics", "types",
            "task",
        ],
    ),
    ("api", &["types", "task"]),
    ("connect", &["api", "pki", "acl", "types", "task"]),
    ("proxy", &["connect", "api", "pki", "acl", "types", "task"]),
    ("dns", &["agent", "forward", "server", "metrics", "types", "task"]),
    ("http", &["agent", "forward", "server", "api", "acl", "metrics", "types", "task"]),
];

/// Crates without a clock, sockets or threads.
const PURE: &[&str] = &["types", "hcl", "pki", "acl", "filter", "state", "gossip", "pack", "wire"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the root").to_owned()
}

fn files(folder: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with(".git") {
                files(&path, ending, into);
            }
        } else if name.ends_with(ending) {
            into.push(path);
        }
    }
}

/// Every Rust file of the tree: path from the root, text.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut paths = Vec::new();
    files(&root, ".rs", &mut paths);
    assert!(paths.len() > 50, "the tree was not found from {}", root.display());
    paths
        .into_iter()
        .map(|p| {
            let name = p.strip_prefix(&root).unwrap_or(&p).to_string_lossy().into_owned();
            (name, fs::read_to_string(&p).unwrap_or_default())
        })
        .collect()
}

/// The part of a file that ships: everything before its tests.
fn shipped(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

fn is_test(name: &str) -> bool {
    name.starts_with("tests/")
        || name.starts_with("fuzz/")
        || name.contains("/tests/")
        || name.ends_with("/tests.rs")
        || name.contains("/benches/")
        || name.contains("/examples/")
        || name.starts_with("examples/")
        || name.starts_with("crates/testkit/")
}

fn none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}

#[test]
fn every_file_says_what_it_is() {
    let bad: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(name, _)| name)
        .collect();
    none("files without module docs", &bad);
}

#[test]
fn no_file_is_too_long() {
    let bad: Vec<_> = sources()
        .into_iter()
        .map(|(name, text)| (text.lines().count(), name))
        .filter(|(lines, name)| *lines > FILE_MAX && !LONG_TABLES.contains(&name.as_str()))
        .map(|(lines, name)| format!("{name}: {lines} lines"))
        .collect();
    none("files with more than one subject", &bad);
}

fn own_dependencies(manifest: &str, section: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(heading) = line.strip_prefix('[') {
            inside = heading.trim_end_matches(']') == section;
        } else if inside && let Some(rest) = line.strip_prefix("lictor-") {
            let end = rest.find(['.', ' ', '=']).unwrap_or(rest.len());
            found.push(rest[..end].to_owned());
        }
    }
    found
}

#[test]
fn arrows_point_down() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut bad = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(root().join("crates")).expect("crates/").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
        if name == "lictor" || manifest.is_empty() {
            continue;
        }
        seen += 1;
        let Some(allowed) = arrows.get(name.as_str()) else {
            bad.push(format!("{name}: not in the table of layers"));
            continue;
        };
        for dependency in own_dependencies(&manifest, "dependencies") {
            if !allowed.contains(&dependency.as_str()) {
                bad.push(format!("{name} → {dependency}"));
            }
        }
    }
    assert!(seen >= ARROWS.len() - 1, "only {seen} manifests were found");
    none("dependencies against the layers", &bad);
}

#[test]
fn pure_crates_have_no_clock_sockets_or_threads() {
    let banned = [
        "Instant::now",
        "SystemTime::now",
        "now_utc",
        "std::net::Tcp",
        "std::net::Udp",
        "tokio::net",
        "tokio::time",
        "thread::spawn",
        "std::fs",
        "Uuid::new_v4",
    ];
    let mut bad = Vec::new();
    for (name, text) in sources() {
        let pure = PURE.iter().any(|c| name.starts_with(&format!("crates/{c}/src/")));
        if pure && !is_test(&name) {
            for word in banned.iter().filter(|w| shipped(&text).contains(**w)) {
                bad.push(format!("{name}: {word}"));
            }
        }
    }
    none("I/O or time in layer 0", &bad);
}

#[test]
fn only_one_place_spawns() {
    let mut bad = Vec::new();
    for (name, text) in sources() {
        if is_test(&name) || name.starts_with("crates/task/") {
            continue;
        }
        for word in ["tokio::spawn(", "task::spawn(", "spawn_blocking(", "Handle::spawn("] {
            if shipped(&text).contains(word) {
                bad.push(format!("{name}: {word}…)"));
            }
        }
    }
    none("tasks without an owner", &bad);
}

#[test]
fn nothing_is_called_after_nothing() {
    let empty = ["util", "utils", "common", "helpers", "helper", "misc", "core", "manager", "base"];
    let mut bad = Vec::new();
    for (name, _) in sources() {
        let stem = name.trim_end_matches(".rs");
        if stem.split('/').any(|part| empty.contains(&part)) {
            bad.push(name);
        }
    }
    none("names that say nothing", &bad);
}

#[test]
fn no_test_takes_a_fixed_port() {
    let mut bad = Vec::new();
    for (name, text) in sources() {
        if !is_test(&name) && !text.contains("#[cfg(test)]") || name.starts_with("examples/") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let bound = line.contains("bind(\"127.0.0.1:") || line.contains("listen(\"127.0.0.1:");
            if bound && !line.contains("127.0.0.1:0\"") {
                bad.push(format!("{name}:{}", number + 1));
            }
        }
    }
    none("tests that bind a fixed port", &bad);
}

#[test]
fn nothing_is_left_to_do() {
    let markers = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        "unimplemented!(",
        "todo!(",
    ];
    let mut bad = Vec::new();
    for (name, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if name != "tests/tidy.rs" && markers.iter().any(|m| line.contains(m)) {
                bad.push(format!("{name}:{}", number + 1));
            }
        }
    }
    none("leftover markers", &bad);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let mut manifests = Vec::new();
    files(&root(), "Cargo.toml", &mut manifests);
    let bad: Vec<_> = manifests
        .iter()
        .filter(|p| **p != root().join("Cargo.toml") && !p.starts_with(root().join("fuzz")))
        .filter(|p| {
            !fs::read_to_string(p).unwrap_or_default().contains("[lints]\nworkspace = true")
        })
        .map(|p| p.display().to_string())
        .collect();
    none("manifests without the workspace's lints", &bad);
}
