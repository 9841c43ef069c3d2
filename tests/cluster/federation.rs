//! A datacenter that another one rules: tokens, the mesh's authority and intentions.

use std::path::Path;
use std::time::Duration;

use lictor_testkit::{Program, attempt, binary, wait_for};
use serde_json::{Value, json};

use crate::alone;
use crate::cluster::{READY, leader_of};
use crate::datacenters::{Datacenter, Datacenters, ask};
use crate::mesh::{answers, connect, echo, start};
use crate::node::{Door, Node};

const ROOT: &str = "11111111-aaaa-bbbb-cccc-000000000001";
const ANSWER: Duration = Duration::from_secs(10);

fn status(door: &Door, method: &str, path: &str, token: &str, body: &str) -> u16 {
    let mark = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{mark}token={token}");
    attempt(&door.http, method, &path, body.as_bytes(), ANSWER).map_or(0, |reply| reply.status)
}

/// The JSON of a request with all rights that succeeds.
fn told(door: &Door, method: &str, path: &str, body: &Value) -> Option<Value> {
    let mark = if path.contains('?') { '&' } else { '?' };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Some(ask(door, method, &format!("{path}{mark}token={ROOT}"), &body)?.json())
}

fn policy(door: &Door, name: &str, key: &str) -> Option<Value> {
    let rules = format!("key_prefix \"{key}\" {{ policy = \"write\" }}");
    told(door, "PUT", "/v1/acl/policy", &json!({"Name": name, "Rules": rules}))
}

fn token(door: &Door, policy: &str, local: bool) -> Option<Value> {
    let body = json!({"Policies": [{"Name": policy}], "Local": local});
    told(door, "PUT", "/v1/acl/token", &body)
}

fn secret(token: &Value) -> String {
    token["SecretID"].as_str().expect("a secret").to_owned()
}

/// Waits until a token may write a key at a node, or must not any more.
fn until(door: &Door, token: &str, key: &str, allowed: bool) {
    let what = format!("a token to be {} at {}", if allowed { "good" } else { "void" }, door.http);
    wait_for(&what, READY, || {
        let status = status(door, "PUT", &format!("/v1/kv/{key}"), token, "");
        ((status == 200) == allowed && status != 0 && status != 500).then_some(())
    });
}

fn access(replicate: bool, servers: usize) -> [Datacenter; 2] {
    let common = json!({
        "primary_datacenter": "dc1", "acl": {
            "enabled": true, "default_policy": "deny", "enable_token_replication": replicate,
            "token_ttl": "1s",
            "tokens": {"agent": ROOT, "replication": ROOT},
        },
    });
    let mut first = common.clone();
    first["acl"]["tokens"] = json!({"initial_management": ROOT, "agent": ROOT});
    [Datacenter::new("dc1", 3, 0, first), Datacenter::new("dc2", servers, 1, common)]
}

#[test]
fn policies_roles_and_tokens_are_those_of_the_primary() {
    let _alone = alone();
    let mut all = Datacenters::start(31, &access(true, 3));
    let (one, two, client) =
        (all.door("dc1-s2").clone(), all.door("dc2-s1").clone(), all.door("dc2-c1").clone());
    policy(&one, "a", "a/").expect("a policy");
    let role = json!({"Name": "r", "Policies": [{"Name": "a"}]});
    told(&one, "PUT", "/v1/acl/role", &role).expect("a role");
    let first = token(&one, "a", false).expect("a token");
    let by_role = json!({"Roles": [{"Name": "r"}]});
    let second = told(&one, "PUT", "/v1/acl/token", &by_role).expect("a token");
    for token in [&first, &second] {
        for door in [&two, &client] {
            until(door, &secret(token), "a/1", true);
            assert_eq!(status(door, "PUT", "/v1/kv/b", &secret(token), ""), 403);
        }
    }
    // What holds everywhere is written there, wherever it is asked for.
    policy(&client, "b", "b/").expect("a policy");
    wait_for("the policy", READY, || {
        told(&two, "GET", "/v1/acl/policy/name/b", &Value::Null).map(drop)
    });
    let third = token(&client, "b", false).expect("a token");
    until(&one, &secret(&third), "b/1", true);
    until(&client, &secret(&third), "b/1", true);
    // Local ones are of one datacenter only.
    let local = token(&client, "b", true).expect("a local token");
    until(&client, &secret(&local), "b/2", true);
    assert_eq!(status(&one, "PUT", "/v1/kv/b/2", &secret(&local), ""), 403);
    let of_one = token(&one, "b", true).expect("a local token");
    until(&one, &secret(&of_one), "b/3", true);
    let state = |door: &Door| told(door, "GET", "/v1/acl/replication", &Value::Null);
    let state = |door: &Door| state(door).expect("the state of copying");
    for door in [&two, &client] {
        // A token may have been asked for before it was copied.
        let state = wait_for("all to be copied", READY, || {
            let state = state(door);
            let copied = |index: &str| state[index].as_u64() > Some(0);
            let all = ["ReplicatedIndex", "ReplicatedRoleIndex", "ReplicatedTokenIndex"];
            all.into_iter().all(copied).then(|| state.clone())
        });
        assert_eq!(
            (&state["Enabled"], &state["Running"], &state["SourceDatacenter"]),
            (&json!(true), &json!(true), &json!("dc1"))
        );
        assert_eq!(state["ReplicationType"], "tokens");
        assert_ne!(state["LastSuccess"], "0001-01-01T00:00:00Z");
    }
    assert_eq!(state(&one)["Enabled"], json!(false));
    // Without the primary all goes on as it was.
    if all.cut("dc1", "dc2", true) {
        until(&client, &secret(&first), "a/2", true);
        let local = token(&client, "a", true).expect("a local token");
        until(&two, &secret(&local), "a/3", true);
        assert_ne!(status(&client, "PUT", "/v1/acl/policy", ROOT, "{\"Name\":\"c\"}"), 200);
        all.cut("dc1", "dc2", false);
    }
    // Its leader may be another one, and what is gone there goes here.
    let leader = all.nodes.iter().position(|node| node.name == "dc1-s1").expect("a server");
    all.nodes[leader].kill();
    let id = first["AccessorID"].as_str().expect("an accessor");
    wait_for("a leader of dc1", READY, || {
        told(&one, "DELETE", &format!("/v1/acl/token/{id}"), &Value::Null)
    });
    until(&client, &secret(&first), "a/4", false);
    let id = third["AccessorID"].as_str().expect("an accessor");
    let gone = told(&client, "DELETE", &format!("/v1/acl/token/{id}"), &Value::Null);
    assert!(gone.is_some());
    until(&one, &secret(&third), "b/4", false);
    until(&client, &secret(&third), "b/4", false);
    until(&client, &secret(&local), "b/5", true);
    // Another leader of dc2 goes on where the last one ended.
    let leader = leader_of(&client).expect("a leader");
    let is_leader = |node: &Node| format!("{}:8300", node.address) == leader;
    let leader = all.nodes.iter().position(is_leader).expect("the leader's node");
    all.nodes[leader].kill();
    let two = all.door(if all.nodes[leader].name == "dc2-s1" { "dc2-s2" } else { "dc2-s1" });
    let last = token(&one, "b", false).expect("a token");
    until(&client, &secret(&last), "b/6", true);
    assert_eq!(status(two, "PUT", "/v1/kv/b/3", &secret(&of_one), ""), 403, "of dc1 only");
}

#[test]
fn tokens_that_are_not_copied_are_asked_for() {
    let _alone = alone();
    let all = Datacenters::start(32, &access(false, 1));
    let (one, two, client) = (all.door("dc1-s2"), all.door("dc2-s1"), all.door("dc2-c1"));
    policy(one, "a", "a/").expect("a policy");
    let token = token(one, "a", false).expect("a token");
    for door in [two, client] {
        until(door, &secret(&token), "a/1", true);
        assert_eq!(status(door, "PUT", "/v1/kv/b", &secret(&token), ""), 403);
        assert_eq!(status(door, "PUT", "/v1/kv/a/1", "nosuch", ""), 403);
        assert_eq!(status(door, "PUT", "/v1/kv/a/1", "", ""), 403);
    }
    let state = told(client, "GET", "/v1/acl/replication", &Value::Null).expect("a state");
    assert_eq!(state["ReplicationType"], "policies");
    let local = json!({"Policies": [{"Name": "a"}], "Local": true}).to_string();
    assert_eq!(status(client, "PUT", "/v1/acl/token", ROOT, &local), 500);
    // What was known holds while nobody can be asked.
    if all.cut("dc1", "dc2", true) {
        std::thread::sleep(Duration::from_secs(2));
        until(two, &secret(&token), "a/2", true);
        all.cut("dc1", "dc2", false);
    }
    let id = token["AccessorID"].as_str().expect("an accessor");
    told(client, "DELETE", &format!("/v1/acl/token/{id}"), &Value::Null).expect("gone");
    for door in [two, client] {
        until(door, &secret(&token), "a/3", false);
    }
}

fn roots(door: &Door) -> Option<Value> {
    let roots = ask(door, "GET", "/v1/connect/ca/roots", "")?.json();
    (!roots["ActiveRootID"].as_str()?.is_empty()).then_some(roots)
}

/// `connect proxy` beside the agent of a node.
fn proxy(all: &Datacenters, name: &str, log: &Path, words: &[&str]) -> Program {
    let at = all.at(name);
    let mut command = all.network.places()[at].command(&binary());
    command.args(["connect", "proxy", "-http-addr", &all.nodes[at].door.http]).args(words);
    start(&mut command, log)
}

fn registered(door: &Door, service: &Value) {
    let body = service.to_string();
    assert!(ask(door, "PUT", "/v1/agent/service/register", &body).is_some(), "{service}");
}

#[test]
fn configuration_entries_are_those_of_the_primary() {
    let _alone = alone();
    let config = json!({"connect": {"enabled": true}, "primary_datacenter": "dc1"});
    let shapes =
        [Datacenter::new("dc1", 1, 0, config.clone()), Datacenter::new("dc2", 1, 1, config)];
    let mut all = Datacenters::start(35, &shapes);
    let doors = ["dc1-s1", "dc2-s1", "dc2-c1"].map(|name| all.door(name).clone());
    let [one, two, client] = &doors;
    let put = |door: &Door, entry: Value| ask(door, "PUT", "/v1/config", &entry.to_string());
    // Each is asked to write one; all are written in the primary.
    for (at, door) in doors.iter().enumerate() {
        let name = format!("web{at}");
        let entry = json!({"Kind": "service-defaults", "Name": name, "Protocol": "http"});
        assert!(put(door, entry).is_some(), "{name} at {}", door.http);
        let there =
            |door: &Door| ask(door, "GET", &format!("/v1/config/service-defaults/{name}"), "");
        assert!(there(one).is_some(), "{name} in the primary");
        for door in [two, client] {
            wait_for("the entry", READY, || there(door).map(drop));
        }
    }
    let splitter = json!({"Kind": "service-splitter", "Name": "web0",
        "Splits": [{"Weight": 50}, {"Weight": 50, "Service": "web1"}]});
    assert!(put(client, splitter).is_some());
    // What another entry needs is refused there, and so here.
    assert!(ask(client, "DELETE", "/v1/config/service-defaults/web1", "").is_none());
    let db = json!({"Kind": "service-intentions", "Name": "db",
        "Sources": [{"Name": "web0", "Action": "allow"}]});
    assert!(put(client, db).is_some());
    let seen = |door: &Door| {
        let all = ask(door, "GET", "/v1/config/", "")?.json();
        let all = all.as_array()?.iter().map(|one| format!("{}/{}", one["Kind"], one["Name"]));
        Some(all.collect::<Vec<_>>())
    };
    wait_for("all entries in dc2", READY, || {
        (seen(one)?.len() == 5 && seen(one) == seen(two)).then_some(())
    });
    // They are there after a restart of the secondary, and what is gone in the primary goes.
    let at = all.at("dc2-s1");
    all.nodes[at].kill();
    assert!(ask(one, "DELETE", "/v1/config/service-splitter/web0", "").is_some());
    all.start_node(at);
    wait_for("the entries after a restart", READY, || {
        (seen(one)?.len() == 4 && seen(one) == seen(two) && seen(one) == seen(client)).then_some(())
    });
}

#[test]
fn services_of_two_datacenters_reach_each_other_while_the_root_changes() {
    let _alone = alone();
    let config = json!({"connect": {"enabled": true}, "primary_datacenter": "dc1"});
    let shapes =
        [Datacenter::new("dc1", 1, 1, config.clone()), Datacenter::new("dc2", 1, 1, config)];
    let mut all = Datacenters::start(33, &shapes);
    let (one, two) = (all.door("dc1-c1").clone(), all.door("dc2-c1").clone());
    let same_roots = |all: &Datacenters| {
        let (one, two) = (all.door("dc1-s1"), all.door("dc2-c1"));
        wait_for("the same roots", READY, || {
            let (one, two) = (roots(one)?, roots(two)?);
            let same = one["ActiveRootID"] == two["ActiveRootID"]
                && one["TrustDomain"] == two["TrustDomain"];
            same.then_some(two)
        })
    };
    let first_roots = same_roots(&all);
    // A service of dc1 that is called from dc2.
    let logs = tempfile::tempdir().expect("a folder");
    let application = echo(&all.network.own);
    let address = |name: &str| all.nodes[all.at(name)].address.clone();
    let listen = format!("{}:20000", address("dc1-c1"));
    let upstream = format!("{}:20001", address("dc2-c1"));
    registered(&one, &json!({"Name": "db", "Port": 20000}));
    let words = ["-service", "db", "-service-addr", &application, "-listen", &listen, "-register"];
    let _db = proxy(&all, "dc1-c1", &logs.path().join("db"), &words);
    let to_db = json!({
        "DestinationName": "db", "Datacenter": "dc1",
        "LocalBindAddress": address("dc2-c1"), "LocalBindPort": 20001,
    });
    let sidecar = json!({"Port": 20002, "Proxy": {"Upstreams": [to_db]}});
    registered(&two, &json!({"Name": "web", "Port": 80, "Connect": {"SidecarService": sidecar}}));
    let _web = proxy(&all, "dc2-c1", &logs.path().join("web"), &["-sidecar-for", "web"]);
    let reach = || connect(&upstream).is_some_and(|mut stream| answers(&mut stream));
    let mut kept = wait_for("a connection between the datacenters", READY, || {
        let mut stream = connect(&upstream)?;
        answers(&mut stream).then_some(stream)
    });
    // An intention that is written in dc2 is one of dc1, and holds in both.
    let deny = json!({"SourceName": "*", "DestinationName": "db", "Action": "deny"});
    let made =
        ask(&two, "POST", "/v1/connect/intentions", &deny.to_string()).expect("an intention");
    let id = made.json()["ID"].as_str().expect("an ID").to_owned();
    let path = format!("/v1/connect/intentions/{id}");
    for door in [all.door("dc1-s1"), &one, &two, all.door("dc2-s1")] {
        wait_for("the intention", READY, || ask(door, "GET", &path, "").map(drop));
    }
    wait_for("the connection to be refused", READY, || (!reach()).then_some(()));
    assert!(ask(&two, "DELETE", &path, "").is_some());
    wait_for("the connection to be allowed", READY, || reach().then_some(()));
    wait_for("the intention to be gone", READY, || {
        ask(&two, "GET", &path, "").is_none().then_some(())
    });
    // An open connection was ended by the deny; the next is kept over the change of the root.
    drop(kept);
    kept = wait_for("a connection", READY, || {
        let mut stream = connect(&upstream)?;
        answers(&mut stream).then_some(stream)
    });
    let new = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    let body = json!({"Provider": "consul", "Config": {"PrivateKey": new}}).to_string();
    let door = all.door("dc1-s1");
    assert!(ask(door, "PUT", "/v1/connect/ca/configuration", &body).is_some());
    let mut second_roots = Value::Null;
    wait_for("another root in both", READY, || {
        assert!(reach() && answers(&mut kept), "connections during the change");
        let now = (roots(all.door("dc1-s1"))?, roots(&two)?);
        let changed = now.0["ActiveRootID"] != first_roots["ActiveRootID"];
        let same = now.0["ActiveRootID"] == now.1["ActiveRootID"];
        second_roots = now.1;
        (changed && same).then_some(())
    });
    assert_eq!(second_roots["Roots"].as_array().map(Vec::len), Some(2), "{second_roots}");
    // Leaves are renewed some time after; all of that without the primary's leader.
    let cut = all.cut("dc1", "dc2", true);
    if !cut {
        let at = all.at("dc1-s1");
        all.nodes[at].kill();
    }
    let at = all.at("dc2-s1");
    all.nodes[at].kill();
    all.start_node(at);
    wait_for("leaves of dc2 while the primary is away", READY, || {
        let leaf = ask(&two, "GET", "/v1/agent/connect/ca/leaf/other", "")?.json();
        let count = leaf["CertPEM"].as_str()?.matches("BEGIN CERTIFICATE").count();
        // Leaf, the authority of dc2, and the certificate that leads from the former root.
        (count == 3).then_some(())
    });
    if cut {
        all.cut("dc1", "dc2", false);
        wait_for("the datacenters to reach each other again", READY, || reach().then_some(()));
        assert_eq!(same_roots(&all)["ActiveRootID"], second_roots["ActiveRootID"]);
    }
}
