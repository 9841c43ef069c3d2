//! Signals, leaving, sockets: how the agent ends and where it listens.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use lictor_testkit::{Agent, Signal, binary, free_ports};
use serde_json::json;

const SOON: Duration = Duration::from_secs(15);

#[test]
fn every_way_to_stop_ends_the_agent() {
    // A server ends with 0 when it leaves and with 1 when it is stopped without leaving.
    for (signal, code) in [(Signal::INT, 1), (Signal::TERM, 1)] {
        let mut agent = Agent::dev(&json!({}));
        agent.program.signal(signal);
        let ended = agent.program.wait(SOON);
        assert_eq!(ended.code(), Some(code), "{signal:?}: {}", agent.program.output());
    }
    let mut agent = Agent::dev(&json!({"leave_on_terminate": true}));
    agent.program.signal(Signal::TERM);
    assert_eq!(agent.program.wait(SOON).code(), Some(0));

    let mut agent = Agent::dev(&json!({}));
    let (code, out, _) = agent.cli(&["leave"]);
    assert_eq!((code, out.as_str()), (0, "Graceful leave complete\n"));
    assert_eq!(agent.program.wait(SOON).code(), Some(0));
}

#[test]
fn blocked_readers_do_not_keep_an_agent_alive() {
    let mut agent = Agent::dev(&json!({}));
    let index =
        agent.http("GET", "/v1/kv/?recurse", "").header("x-consul-index").map(str::to_owned);
    let path = format!("/v1/kv/k?index={}&wait=5m", index.expect("an index"));
    let address = agent.http.clone();
    let reader = std::thread::spawn(move || {
        lictor_testkit::request_within(&address, "GET", &path, b"", Duration::from_secs(30))
    });
    lictor_testkit::wait_for("the reader to be connected", SOON, || {
        let port = agent.http.rsplit(':').next()?.parse::<u16>().ok()?;
        let wanted = format!(":{port:04X} ");
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        table.lines().any(|l| l.contains(&wanted) && l.contains(" 01 ")).then_some(())
    });
    agent.program.signal(Signal::TERM);
    agent.program.wait(SOON);
    let _ = reader.join().expect("no panic");
}

#[test]
fn the_api_can_be_a_unix_socket() {
    let folder = tempfile::Builder::new().prefix("lictor-unix-").tempdir().expect("a folder");
    let socket = folder.path().join("api.sock");
    let extra = json!({
        "addresses": {"http": format!("unix://{} 127.0.0.1", socket.display())},
        "unix_sockets": {"mode": "0700"},
    });
    let agent = Agent::start_in(folder, &["-dev"], &extra);
    let mode = std::fs::metadata(&socket).expect("the socket is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    stream
        .write_all(b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let done = Command::new(binary())
        .args(["members", "-http-addr", &format!("unix://{}", socket.display())])
        .output()
        .expect("the binary can be started");
    assert!(String::from_utf8_lossy(&done.stdout).contains("node1"));
    drop(agent);
}

#[test]
fn a_taken_port_is_said_clearly() {
    let agent = Agent::dev(&json!({}));
    let port = agent.http.rsplit(':').next().expect("a port");
    let [server, lan, wan] = free_ports::<3>();
    let others = format!("ports {{ server = {server} serf_lan = {lan} serf_wan = {wan} }}");
    let done = Command::new(binary())
        .args(["agent", "-dev", "-bind=127.0.0.1", "-http-port", port, "-dns-port=-1"])
        .args(["-hcl", &others])
        .output()
        .expect("the binary can be started");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains(port), "{said}");
}
