//! A leader hands over: when an operator wants it, and when it leaves. Nobody waits for an election that only
//! begins once the leader is missed.

use std::time::{Duration, Instant};

use lictor_testkit::{attempt, wait_for};
use serde_json::{Value, json};

use crate::alone;
use crate::cluster::{Cluster, Shape};
use crate::node::Door;

const PATIENCE: Duration = Duration::from_secs(30);

fn group(door: &Door) -> Vec<Value> {
    let path = "/v1/operator/raft/configuration?stale";
    let reply = attempt(&door.http, "GET", path, b"", PATIENCE).expect("an answer");
    reply.json()["Servers"].as_array().cloned().unwrap_or_default()
}

/// The name and the ID of a server that leads, or of one that does not.
fn one(door: &Door, leads: bool) -> (String, String) {
    let servers = group(door);
    let found = servers.iter().find(|server| server["Leader"] == leads).expect("a server");
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("Node"), text("ID"))
}

#[test]
fn a_leader_hands_over() {
    let _alone = alone();
    let drain = Duration::from_secs(3);
    let config = json!({"performance": {"raft_multiplier": 1, "leave_drain_time": "3s"}});
    let shape = Shape { servers: 3, clients: 1, seed: 5, clocks: false, config, binary: None };
    let mut cluster = Cluster::start(&shape);
    let doors = cluster.doors();
    let client = &doors[3];
    let transfer = |query: &str| {
        let path = format!("/v1/operator/raft/transfer-leader{query}");
        attempt(&client.http, "POST", &path, b"", PATIENCE).expect("an answer")
    };

    let (first, _) = one(&doors[0], true);
    let reply = transfer("");
    assert_eq!((reply.status, &reply.json()["Success"]), (200, &json!(true)), "{}", reply.text());
    cluster.wait_until_ready();
    assert_ne!(one(&doors[0], true).0, first);

    let (name, id) = one(&doors[0], false);
    let reply = transfer(&format!("?id={id}"));
    assert_eq!((reply.status, &reply.json()["Success"]), (200, &json!(true)), "{}", reply.text());
    cluster.wait_until_ready();
    assert_eq!(one(&doors[0], true).0, name);
    let reply = transfer("?id=nobody");
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("was not found in the Raft configuration"), "{}", reply.text());

    // It leaves; who takes over was leader before it was gone. It goes on answering for a while.
    let leaver = cluster.leader().expect("a leader");
    let stays: Vec<usize> = cluster.servers().filter(|at| *at != leaver).collect();
    let left = &cluster.nodes[leaver].name;
    assert!(attempt(&client.http, "PUT", "/v1/kv/before", b"1", PATIENCE).is_ok());
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let leave = || attempt(&doors[leaver].http, "PUT", "/v1/agent/leave", b"", PATIENCE);
        let leaving = scope.spawn(leave);
        wait_for("the client to know that it left", PATIENCE, || {
            let members = attempt(&client.http, "GET", "/v1/agent/members", b"", PATIENCE).ok()?;
            let members = members.json();
            let gone = |member: &Value| member["Name"] == left.as_str() && member["Status"] == 3;
            members.as_array()?.iter().any(gone).then_some(())
        });
        let read = attempt(&doors[leaver].http, "GET", "/v1/kv/before?stale&raw", b"", PATIENCE);
        assert_eq!(read.expect("an answer").text(), "1");
        assert!(!leaving.is_finished(), "it was gone after {:?}", begun.elapsed());
        let reply = leaving.join().expect("no panic");
        assert!(reply.is_ok_and(|reply| reply.status == 200));
        assert!(begun.elapsed() >= drain, "it was gone after {:?}", begun.elapsed());
    });
    for at in stays {
        wait_for("a group of two", PATIENCE, || {
            let servers = group(&doors[at]);
            let gone = servers.iter().all(|server| server["Node"] != left.as_str());
            (gone && servers.len() == 2).then_some(())
        });
        let put = attempt(&doors[at].http, "PUT", "/v1/kv/after", b"1", PATIENCE);
        assert!(put.is_ok_and(|reply| reply.status == 200));
    }
    let log = cluster.nodes[leaver].log();
    for problem in ["nobody takes over", "failed to leave", "panicked"] {
        assert!(!log.contains(problem), "{log}");
    }
}
