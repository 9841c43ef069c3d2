//! Agents that find each other: members, events, keys, leaving, and finding back.

use std::time::Duration;

use lictor_testkit::{Agent, Signal, free_ports, wait_for};
use serde_json::{Value, json};

const SERVER: &[&str] = &["-server", "-bootstrap-expect=1"];
const SOON: Duration = Duration::from_secs(20);
const FIRST: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
const SECOND: &str = "AQEBAQEBAQEBAQEBAQEBAQ==";
/// Gossip that notices in tenths of a second what usually takes seconds.
fn quick() -> Value {
    json!({
        "gossip_interval": "20ms", "probe_interval": "100ms", "probe_timeout": "50ms",
        "suspicion_mult": 2,
    })
}

/// An agent with a folder, quick gossip, and more.
fn start(name: &str, extra: Value) -> Agent {
    let folder = tempfile::Builder::new().prefix("lictor-gossip-").tempdir().expect("a folder");
    start_in(folder, name, extra)
}

fn start_in(folder: tempfile::TempDir, name: &str, extra: Value) -> Agent {
    let mut config = json!({
        "node_name": name, "data_dir": folder.path().join("data"),
        "gossip_lan": quick(), "gossip_wan": quick(),
    });
    let (Value::Object(all), Value::Object(extra)) = (&mut config, extra) else { panic!() };
    all.extend(extra);
    Agent::start_in(folder, SERVER, &config)
}

/// Where an agent gossips, as it says itself.
fn place(agent: &Agent) -> String {
    let me = agent.json("GET", "/v1/agent/self", &Value::Null);
    format!("{}:{}", me["Member"]["Addr"].as_str().expect("an address"), me["Member"]["Port"])
}

fn joined(agent: &Agent, other: &Agent) {
    let reply = agent.http("PUT", &format!("/v1/agent/join/{}", place(other)), "");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Names and states of an agent's members, `a:1 b:4`.
fn members(agent: &Agent, query: &str) -> String {
    let all = agent.json("GET", &format!("/v1/agent/members{query}"), &Value::Null);
    let rows = all.as_array().expect("a list").iter();
    let mut rows: Vec<_> = rows
        .map(|m| format!("{}:{}", m["Name"].as_str().unwrap_or_default(), m["Status"]))
        .collect();
    rows.sort();
    rows.join(" ")
}

fn until(agent: &Agent, query: &str, expected: &str) {
    let mut last = String::new();
    let start = std::time::Instant::now();
    while start.elapsed() < SOON {
        last = members(agent, query);
        if last == expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("members are {last:?}, not {expected:?}; {}", agent.program.output());
}

#[test]
fn three_agents_are_one_pool_and_all_hear_an_event() {
    let (a, b, c) = (start("a", json!({})), start("b", json!({})), start("c", json!({})));
    joined(&b, &a);
    joined(&c, &b);
    for agent in [&a, &b, &c] {
        until(agent, "", "a:1 b:1 c:1");
        // Servers find each other in the pool of all datacenters by themselves.
        until(agent, "?wan=1", "a.dc1:1 b.dc1:1 c.dc1:1");
    }
    let (code, out, err) = b.cli(&["event", "-name=deploy", "-node=^[ac]$", "payload"]);
    assert_eq!(code, 0, "{out}{err}");
    for (agent, concerned) in [(&a, true), (&c, true), (&b, false)] {
        let list = || agent.json("GET", "/v1/event/list?name=deploy", &Value::Null);
        if concerned {
            let event = wait_for("the event", SOON, || list().get(0).cloned());
            assert_eq!((&event["Payload"], &event["LTime"]), (&json!("cGF5bG9hZA=="), &json!(1)));
        } else {
            assert_eq!(list(), json!([]));
        }
    }
    let (_, out, _) = c.cli(&["members"]);
    assert_eq!(out.matches("alive   server  1.2.0").count(), 3, "{out}");
    let stats = a.json("GET", "/v1/agent/self", &Value::Null);
    assert_eq!(stats["Stats"]["serf_lan"]["members"], "3");
}

#[test]
fn keys_are_rotated_on_all_agents() {
    let key = || json!({"encrypt": FIRST});
    let (a, b) = (start("a", key()), start("b", key()));
    let stranger = start("stranger", json!({"encrypt": SECOND}));
    joined(&b, &a);
    until(&a, "", "a:1 b:1");
    until(&a, "?wan=1", "a.dc1:1 b.dc1:1");
    let refused = stranger.http("PUT", &format!("/v1/agent/join/{}", place(&a)), "");
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("Failed to join 127.0.0.1"), "{}", refused.text());
    for step in ["-install", "-use"] {
        let (code, out, err) = a.cli(&["keyring", step, SECOND]);
        assert_eq!(code, 0, "{step}: {out}{err}");
    }
    let (code, out, err) = b.cli(&["keyring", "-remove", FIRST]);
    assert_eq!(code, 0, "{out}{err}");
    let (_, out, _) = b.cli(&["keyring", "-list"]);
    assert_eq!(out.matches(&format!("{SECOND} [2/2]")).count(), 2, "{out}");
    assert!(!out.contains(FIRST), "{out}");
    for agent in [&a, &b] {
        let file = agent.folder.path().join("data/serf/local.keyring");
        let keys = std::fs::read_to_string(file).expect("the file is there");
        assert!(keys.contains(SECOND) && !keys.contains(FIRST), "{keys}");
    }
    joined(&stranger, &b);
    until(&a, "", "a:1 b:1 stranger:1");
    let (code, out, err) = a.cli(&["keyring", "-remove", SECOND]);
    assert!(code == 1 && err.contains("3/3 nodes reported failure"), "{out}{err}");
}

#[test]
fn one_that_failed_is_made_to_leave() {
    let (a, b) = (start("a", json!({})), start("b", json!({})));
    let mut c = start("c", json!({}));
    joined(&b, &a);
    joined(&c, &a);
    until(&b, "", "a:1 b:1 c:1");
    until(&b, "?wan=1", "a.dc1:1 b.dc1:1 c.dc1:1");
    c.program.kill();
    until(&a, "", "a:1 b:1 c:4");
    until(&b, "", "a:1 b:1 c:4");
    assert_eq!(a.cli(&["force-leave", "nobody"]), (0, String::new(), String::new()));
    let log = || a.program.output().contains("no such member").then_some(());
    wait_for("a word in the log", SOON, log);
    let (code, out, err) = a.cli(&["force-leave", "-prune", "nobody"]);
    assert!(code == 1 && err.contains("agent: No node found with name 'nobody'"), "{out}{err}");
    assert_eq!(a.cli(&["force-leave", "c"]).0, 0);
    until(&b, "", "a:1 b:1 c:3");
    assert_eq!(b.cli(&["force-leave", "-prune", "c"]).0, 0);
    until(&a, "", "a:1 b:1");
    until(&b, "?wan=1", "a.dc1:1 b.dc1:1");
}

#[test]
fn leaving_is_told_and_a_crash_is_survived() {
    let a = start("a", json!({}));
    let ports = free_ports::<5>();
    let [http, dns, server, lan, wan] = ports;
    let rest = json!({
        "ports": {"http": http, "dns": dns, "server": server, "serf_lan": lan, "serf_wan": wan},
        "retry_join": [place(&a)],
    });
    let mut b = start("b", rest.clone());
    until(&a, "", "a:1 b:1");
    // A crash: the agent finds the others by its file, without being told where they are.
    b.program.signal(Signal::KILL);
    b.program.wait(SOON);
    let mut alone = rest;
    alone["retry_join"] = json!([]);
    let mut b = start_in(b.folder, "b", alone.clone());
    until(&b, "", "a:1 b:1");
    until(&a, "", "a:1 b:1");
    assert_eq!(b.cli(&["leave"]).0, 0);
    assert!(b.program.wait(SOON).success());
    until(&a, "", "a:1 b:3");
    let mut b = start_in(b.folder, "b", alone.clone());
    assert_eq!(members(&b, ""), "b:1", "whoever left is not drawn in again");
    joined(&b, &a);
    until(&a, "", "a:1 b:1");
    assert_eq!(b.cli(&["leave"]).0, 0);
    assert!(b.program.wait(SOON).success());
    until(&a, "", "a:1 b:3");
}

#[test]
fn who_does_not_fit_stays_outside() {
    let a = start("a", json!({}));
    let other = start("b", json!({"datacenter": "dc2"}));
    let refused = other.http("PUT", &format!("/v1/agent/join/{}", place(&a)), "");
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("part of wrong datacenter 'dc1'"), "{}", refused.text());
    assert_eq!(members(&a, ""), "a:1");
    // Of the same name: the one that was there first stays.
    let twin = start("a", json!({}));
    let _ = twin.http("PUT", &format!("/v1/agent/join/{}", place(&a)), "");
    wait_for("the conflict to be noticed", SOON, || {
        a.program.output().contains("Name conflict for 'a'").then_some(())
    });
    let known = a.json("GET", "/v1/agent/members", &Value::Null);
    assert_eq!(format!("127.0.0.1:{}", known[0]["Port"]), place(&a));
}

#[test]
fn who_must_be_joined_is_missed() {
    let [port] = free_ports::<1>();
    let nowhere = format!("127.0.0.1:{port}");
    let folder = tempfile::tempdir().expect("a folder");
    let [http, server, lan, wan] = free_ports::<4>();
    for (flags, text) in [
        (vec![format!("-join={nowhere}")], "Failed to join"),
        (
            vec![
                format!("-retry-join={nowhere}"),
                "-retry-max=1".to_owned(),
                "-retry-interval=10ms".to_owned(),
            ],
            "max join LAN retry exhausted",
        ),
    ] {
        let ports = format!(
            "ports {{ http = {http} dns = -1 server = {server} serf_lan = {lan} serf_wan = {wan} }}"
        );
        let done = std::process::Command::new(lictor_testkit::binary())
            .args(["agent", "-dev", "-hcl", &ports])
            .args(&flags)
            .current_dir(folder.path())
            .output()
            .expect("the binary can be started");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains(text), "{said}");
    }
}

/// Three servers that wait for each other.
fn three_servers() -> [Agent; 3] {
    let ports: Vec<[u16; 5]> = {
        let all = free_ports::<15>();
        all.chunks(5).map(|five| five.try_into().expect("five of them")).collect()
    };
    let first = format!("127.0.0.1:{}", ports[0][3]);
    let agents = std::thread::scope(|scope| {
        let start = |(n, [http, dns, server, lan, wan]): (usize, [u16; 5])| {
            let folder = tempfile::Builder::new().prefix("lictor-three-").tempdir().expect("one");
            let config = json!({
                "node_name": format!("s{n}"), "data_dir": folder.path().join("data"),
                "gossip_lan": quick(), "gossip_wan": quick(), "retry_join": [first],
                "retry_interval": "200ms",
                "ports": {"http": http, "dns": dns, "server": server, "serf_lan": lan, "serf_wan": wan},
            });
            let flags = ["-server", "-bootstrap-expect=3"];
            scope.spawn(move || Agent::start_in(folder, &flags, &config))
        };
        let starting: Vec<_> = ports.into_iter().enumerate().map(start).collect();
        starting.into_iter().map(|one| one.join().expect("it starts")).collect::<Vec<_>>()
    });
    agents.try_into().expect("three of them")
}

/// The state of a node's `serfHealth` as an agent tells it; empty when there is none.
fn health(agent: &Agent, node: &str) -> String {
    let path = format!("/v1/health/node/{node}?stale");
    let checks = agent.json("GET", &path, &Value::Null);
    let rows = checks.as_array().expect("a list").iter();
    let serf = rows.filter(|check| check["CheckID"] == "serfHealth");
    serf.map(|check| check["Status"].as_str().unwrap_or_default()).collect()
}

#[test]
fn the_catalog_follows_the_members() {
    let [a, b, mut c] = three_servers();
    for agent in [&a, &b, &c] {
        for node in ["s0", "s1", "s2"] {
            wait_for("all nodes to be well", SOON, || {
                (health(agent, node) == "passing").then_some(())
            });
        }
        let peers = agent.json("GET", "/v1/status/peers", &Value::Null);
        assert_eq!(peers.as_array().map(Vec::len), Some(3), "{peers}");
    }
    // A session of a node ends with the node's health.
    let body = json!({"Node": "s2", "Name": "of the third"});
    let session = a.json("PUT", "/v1/session/create", &body)["ID"].clone();
    let held = format!("/v1/session/info/{}", session.as_str().expect("an ID"));
    c.program.signal(Signal::KILL);
    c.program.wait(SOON);
    wait_for("the third to be taken for failed", SOON, || {
        (health(&a, "s2") == "critical" && health(&b, "s2") == "critical").then_some(())
    });
    wait_for("the end of its session", SOON, || {
        (a.json("GET", &held, &Value::Null) == json!([])).then_some(())
    });
    let config: Value = {
        let text = std::fs::read_to_string(c.folder.path().join("agent.json")).expect("its file");
        serde_json::from_str(&text).expect("JSON")
    };
    let mut c = Agent::start_in(c.folder, &["-server", "-bootstrap-expect=3"], &config);
    wait_for("the third to be back", SOON, || (health(&b, "s2") == "passing").then_some(()));
    // Whoever leaves is gone from the catalog and from consensus.
    assert_eq!(c.cli(&["leave"]).0, 0);
    assert!(c.program.wait(SOON).success());
    wait_for("the third to be gone", SOON, || health(&a, "s2").is_empty().then_some(()));
    let peers = a.json("GET", "/v1/status/peers", &Value::Null);
    assert_eq!(peers.as_array().map(Vec::len), Some(2), "{peers}");
}

/// With the original's binaries, named by `CONSUL_REFERENCE`: an agent of each and one of ours are
/// members of one pool, say the same kinds of things about themselves, and hear each other's events.
#[test]
fn an_agent_of_the_original_is_a_member_like_others() {
    match std::env::var("CONSUL_REFERENCE") {
        Ok(paths) => paths.split(':').for_each(a_member_like_others),
        Err(_) => lictor_testkit::skipped("members of the original", "CONSUL_REFERENCE names none"),
    }
}

fn a_member_like_others(original: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let [http, server, lan, wan] = free_ports::<4>();
    let ports = format!(
        "ports {{ http = {http} dns = -1 server = {server} serf_lan = {lan} serf_wan = {wan} }}"
    );
    let mut command = std::process::Command::new(original);
    command.args([
        "agent",
        "-server",
        "-bootstrap",
        "-node=theirs",
        "-bind=127.0.0.1",
        "-data-dir",
    ]);
    command.arg(folder.path().join("data")).args(["-hcl", &ports]);
    let log = folder.path().join("log");
    let _theirs = lictor_testkit::Program::start(&mut command, &log).expect("it can be started");
    let address = format!("127.0.0.1:{http}");
    let get = |path: &str| lictor_testkit::request(&address, "GET", path, b"").ok();
    wait_for("the original to lead", SOON, || {
        get("/v1/status/leader").filter(|reply| reply.body.len() > 4).map(drop)
    });
    let ours = start("ours", json!({"retry_join": [format!("127.0.0.1:{lan}")]}));
    until(&ours, "", "ours:1 theirs:1");
    let row = |all: &Value, name: &str| -> Value {
        let rows = all.as_array().cloned().unwrap_or_default();
        rows.into_iter().find(|row| row["Name"] == name).unwrap_or_default()
    };
    let (here, there) = wait_for("both to know both", SOON, || {
        let there = get("/v1/agent/members")?.json();
        let here = ours.json("GET", "/v1/agent/members", &Value::Null);
        (there.as_array()?.len() == 2).then_some((here, there))
    });
    for name in ["ours", "theirs"] {
        assert_eq!(row(&here, name), row(&there, name), "both tell the same of {name}");
    }
    let keys = |row: &Value| -> Vec<String> {
        row["Tags"].as_object().map(|tags| tags.keys().cloned().collect()).unwrap_or_default()
    };
    let (own, other) = (keys(&row(&here, "ours")), keys(&row(&here, "theirs")));
    // Later versions say more.
    let missing: Vec<_> = own.iter().filter(|key| !other.contains(key)).collect();
    assert!(missing.is_empty(), "they do not say {missing:?}");
    let version = row(&here, "theirs")["Tags"]["build"].clone();
    assert!(
        own == other || !version.as_str().unwrap_or_default().starts_with("1.2.0"),
        "{other:?}"
    );
    assert_eq!(ours.cli(&["event", "-name=ours", "payload"]).0, 0);
    let fired = lictor_testkit::request(&address, "PUT", "/v1/event/fire/theirs", b"payload");
    assert_eq!(fired.expect("an answer").status, 200);
    for name in ["ours", "theirs"] {
        let path = format!("/v1/event/list?name={name}");
        wait_for("the event there", SOON, || get(&path)?.json().get(0).cloned());
        wait_for("the event here", SOON, || ours.json("GET", &path, &Value::Null).get(0).cloned());
    }
}
