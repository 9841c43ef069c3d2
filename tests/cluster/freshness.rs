//! How fresh an answer is, and who gives it: by consistency, with a leader and without; and that who asks a
//! server that is lost is told soon.

use std::time::{Duration, Instant};

use lictor_testkit::{Reply, attempt, wait_for};
use serde_json::json;

use crate::alone;
use crate::cluster::{Cluster, Shape};
use crate::nemesis::{Fault, Nemesis};
use crate::node::Door;

/// How long an answer may take; a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the fate of a write may be open that a lost leader was sent.
const TOLD: Duration = Duration::from_secs(20);

fn get(door: &Door, path: &str) -> Reply {
    attempt(&door.http, "GET", path, b"", PATIENCE).expect("an answer")
}

fn contact(reply: &Reply) -> u64 {
    let contact = reply.header("X-Consul-LastContact").expect("how fresh it is");
    contact.parse().expect("milliseconds")
}

fn led(reply: &Reply) -> bool {
    reply.header("X-Consul-KnownLeader") == Some("true")
}

#[test]
fn an_answer_is_as_fresh_as_it_says_and_as_was_asked() {
    let _alone = alone();
    let config = json!({"performance": {"rpc_hold_timeout": "2s"}});
    let shape = Shape { servers: 3, clients: 1, seed: 11, clocks: false, config, binary: None };
    let mut cluster = Cluster::start(&shape);
    let doors = cluster.doors();
    let client = &doors[3];
    let leader = cluster.leader().expect("a leader");
    let followers: Vec<usize> = cluster.servers().filter(|at| *at != leader).collect();
    let put = attempt(&client.http, "PUT", "/v1/kv/fresh", b"1", PATIENCE).expect("an answer");
    assert_eq!((put.status, put.text().trim()), (200, "true"));
    // With a leader: everybody shows what was written, whoever is asked.
    for door in &doors {
        for path in ["/v1/kv/fresh?raw", "/v1/kv/fresh?raw&consistent"] {
            let reply = get(door, path);
            assert_eq!((reply.text().as_str(), led(&reply)), ("1", true), "{path}");
            assert_eq!(contact(&reply), 0, "{path}: the leader answers");
        }
        let soon = || (get(door, "/v1/kv/fresh?raw&stale").text() == "1").then_some(());
        wait_for("the key everywhere", PATIENCE, soon);
    }
    // Two of three are gone: one is left that knows of no leader, and what it knew.
    let mut nemesis = Nemesis::new(11, Instant::now());
    let fault = Fault::Kill(vec![leader, followers[0]]);
    nemesis.begin(&mut cluster, &fault);
    let left = &doors[followers[1]];
    let without = || (!led(&get(left, "/v1/kv/fresh?stale"))).then_some(());
    wait_for("the loss to be known", PATIENCE, without);
    for path in ["/v1/kv/fresh?raw&stale", "/v1/kv/fresh?raw&max_stale=10h"] {
        let reply = get(left, path);
        assert_eq!((reply.text().as_str(), led(&reply)), ("1", false), "{path}");
        assert!(contact(&reply) > 0, "{path}");
    }
    // Anybody is left but that one when the client asks; it is found.
    let found = || {
        let reply = get(client, "/v1/kv/fresh?raw&stale");
        (reply.text() == "1" && !led(&reply)).then_some(())
    };
    wait_for("the one that is left", PATIENCE, found);
    for door in [left, client] {
        for path in ["/v1/kv/fresh", "/v1/kv/fresh?consistent", "/v1/kv/fresh?max_stale=1ms"] {
            let reply = get(door, path);
            assert_eq!(reply.status, 500, "{path}: {}", reply.text());
            assert!(reply.text().contains("No cluster leader"), "{path}: {}", reply.text());
        }
    }
    nemesis.end(&mut cluster, &fault);
    cluster.wait_until_ready();
    for door in &doors {
        let reply = get(door, "/v1/kv/fresh?raw&max_stale=1ns");
        assert_eq!((reply.text().as_str(), contact(&reply)), ("1", 0), "the leader is asked");
    }
}

#[test]
fn a_write_sent_to_a_leader_that_is_cut_off_is_not_forgotten() {
    let _alone = alone();
    let config = json!({});
    let shape = Shape { servers: 3, clients: 1, seed: 12, clocks: false, config, binary: None };
    let mut cluster = Cluster::start(&shape);
    if !cluster.network.is_separate() {
        lictor_testkit::skipped("a write to a leader that is cut off", "no networks can be made");
        return;
    }
    let doors = cluster.doors();
    let leader = cluster.leader().expect("a leader");
    let mut nemesis = Nemesis::new(12, Instant::now());
    let fault = Fault::Split(vec![leader]);
    nemesis.begin(&mut cluster, &fault);
    // Before anybody knows: all of them are sent to the one that is gone, the client's perhaps too.
    let others = (0..doors.len()).filter(|at| *at != leader);
    let told: Vec<(u16, Duration)> = std::thread::scope(|scope| {
        let writes = others.map(|at| {
            let door = &doors[at];
            scope.spawn(move || {
                let begun = Instant::now();
                let path = format!("/v1/kv/cut/{at}");
                let reply = attempt(&door.http, "PUT", &path, b"x", PATIENCE).expect("an answer");
                (reply.status, begun.elapsed())
            })
        });
        let writes: Vec<_> = writes.collect();
        writes.into_iter().map(|write| write.join().expect("a result")).collect()
    });
    for (status, after) in &told {
        assert!([200, 500].contains(status) && *after < TOLD, "{told:?}");
    }
    nemesis.end(&mut cluster, &fault);
    cluster.wait_until_ready();
}
