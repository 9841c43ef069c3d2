//! What is shown elsewhere than in the catalog's lists: over DNS, by the agent, of events, and what
//! prepared queries find.

use lictor_testkit::{Agent, wait_for};
use serde_json::{Value, json};

use super::{PATIENCE, closed, token};
use crate::dns::{A, NXDOMAIN, PTR, SERVFAIL, code, place, question, udp};

fn register(agent: &Agent, node: &str, address: &str, service: &str) {
    let request = json!({"Node": node, "Address": address, "Service": {"Service": service}});
    let _ = agent.json("PUT", "/v1/catalog/register?token=root", &request);
}

/// Gives those who bring no token this policy.
fn permit_anybody(agent: &Agent, rules: &str) {
    let (name, _) = super::policy(agent, rules);
    let anonymous = "00000000-0000-0000-0000-000000000002";
    let changed = json!({"AccessorID": anonymous, "Policies": [{"Name": name}]});
    let path = format!("/v1/acl/token/{anonymous}?token=root");
    let _ = agent.json("PUT", &path, &changed);
}

#[test]
fn dns_answers_what_the_agents_token_may_see() {
    let agent = closed(&json!({}));
    register(&agent, "n1", "10.9.8.7", "web");
    register(&agent, "n2", "10.9.8.6", "db");
    let names = ["web.service.consul", "db.service.consul", "n1.node.consul", "n2.node.consul"];
    let seen = || {
        let codes = names.map(|name| code(&udp(place(&agent), &question(name, A))));
        codes.map(|code| code == 0)
    };
    assert_eq!(seen(), [false; 4]);
    assert_eq!(code(&udp(place(&agent), &question(names[0], A))), NXDOMAIN);
    permit_anybody(
        &agent,
        r#"node "n1" { policy = "read" } service_prefix "" { policy = "read" }"#,
    );
    wait_for("the new rights", PATIENCE, || (seen() == [true, false, true, false]).then_some(()));
    let reverse = |name: &str| code(&udp(place(&agent), &question(name, PTR)));
    assert_eq!(reverse("7.8.9.10.in-addr.arpa"), 0);
    // As any address that nobody is known to have: others would be asked, but there are none.
    assert_eq!(reverse("6.8.9.10.in-addr.arpa"), SERVFAIL);
    permit_anybody(&agent, r#"node_prefix "" { policy = "read" }"#);
    wait_for("the other rights", PATIENCE, || (seen() == [false, false, true, true]).then_some(()));
    assert_eq!(reverse("6.8.9.10.in-addr.arpa"), 0);
}

#[test]
fn dns_fails_with_a_token_that_there_is_not() {
    let agent = closed(&json!({"acl_token": "nosuch"}));
    register(&agent, "n1", "10.9.8.7", "web");
    for name in ["web.service.consul", "n1.node.consul"] {
        assert_eq!(code(&udp(place(&agent), &question(name, A))), SERVFAIL, "{name}");
    }
}

#[test]
fn lists_of_the_agent_show_what_may_be_seen() {
    let agent = closed(&json!({}));
    for name in ["web", "db"] {
        let service = json!({"Name": name, "Check": {"TTL": "1h"}});
        let _ = agent.http("PUT", "/v1/agent/service/register?token=root", &service.to_string());
        let _ = agent.http("PUT", &format!("/v1/event/fire/{name}?token=root"), "");
    }
    let web = token(&agent, r#"service "web" { policy = "read" } event "web" { policy = "read" }"#);
    let get = |path: &str| agent.json("GET", &format!("{path}?token={web}"), &Value::Null);
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    assert_eq!(keys(&get("/v1/agent/services")), ["web"]);
    assert_eq!(keys(&get("/v1/agent/checks")), ["service:web"]);
    let events = get("/v1/event/list");
    let names: Vec<_> = events.as_array().expect("a list").iter().map(|e| &e["Name"]).collect();
    assert_eq!(names, ["web"]);
    assert_eq!(get("/v1/agent/members"), json!([]));
    // A service may be replaced only by those who may write the old one and the new one.
    let taker = token(&agent, r#"service "other" { policy = "write" }"#);
    let path = format!("/v1/agent/service/register?token={taker}");
    let taken = agent.http("PUT", &path, r#"{"ID": "web", "Name": "other"}"#);
    assert_eq!((taken.status, taken.text().as_str()), (403, "Permission denied"));
    assert_eq!(agent.http("PUT", &path, r#"{"Name": "other"}"#).status, 200);
}

#[test]
fn what_is_registered_goes_to_the_catalog_with_the_token_of_the_request() {
    let agent = closed(&json!({"acl_agent_token": ""}));
    let web =
        token(&agent, r#"service "web" { policy = "write" } node_prefix "" { policy = "write" }"#);
    let check = json!({"Name": "web", "Check": {"TTL": "1h"}});
    let path = format!("/v1/agent/service/register?token={web}");
    assert_eq!(agent.http("PUT", &path, &check.to_string()).status, 200);
    let path = format!("/v1/agent/check/register?token={web}");
    let more = json!({"Name": "more", "ServiceID": "web", "TTL": "1h"});
    assert_eq!(agent.http("PUT", &path, &more.to_string()).status, 200);
    wait_for("both checks in the catalog", PATIENCE, || {
        let checks = agent.json("GET", "/v1/health/checks/web?token=root", &Value::Null);
        (checks.as_array().map_or(0, Vec::len) == 2).then_some(())
    });
}

#[test]
fn a_prepared_query_sees_with_its_own_token() {
    let agent = closed(&json!({}));
    register(&agent, "n1", "10.9.8.7", "web");
    let own = token(
        &agent,
        r#"node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }"#,
    );
    let reader = token(&agent, r#"query_prefix "" { policy = "read" }"#);
    for (name, token) in [("with", own.as_str()), ("without", "")] {
        let query = json!({"Name": name, "Token": token, "Service": {"Service": "web"}});
        let _ = agent.json("POST", "/v1/query?token=root", &query);
    }
    let nameless = json!({"Session": "", "Template": {"Type": "name_prefix_match"},
        "Service": {"Service": "web"}});
    let _ = agent.http("POST", "/v1/query?token=root", &nameless.to_string());
    let found = |name: &str, token: &str| {
        let path = format!("/v1/query/{name}/execute?token={token}");
        let nodes = agent.json("GET", &path, &Value::Null)["Nodes"].clone();
        nodes.as_array().map(Vec::len)
    };
    assert_eq!(found("with", ""), Some(1));
    assert_eq!(found("without", ""), Some(0));
    assert_eq!(found("without", &own), Some(1));
    let tokens = |token: &str| -> Vec<String> {
        let list = agent.json("GET", &format!("/v1/query?token={token}"), &Value::Null);
        let list = list.as_array().cloned().unwrap_or_default();
        list.iter().map(|one| one["Token"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert!(tokens("root").contains(&own));
    let shown = tokens(&reader);
    assert!(shown.contains(&"<hidden>".to_owned()) && !shown.contains(&own), "{shown:?}");
}

#[test]
fn a_transaction_is_refused_operation_by_operation() {
    let agent = closed(&json!({}));
    let _ = agent.json("PUT", "/v1/kv/secret?token=root", &json!(1));
    let bearer = token(&agent, r#"key_prefix "own/" { policy = "write" }"#);
    let txn = |ops: &Value| agent.http("PUT", &format!("/v1/txn?token={bearer}"), &ops.to_string());
    let op = |verb: &str, key: &str| json!({"KV": {"Verb": verb, "Key": key}});
    let mixed = json!([op("set", "own/a"), op("set", "secret"), op("check-index", "secret")]);
    let reply = txn(&mixed);
    assert_eq!(reply.status, 409);
    let places: Vec<_> = reply.json()["Errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| (error["OpIndex"].as_u64(), error["What"].as_str().map(str::to_owned)))
        .collect();
    let denied = || Some("Permission denied".to_owned());
    assert_eq!(places, [(Some(1), denied()), (Some(2), denied())]);
    let reply = txn(&json!([op("set", "own/a"), op("get", "secret")]));
    assert_eq!((reply.status, reply.text().contains("secret")), (200, false), "{}", reply.text());
    let tree = |key: &str| {
        agent.http("DELETE", &format!("/v1/kv/{key}?recurse&token={bearer}"), "").status
    };
    assert_eq!((tree("own/"), tree("own"), tree("")), (200, 403, 403));
}

#[test]
fn listing_keys_may_need_a_right_of_its_own() {
    let agent = closed(&json!({"acl_enable_key_list_policy": true}));
    let _ = agent.json("PUT", "/v1/kv/a/b?token=root", &json!(1));
    let reader = token(&agent, r#"key_prefix "a/" { policy = "read" }"#);
    let lister = token(&agent, r#"key_prefix "a/" { policy = "list" }"#);
    let get = |what: &str, token: &str| {
        agent.http("GET", &format!("/v1/kv/a/{what}&token={token}"), "").status
    };
    for what in ["?recurse", "?keys"] {
        assert_eq!((get(what, &reader), get(what, &lister)), (403, 200), "{what}");
    }
    assert_eq!(get("b?raw", &reader), 200);
}

#[test]
fn the_recovery_secret_is_good_for_its_agent_alone() {
    let agent = closed(&json!({"acl_agent_master_token": "recovery"}));
    let get = |path: &str| agent.http("GET", &format!("{path}?token=recovery"), "");
    assert_eq!(get("/v1/agent/self").status, 200);
    assert!(get("/v1/agent/members").text().contains("node1"));
    assert_eq!(agent.http("PUT", "/v1/agent/reload?token=recovery", "").status, 200);
    assert_eq!(
        agent.http("PUT", "/v1/agent/maintenance?enable=true&token=recovery", "").status,
        403
    );
    for path in ["/v1/kv/a", "/v1/catalog/nodes", "/v1/snapshot"] {
        assert_eq!((get(path).status, get(path).text().as_str()), (403, "ACL not found"), "{path}");
    }
    // An agent without one is not open to an empty one.
    let without = closed(&json!({}));
    assert_eq!(without.http("GET", "/v1/agent/self?token=", "").status, 403);
}
