//! A sidecar that is registered with its service and run by its side.

use lictor_testkit::{Agent, free_ports};
use serde_json::json;

use crate::scene::{echo, proxy, wait_until_reaches};

#[test]
fn sidecars_find_their_configuration_by_their_service() {
    let agent = Agent::dev(&json!({}));
    let [public, outer, local, other] = free_ports::<4>();
    let register = |body: serde_json::Value| {
        let done = agent.http("PUT", "/v1/agent/service/register", &body.to_string());
        assert_eq!(done.status, 200, "{}", done.text());
    };
    register(json!({"Name": "db", "Port": echo(),
                    "Connect": {"SidecarService": {"Port": public}}}));
    let web = |bind: u16| {
        json!({"Name": "web", "Port": 1, "Connect": {"SidecarService": {
            "Port": outer, "Checks": [{"TTL": "10m", "Status": "passing"}],
            "Proxy": {"Upstreams": [{"DestinationName": "db", "LocalBindPort": bind}]},
        }}})
    };
    register(web(local));
    let (code, _, said) = agent.cli(&["connect", "proxy", "-sidecar-for", "nosuch"]);
    assert_eq!((code, said.trim()), (1, "No sidecar proxy registered for nosuch"));
    let _server = proxy(&agent, "server", &["-sidecar-for", "db"]);
    let _client = proxy(&agent, "client", &["-proxy-id", "web-sidecar-proxy"]);
    wait_until_reaches(local, true);
    // What is registered anew is followed.
    register(web(other));
    wait_until_reaches(other, true);
}
