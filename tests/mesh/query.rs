//! An upstream that is a prepared query: what it means is decided at the agent.

use lictor_testkit::{Agent, free_ports, wait_for};
use serde_json::{Value, json};

use crate::scene::{PATIENCE, echo, proxy, wait_until_reaches};

#[test]
fn an_upstream_may_be_a_prepared_query() {
    let agent = Agent::dev(&json!({}));
    let [public, local] = free_ports::<2>();
    let target = format!("127.0.0.1:{}", echo());
    let listen = format!("127.0.0.1:{public}");
    let _server = proxy(
        &agent,
        "server",
        &["-service", "db", "-service-addr", &target, "-listen", &listen, "-register"],
    );
    // Executions are repeated at a slow pace only, so the query must find the proxy at once.
    let body = json!({"Name": "any-", "Template": {"Type": "name_prefix_match"},
                      "Service": {"Service": "${name.suffix}"}});
    let _ = agent.json("POST", "/v1/query", &body);
    wait_for("the proxy to be found", PATIENCE, || {
        let path = "/v1/query/any-db/execute?connect=true";
        let found = agent.json("GET", path, &Value::Null);
        (found["Nodes"].as_array().map(Vec::len) == Some(1)).then_some(())
    });
    let upstream = format!("any-db.query:127.0.0.1:{local}");
    let _client = proxy(&agent, "client", &["-service", "web", "-upstream", &upstream]);
    wait_until_reaches(local, true);
}
