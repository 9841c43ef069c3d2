//! A full disk: the agent goes on, says so, loses nothing, and recovers when there is space again.
//!
//! The disk is a small file system in memory, which only root can make.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lictor_testkit::{Agent, Signal, free_ports, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

const SERVER: &[&str] = &["-server", "-bootstrap-expect=1"];
const PATIENCE: Duration = Duration::from_secs(30);

/// A file system of a few megabytes; it goes with the test.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one at `place`; says `SKIPPED` and gives none where that is not allowed.
    fn mount(test: &str, place: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(place).expect("a folder");
        let size = format!("size={megabytes}m,mode=700");
        let mut command = Command::new("mount");
        match command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place).output() {
            Ok(done) if done.status.success() => Some(Self(place.to_owned())),
            Ok(done) => {
                let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                lictor_testkit::skipped(test, &format!("cannot mount a file system: {why}"));
                None
            }
            Err(error) => {
                lictor_testkit::skipped(test, &format!("mount: {error}"));
                None
            }
        }
    }

    /// Leaves not a byte of space.
    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.0.join("filler"));
        let file = file.as_mut().expect("a file");
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn grow(&self, megabytes: u32) {
        let size = format!("remount,size={megabytes}m");
        let done = Command::new("mount").args(["-o", &size]).arg(&self.0).status();
        assert!(done.expect("it could mount before").success());
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("it was filled");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: processes that a failed test leaves may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("lictor-full-").tempdir().expect("a folder")
}

#[test]
fn the_log_waits_for_space_and_loses_nothing() {
    let folder = folder();
    let place = folder.path().join("data/raft");
    let Some(disk) = Disk::mount("a full disk for the log", &place, 8) else { return };
    let data = json!({"data_dir": folder.path().join("data")});
    let mut agent = Agent::start_in(folder, SERVER, &data);
    let value = |number: usize| format!("{number}:{}", "x".repeat(20_000));
    let put = |agent: &Agent, number: usize| {
        agent.http("PUT", &format!("/v1/kv/k/{number}"), &value(number))
    };
    let mut acknowledged = 0;
    let fill = |agent: &Agent, acknowledged: &mut usize| {
        let refusal = loop {
            let reply = put(agent, *acknowledged);
            if reply.status != 200 {
                break reply;
            }
            *acknowledged += 1;
            assert!(*acknowledged < 1000, "the disk does not fill up");
        };
        assert_eq!(refusal.status, 500, "{}", refusal.text());
        assert!(refusal.text().contains("No space left on device"), "{}", refusal.text());
    };
    let all_there = |agent: &Agent, acknowledged: usize| {
        for number in 0..acknowledged {
            let reply = agent.http("GET", &format!("/v1/kv/k/{number}?raw"), "");
            assert_eq!((reply.status, reply.text()), (200, value(number)), "write {number}");
        }
    };
    for round in 0..2 {
        // In the second round the disk fills up while the log is being written.
        if round == 0 {
            acknowledged += usize::from(put(&agent, acknowledged).status == 200);
            disk.fill();
        }
        fill(&agent, &mut acknowledged);
        all_there(&agent, acknowledged);
        for refused in 0..20 {
            let reply = agent.http("PUT", &format!("/v1/kv/refused/{round}/{refused}"), "no");
            assert_eq!(reply.status, 500, "refused at once, not kept waiting: {}", reply.text());
        }
        assert!(agent.http("GET", "/v1/status/leader", "").text().contains("127.0.0.1"));
        let strict = agent.http("GET", "/v1/kv/k/0?consistent&raw", "");
        assert_eq!((strict.status, strict.text()), (200, value(0)));
        assert!(agent.program.ended().is_none());
        if round == 0 {
            disk.free();
            wait_for("writes to pass again", PATIENCE, || {
                (agent.http("PUT", "/v1/kv/again", "yes").status == 200).then_some(())
            });
            all_there(&agent, acknowledged);
        }
    }
    let log = agent.program.output();
    assert!(log.contains("the raft log cannot be written"), "{log}");
    assert!(log.contains("the raft log can be written again"), "{log}");
    assert!(!log.contains("panicked"), "{log}");

    // What was being written when the machine went down is cut off at most.
    agent.program.signal(Signal::KILL);
    agent.program.wait(Duration::from_secs(10));
    disk.grow(64);
    let mut agent = Agent::start_in(agent.folder, SERVER, &data);
    all_there(&agent, acknowledged);
    assert_eq!(agent.http("GET", "/v1/kv/again?raw", "").text(), "yes");
    assert_eq!(agent.http("PUT", "/v1/kv/last", "1").status, 200);
    agent.program.signal(Signal::TERM);
    agent.program.wait(PATIENCE);
}

#[test]
fn an_agent_with_a_full_log_ends_when_it_is_told_to() {
    let folder = folder();
    let place = folder.path().join("data/raft");
    let Some(disk) = Disk::mount("the end with a full log", &place, 4) else { return };
    let data = json!({"data_dir": folder.path().join("data")});
    let mut agent = Agent::start_in(folder, SERVER, &data);
    disk.fill();
    wait_for("a refused write", PATIENCE, || {
        (agent.http("PUT", "/v1/kv/a", &"x".repeat(10_000)).status == 500).then_some(())
    });
    agent.program.signal(Signal::INT);
    agent.program.wait(PATIENCE);
    let log = agent.program.output();
    assert!(!log.contains("panicked"), "{log}");
}

/// The process of the managed proxy `id`, as the agent has recorded it.
fn recorded(data: &Path, id: &str) -> Option<i64> {
    let text = std::fs::read(data.join("proxy/snapshot.json")).ok()?;
    serde_json::from_slice::<Value>(&text).ok()?["Proxies"][id]["Pid"].as_i64()
}

/// The process that listens for the managed proxy `id` of this agent.
fn running(agent: &Agent, id: &str) -> Option<i64> {
    let wanted = format!("CONNECT_PROXY_ID={id}");
    let address = format!("CONSUL_HTTP_ADDR={}", agent.http);
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_string_lossy().parse().ok()?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        let words: Vec<_> = environment.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
        let has = |word: &str| words.iter().any(|w| w.ends_with(word));
        (words.contains(&wanted.as_str().into()) && has(address.trim_start_matches("http://")))
            .then_some(pid)
    })
}

fn kill(pid: i64) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::kill_process(pid.expect("a pid"), Signal::KILL);
}

#[test]
fn state_files_wait_for_space_and_proxies_go_on() {
    let folder = folder();
    let data = folder.path().join("data");
    let place = folder.path().join("small");
    let Some(disk) = Disk::mount("a full disk for state files", &place, 1) else { return };
    std::fs::create_dir_all(&data).expect("a folder");
    for name in ["services", "checks", "proxies", "proxy"] {
        std::fs::create_dir(place.join(name)).expect("a folder");
        std::os::unix::fs::symlink(place.join(name), data.join(name)).expect("a link");
    }
    let [http] = free_ports::<1>();
    let settings = json!({
        "data_dir": data, "ports": {"http": http},
        "connect": {"enabled": true, "proxy": {"allow_managed_root": true,
            "allow_managed_api_registration": true}},
        "services": [{"name": "db", "port": 1, "connect": {"proxy": {}}}],
    });
    let mut agent = Agent::start_in(folder, SERVER, &settings);
    let register = |agent: &Agent, name: &str| {
        let body = json!({"Name": name, "Port": 80, "Connect": {"Proxy": {}},
            "Check": {"TTL": "10m", "CheckID": format!("{name}-ttl")}});
        agent.http("PUT", "/v1/agent/service/register", &body.to_string())
    };
    assert_eq!(register(&agent, "held").status, 200);
    assert_eq!(agent.http("PUT", "/v1/agent/check/pass/held-ttl", "").status, 200);
    let first = wait_for("a recorded proxy", PATIENCE, || {
        recorded(&data, "db-proxy").filter(|pid| running(&agent, "db-proxy") == Some(*pid))
    });
    disk.fill();

    let before = agent.json("GET", "/v1/agent/services", &Value::Null);
    let refusal = register(&agent, "refused");
    assert_eq!(refusal.status, 500, "{}", refusal.text());
    assert!(refusal.text().contains("No space left on device"), "{}", refusal.text());
    assert_eq!(agent.json("GET", "/v1/agent/services", &Value::Null), before, "all or nothing");
    let config = agent.http("GET", "/v1/agent/connect/proxy/refused-proxy", "");
    assert_eq!(config.status, 404, "no half of it is left: {}", config.text());

    // A proxy that dies is back, though neither its process nor its output can be recorded.
    kill(first);
    let second = wait_for("another process", PATIENCE, || {
        running(&agent, "db-proxy").filter(|pid| *pid != first)
    });
    wait_for("the agent to say so", PATIENCE, || {
        let log = agent.program.output();
        (log.contains("cannot record the managed proxies") && log.contains("No space left"))
            .then_some(())
    });
    assert_eq!(agent.http("PUT", "/v1/kv/a", "1").status, 200, "what needs no space goes on");
    // A report is taken even if it cannot be kept.
    let _ = agent.http("PUT", "/v1/agent/check/warn/held-ttl?note=full", "");
    let checks = agent.json("GET", "/v1/agent/checks", &Value::Null);
    assert_eq!(checks["held-ttl"]["Status"], "warning");

    disk.free();
    wait_for("the record of proxies", PATIENCE, || {
        (recorded(&data, "db-proxy") == Some(second)).then_some(())
    });
    assert_eq!(register(&agent, "refused").status, 200, "there is space again");
    assert_eq!(agent.http("PUT", "/v1/agent/check/pass/held-ttl?note=kept", "").status, 200);
    let log = agent.program.output();
    assert!(!log.contains("panicked"), "{log}");

    agent.program.signal(Signal::KILL);
    agent.program.wait(Duration::from_secs(10));
    let Agent { folder, program, .. } = agent;
    drop(program);
    let agent = Agent::start_in(folder, SERVER, &settings);
    let services = agent.json("GET", "/v1/agent/services", &Value::Null);
    for name in ["db", "held", "refused", "db-proxy", "held-proxy", "refused-proxy"] {
        assert!(services.get(name).is_some(), "{name} is lost: {services}");
    }
    let checks = agent.json("GET", "/v1/agent/checks", &Value::Null);
    assert_eq!(
        (&checks["held-ttl"]["Status"], &checks["held-ttl"]["Output"]),
        (&json!("passing"), &json!("kept"))
    );
    assert_eq!(running(&agent, "db-proxy"), Some(second), "the proxy was found again");
    let ids = ["db-proxy", "held-proxy", "refused-proxy"];
    let left: Vec<_> = ids.iter().filter_map(|id| running(&agent, id)).collect();
    drop(agent);
    left.into_iter().for_each(kill);
}
