//! Network coordinates: told by nodes, used for sorting and for estimates.

use std::time::Duration;

use lictor_testkit::{Agent, wait_for};
use serde_json::{Value, json};

/// Registers nodes with a service each, so far away, and waits until that is known.
fn place(agent: &Agent, nodes: &[(&str, f64)]) {
    for (node, seconds) in nodes {
        let body = json!({
            "Node": node, "Address": format!("10.0.0.{}", node.len()),
            "Service": {"Service": "web"},
            "Check": {"Name": "alive", "CheckID": "alive", "Status": "passing"},
        });
        let _ = agent.json("PUT", "/v1/catalog/register", &body);
        let coord = json!({
            "Vec": [seconds, 0, 0, 0, 0, 0, 0, 0], "Error": 0.5, "Adjustment": 0, "Height": 1e-5,
        });
        let reply = agent.http(
            "PUT",
            "/v1/coordinate/update",
            &json!({"Node": node, "Coord": coord}).to_string(),
        );
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    wait_for("coordinates to be written", Duration::from_secs(20), || {
        let known = agent.json("GET", "/v1/coordinate/nodes", &Value::Null);
        let known = known.as_array()?.iter().filter(|row| row["Node"] != "node1").count();
        (known == nodes.len()).then_some(())
    });
}

fn names(value: &Value, pointer: &str) -> Vec<String> {
    let rows = value.as_array().expect("a list").iter();
    let name = |row: &Value| row.pointer(pointer)?.as_str().map(str::to_owned);
    rows.map(|row| name(row).expect("a name")).collect()
}

#[test]
fn results_are_sorted_and_times_are_estimated() {
    let agent = Agent::dev(&json!({}));
    place(&agent, &[("far", 0.3), ("near", 0.01), ("middle", 0.1), ("here", 0.0)]);
    let order = ["here", "near", "middle", "far"];
    for (path, pointer) in [
        ("/v1/catalog/nodes", "/Node"),
        ("/v1/catalog/service/web", "/Node"),
        ("/v1/health/service/web", "/Node/Node"),
        ("/v1/health/checks/web", "/Node"),
        ("/v1/health/state/passing", "/Node"),
    ] {
        let sorted = agent.json("GET", &format!("{path}?near=here"), &Value::Null);
        let mut found = names(&sorted, pointer);
        // The agent's own node may have told its coordinate by now, or not.
        found.retain(|name| name != "node1");
        if path != "/v1/health/checks/web" {
            assert_eq!(found, order, "{path}");
        }
        let sorted = agent.json("GET", &format!("{path}?near=far"), &Value::Null);
        let mut found = names(&sorted, pointer);
        found.retain(|name| name != "node1");
        assert!(found.is_empty() || found[0] == "far", "{path}: {found:?}");
    }
    let query = json!({"Name": "q", "Service": {"Service": "web", "Near": "middle"}});
    let _ = agent.json("POST", "/v1/query", &query);
    for _ in 0..5 {
        let found = agent.json("GET", "/v1/query/q/execute", &Value::Null);
        assert_eq!(names(&found["Nodes"], "/Node/Node"), ["middle", "near", "here", "far"]);
        let found = agent.json("GET", "/v1/query/q/execute?near=far", &Value::Null);
        assert_eq!(names(&found["Nodes"], "/Node/Node"), ["far", "middle", "near", "here"]);
    }
    let (code, out, _) = agent.cli(&["rtt", "near", "far"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "Estimated near <-> far rtt: 290.020 ms (using LAN coordinates)\n")
    );
    let (code, _, err) = agent.cli(&["rtt", "near", "nosuch"]);
    assert_eq!((code, err.trim()), (1, "Could not find a coordinate for node \"nosuch\""));
    let (code, out, _) = agent.cli(&["rtt", "-wan", "node1.dc1"]);
    assert!(code == 0 && out.ends_with("rtt: 0.020 ms (using WAN coordinates)\n"), "{out}");
    let gone = json!({"Node": "near"});
    let _ = agent.json("PUT", "/v1/catalog/deregister", &gone);
    assert_eq!(agent.http("GET", "/v1/coordinate/node/near", "").status, 404);
}

#[test]
fn they_can_be_switched_off() {
    let agent = Agent::dev(&json!({"disable_coordinates": true}));
    for path in ["/v1/coordinate/nodes", "/v1/coordinate/datacenters", "/v1/coordinate/node/node1"]
    {
        let reply = agent.http("GET", path, "");
        assert_eq!((reply.status, reply.text().as_str()), (401, "Coordinate support disabled"));
    }
    assert!(agent.json("GET", "/v1/agent/self", &Value::Null)["Coord"].is_null());
}
