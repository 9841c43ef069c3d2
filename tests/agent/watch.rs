//! Watches: on the command line, and in configuration files with programs and HTTP as handlers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lictor_testkit::{Agent, Program, binary, wait_for};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn each_type_shows_what_there_is() {
    let agent = Agent::dev(&json!({}));
    let shown = |arguments: &[&str]| -> Value {
        let mut all = vec!["watch"];
        all.extend(arguments);
        let (code, out, err) = agent.cli(&all);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).expect("JSON")
    };
    assert_eq!(shown(&["-type=key", "-key=a/b"]), Value::Null);
    assert_eq!(shown(&["-type=keyprefix", "-prefix=a/"]), Value::Null);
    assert_eq!(agent.http("PUT", "/v1/kv/a/b", "v").status, 200);
    let key = shown(&["-type=key", "-key=a/b"]);
    assert_eq!(
        (&key["Key"], &key["Value"], &key["Session"]),
        (&json!("a/b"), &json!("dg=="), &json!(""))
    );
    assert_eq!(shown(&["-type=keyprefix", "-prefix=a/", "-stale"])[0]["Key"], "a/b");
    assert_eq!(shown(&["-type=services"]), json!({"consul": []}));
    assert_eq!(shown(&["-type=nodes"])[0]["Node"], "node1");
    assert_eq!(shown(&["-type=service", "-service=consul"])[0]["Service"]["ID"], "consul");
    assert_eq!(shown(&["-type=service", "-service=consul", "-tag=x"]), json!([]));
    assert_eq!(shown(&["-type=service", "-service=none", "-passingonly=true"]), json!([]));
    assert_eq!(shown(&["-type=checks"])[0]["CheckID"], "serfHealth");
    assert_eq!(shown(&["-type=checks", "-state=critical"]), json!([]));
    assert_eq!(shown(&["-type=checks", "-service=consul"]), json!([]));
    assert_eq!(shown(&["-type=event"]), json!([]));
    let (code, _, err) = agent.cli(&["watch", "-type=nodes", "-key=x"]);
    assert_eq!((code, err.trim()), (1, "Invalid parameters: [key]"));
    let (code, _, err) = agent.cli(&["watch", "-type=nodes", "-passingonly=x"]);
    assert!(code == 1 && err.starts_with("Failed to parse passingonly flag: "), "{err}");
    let (code, _, err) = agent.cli(&["watch", "-type=connect_roots"]);
    assert_eq!((code, err.trim()), (1, "Type connect_roots is not supported in the CLI tool"));
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn wait_for_lines(path: &Path, count: usize) -> Vec<String> {
    wait_for(&format!("{count} lines in {}", path.display()), SOON, || {
        let found = lines(path);
        (found.len() >= count).then_some(found)
    })
}

#[test]
fn a_program_is_run_for_each_change_until_it_fails() {
    let agent = Agent::dev(&json!({}));
    let seen = agent.folder.path().join("seen");
    let mut command = Command::new(binary());
    command
        .args(["watch", "-type=key", "-key=k", "echo $CONSUL_INDEX >> seen; ! grep -q c3RvcA"])
        .env("CONSUL_HTTP_ADDR", &agent.http)
        .current_dir(agent.folder.path());
    let mut watch = Program::start(&mut command, &agent.folder.path().join("w")).expect("starts");
    wait_for_lines(&seen, 1);
    assert_eq!(agent.http("PUT", "/v1/kv/k", "go").status, 200);
    let indexes = wait_for_lines(&seen, 2);
    let key = agent.json("GET", "/v1/kv/k", &Value::Null);
    assert_eq!(indexes[1], key[0]["ModifyIndex"].to_string());
    assert_eq!(agent.http("PUT", "/v1/kv/other", "x").status, 200);
    assert_eq!(agent.http("PUT", "/v1/kv/k", "stop").status, 200);
    assert_eq!(watch.wait(SOON).code(), Some(1));
    assert_eq!(lines(&seen).len(), 3);
    assert!(watch.output().contains("Error executing handler: exit status 1"));
}

#[test]
fn events_are_told_once() {
    let agent = Agent::dev(&json!({}));
    let seen = agent.folder.path().join("seen");
    let mut command = Command::new(binary());
    command
        .args(["watch", "-type=event", "-name=deploy", "cat >> seen"])
        .env("CONSUL_HTTP_ADDR", &agent.http)
        .current_dir(agent.folder.path());
    let _watch = Program::start(&mut command, &agent.folder.path().join("w")).expect("starts");
    assert_eq!(wait_for_lines(&seen, 1), ["[]"]);
    for n in 1..4 {
        let _ = agent.json("PUT", "/v1/event/fire/deploy?node=node1", &json!(n));
        let told: Value =
            serde_json::from_str(&wait_for_lines(&seen, n + 1)[n]).expect("a line of JSON");
        assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");
    }
}

/// Takes requests and hands out their heads and bodies.
fn receiver() -> (String, std::sync::mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/told?x=1", listener.local_addr().expect("an address"));
    let (send, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
            let whole = loop {
                let Ok(count @ 1..) = stream.read(&mut buffer) else { break None };
                text.extend_from_slice(&buffer[..count]);
                let all = String::from_utf8_lossy(&text).into_owned();
                let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
                let head = head.to_ascii_lowercase();
                let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
                if length.and_then(|l| l.parse().ok()).is_some_and(|l: usize| body.len() >= l) {
                    break Some((head, body.to_owned()));
                }
            };
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            let _ = stream.write_all(answer);
            if let Some(whole) = whole
                && send.send(whole).is_err()
            {
                return;
            }
        }
    });
    (url, received)
}

#[test]
fn watches_of_files_run_programs_and_requests_and_are_reloaded() {
    let (url, told) = receiver();
    let config = json!({"watches": [
        {"type": "key", "key": "a", "args": ["sh", "-c", "cat >> seen-a; yes | head -c 9999"]},
        {"type": "key", "key": "b", "handler_type": "http", "http_handler_config": {
            "path": url, "method": "PUT", "timeout": "5s", "header": {"X-Own": ["one"]},
        }},
    ]});
    let agent = Agent::start(&["-dev", "-log-level=DEBUG"], &config);
    let folder = agent.folder.path();
    wait_for_lines(&folder.join("seen-a"), 1);
    let (head, body) = told.recv_timeout(SOON).expect("a request");
    assert!(head.starts_with("put /told?x=1 http/1.1"), "{head}");
    for header in ["content-type: application/json", "x-consul-index: ", "x-own: one"] {
        assert!(head.contains(header), "{header} in {head}");
    }
    assert_eq!(body, "null\n");
    assert_eq!(agent.http("PUT", "/v1/kv/b", "v").status, 200);
    let (_, body) = told.recv_timeout(SOON).expect("a request");
    assert!(body.contains("\"Value\":\"dg==\""), "{body}");
    wait_for("the output in the log", SOON, || {
        agent.program.output().contains("Captured 4096 of 9999 bytes").then_some(())
    });

    let file = folder.join("agent.json");
    let mut changed: Value =
        serde_json::from_str(&std::fs::read_to_string(&file).expect("a file")).expect("JSON");
    changed["watches"] = json!([{"type": "key", "key": "c", "handler": "cat >> seen-c"}]);
    std::fs::write(&file, changed.to_string()).expect("a file");
    assert_eq!(agent.cli(&["reload"]).0, 0);
    wait_for_lines(&folder.join("seen-c"), 1);
    assert_eq!(agent.http("PUT", "/v1/kv/a", "v").status, 200);
    assert_eq!(agent.http("PUT", "/v1/kv/c", "v").status, 200);
    wait_for_lines(&folder.join("seen-c"), 2);
    assert_eq!(lines(&folder.join("seen-a")).len(), 1, "it runs no more");

    changed["watches"] = json!([{"type": "key", "key": "c"}]);
    std::fs::write(&file, changed.to_string()).expect("a file");
    let (code, _, err) = agent.cli(&["reload"]);
    assert!(code == 1 && err.contains("Must define a watch handler"), "{err}");
    assert_eq!(agent.http("PUT", "/v1/kv/c", "w").status, 200);
    wait_for_lines(&folder.join("seen-c"), 3);
}
