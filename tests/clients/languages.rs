//! Libraries of three languages: the whole of what they offer that the agent has.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lictor_testkit::{Agent, Program, skipped};
use serde_json::json;

use crate::install;

/// All stories of a program together.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a client's program against an agent; it must succeed.
fn told(agent: &Agent, command: &mut Command) {
    command.env("CONSUL_HTTP_ADDR", &agent.http).env_remove("CONSUL_HTTP_TOKEN");
    let log = agent.folder.path().join("client.log");
    let mut program = Program::start(command, &log).expect("the program can be started");
    let ended = program.wait(LIMIT);
    println!("{}", program.output());
    assert!(ended.success(), "{}\n{}", program.output(), agent.program.output());
}

/// An agent that denies what nothing allows, when there is access control.
fn guarded(test: &str) -> Option<Agent> {
    let plain = Agent::dev(&json!({}));
    if plain.http("GET", "/v1/acl/policies", "").status == 404 {
        skipped(test, "there is no access control yet");
        return None;
    }
    drop(plain);
    Some(Agent::dev(&json!({
        "primary_datacenter": "dc1", "acl": {"enabled": true, "default_policy": "deny"},
    })))
}

fn go(client: &Path) -> Command {
    Command::new(client)
}

#[test]
fn go_api() {
    let Some(client) = install::go("go_api", "go") else { return };
    told(&Agent::dev(&json!({})), &mut go(&client));
    if let Some(agent) = guarded("go_api, access control") {
        told(&agent, go(&client).arg("acl"));
    }
}

fn python(interpreter: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(install::source("python").join("client.py"));
    command
}

#[test]
fn python_py_consul() {
    let Some(interpreter) = install::python("python_py_consul", "python") else { return };
    told(&Agent::dev(&json!({})), &mut python(&interpreter));
    if let Some(agent) = guarded("python_py_consul, access control") {
        told(&agent, python(&interpreter).arg("acl"));
    }
}

fn node(folder: &Path) -> Command {
    let mut command = Command::new("node");
    command.arg("client.js").current_dir(folder);
    command
}

#[test]
fn node_consul() {
    let Some(folder) = install::node("node_consul", "node") else { return };
    told(&Agent::dev(&json!({})), &mut node(&folder));
    if let Some(agent) = guarded("node_consul, access control") {
        told(&agent, node(&folder).arg("acl"));
    }
}
