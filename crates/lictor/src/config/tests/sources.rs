//! Files, folders, flags: what is read, in which order it counts, what is refused.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::schema::Shape;
use super::super::settings::SETTINGS;
use super::super::sources as files;
use super::*;
use crate::cli::{Parsed, parse_flags};

fn parsed(words: &[&str]) -> Parsed {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    parse_flags(AGENT_FLAGS, &words).unwrap()
}

fn flags(words: &[&str]) -> Result<Config, String> {
    let sources = Sources::from_flags(&parsed(words)).map_err(|error| error.to_string())?;
    decided(&sources)
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn every_flag_of_the_original_is_there_once() {
    let names = "advertise advertise-wan bind bootstrap bootstrap-expect client config-dir \
        config-file config-format data-dir datacenter dev disable-host-node-id \
        disable-keyring-file dns-port http-port domain enable-script-checks encrypt hcl join \
        join-wan log-level node node-id node-meta non-voting-server pid-file protocol \
        raft-protocol recursor rejoin retry-join retry-join-wan retry-interval \
        retry-interval-wan retry-max retry-max-wan segment serf-lan-bind serf-wan-bind server \
        syslog ui ui-dir";
    for name in names.split_whitespace() {
        assert_eq!(AGENT_FLAGS.iter().filter(|flag| flag.name == name).count(), 1, "{name}");
    }
    let mut all: Vec<_> = AGENT_FLAGS.iter().map(|flag| flag.name).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn no_setting_is_defined_twice() {
    let mut names: Vec<_> = SETTINGS.iter().map(|key| key.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn later_files_count_and_flags_count_more() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("d");
    fs::create_dir(&dir).unwrap();
    let last = write(folder.path(), "last.json", r#"{"node_meta":{"a":"file"},"datacenter":"f"}"#);
    write(&dir, "b.json", r#"{"datacenter":"b","node_name":"b","retry_join":["b"]}"#);
    write(&dir, "a.hcl", "datacenter = \"a\"\nlog_level = \"warn\"\nretry_join = [\"a\"]");
    write(&dir, "c.txt", "datacenter = \"c\"");
    write(&dir, "d.hcl", "");
    fs::create_dir(dir.join("e.hcl")).unwrap();
    let dir = dir.to_str().unwrap();
    let words = ["-dev", "-config-dir", dir, "-config-file", &last, "-node-meta", "b:flag:x"];
    let config = flags(&words).unwrap();
    assert_eq!(config.agent.datacenter, "f");
    assert_eq!(&*config.agent.node_name, "b");
    assert_eq!(config.log_level, "warn");
    assert_eq!(config.agent.node_meta["a"], "file");
    assert_eq!(config.agent.node_meta["b"], "flag:x");
    assert_eq!(config.agent.debug_config["RetryJoinLAN"], serde_json::json!(["a", "b"]));
    // The other way round on the command line.
    let words = ["-dev", "-config-file", &last, "-config-dir", dir];
    assert_eq!(flags(&words).unwrap().agent.datacenter, "b");
    let words = [&words[..], &["-datacenter=flag", "-retry-join=f"]].concat();
    let config = flags(&words).unwrap();
    assert_eq!(config.agent.datacenter, "flag");
    assert_eq!(config.agent.debug_config["RetryJoinLAN"], serde_json::json!(["f", "a", "b"]));
    let words = [&words[..], &["-hcl", "datacenter = \"hcl\"", "-hcl", "node_meta { b = \"h\" }"]];
    let config = flags(&words.concat()).unwrap();
    assert_eq!(config.agent.datacenter, "hcl");
    assert_eq!(config.agent.node_meta["b"], "h");
}

#[test]
fn the_format_can_be_forced() {
    let folder = TempDir::new().unwrap();
    let odd = write(folder.path(), "agent.conf", "datacenter = \"x\"");
    assert_eq!(flags(&["-dev", "-config-file", &odd]).unwrap().agent.datacenter, "dc1");
    let words = ["-dev", "-config-file", &odd, "-config-format=hcl"];
    assert_eq!(flags(&words).unwrap().agent.datacenter, "x");
    refused(flags(&["-dev", "-config-format=yaml"]), "must be either 'hcl' or 'json'");
}

#[test]
fn mistakes_name_file_and_line() {
    let folder = TempDir::new().unwrap();
    let load = |name: &str, text: &str| {
        let path = write(folder.path(), name, text);
        let error = flags(&["-dev", "-config-file", &path]).unwrap_err();
        assert!(error.contains(&path), "{error}");
        error
    };
    let error = load("a.hcl", "datacenter = \"x\"\n\nports { htp = 1 }\nbogus = 1");
    assert!(error.contains(": 2 error(s) occurred:\n\n* invalid config key ports.htp (line 3)"));
    assert!(error.contains("\n* invalid config key bogus (line 4)"), "{error}");
    let error = load("b.json", "{\n \"server\": \"yes\",\n \"bogus\": 1}");
    assert!(error.contains("'server' must be true or false, not a string (line 2)"), "{error}");
    let error = load("c.hcl", "\nports {\n");
    assert!(error.contains("At "), "{error}");
    let error = load("d.hcl", "session_ttl_min = \"1x\"");
    assert!(error.contains("unknown unit") && error.contains("(line 1)"), "{error}");
    let error = load("e.hcl", "\n\nbootstrap_expect = 3");
    assert!(error.contains(&format!("{}:3)", folder.path().join("e.hcl").display())), "{error}");
    refused(flags(&["-dev", "-config-file=/nonexistent/x.hcl"]), "cannot read /nonexistent/x.hcl");
}

#[test]
fn flags_are_read_by_their_types() {
    let config = flags(&["-dev", "-http-port", "1234", "-enable-script-checks"]).unwrap();
    assert_eq!(config.agent.http_address, "127.0.0.1:1234");
    assert!(config.agent.enable_script_checks);
    refused(flags(&["-dev", "-http-port=x"]), "invalid value \"x\" for flag -http-port");
    refused(flags(&["-dev", "-retry-interval=3"]), "missing unit");
    refused(flags(&["-dev", "a", "b"]), "config: Unknown extra arguments: [a b]");
}

#[test]
fn a_second_load_sees_what_files_say_now() {
    let folder = TempDir::new().unwrap();
    let path = write(folder.path(), "a.hcl", "service { name = \"a\" }");
    let sources = Sources::from_flags(&parsed(&["-dev", "-config-file", &path])).unwrap();
    let names = || {
        let reload = decided(&sources).unwrap().reload();
        reload.definitions.services.into_iter().map(|s| s.name).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["a"]);
    write(folder.path(), "a.hcl", "services = [{ name = \"b\" }, { name = \"c\" }]");
    assert_eq!(names(), ["b", "c"]);
}

#[test]
fn files_are_checked_without_a_trace() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let text =
        format!("server = true\nbootstrap = true\nbind_addr = \"127.0.0.1\"\ndata_dir = {data:?}");
    let path = write(folder.path(), "a.hcl", &text);
    assert_eq!(validate(std::slice::from_ref(&path), None).unwrap(), [""; 0]);
    assert!(!data.exists());
    assert!(validate(&[path], Some("json")).is_err());
    assert!(validate(&["/nonexistent".to_owned()], None).is_err());
}

/// A value for a shape, sometimes of another one.
fn value(shape: Shape) -> BoxedStrategy<serde_json::Value> {
    use serde_json::{Value, json};
    let texts = prop::sample::select(vec![
        "",
        "x",
        "10s",
        "-1h",
        "127.0.0.1",
        "{{ GetPrivateIP }}",
        "{{",
        "unix:///a",
        "::",
        "0.0.0.0 1",
        "deny",
        "script",
        "é",
        "passing",
        "0700",
    ]);
    let text = texts.prop_map(Value::from).boxed();
    let right = match shape {
        Shape::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Int => prop_oneof![-2_i64..70_000, any::<i64>()].prop_map(Value::from).boxed(),
        Shape::Float => any::<f64>().prop_map(Value::from).boxed(),
        Shape::Text | Shape::Duration => text.clone(),
        Shape::TextList => prop::collection::vec(text.clone(), 0..3).prop_map(Value::from).boxed(),
        Shape::TextMap | Shape::DurationMap | Shape::Opaque => {
            text.clone().prop_map(|value| json!({ "address": value, "type": "key" })).boxed()
        }
        Shape::ListMap => text.clone().prop_map(|value| json!({ "k": [value] })).boxed(),
        Shape::OpaqueList => text.clone().prop_map(|value| json!([{ "type": value }])).boxed(),
        Shape::Object(table) => document(table),
        Shape::Objects(table) => {
            prop::collection::vec(document(table), 0..2).prop_map(Value::from).boxed()
        }
    };
    let wrong = prop_oneof![Just(Value::Null), Just(json!([])), Just(json!({})), text];
    prop_oneof![9 => right, 1 => wrong].boxed()
}

/// A document with some of a table's keys.
fn document(table: &'static [super::super::schema::Key]) -> BoxedStrategy<serde_json::Value> {
    let one = prop::sample::select(table).prop_flat_map(|key| (Just(key.name), value(key.shape)));
    let build = |keys: Vec<(&'static str, serde_json::Value)>| {
        let mut root = serde_json::json!({});
        for (name, value) in keys {
            let mut at = &mut root;
            for part in name.split('.') {
                if !at.is_object() {
                    *at = serde_json::json!({});
                }
                at = at.as_object_mut().unwrap().entry(part).or_insert(serde_json::Value::Null);
            }
            *at = value;
        }
        root
    };
    prop::collection::vec(one, 0..4).prop_map(build).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn any_document_is_decided_or_refused(document in document(SETTINGS), dev: bool) {
        let text = document.to_string();
        if let Ok(raw) = files::read_text(&text, Format::Json, "x.json") {
            let _ = decide(&raw, dev, Purpose::Check, &network());
        }
    }
}
