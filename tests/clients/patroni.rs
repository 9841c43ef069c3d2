//! Patroni keeps its leader in sessions and locks: a leader that dies is replaced, and rejoins.
//!
//! Two nodes of Debian's PostgreSQL, each led by a Patroni from PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lictor_testkit::{Agent, Program, Signal, free_ports, request, skipped, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::install::python;

/// The session of a leader that was killed ends within twice its time to live, which is ten
/// seconds: the least that Patroni takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// One Patroni with its PostgreSQL.
struct Node {
    name: &'static str,
    rest: String,
    port: u16,
    config: PathBuf,
    python: PathBuf,
    program: Program,
}

/// PostgreSQL refuses to run as root: there it becomes the user that the package made, who may
/// still read the program's folder.
fn unprivileged(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command.args(["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]).arg(program);
    command
}

fn bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.flatten().map(|v| v.path().join("bin")).find(|b| b.join("postgres").exists())
}

fn patroni(python: &Path, config: &Path, log: &Path) -> Program {
    let mut command = unprivileged(python);
    command.args(["-m", "patroni"]).arg(config).current_dir("/tmp");
    Program::start(&mut command, log).expect("Patroni starts")
}

impl Node {
    fn start(name: &'static str, agent: &str, folder: &Path, python: &Path, bin: &Path) -> Self {
        let [rest, port] = free_ports::<2>();
        let (at, rest) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{rest}"));
        let user = |name: &str| json!({"username": name, "password": "test"});
        let config = json!({
            "scope": "lictor", "name": name,
            "restapi": {"listen": rest, "connect_address": rest},
            "consul": {"host": agent, "register_service": true},
            "bootstrap": {
                "dcs": {"ttl": 20, "loop_wait": 1, "retry_timeout": 3},
                "initdb": [{"encoding": "UTF8"}, "no-sync"],
            },
            "postgresql": {
                "listen": at, "connect_address": at, "bin_dir": bin, "data_dir": folder.join(name),
                "pgpass": folder.join(format!("{name}.pass")),
                "authentication": {"superuser": user("postgres"), "replication": user("copy")},
                "parameters": {"unix_socket_directories": "", "fsync": "off"},
                "pg_hba": ["host all all 127.0.0.1/32 trust",
                    "host replication all 127.0.0.1/32 trust"],
            },
        });
        // JSON is YAML.
        let file = folder.join(format!("{name}.yml"));
        std::fs::write(&file, config.to_string()).expect("written");
        let program = patroni(python, &file, &folder.join(format!("{name}.log")));
        Self { name, rest, port, config: file, python: python.to_owned(), program }
    }

    /// What it says of itself; `Null` while it says nothing.
    fn state(&self) -> Value {
        request(&self.rest, "GET", "/patroni", b"").map(|reply| reply.json()).unwrap_or_default()
    }

    fn wait_until(&self, role: &str) {
        let what = format!("{} to be the {role}", self.name);
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let state = self.state();
            let known = state["role"] == role || (role == "primary" && state["role"] == "master");
            if known && (state["state"] == "running" || state["state"] == "streaming") {
                return;
            }
            let late = std::time::Instant::now() > deadline;
            assert!(!late, "not in {PATIENCE:?}: {what}; {state}\n{}", self.program.output());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn sql(&self, statement: &str) -> Option<String> {
        let done = Command::new("psql")
            .args(["-h", "127.0.0.1", "-U", "postgres", "-X", "-A", "-t", "-c", statement])
            .args(["-p", &self.port.to_string(), "postgres"])
            .env("PGCONNECT_TIMEOUT", "5")
            .output()
            .expect("psql is installed");
        let text = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        done.status.success().then_some(text)
    }

    /// Kills Patroni and PostgreSQL without a word.
    fn kill(&mut self) {
        let file = self.data().join("postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let server = text.lines().next().and_then(|line| line.parse().ok());
        self.program.kill();
        if let Some(server) = server.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(server, Signal::KILL);
        }
    }

    fn data(&self) -> PathBuf {
        self.config.with_extension("")
    }

    /// Starts it again.
    fn again(&mut self) {
        self.program = patroni(&self.python, &self.config, &self.config.with_extension("log"));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Who leads, by the key that Patroni keeps.
fn leader(agent: &Agent) -> String {
    agent.http("GET", "/v1/kv/service/lictor/leader?raw", "").text()
}

#[test]
fn patroni_replaces_a_leader_that_dies() {
    let Some(bin) = bin() else {
        skipped("patroni", "PostgreSQL's server programs are not installed");
        return;
    };
    let Some(python) = python("patroni", "patroni") else { return };
    let agent = Agent::dev(&json!({}));
    let folder: TempDir =
        tempfile::Builder::new().prefix("lictor-patroni-").tempdir().expect("a folder");
    if rustix::process::geteuid().is_root() {
        let owner = Command::new("chown").arg("postgres").arg(folder.path()).status();
        assert!(owner.expect("chown runs").success());
    }
    let mut first = Node::start("first", &agent.http, folder.path(), &python, &bin);
    first.wait_until("primary");
    assert_eq!(leader(&agent), "first");
    let mut second = Node::start("second", &agent.http, folder.path(), &python, &bin);
    second.wait_until("replica");
    first.sql("create table t (n int); insert into t values (1)").expect("statements pass");
    wait_for("the row on the other node", PATIENCE, || {
        (second.sql("select n from t")? == "1").then_some(())
    });

    first.kill();
    second.wait_until("primary");
    assert_eq!(leader(&agent), "second");
    wait_for("writes on the new leader", PATIENCE, || second.sql("insert into t values (2)"));

    // The old leader comes back as a follower.
    first.again();
    first.wait_until("replica");
    wait_for("both rows on the old leader", PATIENCE, || {
        (first.sql("select count(*) from t")? == "2").then_some(())
    });
    let known = agent.json("GET", "/v1/catalog/service/lictor", &Value::Null);
    assert_eq!(known.as_array().map(Vec::len), Some(2), "both are services: {known}");
    second.kill();
}
