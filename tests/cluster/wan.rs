//! What is asked of other datacenters: every read and write with `?dc=`, names of DNS, prepared queries
//! that fail over, events, keys of gossip and distances; and what there is of a datacenter that has failed.

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_testkit::{Reply, attempt, binary, dns_question, wait_for};
use serde_json::{Value, json};

use crate::alone;
use crate::cluster::READY;
use crate::datacenters::{Datacenter, Datacenters, ask};
use crate::node::Door;

/// How long gossip between datacenters may take to give up who failed.
const GIVEN_UP: Duration = Duration::from_secs(120);
const SRV: u16 = 33;
const A: u16 = 1;

/// Reads that every server answers for its datacenter, once something is there to be read.
const READS: &[&str] = &[
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/service/web",
    "/v1/catalog/connect/web",
    "/v1/catalog/node/far",
    "/v1/health/node/far",
    "/v1/health/checks/web",
    "/v1/health/service/web",
    "/v1/health/connect/web",
    "/v1/health/state/any",
    "/v1/kv/a",
    "/v1/kv/?keys",
    "/v1/kv/?recurse",
    "/v1/session/list",
    "/v1/session/node/far",
    "/v1/query",
    "/v1/connect/intentions",
    "/v1/connect/ca/roots",
    "/v1/connect/ca/configuration",
    "/v1/operator/raft/configuration",
    "/v1/operator/autopilot/configuration",
    "/v1/status/leader",
    "/v1/status/peers",
    "/v1/internal/ui/nodes",
    "/v1/internal/ui/services",
];

fn with(path: &str, datacenter: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}dc={datacenter}")
}

fn answer(door: &Door, path: &str) -> Reply {
    attempt(&door.http, "GET", path, b"", READY).expect("an answer")
}

/// Asks DNS; gives the code, and all bytes that are letters of names.
fn resolve(door: &Door, name: &str, kind: u16) -> (u8, u16, String) {
    let message = dns_question(name, kind);
    let host = door.http.rsplit_once(':').expect("a port").0;
    let any = if host.starts_with("127.") { "127.0.0.1:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).expect("a socket");
    socket.set_read_timeout(Some(READY)).expect("a timeout");
    socket.send_to(&message, format!("{host}:8600")).expect("a question can be sent");
    let mut reply = vec![0; 4096];
    let length = socket.recv(&mut reply).expect("an answer");
    let text = reply[message.len()..length].iter().map(|byte| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(*byte),
        _ => '.',
    });
    (reply[3] & 15, u16::from_be_bytes([reply[6], reply[7]]), text.collect())
}

fn register(door: &Door, datacenter: &str) {
    let native = json!({
        "Node": "far", "Address": "10.9.9.9", "Datacenter": datacenter,
        "TaggedAddresses": {"wan": "192.0.2.9"},
        "Service": {"Service": "web", "ID": "web", "Port": 80, "Connect": {"Native": true},
            "TaggedAddresses": {"wan": {"Address": "192.0.2.10", "Port": 8080}}},
        "Check": {"Name": "alive", "CheckID": "alive", "Status": "passing"},
    });
    let done = ask(door, "PUT", &with("/v1/catalog/register", datacenter), &native.to_string());
    assert_eq!(done.expect("registered").json(), json!(true));
}

/// What is written through an agent of one datacenter is in the other one, and nowhere else.
fn writes(here: &Door, there: &Door) {
    register(here, "dc2");
    assert!(ask(here, "PUT", "/v1/kv/a?dc=dc2", "1").is_some());
    assert!(ask(here, "PUT", "/v1/kv/b?dc=dc2", "1").is_some());
    assert!(ask(here, "DELETE", "/v1/kv/b?dc=dc2", "").is_some());
    let txn = json!([{"KV": {"Verb": "set", "Key": "t", "Value": "MQ=="}}]);
    assert!(ask(here, "PUT", "/v1/txn?dc=dc2", &txn.to_string()).is_some());
    let session = json!({"Node": "far", "Checks": []}).to_string();
    let session = ask(here, "PUT", "/v1/session/create?dc=dc2", &session).expect("a session");
    let id = session.json()["ID"].as_str().expect("an ID").to_owned();
    assert!(ask(here, "PUT", &format!("/v1/session/renew/{id}?dc=dc2"), "").is_some());
    assert!(ask(here, "GET", &format!("/v1/session/info/{id}?dc=dc2"), "").is_some());
    let intention = json!({"SourceName": "x", "DestinationName": "web", "Action": "allow"});
    let intention = intention.to_string();
    assert!(ask(here, "POST", "/v1/connect/intentions?dc=dc2", &intention).is_some());
    let query = json!({"Name": "there", "Service": {"Service": "web"}}).to_string();
    assert!(ask(here, "POST", "/v1/query?dc=dc2", &query).is_some());
    for path in ["/v1/kv/a", "/v1/kv/t", "/v1/catalog/node/far", "/v1/query/there/execute"] {
        assert_eq!(answer(there, path).status, 200, "{path}");
    }
    for path in ["/v1/kv/a", "/v1/query/there/execute"] {
        assert_eq!(answer(here, path).status, 404, "{path}");
    }
}

/// Every read says here what it says there, with the same index; of nowhere it says so.
fn reads(here: &Door, there: &Door) {
    for path in READS {
        let index = |reply: &Reply| reply.header("x-consul-index").map(str::to_owned);
        wait_for(path, READY, || {
            let (far, near) = (answer(here, &with(path, "dc2")), answer(there, path));
            assert_eq!((far.status, near.status), (200, 200), "{path}: {}", far.text());
            // Something may have happened between the two.
            (far.json() == near.json() && index(&far) == index(&near)).then_some(())
        });
        let stale = answer(here, &(with(path, "dc2") + "&stale"));
        assert_eq!(stale.status, 200, "{path}");
        let nowhere = answer(here, &with(path, "dc9"));
        assert_eq!(nowhere.status, 500, "{path}");
        assert!(nowhere.text().ends_with("No path to datacenter"), "{path}: {}", nowhere.text());
    }
    let seen = answer(here, "/v1/kv/a?dc=dc2");
    let index = seen.header("x-consul-index").unwrap_or_default().to_owned();
    std::thread::scope(|scope| {
        let path = format!("/v1/kv/a?dc=dc2&index={index}&wait=30s");
        let waiting = scope.spawn(move || (answer(here, &path).json(), Instant::now()));
        std::thread::sleep(Duration::from_millis(300));
        let written = Instant::now();
        assert!(ask(there, "PUT", "/v1/kv/a", "2").is_some());
        let (woken, at) = waiting.join().expect("no panic");
        assert_eq!(woken[0]["Value"], json!(STANDARD.encode("2")));
        assert!(at.duration_since(written) < Duration::from_secs(5), "it was woken");
    });
}

fn names(door: &Door) {
    for (name, kind, part) in [
        ("web.service.dc2.consul", A, ""),
        ("web.service.dc2.consul", SRV, "far.node.dc2"),
        ("web.connect.dc2.consul", SRV, "far.node.dc2"),
        ("far.node.dc2.consul", A, ""),
        ("there.query.dc2.consul", A, ""),
        ("there.query.dc2.consul", SRV, "far.node.dc2"),
        // It is found in the other datacenter, and the answer says so.
        ("failing.query.consul", SRV, "far.node.dc2"),
    ] {
        let (code, count, text) = resolve(door, name, kind);
        assert_eq!((code, count), (0, 1), "{name} {kind}: {text}");
        let text = text.replace("..", ".");
        assert!(part.split('.').all(|label| text.contains(label)), "{name}: {text}");
    }
    for (name, wanted) in [
        ("web.service.consul", 3),
        ("web.service.dc3.consul", 3),
        ("none.query.dc2.consul", 3),
        ("web.service.dc9.consul", 2),
        ("there.query.dc9.consul", 2),
    ] {
        assert_eq!(resolve(door, name, A).0, wanted, "{name}");
    }
}

/// An agent that is told so shows the addresses that others have for the WAN.
fn translates(door: &Door) {
    for (path, node, service) in [
        ("/v1/catalog/service/web?dc=dc2", "/0/Address", "/0/ServiceAddress"),
        ("/v1/health/service/web?dc=dc2", "/0/Node/Address", "/0/Service/Address"),
        ("/v1/catalog/node/far?dc=dc2", "/Node/Address", "/Services/web/Address"),
        ("/v1/query/there/execute?dc=dc2", "/Nodes/0/Node/Address", "/Nodes/0/Service/Address"),
    ] {
        let found = answer(door, path).json();
        assert_eq!(found.pointer(node), Some(&json!("192.0.2.9")), "{path}: {found}");
        assert_eq!(found.pointer(service), Some(&json!("192.0.2.10")), "{path}: {found}");
    }
    // The target of a service with an address of its own is that address, 192.0.2.10.
    for name in ["web.service.dc2.consul", "there.query.dc2.consul"] {
        let (code, _, text) = resolve(door, name, SRV);
        assert!(code == 0 && text.contains("c000020a.addr"), "{name}: {text}");
    }
}

fn events(here: &Door, there: &Door) {
    let fired = ask(here, "PUT", "/v1/event/fire/deploy?dc=dc2", "now").expect("fired").json();
    wait_for("the event to arrive", READY, || {
        let list = answer(there, "/v1/event/list?name=deploy").json();
        let list = list.as_array()?;
        (list.len() == 1 && list[0]["ID"] == fired["ID"]).then_some(())
    });
    assert_eq!(answer(here, "/v1/event/list?name=deploy").json(), json!([]));
    let nowhere = attempt(&here.http, "PUT", "/v1/event/fire/x?dc=dc9", b"", READY).expect("it");
    assert_eq!(nowhere.status, 500);
}

/// Pools with their keys and numbers of members.
fn keys(door: &Door) -> Option<Vec<(String, Value, u64)>> {
    let pools = ask(door, "GET", "/v1/operator/keyring", "")?.json();
    let mut shown: Vec<_> = pools
        .as_array()?
        .iter()
        .map(|pool| {
            let name = if pool["WAN"] == true { "WAN" } else { pool["Datacenter"].as_str()? };
            Some((name.to_owned(), pool["Keys"].clone(), pool["NumNodes"].as_u64()?))
        })
        .collect::<Option<_>>()?;
    shown.sort_by(|a, b| a.0.cmp(&b.0));
    Some(shown)
}

fn rotates(here: &Door, there: &Door, client: &Door) {
    let (old, new) = (STANDARD.encode([7; 16]), STANDARD.encode([8; 16]));
    let pools = |key: &str| {
        let of = |name: &str, count: u64| (name.to_owned(), json!({ key: count }), count);
        vec![of("WAN", 3), of("dc1", 2), of("dc2", 1), of("dc3", 1)]
    };
    for door in [here, there] {
        assert_eq!(keys(door), Some(pools(&old)));
    }
    for (method, key) in [("POST", &new), ("PUT", &new), ("DELETE", &old)] {
        let body = json!({ "Key": key }).to_string();
        assert!(ask(here, method, "/v1/operator/keyring", &body).is_some(), "{method}");
    }
    for door in [here, there] {
        assert_eq!(keys(door), Some(pools(&new)));
    }
    // What a pool cannot do is told for each of them.
    let body = json!({ "Key": old }).to_string();
    let failed = attempt(&here.http, "PUT", "/v1/operator/keyring", body.as_bytes(), READY);
    let failed = failed.expect("an answer");
    assert_eq!(failed.status, 500);
    for part in ["WAN error: ", "dc1 (LAN) error: ", "dc2 (LAN) error: ", "dc3 (LAN) error: "] {
        assert!(failed.text().contains(part), "{}", failed.text());
    }
    let refused = answer(client, "/v1/operator/keyring");
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("must run against a server"), "{}", refused.text());
}

fn distances(door: &Door) {
    wait_for("all servers to say where they are", READY, || {
        let maps = ask(door, "GET", "/v1/coordinate/datacenters", "")?.json();
        let maps = maps.as_array()?;
        let whole = |map: &Value| map["Coordinates"].as_array().is_some_and(|all| all.len() == 1);
        let whole = maps.len() == 3 && maps.iter().all(|map| map["AreaID"] == "wan" && whole(map));
        whole.then_some(())
    });
    let mut command = Command::new(binary());
    command.args(["rtt", "-wan", "-http-addr", &door.http, "dc1-s1.dc1", "dc2-s1.dc2"]);
    let done = command.output().expect("the binary can be started");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("(using WAN coordinates)"), "{done:?}");
}

#[test]
fn other_datacenters_are_asked_for_everything() {
    let _alone = alone();
    let config = json!({"encrypt": STANDARD.encode([7; 16]), "connect": {"enabled": true}});
    let shape = |name, clients| {
        let mut config = config.clone();
        config["translate_wan_addrs"] = (name == "dc3").into();
        Datacenter::new(name, 1, clients, config)
    };
    let mut all = Datacenters::start(31, &[shape("dc1", 1), shape("dc2", 0), shape("dc3", 0)]);
    let (server, client) = (all.door("dc1-s1").clone(), all.door("dc1-c1").clone());
    let there = all.door("dc2-s1").clone();
    writes(&client, &there);
    for door in [&client, &server] {
        reads(door, &there);
    }
    let failover = json!({"NearestN": 2, "Datacenters": ["dc2"]});
    let query = json!({"Name": "failing", "Service": {"Service": "web", "Failover": failover}});
    assert!(ask(&client, "POST", "/v1/query", &query.to_string()).is_some());
    for door in [&client, &server] {
        let found = answer(door, "/v1/query/failing/execute").json();
        let (datacenter, failovers) = (&found["Datacenter"], found["Failovers"].as_u64());
        assert_eq!((datacenter, found["Nodes"].as_array().map(Vec::len)), (&json!("dc2"), Some(1)));
        assert!(failovers == Some(1) || failovers == Some(2), "{failovers:?}");
        names(door);
    }
    translates(all.door("dc3-s1"));
    events(&client, &there);
    rotates(&server, &there, &client);
    for door in [&client, &server] {
        distances(door);
        let known = answer(door, "/v1/catalog/datacenters").json();
        assert_eq!((&known[0], known.as_array().map(Vec::len)), (&json!("dc1"), Some(3)));
    }

    // A datacenter that fails is not forgotten, and keeps nobody waiting.
    let gone = all.at("dc3-s1");
    all.nodes[gone].kill();
    let begun = Instant::now();
    let failed = answer(&client, "/v1/kv/a?dc=dc3");
    assert_eq!(failed.status, 500, "{}", failed.text());
    let named = json!({"Name": "named", "Service": {"Service": "web",
        "Failover": {"Datacenters": ["dc3", "dc2"]}}});
    assert!(ask(&client, "POST", "/v1/query", &named.to_string()).is_some());
    let executed = || {
        let found = answer(&client, "/v1/query/named/execute").json();
        assert_eq!((&found["Datacenter"], &found["Failovers"]), (&json!("dc2"), &json!(2)));
    };
    executed();
    assert!(begun.elapsed() < READY, "{:?}", begun.elapsed());
    wait_for("dc3 to be given up", GIVEN_UP, || {
        let failed = answer(&client, "/v1/kv/a?dc=dc3");
        assert_eq!(failed.status, 500);
        failed.text().ends_with("Remote DC has no server currently reachable").then_some(())
    });
    executed();
    let known = answer(&client, "/v1/catalog/datacenters").json();
    assert_eq!(known.as_array().map(Vec::len), Some(3), "{known}");
    all.start_node(gone);
    wait_for("dc3 to be back", READY, || {
        ask(&client, "GET", "/v1/kv/?keys&dc=dc3&separator=x", "")
    });
}
