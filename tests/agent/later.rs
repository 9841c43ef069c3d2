//! What clients of later versions ask: filters, one service with its digest, local health,
//! transactions on the catalog, intentions by pair.

use std::time::Duration;

use lictor_testkit::{Agent, request_within, wait_for};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(15);

fn register(agent: &Agent, node: &str, rack: &str, id: &str, tags: &[&str]) {
    let body = json!({
        "Node": node, "Address": "10.0.0.1", "NodeMeta": {"rack": rack},
        "Service": {"ID": id, "Service": "web", "Port": 80, "Tags": tags},
    });
    assert_eq!(agent.json("PUT", "/v1/catalog/register", &body), json!(true));
}

/// Names of the nodes in an answer.
fn nodes(rows: &Value) -> Vec<String> {
    let names = rows.as_array().expect("a list").iter();
    names.map(|row| row["Node"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_filtered_read_blocks_until_what_it_shows_changes() {
    let agent = Agent::dev(&json!({}));
    register(&agent, "n1", "r1", "w1", &["a"]);
    register(&agent, "n2", "r2", "w2", &["b"]);
    let path = "/v1/catalog/service/web?filter=NodeMeta.rack%20%3D%3D%20r1";
    let first = agent.http("GET", path, "");
    assert_eq!(nodes(&first.json()), ["n1"]);
    let index = first.header("x-consul-index").expect("an index").to_owned();
    let address = agent.http.clone();
    let blocked = std::thread::spawn(move || {
        let path = format!("{path}&index={index}&wait=60s");
        request_within(&address, "GET", &path, b"", Duration::from_secs(30)).expect("an answer")
    });
    register(&agent, "n3", "r1", "w3", &["b"]);
    assert_eq!(nodes(&blocked.join().expect("no panic").json()), ["n1", "n3"]);
    let both = agent.http("GET", "/v1/catalog/service/web?tag=a&tag=b", "");
    assert_eq!(both.json(), json!([]));
    let names = agent.http("GET", "/v1/catalog/services?filter=%22b%22%20in%20ServiceTags", "");
    assert_eq!(names.json(), json!({"web": ["b"]}));
    let bad = agent.http("GET", "/v1/health/service/web?filter=Nosuch%20%3D%3D%20x", "");
    assert_eq!(bad.status, 500);
    assert!(bad.text().ends_with("Selector \"Nosuch\" is not valid"), "{}", bad.text());
}

#[test]
fn a_sidecar_and_its_service_are_seen_from_all_sides() {
    let agent =
        Agent::dev(&json!({"ports": {"sidecar_min_port": 21500, "sidecar_max_port": 21510}}));
    let body = json!({
        "Name": "web", "Port": 8080, "Weights": {"Passing": 7, "Warning": 2},
        "Check": {"TTL": "10m", "Status": "warning"},
        "Connect": {"SidecarService": {"Proxy": {"Upstreams": [
            {"DestinationName": "db", "LocalBindPort": 9191},
        ]}}},
    });
    assert_eq!(agent.http("PUT", "/v1/agent/service/register", &body.to_string()).status, 200);
    let one = agent.http("GET", "/v1/agent/service/web-sidecar-proxy", "");
    let (shown, hash) = (one.json(), one.header("x-consul-contenthash").expect("a digest"));
    assert_eq!(shown["ContentHash"], hash);
    assert_eq!(
        (&shown["Port"], &shown["Proxy"]["LocalServicePort"]),
        (&json!(21500), &json!(8080))
    );
    let path = format!("/v1/agent/service/web-sidecar-proxy?hash={hash}&wait=60s");
    let address = agent.http.clone();
    let blocked = std::thread::spawn(move || {
        request_within(&address, "GET", &path, b"", Duration::from_secs(30)).expect("an answer")
    });
    let changed = json!({"Name": "web", "Port": 8081, "Connect": {"SidecarService": {}}});
    assert_eq!(agent.http("PUT", "/v1/agent/service/register", &changed.to_string()).status, 200);
    let news = blocked.join().expect("no panic").json();
    assert_eq!(news["Proxy"]["LocalServicePort"], 8081);
    assert_eq!(news["Port"], 21500);
    let health = agent.http("GET", "/v1/agent/health/service/name/web?format=text", "");
    assert_eq!((health.status, health.text()), (429, "warning".to_owned()));
    wait_for("the sidecar to be in the catalog", SOON, || {
        let rows = agent.http("GET", "/v1/catalog/connect/web", "").json();
        (rows[0]["ServiceID"] == "web-sidecar-proxy").then_some(())
    });
    assert_eq!(agent.http("PUT", "/v1/agent/service/deregister/web", "").status, 200);
    assert_eq!(agent.http("GET", "/v1/agent/services", "").json(), json!({}));
}

#[test]
fn a_transaction_on_the_catalog_is_all_or_nothing() {
    let agent = Agent::dev(&json!({}));
    let write = |last: Value| {
        json!([
            {"Node": {"Verb": "set", "Node": {"Node": "t1", "Address": "10.0.0.9"}}},
            {"Service": {"Verb": "set", "Node": "t1", "Service": {"Service": "s", "Port": 3}}},
            {"KV": {"Verb": "set", "Key": "k", "Value": "dg=="}},
            {"Check": {"Verb": "set", "Check": last}},
        ])
    };
    let lost = write(json!({"Node": "t1", "CheckID": "c", "ServiceID": "nosuch"}));
    let refused = agent.http("PUT", "/v1/txn", &lost.to_string());
    assert_eq!(refused.status, 409);
    let error = &refused.json()["Errors"][0];
    assert_eq!(*error, json!({"OpIndex": 3, "What": "Missing service registration"}));
    assert_eq!(agent.http("GET", "/v1/catalog/node/t1", "").text().trim(), "null");
    let whole = write(json!({"Node": "t1", "CheckID": "c", "ServiceID": "s", "Status": "passing"}));
    let done = agent.json("PUT", "/v1/txn", &whole);
    assert_eq!(done["Results"][1]["Service"]["ID"], "s");
    assert_eq!(done["Results"][3]["Check"]["ServiceName"], "s");
    assert_eq!(agent.http("GET", "/v1/kv/k?raw", "").text(), "v");
    let read = json!([
        {"Node": {"Verb": "get", "Node": {"Node": "t1"}}},
        {"KV": {"Verb": "get-or-empty", "Key": "none"}},
    ]);
    let read = agent.json("PUT", "/v1/txn", &read);
    let index = &read["Results"][0]["Node"]["ModifyIndex"];
    assert_eq!(read["Results"][1]["KV"]["Value"], Value::Null);
    let cas = |index: &Value| {
        let node = json!({"Node": "t1", "Address": "10.0.0.8", "ModifyIndex": index});
        json!([{"Node": {"Verb": "cas", "Node": node}}]).to_string()
    };
    assert_eq!(agent.http("PUT", "/v1/txn", &cas(&json!(1))).status, 409);
    assert_eq!(agent.http("PUT", "/v1/txn", &cas(index)).status, 200);
}

#[test]
fn an_intention_is_written_by_its_pair_and_read_by_its_id() {
    let agent = Agent::dev(&json!({}));
    let exact = "/v1/connect/intentions/exact?source=web&destination=db";
    assert_eq!(agent.json("PUT", exact, &json!({"Action": "allow"})), json!(true));
    let made = agent.http("GET", exact, "").json();
    let id = made["ID"].as_str().expect("an ID");
    assert_eq!(agent.json("PUT", exact, &json!({"Action": "deny"})), json!(true));
    let same = agent.http("GET", &format!("/v1/connect/intentions/{id}"), "").json();
    assert_eq!((&same["Action"], &same["CreatedAt"]), (&json!("deny"), &made["CreatedAt"]));
    let (code, out, _) = agent.cli(&["intention", "list"]);
    assert_eq!(code, 0);
    assert!(out.contains(id) && out.contains("deny"), "{out}");
    assert_eq!(agent.http("DELETE", exact, "").status, 200);
    assert_eq!(agent.http("GET", exact, "").status, 404);
    assert_eq!(agent.http("DELETE", exact, "").status, 200);
    let (code, _, said) = agent.cli(&["intention", "list"]);
    assert_eq!((code, said.trim()), (2, "There are no intentions."));
}

#[test]
fn one_namespace_and_one_partition_may_be_named() {
    let agent = Agent::dev(&json!({}));
    assert_eq!(agent.http("GET", "/v1/catalog/nodes?ns=default&partition=default", "").status, 200);
    for query in ["ns=other", "partition=other"] {
        let refused = agent.http("GET", &format!("/v1/catalog/nodes?{query}"), "");
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
    let cached = agent.http("GET", "/v1/health/service/consul?cached", "");
    assert_eq!((cached.header("x-cache"), cached.header("age")), (Some("HIT"), Some("0")));
}

#[test]
fn transactions_show_no_tags_as_null_and_take_no_kind() {
    let agent = Agent::dev(&json!({}));
    let steps = json!([
        {"Node": {"Verb": "set", "Node": {"Node": "x", "Address": "1.2.3.4"}}},
        {"Service": {"Verb": "set", "Node": "x", "Service": {"Service": "web", "Port": 1}}},
        {"Check": {"Verb": "set", "Check": {"Node": "x", "CheckID": "c", "Name": "c",
            "Type": "ttl", "Status": "passing"}}},
        {"Check": {"Verb": "set", "Check": {"Node": "x", "CheckID": "u", "Name": "u",
            "Definition": {"UDP": "1.1.1.1:53", "Interval": "5s"}}}},
    ]);
    let done = agent.json("PUT", "/v1/txn", &steps)["Results"].clone();
    assert_eq!(done[1]["Service"]["Tags"], Value::Null);
    assert_eq!(done[2]["Check"]["ServiceTags"], Value::Null);
    assert_eq!(done[2]["Check"]["Type"], "");
    // Unless the definition says what it is.
    assert_eq!(done[3]["Check"]["Type"], "udp");
    assert_eq!(done[3]["Check"]["Definition"], json!({"UDP": "1.1.1.1:53", "Interval": "5s"}));
    // Elsewhere it is a list.
    let checks = agent.json("GET", "/v1/health/node/x", &Value::Null);
    assert_eq!(checks[0]["ServiceTags"], json!([]));
}

#[test]
fn the_authority_says_how_long_certificates_live() {
    let agent = Agent::dev(&json!({"connect": {"enabled": true}}));
    let path = "/v1/connect/ca/configuration";
    let mut config = wait_for("the authority", SOON, || {
        let reply = agent.http("GET", path, "");
        (reply.status == 200).then(|| reply.json())
    });
    let lives = json!({
        "LeafCertTTL": "72h", "IntermediateCertTTL": "8760h", "RootCertTTL": "87600h",
    });
    assert_eq!(config["Config"], lives);
    assert_eq!(
        (&config["State"], &config["ForceWithoutCrossSigning"]),
        (&json!(null), &json!(false))
    );
    // What was read can be written again, with more; what the provider remembers is its own.
    config["Config"]["LeafCertTTL"] = json!("48h");
    config["ForceWithoutCrossSigning"] = json!(true);
    assert_eq!(agent.http("PUT", path, &config.to_string()).status, 200);
    let changed = agent.json("GET", path, &Value::Null);
    assert_eq!(changed["Config"]["LeafCertTTL"], "48h");
    config["State"] = json!({"foo": "bar"});
    let refused = agent.http("PUT", path, &config.to_string());
    assert!(refused.status == 400 && refused.text().contains("read-only"), "{}", refused.text());
}

#[test]
fn operators_are_told_how_much_there_is_and_how_servers_are() {
    let agent = Agent::dev(&json!({}));
    // From the first moment on: nobody has to wait until the leader looks by itself.
    let health = agent.json("GET", "/v1/operator/autopilot/health", &Value::Null);
    assert_eq!((&health["Healthy"], &health["Servers"][0]["Leader"]), (&json!(true), &json!(true)));
    let reply = agent.http("GET", "/v1/operator/usage", "");
    assert_eq!(reply.header("x-consul-knownleader"), Some("true"));
    let usage = reply.json();
    assert_eq!((&usage["Usage"]["dc1"]["Nodes"], &usage["KnownLeader"]), (&json!(1), &json!(true)));
    assert!(usage["Index"].as_u64() > Some(0), "{usage}");
}
