//! The log as a stream: on the command line, at a finer level than the agent's own.

use std::process::Command;
use std::time::Duration;

use lictor_testkit::{Agent, Program, Signal, binary, wait_for};
use serde_json::{Value, json};

#[test]
fn the_log_is_followed_until_either_side_ends() {
    let mut agent = Agent::start(&["-dev"], &json!({"log_level": "warn"}));
    let follow = |name: &str| {
        let mut command = Command::new(binary());
        command.args(["monitor", "-log-level=debug"]).arg(format!("-http-addr={}", agent.http));
        Program::start(&mut command, &agent.folder.path().join(name)).expect("it starts")
    };
    let (mut first, mut second) = (follow("first.log"), follow("second.log"));
    let seen = |program: &Program| program.output().contains("new event");
    wait_for("a line for both", Duration::from_secs(20), || {
        assert_eq!(agent.http("PUT", "/v1/event/fire/e", "").status, 200);
        (seen(&first) && seen(&second)).then_some(())
    });
    assert!(!agent.program.output().contains("new event"), "the agent's own level is another");
    first.signal(Signal::INT);
    assert!(first.wait(Duration::from_secs(10)).success());
    agent.program.signal(Signal::INT);
    agent.program.wait(Duration::from_secs(20));
    assert_eq!(second.wait(Duration::from_secs(10)).code(), Some(1));
    assert!(second.output().contains("Remote side ended the monitor!"));
}

#[test]
fn the_log_as_json_and_in_a_file_that_is_rotated() {
    let extra = json!({"log_file": "logs/a.log", "log_json": true, "log_rotate_bytes": 2000,
        "log_rotate_max_files": 2, "log_level": "debug"});
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("logs")).expect("a folder");
    let agent = Agent::start_in(folder, &["-dev"], &extra);
    let logs = agent.folder.path().join("logs");
    let is_json = |line: &str| {
        let read: Value = serde_json::from_str(line).unwrap_or_default();
        read["@level"].is_string() && read["@module"].is_string() && read["@timestamp"].is_string()
    };
    let mut command = Command::new(binary());
    command.args(["monitor", "-log-level=debug", "-log-json"]);
    command.arg(format!("-http-addr={}", agent.http));
    let json = Program::start(&mut command, &agent.folder.path().join("json")).expect("it starts");
    wait_for("older files, and lines for who follows", Duration::from_secs(30), || {
        assert_eq!(agent.http("PUT", "/v1/event/fire/e", "").status, 200);
        let files = std::fs::read_dir(&logs).expect("the folder").count();
        (files == 3 && json.output().contains("new event")).then_some(())
    });
    let read = std::fs::read_to_string(logs.join("a.log")).expect("the log");
    assert!(read.lines().all(is_json), "{read}");
    let followed = json.output();
    assert!(followed.lines().all(is_json), "{followed}");
    // The text form goes on for whoever asks for it.
    assert_eq!(agent.http("GET", "/v1/agent/monitor?loglevel=loud", "").status, 400);
}

#[test]
fn a_log_that_cannot_be_written_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let done = Command::new(binary())
        .args(["agent", "-dev", "-log-file", "none/a.log"])
        .current_dir(folder.path())
        .output()
        .expect("the binary can be started");
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("cannot write the log to none/a.log"), "{said}");
}
