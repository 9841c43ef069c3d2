//! Access control: what a token permits, on every endpoint and wherever else something is shown.
//!
//! The table of endpoints and rights is in `table`; it is held against the routes of the source,
//! so that an endpoint without a decision fails a test.

mod blocking;
mod table;
mod views;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lictor_testkit::Agent;
use serde_json::{Value, json};

/// How long anything may take that does not say otherwise.
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent that permits nothing by default; `root` may do everything, and the agent uses it for
/// itself.
fn closed(extra: &Value) -> Agent {
    let mut config = json!({
        "acl_datacenter": "dc1", "acl_default_policy": "deny",
        "acl_master_token": "root", "acl_agent_token": "root",
    });
    for (key, value) in extra.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    Agent::dev(&config)
}

/// A policy; gives its name and ID.
fn policy(agent: &Agent, rules: &str) -> (String, String) {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let name = format!("policy-{}", MADE.fetch_add(1, Ordering::Relaxed));
    let policy = json!({"Name": name, "Rules": rules});
    let made = agent.json("PUT", "/v1/acl/policy?token=root", &policy);
    (name, made["ID"].as_str().expect("an ID").to_owned())
}

/// A token with one policy.
fn token(agent: &Agent, rules: &str) -> String {
    let (name, _) = policy(agent, rules);
    let made = json!({"Policies": [{"Name": name}]});
    let made = agent.json("PUT", "/v1/acl/token?token=root", &made);
    made["SecretID"].as_str().expect("a secret").to_owned()
}
