//! Managed proxies: started by one line in a service, restarted, adopted, removed.

use std::time::Duration;

use lictor_testkit::{Agent, Signal, free_ports, wait_for};
use rustix::process::{Pid, kill_process, test_kill_process};
use serde_json::{Value, json};

use crate::scene;

fn config(application: u16, local: u16) -> Value {
    json!({
        "connect": {"enabled": true, "proxy": {"allow_managed_root": true,
            "allow_managed_api_registration": true}},
        "services": [
            {"name": "db", "port": application, "connect": {"proxy": {}}},
            {"name": "web", "port": 1, "connect": {"proxy": {"config": {"upstreams": [
                {"destination_name": "db", "local_bind_port": local},
            ]}}}},
        ],
    })
}

/// Processes whose environment says that they are the proxy `id`, started by this test's agent.
fn proxies(agent: &Agent, id: &str) -> Vec<Pid> {
    let wanted = format!("CONNECT_PROXY_ID={id}");
    let address = agent.http.clone();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let words: Vec<_> = environment.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
        if words.iter().any(|w| *w == wanted)
            && words.iter().any(|w| w.starts_with("CONSUL_HTTP_ADDR=") && w.contains(&address))
        {
            found.extend(Pid::from_raw(number));
        }
    }
    found
}

pub(crate) fn one_proxy(agent: &Agent, id: &str) -> Pid {
    wait_for("the proxy's process", scene::PATIENCE, || match proxies(agent, id).as_slice() {
        [one] => Some(*one),
        _ => None,
    })
}

fn gone(pid: Pid) {
    wait_for("the end of the proxy", scene::PATIENCE, || {
        test_kill_process(pid).is_err().then_some(())
    });
}

#[test]
fn a_killed_proxy_is_back_and_ends_with_a_dev_agent() {
    let [local] = free_ports::<1>();
    let mut agent = Agent::dev(&config(scene::echo(), local));
    scene::wait_until_reaches(local, true);
    for id in ["db-proxy", "web-proxy"] {
        let old = one_proxy(&agent, id);
        kill_process(old, Signal::KILL).expect("it runs");
        wait_for("another process", scene::PATIENCE, || {
            proxies(&agent, id).iter().any(|p| *p != old).then_some(())
        });
        scene::wait_until_reaches(local, true);
    }
    let last = [one_proxy(&agent, "db-proxy"), one_proxy(&agent, "web-proxy")];
    agent.program.signal(Signal::INT);
    agent.program.wait(scene::PATIENCE);
    last.into_iter().for_each(gone);
}

#[test]
fn proxies_outlive_their_agent_and_are_adopted() {
    let [local] = free_ports::<1>();
    let mut settings = config(scene::echo(), local);
    let folder = tempfile::Builder::new().prefix("lictor-adopt-").tempdir().expect("a folder");
    let data = folder.path().join("data");
    settings["data_dir"] = json!(data);
    let [http] = free_ports::<1>();
    settings["ports"] = json!({"http": http});
    let arguments = ["-server", "-bootstrap-expect=1"];
    let mut agent = Agent::start_in(folder, &arguments, &settings);
    scene::wait_until_reaches(local, true);
    let before = [one_proxy(&agent, "db-proxy"), one_proxy(&agent, "web-proxy")];
    let mut open = scene::connect(local).expect("the upstream listens");
    scene::round_trip(&mut open, b"before").expect("allowed");

    agent.program.signal(Signal::KILL);
    agent.program.wait(scene::PATIENCE);
    scene::round_trip(&mut open, b"while").expect("the mesh goes on without the agent");
    let Agent { folder, program, .. } = agent;
    drop(program);

    let agent = Agent::start_in(folder, &arguments, &settings);
    scene::round_trip(&mut open, b"after").expect("no connection was lost");
    scene::wait_until_reaches(local, true);
    let after = [one_proxy(&agent, "db-proxy"), one_proxy(&agent, "web-proxy")];
    assert_eq!(before, after, "the same processes");

    // Intentions reach the adopted proxies.
    scene::intend(&agent, "-deny", "web", "db");
    scene::wait_until_reaches(local, false);

    // Adopted proxies are supervised like any other.
    kill_process(after[0], Signal::KILL).expect("it runs");
    scene::forget(&agent, "web", "db");
    lictor_testkit::wait_for("connections to pass again", Duration::from_secs(30), || {
        scene::reaches(local).then_some(())
    });
    let last = [one_proxy(&agent, "db-proxy"), one_proxy(&agent, "web-proxy")];
    drop(agent);
    for pid in last {
        let _ = kill_process(pid, Signal::KILL);
        gone(pid);
    }
}

#[test]
fn a_removed_service_takes_its_proxy_with_it() {
    let [local] = free_ports::<1>();
    let agent = Agent::dev(&config(scene::echo(), local));
    let body = json!({"Name": "api", "Port": 2, "Connect": {"Proxy": {}}});
    assert_eq!(agent.http("PUT", "/v1/agent/service/register", &body.to_string()).status, 200);
    let pid = one_proxy(&agent, "api-proxy");
    assert_eq!(agent.http("PUT", "/v1/agent/service/deregister/api", "").status, 200);
    gone(pid);
    let services = agent.json("GET", "/v1/agent/services", &Value::Null);
    assert!(services.get("api-proxy").is_none(), "{services}");
}
