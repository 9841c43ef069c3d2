//! The log as a stream: on the command line, at a finer level than the agent's own.

use std::process::Command;
use std::time::Duration;

use lictor_testkit::{Agent, Program, Signal, binary, wait_for};
use serde_json::json;

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
