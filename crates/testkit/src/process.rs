//! Programs that a test starts: they write to a log file and end when the test does.
//!
//! An [`Agent`] is the product's binary with free ports and a folder of its own.

use std::fs::File;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Reply, free_ports, request, wait_for};

/// The product's binary of the same build profile as the running test.
///
/// # Panics
/// When it was not built: `cargo build -p lictor` (with `--release` for release tests) does.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LICTOR_BINARY") {
        return path.into();
    }
    let own = std::env::current_exe().expect("a running program has a path");
    let profile =
        own.parent().and_then(Path::parent).expect("tests run from target/<profile>/deps");
    let binary = profile.join("lictor");
    assert!(binary.exists(), "{} is missing: run `cargo build -p lictor`", binary.display());
    binary
}

/// A running program, killed and waited for when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `command` with its output in the file `log`.
    ///
    /// # Errors
    /// When the log cannot be made or the program cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self, Error> {
        let out = File::options().create(true).append(true).open(log)?;
        let child = command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn()?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it has not ended in `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of the program; it printed:\n{}", self.output());
        wait_for(&what, limit, || self.child.try_wait().ok().flatten())
    }

    /// Kills it at once and waits for it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A started agent.
#[derive(Debug)]
pub struct Agent {
    /// The process.
    pub program: Program,
    /// `127.0.0.1:port` of its HTTP API.
    pub http: String,
    /// Folder of its configuration, log and data.
    pub folder: TempDir,
    /// The token of its configuration that may do everything; empty without access control.
    pub token: String,
    _proxies: ManagedProxies,
}

/// The proxies that an agent manages outlive it by design, but not its test.
#[derive(Debug)]
struct ManagedProxies {
    /// Address of the agent's API, which is in their environment.
    http: String,
}

impl Drop for ManagedProxies {
    fn drop(&mut self) {
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let words: Vec<_> =
                environment.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
            let is_proxy = words.iter().any(|word| word.starts_with("CONNECT_PROXY_ID="));
            let is_ours = words
                .iter()
                .any(|word| word.starts_with("CONSUL_HTTP_ADDR=") && word.ends_with(&self.http));
            let pid = entry.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
            if let Some(pid) = pid.filter(|_| is_proxy && is_ours) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Agent {
    /// Starts `agent -dev` with `extra` merged into its configuration and waits for a leader.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn dev(extra: &Value) -> Self {
        Self::start(&["-dev"], extra)
    }

    /// Starts `agent` with these arguments, `extra` merged into its configuration, and waits for
    /// a leader.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start(arguments: &[&str], extra: &Value) -> Self {
        let folder = tempfile::Builder::new().prefix("lictor-test-").tempdir().expect("a folder");
        Self::start_in(folder, arguments, extra)
    }

    /// As [`Agent::start`], in a folder that an earlier agent has left.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start_in(folder: TempDir, arguments: &[&str], extra: &Value) -> Self {
        Self::start_with(folder, arguments, extra, &[])
    }

    /// As [`Agent::start_in`], with variables in its environment.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start_with(
        folder: TempDir,
        arguments: &[&str],
        extra: &Value,
        variables: &[(&str, &str)],
    ) -> Self {
        let [http, dns, server, lan, wan] = free_ports::<5>();
        let mut config = json!({
            "node_name": "node1", "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
            "ports": {"http": http, "dns": dns, "server": server, "serf_lan": lan, "serf_wan": wan},
        });
        merge(&mut config, extra);
        let file = folder.path().join("agent.json");
        std::fs::write(&file, config.to_string()).expect("the folder can be written");
        let mut command = Command::new(binary());
        command.arg("agent").args(arguments).arg("-config-file").arg(&file);
        command.current_dir(folder.path()).envs(variables.iter().copied());
        let program = Program::start(&mut command, &folder.path().join("agent.log"))
            .expect("the binary can be started");
        let http = format!("127.0.0.1:{}", config["ports"]["http"]);
        let _proxies = ManagedProxies { http: http.clone() };
        let tokens = &config["acl"]["tokens"];
        let named = [&config["acl_master_token"], &tokens["master"], &tokens["initial_management"]];
        let token = named.iter().find_map(|token| token.as_str()).unwrap_or_default().to_owned();
        let mut agent = Self { program, http, folder, token, _proxies };
        agent.ready(&config);
        agent
    }

    /// Where nothing is allowed and no token is known, all that can be seen is a leader.
    fn ready(&mut self, config: &Value) {
        let blind = self.token.is_empty() && config["acl"]["default_policy"] == "deny";
        let http = self.http.clone();
        let program = &mut self.program;
        let name = config["node_name"].as_str().unwrap_or_default();
        let own_node = format!("/v1/health/node/{name}?token={}", self.token);
        wait_for("a leader and the agent's own node", Duration::from_secs(20), || {
            let ended = program.ended();
            assert!(ended.is_none(), "the agent ended: {ended:?}\n{}", program.output());
            let leader = request(&http, "GET", "/v1/status/leader", b"").ok()?;
            let health = request(&http, "GET", &own_node, b"").ok()?;
            let there = blind || health.text().contains("serfHealth");
            (leader.body.len() > 4 && there).then_some(())
        });
    }

    /// One request to its API.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn http(&self, method: &str, path: &str, body: &str) -> Reply {
        match request(&self.http, method, path, body.as_bytes()) {
            Ok(reply) => reply,
            Err(error) => {
                panic!("{method} {path}: {error}; the agent printed:\n{}", self.program.output())
            }
        }
    }

    /// One request that must succeed, with its JSON.
    ///
    /// # Panics
    /// When the status is not 200.
    #[must_use]
    pub fn json(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.http(method, path, &body);
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text());
        reply.json()
    }

    /// A command of the binary, pointed at this agent; gives exit code, stdout, stderr.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> (i32, String, String) {
        let done = Command::new(binary())
            .args(arguments)
            .env("CONSUL_HTTP_ADDR", &self.http)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("the binary can be started");
        (
            done.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&done.stdout).into_owned(),
            String::from_utf8_lossy(&done.stderr).into_owned(),
        )
    }
}

fn merge(into: &mut Value, extra: &Value) {
    match (into, extra) {
        (Value::Object(into), Value::Object(extra)) => {
            for (key, value) in extra {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, extra) => *into = extra.clone(),
    }
}
