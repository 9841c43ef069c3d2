//! Discovery chains over HTTP, from a server and through a client agent.

use std::fs;
use std::time::{Duration, Instant};

use lictor_testkit::Agent;
use serde_json::{Value, json};

const PATH: &str = "/v1/discovery-chain/web";

/// A client agent of `server`.
fn client(server: &Agent) -> Agent {
    let config = fs::read(server.folder.path().join("agent.json")).expect("its configuration");
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    let join = format!("-retry-join=127.0.0.1:{}", config["ports"]["serf_lan"]);
    Agent::start(&["-data-dir=data", &join], &json!({"node_name": "client"}))
}

#[test]
fn a_chain_is_one_step_and_has_what_is_wished() {
    let server = Agent::dev(&json!({}));
    let domain = server.http("GET", "/v1/connect/ca/roots", "").json()["TrustDomain"].clone();
    let name = format!("web.default.dc1.internal.{}", domain.as_str().expect("a domain"));
    let plain = json!({"Chain": {
        "ServiceName": "web", "Namespace": "default", "Datacenter": "dc1", "Protocol": "tcp",
        "StartNode": "resolver:web.default.dc1",
        "Nodes": {"resolver:web.default.dc1": {
            "Type": "resolver", "Name": "web.default.dc1",
            "Resolver": {"ConnectTimeout": "5s", "Default": true, "Target": "web.default.dc1"},
        }},
        "Targets": {"web.default.dc1": {
            "ConnectTimeout": "5s", "ID": "web.default.dc1", "Service": "web",
            "Namespace": "default", "Datacenter": "dc1", "MeshGateway": {}, "Subset": {},
            "SNI": name, "Name": name,
        }},
    }});
    let wishes = json!({
        "OverrideMeshGateway": {"Mode": "remote"}, "OverrideProtocol": "http2",
        "OverrideConnectTimeout": "7s",
    });
    let client = client(&server);
    for agent in [&server, &client] {
        let shown = agent.http("GET", PATH, "");
        assert_eq!(shown.json(), plain);
        assert_eq!(shown.header("x-consul-effective-consistency"), Some("leader"));
        let there = format!("{PATH}?compile-dc=dc2");
        let shown = agent.http("POST", &there, &wishes.to_string()).json();
        let chain = &shown["Chain"];
        assert_eq!((&chain["Datacenter"], &chain["Protocol"]), (&json!("dc2"), &json!("http2")));
        // The digits that the original gives for these wishes.
        assert_eq!(chain["CustomizationHash"], "1f9b78c9");
        let target = &chain["Targets"]["web.default.dc2"];
        assert_eq!(target["MeshGateway"], json!({"Mode": "remote"}));
        assert_eq!(target["ConnectTimeout"], "7s");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let agent = Agent::dev(&json!({}));
    for (body, text) in [
        ("", "Bad request: Request decoding failed: EOF"),
        (
            r#"{"OverrideConnectTimeout": "soon"}"#,
            "Bad request: Request decoding failed: 1 error(s) decoding:\n\n* error decoding \
             'OverrideConnectTimeout': time: invalid duration \"soon\"",
        ),
        (r#"{"OverrideMeshGateway": {"Mode": "x"}}"#, "Invalid OverrideMeshGateway.Mode parameter"),
    ] {
        let reply = agent.http("POST", PATH, body);
        assert_eq!((reply.status, &*reply.text()), (400, text));
    }
    let reply = agent.http("GET", "/v1/discovery-chain/", "");
    assert_eq!((reply.status, &*reply.text()), (400, "Bad request: Missing chain name"));
    assert_eq!(agent.http("PUT", PATH, "{}").status, 405);
}

#[test]
fn whoever_waits_for_another_chain_waits() {
    let agent = Agent::dev(&json!({}));
    let first = agent.http("GET", PATH, "");
    let index = first.header("x-consul-index").expect("an index");
    let started = Instant::now();
    let again = agent.http("GET", &format!("{PATH}?index={index}&wait=300ms"), "");
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!((again.text(), again.header("x-consul-index")), (first.text(), Some(index)));
}
