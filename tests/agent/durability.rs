//! Nothing that was acknowledged is lost when the agent is killed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lictor_testkit::{Agent, Signal, request_within};
use serde_json::{Value, json};

const SERVER: &[&str] = &["-server", "-bootstrap-expect=1"];

#[test]
fn acknowledged_writes_survive_kill_9() {
    let mut folder = tempfile::Builder::new().prefix("lictor-kill-").tempdir().expect("a folder");
    let data = json!({"data_dir": folder.path().join("data")});
    let acknowledged = AtomicU64::new(0);
    let mut last_index = 0;
    for round in 0..5_u64 {
        let mut agent = Agent::start_in(folder, SERVER, &data);
        let index = index(&agent);
        assert!(index >= last_index, "round {round}: the index went back to {index}");
        for number in 0..acknowledged.load(Ordering::Relaxed) {
            let reply = agent.http("GET", &format!("/v1/kv/k/{number}?raw"), "");
            assert_eq!(reply.text(), format!("v{number}"), "round {round}: write {number} is lost");
        }
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (address, stop, acknowledged) = (agent.http.clone(), &stop, &acknowledged);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = acknowledged.load(Ordering::Relaxed);
                    let (path, body) = (format!("/v1/kv/k/{number}"), format!("v{number}"));
                    let limit = Duration::from_secs(5);
                    match request_within(&address, "PUT", &path, body.as_bytes(), limit) {
                        Ok(reply) if reply.status == 200 => {
                            assert_eq!(reply.text().trim(), "true");
                            acknowledged.store(number + 1, Ordering::Relaxed);
                        }
                        _ => break,
                    }
                }
            });
            let wanted = acknowledged.load(Ordering::Relaxed) + 40 + round * 7;
            lictor_testkit::wait_for("writes", Duration::from_secs(30), || {
                (acknowledged.load(Ordering::Relaxed) >= wanted).then_some(())
            });
            last_index = self::index(&agent);
            agent.program.signal(Signal::KILL);
            stop.store(true, Ordering::Relaxed);
        });
        agent.program.wait(Duration::from_secs(10));
        folder = agent.folder;
    }
}

fn index(agent: &Agent) -> u64 {
    let reply = agent.http("GET", "/v1/kv/?recurse", "");
    reply.header("x-consul-index").and_then(|v| v.parse().ok()).expect("an index")
}

#[test]
fn registrations_and_check_states_survive_a_restart() {
    let folder = tempfile::Builder::new().prefix("lictor-restart-").tempdir().expect("a folder");
    let data = json!({"data_dir": folder.path().join("data")});
    let mut agent = Agent::start_in(folder, SERVER, &data);
    let service = json!({"Name": "app", "Port": 80, "Tags": ["a"],
        "Check": {"TTL": "10m", "CheckID": "ttl"}});
    assert_eq!(agent.http("PUT", "/v1/agent/service/register", &service.to_string()).status, 200);
    assert_eq!(agent.http("PUT", "/v1/agent/check/pass/ttl?note=fine", "").status, 200);
    agent.program.signal(Signal::KILL);
    agent.program.wait(Duration::from_secs(10));

    let agent = Agent::start_in(agent.folder, SERVER, &data);
    let checks = agent.json("GET", "/v1/agent/checks", &Value::Null);
    assert_eq!(checks["ttl"]["Status"], "passing");
    assert_eq!(checks["ttl"]["Output"], "fine");
    let health = lictor_testkit::wait_for("the catalog to follow", Duration::from_secs(20), || {
        let health = agent.json("GET", "/v1/health/service/app?passing", &Value::Null);
        (health.as_array().map(Vec::len) == Some(1)).then_some(health)
    });
    assert_eq!(health[0]["Service"]["Tags"], json!(["a"]));
}

#[test]
fn a_damaged_definition_is_set_aside() {
    let folder = tempfile::Builder::new().prefix("lictor-damage-").tempdir().expect("a folder");
    let data = json!({"data_dir": folder.path().join("data")});
    let mut agent = Agent::start_in(folder, SERVER, &data);
    for name in ["one", "two"] {
        let body = json!({"Name": name, "Port": 1});
        assert_eq!(agent.http("PUT", "/v1/agent/service/register", &body.to_string()).status, 200);
    }
    agent.program.signal(Signal::KILL);
    agent.program.wait(Duration::from_secs(10));
    let services = agent.folder.path().join("data/services");
    let one = std::fs::read_dir(&services)
        .expect("the folder of definitions")
        .flatten()
        .map(|e| e.path())
        .find(|p| std::fs::read_to_string(p).is_ok_and(|t| t.contains("\"one\"")))
        .expect("the definition of one");
    std::fs::write(&one, "{\"half").expect("it can be damaged");

    let agent = Agent::start_in(agent.folder, SERVER, &data);
    let names = agent.json("GET", "/v1/agent/services", &Value::Null);
    assert!(names.get("two").is_some() && names.get("one").is_none(), "{names}");
    let log = agent.program.output();
    let file = one.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(log.contains(&file), "the log names the damaged file:\n{log}");
    let kept = std::fs::read_dir(&services)
        .expect("the folder")
        .flatten()
        .any(|e| std::fs::read_to_string(e.path()).is_ok_and(|t| t.contains("{\"half")));
    assert!(kept, "what was damaged is kept aside");
}

/// Registers services, checks and reports of their states until it is told to stop or the agent is
/// gone; gives how many were acknowledged.
fn register_on(address: &str, thread: u64, from: u64, stop: &AtomicBool) -> u64 {
    let put = |path: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let limit = Duration::from_secs(5);
        request_within(address, "PUT", path, body.as_bytes(), limit)
            .is_ok_and(|reply| reply.status == 200)
    };
    let mut number = from;
    while !stop.load(Ordering::Relaxed) {
        let id = format!("s{thread}-{number}");
        let service = json!({"Name": id, "Port": 80, "Meta": {"n": "x".repeat(300)},
            "Check": {"TTL": "10m", "CheckID": format!("c-{id}")}});
        let all = put("/v1/agent/service/register", &service)
            && put(&format!("/v1/agent/check/warn/c-{id}?note=seen"), &Value::Null);
        if !all {
            break;
        }
        number += 1;
    }
    number
}

#[test]
fn registrations_survive_kill_9_at_any_moment() {
    let mut folder = tempfile::Builder::new().prefix("lictor-kill-").tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let data = json!({"data_dir": data_dir});
    let mut acknowledged = [0_u64; 2];
    for round in 0..8_u64 {
        let mut agent = Agent::start_in(folder, SERVER, &data);
        let services = agent.json("GET", "/v1/agent/services", &Value::Null);
        let checks = agent.json("GET", "/v1/agent/checks", &Value::Null);
        for (thread, count) in acknowledged.iter().enumerate() {
            for number in 0..*count {
                let id = format!("s{thread}-{number}");
                assert_eq!(services[&id]["Port"], 80, "round {round}: {id} is lost");
                let check = &checks[&format!("c-{id}")];
                assert_eq!(
                    (&check["Status"], &check["Output"]),
                    (&json!("warning"), &json!("seen"))
                );
            }
        }
        let log = agent.program.output();
        assert!(!log.contains("is set aside"), "round {round}: a file was damaged:\n{log}");
        let stop = AtomicBool::new(false);
        acknowledged = std::thread::scope(|scope| {
            let (address, stop) = (agent.http.as_str(), &stop);
            let threads = [0, 1].map(|thread: u64| {
                let from = acknowledged[usize::try_from(thread).unwrap_or(0)];
                scope.spawn(move || register_on(address, thread, from, stop))
            });
            // Each round is cut off at another moment of its writes.
            let files = || std::fs::read_dir(data_dir.join("services")).map_or(0, Iterator::count);
            let wanted = files() + 15 + usize::try_from(round).unwrap_or(0) * 3;
            lictor_testkit::wait_for("registrations", Duration::from_secs(30), || {
                (files() >= wanted).then_some(())
            });
            agent.program.signal(Signal::KILL);
            stop.store(true, Ordering::Relaxed);
            threads.map(|thread| thread.join().expect("a writer"))
        });
        agent.program.wait(Duration::from_secs(10));
        folder = agent.folder;
    }
}

#[test]
fn damaged_services_checks_and_states_do_not_stop_the_start() {
    let folder = tempfile::Builder::new().prefix("lictor-damage-").tempdir().expect("a folder");
    let data = json!({"data_dir": folder.path().join("data")});
    let mut agent = Agent::start_in(folder, SERVER, &data);
    for name in ["a", "b", "c", "d"] {
        let body = json!({"Name": name, "Port": 1});
        assert_eq!(agent.http("PUT", "/v1/agent/service/register", &body.to_string()).status, 200);
        let body = json!({"Name": format!("c{name}"), "TTL": "10m"});
        assert_eq!(agent.http("PUT", "/v1/agent/check/register", &body.to_string()).status, 200);
        let path = format!("/v1/agent/check/pass/c{name}");
        assert_eq!(agent.http("PUT", &path, "").status, 200);
    }
    agent.program.signal(Signal::KILL);
    agent.program.wait(Duration::from_secs(10));
    let mut damaged = Vec::new();
    for place in ["data/services", "data/checks", "data/checks/state"] {
        let place = agent.folder.path().join(place);
        let mut files: Vec<_> = std::fs::read_dir(&place)
            .expect("the folder")
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        assert_eq!(files.len(), 4, "{}", place.display());
        for (file, damage) in files.iter().zip(0..3) {
            let mut bytes = std::fs::read(file).expect("a file");
            match damage {
                0 => bytes.clear(),
                1 => bytes.truncate(bytes.len() / 2),
                _ => bytes[0] ^= 0x80,
            }
            std::fs::write(file, bytes).expect("it can be damaged");
            damaged.push(file.clone());
        }
    }
    let agent = Agent::start_in(agent.folder, SERVER, &data);
    let services = agent.json("GET", "/v1/agent/services", &Value::Null);
    assert_eq!(services.as_object().map(serde_json::Map::len), Some(1), "{services}");
    let checks = agent.json("GET", "/v1/agent/checks", &Value::Null);
    assert_eq!(checks.as_object().map(serde_json::Map::len), Some(1), "{checks}");
    let log = agent.program.output();
    for file in damaged {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(log.contains(&name), "the log names {name}:\n{log}");
        assert!(!file.exists() && file.with_extension("corrupt").exists(), "{}", file.display());
    }
    // Life goes on.
    let body = json!({"Name": "a", "Port": 2});
    assert_eq!(agent.http("PUT", "/v1/agent/service/register", &body.to_string()).status, 200);
}
