//! A client agent that has the servers' authority and nothing else: servers make its certificate, another
//! one when their authority changes, and none for whom their own certificates mean nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use lictor_testkit::{binary, wait_for};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::alone;
use crate::cluster::{READY, tail};
use crate::datacenters::{Datacenter, Datacenters, ask};
use crate::node::{Door, Node};
use crate::tls::{Authority, has_line};

const NAME: &str = "c1.example.com";

/// The active root of the mesh: its ID and certificate.
fn active(door: &Door) -> Option<(String, String)> {
    let roots = ask(door, "GET", "/v1/connect/ca/roots", "")?.json();
    let id = roots["ActiveRootID"].as_str()?.to_owned();
    let all = roots["Roots"].as_array()?;
    let root = all.iter().find(|root| root["ID"] == id.as_str())?;
    Some((id, root["RootCert"].as_str()?.to_owned()))
}

/// What the command line reads over HTTPS when it trusts this root alone, and the name of the agent.
fn read_over_https(node: &Node, folder: &Path, root: &str) -> Option<String> {
    let trusted = folder.join("trusted.pem");
    fs::write(&trusted, root).expect("a file");
    let done = Command::new(binary())
        .args(["kv", "get", "known"])
        .env("CONSUL_HTTP_ADDR", format!("https://{}:8501", node.address))
        .env("CONSUL_CACERT", trusted)
        .env("CONSUL_TLS_SERVER_NAME", NAME)
        .output()
        .expect("the binary can be started");
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

#[test]
fn servers_make_certificates_of_clients() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let (own, other) = (Authority::new(at, "own"), Authority::new(at, "other"));
    let ca = |name: &str| at.join(format!("{name}-ca.pem")).display().to_string();
    drop(other);
    let mut all = Datacenters::prepare(53, &[Datacenter::new("dc1", 3, 2, json!({}))]);
    for at in 0..3 {
        all.nodes[at].configure(&own.issue(folder.path(), &format!("s{at}"), "server.dc1.consul"));
        all.nodes[at].configure(&json!({
            "ca_file": ca("own"), "verify_incoming": true, "verify_outgoing": true,
            "verify_server_hostname": true, "auto_encrypt": {"allow_tls": true},
        }));
    }
    for (at, authority) in [(3, "own"), (4, "other")] {
        all.nodes[at].configure(&json!({
            "ca_file": ca(authority), "ports": {"https": 8501},
            "auto_encrypt": {"tls": true, "dns_san": [NAME], "ip_san": ["10.9.8.7"]},
        }));
    }
    // They wait for servers.
    (3..5).for_each(|at| all.start_node(at));
    let client = all.nodes[3].door.clone();
    wait_for("the client to miss servers", READY, || {
        has_line(&all.nodes[3], &["ERR", "no server gave this agent a certificate"]).then_some(())
    });
    assert!(ask(&client, "GET", "/v1/agent/members", "").is_none(), "it has begun without one");
    (0..3).for_each(|at| all.start_node(at));
    wait_for("the client to write", READY, || {
        let node = &mut all.nodes[3];
        assert!(!node.ended_by_itself(), "{} ended:\n{}", node.name, tail(&node.log()));
        ask(&client, "PUT", "/v1/kv/known", "1").map(drop)
    });
    // A first leader may have to make way yet.
    let (first, root) = wait_for("a root", READY, || active(&client));
    let read = wait_for("an answer", READY, || read_over_https(&all.nodes[3], at, &root));
    assert_eq!(read, "1");
    assert!(all.nodes[3].log().contains("TLS-Outgoing: true"), "{}", tail(&all.nodes[3].log()));

    // Another authority: the agent has a certificate of it soon, and is asked for nothing meanwhile.
    let key = KeyPair::generate().expect("a key").serialize_pem();
    let change = json!({"Provider": "consul", "Config": {"PrivateKey": key}}).to_string();
    assert!(ask(&client, "PUT", "/v1/connect/ca/configuration", &change).is_some());
    let (second, root) = wait_for("another root", READY, || {
        assert!(ask(&client, "GET", "/v1/kv/known", "").is_some());
        active(&client).filter(|(id, _)| *id != first)
    });
    wait_for("a certificate of it", READY, || {
        assert!(ask(&client, "GET", "/v1/kv/known", "").is_some());
        read_over_https(&all.nodes[3], at, &root)
    });
    // One that begins now gets along as well.
    all.nodes[3].stop();
    all.start_node(3);
    wait_for("the client to be back", READY, || ask(&client, "GET", "/v1/kv/known", "").map(drop));
    assert_eq!(active(&client).map(|(id, _)| id), Some(second));

    // Who trusts others only has none, and ends when it is told to.
    let stranger = &mut all.nodes[4];
    wait_for("the stranger to say why", READY, || {
        has_line(stranger, &["ERR", "no server gave this agent", "UnknownIssuer"]).then_some(())
    });
    assert!(ask(&stranger.door, "GET", "/v1/agent/members", "").is_none());
    stranger.stop();
    // Nothing of the mesh is refused to servers, and no certificate to whom it would make a server.
    stranger.configure(&json!({
        "ca_file": ca("own"), "auto_encrypt": {"tls": true, "dns_san": ["server.dc1.consul"]},
    }));
    let place = &all.network.places()[4];
    all.nodes[4].start(place);
    wait_for("a server's name to be refused", READY, || {
        has_line(&all.nodes[4], &["ERR", "cannot have the name"]).then_some(())
    });
    let told = |at: usize| has_line(&all.nodes[at], &["WARN", "got no certificate", "cannot have"]);
    assert!((0..3).any(told), "no server says so");
    let members = ask(&client, "GET", "/v1/agent/members", "").expect("the members").json();
    assert_eq!(members.as_array().map(Vec::<Value>::len), Some(4));
}

/// The token that may do everything.
const ROOT: &str = "11111111-aaaa-bbbb-cccc-000000000001";

/// The JSON of a request with all rights that succeeds.
fn told(door: &Door, method: &str, path: &str, body: &Value) -> Option<Value> {
    let mark = if path.contains('?') { '&' } else { '?' };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Some(ask(door, method, &format!("{path}{mark}token={ROOT}"), &body)?.json())
}

#[test]
fn in_a_secondary_datacenter_they_are_made_for_whom_a_token_permits_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let own = Authority::new(at, "own");
    let ca = at.join("own-ca.pem").display().to_string();
    let common = json!({
        "primary_datacenter": "dc1", "acl": {
            "enabled": true, "default_policy": "deny", "enable_token_replication": true,
            "tokens": {"initial_management": ROOT, "agent": ROOT, "replication": ROOT},
        },
    });
    let shapes =
        [Datacenter::new("dc1", 1, 0, common.clone()), Datacenter::new("dc2", 1, 2, common)];
    let mut all = Datacenters::prepare(54, &shapes);
    for (name, server) in [("dc1-s1", "server.dc1.consul"), ("dc2-s1", "server.dc2.consul")] {
        let node = &all.nodes[all.at(name)];
        node.configure(&own.issue(at, name, server));
        node.configure(&json!({
            "ca_file": ca, "verify_incoming": true, "verify_outgoing": true,
            "verify_server_hostname": true, "auto_encrypt": {"allow_tls": true},
        }));
    }
    let token = "22222222-aaaa-bbbb-cccc-000000000002";
    let clients = [all.at("dc2-c1"), all.at("dc2-c2")];
    for client in clients {
        let acl = json!({"enabled": true, "default_policy": "deny", "tokens": {"agent": token}});
        all.nodes[client].configure(&json!({
            "ca_file": ca, "auto_encrypt": {"tls": true}, "acl": acl,
        }));
    }
    (0..all.nodes.len()).for_each(|at| all.start_node(at));
    let (one, two) = (all.door("dc1-s1").clone(), all.door("dc2-s1").clone());
    wait_for("the clients to be refused", READY, || {
        let said = |at: &usize| {
            has_line(&all.nodes[*at], &["ERR", "no server gave this agent", "ACL not found"])
        };
        clients.iter().all(said).then_some(())
    });
    // The right for one of their nodes, given in the primary datacenter.
    let rules = r#"node "dc2-c1" { policy = "write" } service_prefix "" { policy = "read" }
        key_prefix "" { policy = "write" }"#;
    wait_for("a token", READY, || {
        let policy = json!({"Name": "c1", "Rules": rules});
        let _ = told(&one, "PUT", "/v1/acl/policy", &policy);
        let body = json!({"SecretID": token, "Policies": [{"Name": "c1"}]});
        told(&one, "PUT", "/v1/acl/token", &body).map(drop)
    });
    let client = all.door("dc2-c1").clone();
    let reads = |door: &Door, dc: &str| {
        let path = format!("/v1/kv/known?raw&token={token}&dc={dc}");
        ask(door, "GET", &path, "").map(|reply| reply.text())
    };
    for dc in ["dc1", "dc2"] {
        wait_for("the client to write", READY, || {
            let path = format!("/v1/kv/known?token={token}&dc={dc}");
            ask(&client, "PUT", &path, dc).map(drop)
        });
        assert_eq!(reads(&client, dc).as_deref(), Some(dc));
    }
    // Another root in the primary: dc2's authority gets another certificate, and agents of it as well.
    let (first, _) = active(&one).expect("a root");
    let granted = |node: &Node| node.log().matches("servers made a certificate").count();
    let before = granted(&all.nodes[clients[0]]);
    let key = KeyPair::generate().expect("a key").serialize_pem();
    let change = json!({"Provider": "consul", "Config": {"PrivateKey": key}});
    let path = format!("/v1/connect/ca/configuration?token={ROOT}");
    assert!(ask(&one, "PUT", &path, &change.to_string()).is_some());
    wait_for("another root", READY, || {
        assert_eq!(reads(&client, "dc2").as_deref(), Some("dc2"));
        active(&two).filter(|(id, _)| *id != first)
    });
    wait_for("another certificate", READY, || {
        assert_eq!(reads(&client, "dc2").as_deref(), Some("dc2"));
        (granted(&all.nodes[clients[0]]) > before).then_some(())
    });
    // A reload leaves it what it has: it is accepted on a new connection.
    let node = &all.nodes[clients[0]];
    node.configure(&json!({"log_level": "debug"}));
    node.reload();
    wait_for("the reload", READY, || has_line(node, &["reload"]).then_some(()));
    let server = all.at("dc2-s1");
    all.nodes[server].kill();
    all.start_node(server);
    for dc in ["dc2", "dc1"] {
        wait_for("the client to be accepted again", READY, || {
            reads(&client, dc).filter(|text| text == dc)
        });
    }
    // The other one has had none all the time: that token does not permit it.
    let other = &mut all.nodes[clients[1]];
    wait_for("the other client to be refused", READY, || {
        has_line(other, &["ERR", "no server gave this agent", "Permission denied"]).then_some(())
    });
    assert!(!other.ended_by_itself() && granted(other) == 0, "{}", tail(&other.log()));
    assert!(ask(&other.door, "GET", "/v1/agent/members", "").is_none());
}
