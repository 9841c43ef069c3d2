//! Commands that go through several parts: remote execution, registration from files, recording,
//! certificates, completion, and the program under its other name.

use std::process::{Command, Stdio};
use std::time::Duration;

use lictor_testkit::{Agent, binary, wait_for};
use serde_json::{Value, json};

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn a_command_is_run_on_a_node_that_allows_it() {
    let agent = Agent::dev(&json!({"disable_remote_exec": false}));
    let (code, out, err) = agent.cli(&["exec", "echo one; echo two"]);
    assert_eq!(
        (code, out.as_str()),
        (
            0,
            "    node1: one\n    node1: two\n    node1:\n==> node1: finished with exit code 0\n\
             1 / 1 node(s) completed / acknowledged\n"
        ),
        "{err}"
    );
    let (code, out, _) = agent.cli(&["exec", "-verbose", "-shell=false", "sh", "-c", "exit 3"]);
    assert!(code == 2 && out.contains("==> node1: finished with exit code 3\n"), "{out}");
    // More than one piece, and longer than the usual silence.
    let long = "head -c 10000 /dev/zero | tr '\\0' x; sleep 1; echo end";
    let (code, out, _) = agent.cli(&["exec", "-wait=700ms", long]);
    assert_eq!((code, out.matches('x').count() - out.matches("exit").count()), (0, 10_000));
    let (code, out, _) = agent.cli(&["exec", "-node=other", "true"]);
    assert_eq!((code, out.as_str()), (0, "0 / 0 node(s) completed / acknowledged\n"));
    let (code, out, _) = agent.cli(&["exec", "-shell=false", "/nonexistent/program"]);
    assert!(code == 2 && out.contains("finished with exit code 255"), "{out}");
    assert_eq!(agent.http("GET", "/v1/kv/?keys", "").text().trim(), "[]");
    assert_eq!(agent.json("GET", "/v1/session/list", &Value::Null), json!([]));
    assert_eq!(agent.json("GET", "/v1/event/list", &Value::Null), json!([]));
}

#[test]
fn remote_execution_is_off_by_default_and_ends_with_its_session() {
    let agent = Agent::dev(&json!({}));
    let (code, out, _) = agent.cli(&["exec", "touch never"]);
    assert_eq!((code, out.as_str()), (0, "0 / 0 node(s) completed / acknowledged\n"));
    assert!(!agent.folder.path().join("never").exists());

    let agent = Agent::dev(&json!({"disable_remote_exec": false}));
    let folder = agent.folder.path();
    let session = agent.json("PUT", "/v1/session/create", &json!({"Behavior": "delete"}));
    let session = session["ID"].as_str().expect("an ID").to_owned();
    let job = json!({
        "Command": format!("echo $$ > {}/pid; sleep 100; true", folder.display()),
        "Wait": 100_000_000,
    });
    let path = format!("/v1/kv/_rexec/{session}/job?acquire={session}");
    assert_eq!(agent.http("PUT", &path, &job.to_string()).text().trim(), "true");
    let event = json!({"Prefix": "_rexec", "Session": session});
    let _ = agent.json("PUT", "/v1/event/fire/_rexec", &event);
    let pid = wait_for("the command", Duration::from_secs(20), || {
        std::fs::read_to_string(folder.join("pid")).ok().filter(|pid| pid.ends_with('\n'))
    });
    let _ = agent.json("PUT", &format!("/v1/session/destroy/{session}"), &Value::Null);
    wait_for("the command to be killed", Duration::from_secs(20), || {
        (!std::path::Path::new("/proc").join(pid.trim()).exists()).then_some(())
    });
}

#[test]
fn services_are_registered_from_files_and_flags() {
    let agent = Agent::dev(&json!({}));
    let folder = agent.folder.path();
    let hcl = r#"
        service { name = "web" port = 80 tags = ["a"] check { ttl = "10m" } }
        services { id = "db1" name = "db" meta { k = "v" } }
    "#;
    std::fs::write(folder.join("all.hcl"), hcl).expect("a file");
    let json_file = json!({"service": {"name": "api", "port": 1, "enable_tag_override": true}});
    std::fs::write(folder.join("one.json"), json_file.to_string()).expect("a file");
    let (code, out, err) = agent.cli(&words("services register all.hcl one.json"));
    assert_eq!(code, 0, "{err}");
    for name in ["web", "db", "api"] {
        assert!(out.contains(&format!("Registered service: {name}\n")), "{out}");
    }
    let (code, _, _) =
        agent.cli(&words("services register -name=x -id=x1 -tag=t -meta=m=n -port=5"));
    assert_eq!(code, 0);
    let services = agent.json("GET", "/v1/agent/services", &Value::Null);
    assert_eq!(services["web"]["Tags"], json!(["a"]));
    assert_eq!(services["db1"]["Meta"], json!({"k": "v"}));
    assert_eq!(services["api"]["EnableTagOverride"], json!(true));
    assert_eq!((&services["x1"]["Port"], &services["x1"]["Meta"]["m"]), (&json!(5), &json!("n")));
    let checks = agent.json("GET", "/v1/agent/checks", &Value::Null);
    assert_eq!(checks["service:web"]["ServiceName"], "web");

    std::fs::write(folder.join("bad.hcl"), "service { nam = 1 }").expect("a file");
    for (arguments, text) in [
        ("services register", "Service registration requires at least one argument or flags."),
        ("services register -name=a all.hcl", "Service registration requires arguments or -id"),
        ("services register bad.hcl", "Error: Error parsing bad.hcl"),
        ("services register none.hcl", "Error: config: cannot read none.hcl"),
        ("services deregister", "Service deregistration requires at least one argument or -id."),
    ] {
        let (code, _, err) = agent.cli(&words(arguments));
        assert!(code == 1 && err.starts_with(text), "{arguments}: {err}");
    }
    let (code, out, _) = agent.cli(&words("services deregister all.hcl one.json"));
    assert_eq!((code, out.lines().count()), (0, 3), "{out}");
    assert_eq!(agent.cli(&words("services deregister -id=x1")).0, 0);
    assert_eq!(agent.json("GET", "/v1/agent/services", &Value::Null), json!({}));
}

#[test]
fn what_an_agent_tells_is_recorded() {
    let agent = Agent::dev(&json!({}));
    let folder = agent.folder.path();
    let (code, out, err) = agent.cli(&words("debug -duration=10s -interval=5s -output=rec"));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.ends_with("Saved debug archive: rec.tar.gz\n"), "{out}");
    assert!(!folder.join("rec").exists());
    let unpack = Command::new("tar").args(["xzf", "rec.tar.gz"]).current_dir(folder).status();
    assert!(unpack.is_ok_and(|status| status.success()));
    let read = |name: &str| -> Value {
        let text = std::fs::read(folder.join("rec").join(name)).expect("a file");
        serde_json::from_slice(&text).expect("JSON")
    };
    assert_eq!(read("agent.json")["Config"]["NodeName"], "node1");
    assert_eq!(read("cluster.json")[0]["Name"], "node1.dc1");
    let index = read("index.json");
    assert_eq!((&index["Duration"], &index["Interval"]), (&json!("10s"), &json!("5s")));
    let mut files: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder.join("rec")).expect("a folder").flatten() {
        for file in std::fs::read_dir(entry.path()).into_iter().flatten().flatten() {
            files.push(file.file_name().to_string_lossy().into_owned());
        }
    }
    assert!(files.contains(&"consul.log".to_owned()), "{files:?}");
    assert!(files.iter().filter(|name| *name == "metrics.json").count() >= 2, "{files:?}");
    for (arguments, text) in [
        ("debug -duration=1s", "duration must be longer than 10s"),
        ("debug -capture=nosuch", "target not found: nosuch"),
        ("debug -output=rec", "output directory already exists: rec"),
    ] {
        let (code, _, err) = agent.cli(&words(arguments));
        assert!(code == 1 && err.contains(text), "{arguments}: {err}");
    }
}

#[test]
fn certificates_are_made_and_never_replaced() {
    let folder = tempfile::Builder::new().prefix("lictor-tls-").tempdir().expect("a folder");
    let run = |arguments: &str| {
        let done = Command::new(binary())
            .args(words(arguments))
            .current_dir(folder.path())
            .output()
            .expect("it starts");
        let text = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    assert_eq!(run("tls cert create -server").0, Some(1), "there is no authority yet");
    let (code, text) = run("tls ca create");
    assert_eq!(
        (code, text.as_str()),
        (Some(0), "==> Saved consul-agent-ca.pem\n==> Saved consul-agent-ca-key.pem\n")
    );
    assert_eq!(run("tls ca create"), (Some(1), "consul-agent-ca.pem already exists.\n".to_owned()));
    let (code, text) = run("tls cert create -server -node=n1 -additional-ipaddress=10.0.0.1");
    assert!(code == Some(0) && text.contains("==> Saved dc1-server-consul-0-key.pem"), "{text}");
    let (_, text) = run("tls cert create -server");
    assert!(text.contains("==> Saved dc1-server-consul-1.pem"), "{text}");
    let (_, text) = run("tls cert create -client -dc=two -domain=consul");
    assert!(text.contains("==> Saved two-client-consul-0.pem"), "{text}");
    for (arguments, text) in [
        ("tls cert create", "Please provide either -server, -client, or -cli"),
        ("tls cert create -server -cli", "Please provide either -server, -client, or -cli"),
        ("tls cert create -cli -node=a", "-node requires -server"),
        ("tls cert create -cli -dc=../x", "-dc cannot be"),
        ("tls cert create -cli -ca=none.pem", "Error reading CA: open none.pem: no such file"),
    ] {
        let (code, said) = run(arguments);
        assert!(code == Some(1) && said.contains(text), "{arguments}: {said}");
    }
    let checked = Command::new("openssl")
        .args(["verify", "-CAfile", "consul-agent-ca.pem", "-purpose", "sslserver"])
        .args(["-verify_hostname", "n1.server.dc1.consul", "dc1-server-consul-0.pem"])
        .current_dir(folder.path())
        .output();
    match checked {
        Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => eprintln!("\n*** SKIPPED openssl's opinion: {error} ***\n"),
    }
}

#[test]
fn words_are_completed_and_the_other_name_is_known() {
    let folder = tempfile::Builder::new().prefix("lictor-name-").tempdir().expect("a folder");
    let link = folder.path().join("consul");
    std::os::unix::fs::symlink(binary(), &link).expect("a link");
    std::fs::write(folder.path().join(".bashrc"), "").expect("a file");
    let run = |program: &std::path::Path, arguments: &[&str], line: Option<&str>| {
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", folder.path()).stdin(Stdio::null());
        match line {
            Some(line) => command.env("COMP_LINE", line),
            None => command.env_remove("COMP_LINE"),
        };
        let done = command.output().expect("it starts");
        let text = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    assert_eq!(
        run(&link, &[], Some("consul snapshot ")),
        (Some(0), "inspect\nrestore\nsave\n".to_owned())
    );
    assert_eq!(run(&binary(), &[], Some("lictor kv put -fl")).1, "-flags\n");
    let usage = run(&link, &["kv"], None).1;
    assert!(usage.starts_with("Usage: consul kv <subcommand>"), "{usage}");
    let usage = run(&binary(), &["kv"], None).1;
    assert!(usage.starts_with("Usage: lictor kv <subcommand>"), "{usage}");
    let usage = run(&link, &["agent", "-help"], None).1;
    assert!(usage.starts_with("Usage: consul agent [options]"), "{usage}");
    let start = || std::fs::read_to_string(folder.path().join(".bashrc")).expect("a file");
    assert_eq!(run(&link, &["-autocomplete-install"], None).0, Some(0));
    assert!(start().contains("complete -C ") && start().ends_with(" consul\n"), "{}", start());
    assert_eq!(run(&link, &["-autocomplete-install"], None).0, Some(1));
    assert_eq!(run(&link, &["-autocomplete-uninstall"], None).0, Some(0));
    assert_eq!(start(), "");
}
