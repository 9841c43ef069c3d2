//! Servers that come and go: a new one gets a vote when it has been well for a while, a dead one whose
//! place is taken is removed, another one when an operator says so, and keys are changed on the way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_testkit::wait_for;
use serde_json::{Value, json};

use crate::alone;
use crate::cluster::{READY, leader_of};
use crate::datacenters::{Datacenter, Datacenters, ask};
use crate::node::Door;

/// How long a server must have been well before it gets a vote.
const STABLE: Duration = Duration::from_secs(5);
/// How long gossip and autopilot may take to find out about the dead.
const GIVEN_UP: Duration = Duration::from_secs(90);

/// The servers of consensus by name, and whether each votes.
fn group(door: &Door) -> Option<BTreeMap<String, bool>> {
    let found = ask(door, "GET", "/v1/operator/raft/configuration", "")?.json();
    let row = |row: &Value| Some((row["Node"].as_str()?.to_owned(), row["Voter"].as_bool()?));
    found["Servers"].as_array()?.iter().map(row).collect()
}

fn voters(names: &[&str]) -> BTreeMap<String, bool> {
    names.iter().map(|name| ((*name).to_owned(), true)).collect()
}

fn until(what: &str, door: &Door, expected: &BTreeMap<String, bool>) {
    wait_for(what, GIVEN_UP, || (group(door)? == *expected).then_some(()));
}

#[test]
fn two_servers_that_bootstrapped_stay_apart() {
    let _alone = alone();
    let config = json!({"bootstrap": true, "bootstrap_expect": 0, "retry_join": []});
    let mut all = Datacenters::prepare(43, &[Datacenter::new("dc1", 2, 0, config)]);
    let doors: Vec<Door> = all.nodes.iter().map(|node| node.door.clone()).collect();
    for (at, door) in doors.iter().enumerate() {
        all.start_node(at);
        let value = at.to_string();
        wait_for("each to lead", READY, || ask(door, "PUT", "/v1/kv/own", &value).map(drop));
    }
    let join = format!("/v1/agent/join/{}", all.nodes[1].address);
    assert!(ask(&doors[0], "PUT", &join, "").is_some());
    for (at, door) in doors.iter().enumerate() {
        let node = &all.nodes[at];
        wait_for("it to refuse the other", READY, || {
            let log = node.log();
            let mut lines = log.lines();
            lines
                .any(|line| line.contains("[ERR]") && line.contains("bootstrap mode"))
                .then_some(())
        });
        // Both are members, and each has a group and data of its own.
        let members = ask(door, "GET", "/v1/agent/members", "").expect("the members").json();
        assert_eq!(members.as_array().map(Vec::len), Some(2));
        assert_eq!(group(door), Some(voters(&[&node.name])));
        assert_eq!(leader_of(door), Some(format!("{}:8300", node.address)));
        assert!(ask(door, "PUT", "/v1/kv/later", "1").is_some());
        let own = ask(door, "GET", "/v1/kv/own?raw&consistent", "").expect("its own value");
        assert_eq!(own.text(), at.to_string());
    }
}

#[test]
fn servers_come_and_go() {
    let _alone = alone();
    let (old, new) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
    let config = json!({
        "bootstrap_expect": 3, "encrypt": old,
        "autopilot": {"server_stabilization_time": format!("{}s", STABLE.as_secs())},
    });
    let mut all = Datacenters::prepare(41, &[Datacenter::new("dc1", 4, 0, config)]);
    (0..3).for_each(|at| all.start_node(at));
    let first = all.nodes[0].door.clone();
    let names: Vec<String> = all.nodes.iter().map(|node| node.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    wait_for("three voters", READY, || {
        let three = group(&first)? == voters(&names[..3]);
        (three && ask(&first, "PUT", "/v1/kv/a", "1").is_some()).then_some(())
    });

    // The fourth one follows first, and votes only when it has been well for long enough.
    all.start_node(3);
    let follows = wait_for("the new server to follow", READY, || {
        let found = group(&first)?;
        found.get(names[3]).map(|votes| (*votes, Instant::now()))
    });
    assert!(!follows.0, "it has a vote at once");
    until("the new server to vote", &first, &voters(&names));
    let waited = follows.1.elapsed();
    assert!(waited + Duration::from_millis(500) > STABLE, "it voted after {waited:?}");
    let fourth = all.nodes[3].door.clone();
    assert_eq!(ask(&fourth, "GET", "/v1/kv/a?raw&stale", "").expect("the key").text(), "1");

    // Keys are changed while all of them gossip.
    for (method, key) in [("POST", &new), ("PUT", &new), ("DELETE", &old)] {
        let body = json!({ "Key": key }).to_string();
        assert!(ask(&first, method, "/v1/operator/keyring", &body).is_some(), "{method}");
    }
    let pools = ask(&fourth, "GET", "/v1/operator/keyring", "").expect("the keys").json();
    let pools = pools.as_array().expect("a list");
    assert_eq!(pools.len(), 2);
    for pool in pools {
        assert_eq!((&pool["Keys"], &pool["NumNodes"]), (&json!({ (&new): 4 }), &json!(4)));
    }

    // One of four that dies is removed, since its place is taken.
    let leader = leader_of(&first).expect("a leader");
    let leads = |all: &Datacenters, at: usize| leader == format!("{}:8300", all.nodes[at].address);
    let mut followers = (0..4).filter(|at| !leads(&all, *at)).collect::<Vec<_>>();
    let dead = followers.pop().expect("a follower");
    let asked = (0..4).find(|at| leads(&all, *at)).expect("the leader");
    let door = all.nodes[asked].door.clone();
    all.nodes[dead].kill();
    let mut rest = names.clone();
    rest.retain(|name| *name != names[dead]);
    until("the dead server to be removed", &door, &voters(&rest));

    // Of three, one that dies is missed until somebody says that it is gone.
    let dead = followers.pop().expect("a follower");
    all.nodes[dead].kill();
    wait_for("it to be found dead", GIVEN_UP, || {
        let members = ask(&door, "GET", "/v1/agent/members", "")?.json();
        let rows = members.as_array()?.iter();
        let mut failed = rows.filter(|row| row["Name"] == names[dead] && row["Status"] == 4);
        failed.next().map(drop)
    });
    // The leader has seen it as well: not all of them being well is told with another status.
    wait_for("autopilot to see it", READY, || {
        ask(&door, "GET", "/v1/operator/autopilot/health", "").is_none().then_some(())
    });
    assert_eq!(group(&door), Some(voters(&rest)));
    let path = format!("/v1/agent/force-leave/{}", names[dead]);
    assert!(ask(&door, "PUT", &path, "").is_some());
    rest.retain(|name| *name != names[dead]);
    until("it to be removed", &door, &voters(&rest));
    assert!(ask(&door, "PUT", "/v1/kv/b", "1").is_some(), "the two that are left go on");
}
