//! Where clients come from: programs of the system, and packages of the languages' registries.
//!
//! Packages are kept below the build's folder and installed again when what is pinned changes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lictor_testkit::skipped;

/// Where the programs of the tests are.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// A program of the system by its name.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Servers are not on the path of everybody.
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|at| at.join(name)).find(|file| file.is_file())
}

/// A program of the system; without it the test is skipped, which is said.
pub(crate) fn needed(test: &str, name: &str) -> Option<PathBuf> {
    let found = program(name);
    if found.is_none() {
        skipped(test, &format!("{name} is not installed"));
    }
    found
}

/// Runs a step of an installation; what it said when it failed.
fn step(command: &mut Command) -> Result<(), String> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last: Vec<&str> = said.lines().rev().filter(|line| !line.trim().is_empty()).collect();
    Err(last.into_iter().take(3).collect::<Vec<_>>().join(" / "))
}

/// A folder in which `install` has put what `pinned` asks for. It is made once.
fn made(
    test: &str,
    name: &str,
    pinned: &str,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(name);
    let mark = folder.join("installed");
    if std::fs::read_to_string(&mark).is_ok_and(|kept| kept == pinned) {
        return Some(folder);
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the build's folder can be written");
    match install(&folder) {
        Ok(()) => {
            std::fs::write(&mark, pinned).expect("the build's folder can be written");
            Some(folder)
        }
        Err(said) => {
            skipped(test, &format!("the client cannot be installed: {said}"));
            None
        }
    }
}

/// A Python with the packages that `name`/requirements.txt pins.
pub(crate) fn python(test: &str, name: &str) -> Option<PathBuf> {
    let python = needed(test, "python3")?;
    let list = source(name).join("requirements.txt");
    let pinned = std::fs::read_to_string(&list).expect("requirements");
    let folder = made(test, name, &pinned, |folder| {
        step(Command::new(python).args(["-m", "venv"]).arg(folder.join("venv")))?;
        let pip = folder.join("venv/bin/pip");
        step(Command::new(pip).args(["install", "--quiet", "--no-deps", "-r"]).arg(&list))
    })?;
    Some(folder.join("venv/bin/python3"))
}

/// A folder with the Node program and its packages, as package-lock.json pins them.
pub(crate) fn node(test: &str, name: &str) -> Option<PathBuf> {
    let npm = needed(test, "npm")?;
    let pinned = std::fs::read_to_string(source(name).join("package-lock.json")).expect("a lock");
    let folder = made(test, name, &pinned, |folder| {
        for file in ["package.json", "package-lock.json"] {
            let copied = std::fs::copy(source(name).join(file), folder.join(file));
            copied.map_err(|error| error.to_string())?;
        }
        step(Command::new(npm).args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))
    })?;
    std::fs::copy(source(name).join("client.js"), folder.join("client.js")).expect("copied");
    Some(folder)
}

/// The Go program, built with the modules that go.sum pins.
pub(crate) fn go(test: &str, name: &str) -> Option<PathBuf> {
    let go = needed(test, "go")?;
    let command = |words: &[&str]| {
        let mut command = Command::new(&go);
        command.args(words).current_dir(source(name)).env("GOFLAGS", "-mod=readonly");
        command.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
        command
    };
    let pinned = std::fs::read_to_string(source(name).join("go.sum")).expect("go.sum");
    // Too old a Go refuses here as well.
    let folder = made(test, name, &pinned, |_| step(&mut command(&["mod", "download"])))?;
    let built = folder.join("client");
    let done = step(command(&["build", "-o"]).arg(&built).arg("."));
    assert_eq!(done, Ok(()), "the Go program can be built");
    Some(built)
}
