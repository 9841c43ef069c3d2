//! Blocking queries of somebody whose rights change while they wait.

use std::time::{Duration, Instant};

use lictor_testkit::{Agent, Reply, request_within, wait_for};
use serde_json::{Value, json};

use super::{PATIENCE, closed, policy};

/// A token, with its accessor and the ID and name of its policy.
struct Bearer {
    secret: String,
    accessor: String,
    policy: (String, String),
}

impl Bearer {
    fn new(agent: &Agent, rules: &str) -> Self {
        let policy = policy(agent, rules);
        let made = json!({"Policies": [{"Name": policy.0}]});
        let made = agent.json("PUT", "/v1/acl/token?token=root", &made);
        let text = |key: &str| made[key].as_str().expect("a text").to_owned();
        Self { secret: text("SecretID"), accessor: text("AccessorID"), policy }
    }

    /// Changes what the token permits.
    fn change(&self, agent: &Agent, rules: &str) {
        let (name, id) = &self.policy;
        let changed = json!({"ID": id, "Name": name, "Rules": rules});
        let _ = agent.json("PUT", &format!("/v1/acl/policy/{id}?token=root"), &changed);
    }

    fn revoke(&self, agent: &Agent) {
        let path = format!("/v1/acl/token/{}?token=root", self.accessor);
        let _ = agent.json("DELETE", &path, &Value::Null);
    }

    fn get(&self, agent: &Agent, path: &str) -> Reply {
        let mark = if path.contains('?') { '&' } else { '?' };
        agent.http("GET", &format!("{path}{mark}token={}", self.secret), "")
    }
}

fn index(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-consul-index").expect("an index").to_owned()
}

/// A blocked read in the background. Whether it comes before or after what follows, its answer
/// must be the one that holds afterwards.
fn blocked(agent: &Agent, path: &str) -> std::thread::JoinHandle<Reply> {
    let (address, path) = (agent.http.clone(), path.to_owned());
    let (started, waiting) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        started.send(()).expect("somebody waits");
        request_within(&address, "GET", &path, b"", Duration::from_secs(60)).expect("an answer")
    });
    waiting.recv().expect("the reader starts");
    reader
}

const NODES: &str = r#"node_prefix "" { policy = "read" }"#;

#[test]
fn it_returns_what_may_be_seen_by_then() {
    let agent = closed(&json!({}));
    let bearer = Bearer::new(&agent, NODES);
    let first = bearer.get(&agent, "/v1/catalog/nodes");
    assert!(first.text().contains("node1"), "{}", first.text());
    let path =
        format!("/v1/catalog/nodes?wait=60s&index={}&token={}", index(&first), bearer.secret);
    let waiting = blocked(&agent, &path);
    bearer.change(&agent, r#"node "seen" { policy = "read" }"#);
    for name in ["seen", "hidden"] {
        let node = json!({"Node": name, "Address": "10.0.0.1"});
        let _ = agent.json("PUT", "/v1/catalog/register?token=root", &node);
    }
    let reply = waiting.join().expect("no panic");
    let names: Vec<_> = reply
        .json()
        .as_array()
        .expect("a list")
        .iter()
        .map(|node| node["Node"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(reply.status, 200);
    assert!(names.is_empty() || names == ["seen"], "{names:?}");
    assert_eq!(reply.header("x-consul-results-filtered-by-acls"), Some("true"));
    let all = bearer.get(&agent, "/v1/catalog/nodes").json();
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
}

#[test]
fn a_token_that_is_gone_gets_nothing_any_more() {
    let agent = closed(&json!({}));
    let bearer = Bearer::new(&agent, NODES);
    let first = bearer.get(&agent, "/v1/catalog/nodes");
    let path =
        format!("/v1/catalog/nodes?wait=60s&index={}&token={}", index(&first), bearer.secret);
    let waiting = blocked(&agent, &path);
    bearer.revoke(&agent);
    let node = json!({"Node": "other", "Address": "10.0.0.1"});
    let _ = agent.json("PUT", "/v1/catalog/register?token=root", &node);
    let reply = waiting.join().expect("no panic");
    assert_eq!((reply.status, reply.text().as_str()), (403, "ACL not found"));
    assert_eq!(bearer.get(&agent, "/v1/catalog/nodes").status, 403);
}

#[test]
fn who_loses_a_right_while_waiting_is_told_so_at_once() {
    let agent = closed(&json!({}));
    let bearer = Bearer::new(&agent, NODES);
    let first = bearer.get(&agent, "/v1/catalog/nodes");
    let start = Instant::now();
    let path =
        format!("/v1/catalog/nodes?wait=60s&index={}&token={}", index(&first), bearer.secret);
    let waiting = blocked(&agent, &path);
    bearer.revoke(&agent);
    let reply = waiting.join().expect("no panic");
    assert_eq!((reply.status, reply.text().as_str()), (403, "ACL not found"));
    let bearer = Bearer::new(&agent, r#"key "a" { policy = "read" }"#);
    let _ = agent.json("PUT", "/v1/kv/a?token=root", &json!(1));
    let first = bearer.get(&agent, "/v1/kv/a");
    let waiting = blocked(
        &agent,
        &format!("/v1/kv/a?wait=60s&index={}&token={}", index(&first), bearer.secret),
    );
    bearer.change(&agent, r#"key "a" { policy = "write" }"#);
    bearer.change(&agent, r#"key "b" { policy = "read" }"#);
    let reply = waiting.join().expect("no panic");
    assert_eq!((reply.status, reply.text().as_str()), (403, "Permission denied"));
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn a_key_that_may_not_be_read_is_not_waited_for() {
    let agent = closed(&json!({}));
    let bearer = Bearer::new(&agent, r#"key "a" { policy = "read" }"#);
    let _ = agent.json("PUT", "/v1/kv/a?token=root", &json!(1));
    let start = Instant::now();
    let refused = bearer.get(&agent, "/v1/kv/b?index=999999&wait=60s");
    assert_eq!((refused.status, refused.text().as_str()), (403, "Permission denied"));
    assert!(start.elapsed() < PATIENCE);
    let first = bearer.get(&agent, "/v1/kv/a");
    let path = format!("/v1/kv/a?wait=60s&index={}&token={}", index(&first), bearer.secret);
    let waiting = blocked(&agent, &path);
    bearer.change(&agent, r#"key "b" { policy = "read" }"#);
    let _ = agent.json("PUT", "/v1/kv/a?token=root", &json!(2));
    let reply = waiting.join().expect("no panic");
    assert_eq!((reply.status, reply.text().as_str()), (403, "Permission denied"));
    wait_for("the new right", PATIENCE, || {
        (bearer.get(&agent, "/v1/kv/b").status == 404).then_some(())
    });
}
