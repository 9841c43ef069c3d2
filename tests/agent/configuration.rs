//! Bad configuration stops the start with file and reason; good one can be changed by a reload.

use std::process::{Command, Stdio};
use std::time::Duration;

use lictor_testkit::{Agent, Signal, binary, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Starts an agent that must refuse; gives its exit code and what it said.
fn refused(files: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("the folder can be written");
    }
    let mut child = Command::new(binary())
        .args(["agent", "-dev"])
        .args(arguments)
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    wait_for("the agent to refuse", Duration::from_secs(20), || child.try_wait().ok().flatten());
    let done = child.wait_with_output().expect("it has ended");
    let text = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_bad_file_stops_the_start_with_its_name_and_the_reason() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("a.hcl", "datacenter = \"x\"\nports { http = }\n", &["a.hcl", "2"]),
        ("a.json", "{\"datacenter\": \"x\",\n \"ports\": }", &["a.json", "2"]),
        ("a.hcl", "datacentre = \"x\"\n", &["a.hcl", "invalid config key", "datacentre"]),
        ("a.json", "{\"ports\": {\"htpp\": 1}}", &["a.json", "invalid config key", "htpp"]),
        ("a.hcl", "ports { http = \"many\" }", &["a.hcl", "http"]),
        ("a.hcl", "service { name = \"x\" port = \"y\" }", &["a.hcl", "port"]),
        ("a.hcl", "datacenter = \"no blanks\"", &["datacenter cannot be"]),
        (
            "a.hcl",
            "check { name = \"x\" script = \"true\" interval = \"1s\" }",
            &["invalid config key", "script"],
        ),
        ("a.hcl", "check_update_interval = \"soon\"", &["check_update_interval"]),
        ("a.hcl", "service { name = \"x\" connect { proxy {} } }", &["must have a port"]),
    ];
    for (file, text, expected) in cases {
        let (code, said) = refused(&[(file, text)], &["-config-file", file]);
        assert_eq!(code, 1, "{text}: {said}");
        for word in *expected {
            assert!(said.contains(word), "{text}: no «{word}» in: {said}");
        }
    }
    let (code, said) = refused(&[], &["-nosuchflag"]);
    assert_eq!(code, 1);
    assert!(said.contains("nosuchflag"), "{said}");
    let (code, said) = refused(&[], &["-config-file", "missing.hcl"]);
    assert_eq!(code, 1);
    assert!(said.contains("missing.hcl"), "{said}");
}

#[test]
fn validate_says_what_the_agent_would() {
    let folder = TempDir::new().expect("a folder");
    let run = |text: &str| {
        std::fs::write(folder.path().join("c.hcl"), text).expect("a file");
        let done = Command::new(binary())
            .args(["validate", "c.hcl"])
            .current_dir(folder.path())
            .output()
            .expect("the binary can be started");
        let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        (done.status.code(), text)
    };
    let (code, said) = run("data_dir = \"x\"\nbind_addr = \"127.0.0.1\"\n");
    assert_eq!((code, said.as_str()), (Some(0), "Configuration is valid!\n"));
    let (code, said) = run("nonsense = 1\n");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("Config validation failed: ") && said.contains("nonsense"), "{said}");
}

#[test]
fn files_are_followed_when_that_is_wished() {
    let folder = tempfile::Builder::new().prefix("lictor-follow-").tempdir().expect("a folder");
    let extra = folder.path().join("conf");
    std::fs::create_dir(&extra).expect("a folder");
    let arguments = ["-dev", "-config-dir", extra.to_str().expect("a plain path")];
    let agent = Agent::start_in(folder, &arguments, &json!({"auto_reload_config": true}));
    std::fs::write(extra.join("svc.hcl"), "service { name = \"one\" }").expect("a file");
    wait_for("the new definition", Duration::from_secs(20), || {
        services(&agent).get("one").is_some().then_some(())
    });
    std::fs::remove_file(extra.join("svc.hcl")).expect("it is there");
    wait_for("its end", Duration::from_secs(20), || {
        services(&agent).get("one").is_none().then_some(())
    });
}

fn services(agent: &Agent) -> Value {
    agent.json("GET", "/v1/agent/services", &Value::Null)
}

#[test]
fn a_reload_follows_the_files_and_a_broken_file_changes_nothing() {
    let folder = tempfile::Builder::new().prefix("lictor-reload-").tempdir().expect("a folder");
    let extra = folder.path().join("conf");
    std::fs::create_dir(&extra).expect("a folder");
    let file = extra.join("svc.hcl");
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    write("service { name = \"one\" port = 1 check { id = \"c\" ttl = \"10m\" } }");
    let arguments = ["-dev", "-config-dir", extra.to_str().expect("a plain path")];
    let agent = Agent::start_in(folder, &arguments, &json!({}));
    assert_eq!(agent.http("PUT", "/v1/agent/check/pass/c?note=kept", "").status, 200);

    write(
        "services = [{ name = \"one\" port = 2 check { id = \"c\" ttl = \"10m\" } }, { name = \"two\" }]",
    );
    agent.program.signal(Signal::HUP);
    wait_for("the new definitions", Duration::from_secs(20), || {
        let now = services(&agent);
        (now["one"]["Port"] == 2 && now.get("two").is_some()).then_some(())
    });
    let checks = agent.json("GET", "/v1/agent/checks", &Value::Null);
    assert_eq!(
        (&checks["c"]["Status"], &checks["c"]["Output"]),
        (&json!("passing"), &json!("kept"))
    );

    write("services = [{ name = ");
    let reply = agent.http("PUT", "/v1/agent/reload", "");
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert_eq!(services(&agent)["one"]["Port"], 2);
    let (code, _, said) = agent.cli(&["reload"]);
    assert_eq!(code, 1);
    assert!(said.contains("svc.hcl"), "{said}");

    write("service { name = \"three\" }");
    assert_eq!(agent.cli(&["reload"]).0, 0);
    wait_for("the old definitions to go", Duration::from_secs(20), || {
        let now = services(&agent);
        (now.get("three").is_some() && now.get("one").is_none()).then_some(())
    });
    wait_for("the catalog to follow", Duration::from_secs(20), || {
        let catalog = agent.json("GET", "/v1/catalog/services", &Value::Null);
        (catalog.get("three").is_some() && catalog.get("one").is_none()).then_some(())
    });
}
