//! A mesh where nothing is permitted by default: proxies that the agent manages and one that it
//! does not, each with no more rights than its own service has.

use lictor_testkit::{Agent, free_ports};
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::{scene, supervision};

fn closed() -> Agent {
    Agent::dev(&json!({
        "acl_datacenter": "dc1", "acl_default_policy": "deny",
        "acl_master_token": "root", "acl_agent_token": "root",
        "connect": {"proxy": {
            "allow_managed_root": true, "allow_managed_api_registration": true,
        }},
    }))
}

/// A token that is good for one service and its proxy.
fn token(agent: &Agent, service: &str) -> String {
    let rules = format!(
        "service {service:?} {{ policy = \"write\" }} service \"{service}-proxy\" {{ policy = \
         \"write\" }} service_prefix \"\" {{ policy = \"read\" }} node_prefix \"\" {{ policy = \
         \"read\" }}"
    );
    let name = format!("of-{service}");
    let policy = json!({"Name": name, "Rules": rules});
    let _ = agent.json("PUT", "/v1/acl/policy?token=root", &policy);
    let made = json!({"Policies": [{"Name": name}]});
    let made = agent.json("PUT", "/v1/acl/token?token=root", &made);
    made["SecretID"].as_str().expect("a secret").to_owned()
}

fn intend(agent: &Agent, source: &str) -> String {
    let made = json!({"SourceName": source, "DestinationName": "db", "Action": "allow"});
    let made = agent.json("POST", "/v1/connect/intentions?token=root", &made);
    made["ID"].as_str().expect("an ID").to_owned()
}

/// The token that a managed proxy was started with.
fn proxy_token(pid: Pid) -> String {
    let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
    let environment = std::fs::read(path).expect("the process runs");
    let mut words = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let found = words.find_map(|word| Some(word.strip_prefix("CONNECT_PROXY_TOKEN=")?.to_owned()));
    found.expect("a token")
}

#[test]
fn proxies_need_no_more_than_their_service_may() {
    let agent = closed();
    let [managed, own] = free_ports::<2>();
    let (db, web) = (token(&agent, "db"), token(&agent, "web"));
    let register = |service: &Value, token: &str| {
        let path = format!("/v1/agent/service/register?token={token}");
        let reply = agent.http("PUT", &path, &service.to_string());
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    register(
        &json!({"Name": "db", "Port": scene::echo(), "Token": db, "Connect": {"Proxy": {}}}),
        &db,
    );
    let upstreams = json!([{"destination_name": "db", "local_bind_port": managed}]);
    let proxy = json!({"Proxy": {"Config": {"upstreams": upstreams}}});
    register(&json!({"Name": "web", "Port": 1, "Token": web, "Connect": proxy}), &web);
    let upstream = format!("db:127.0.0.1:{own}");
    let api = token(&agent, "api");
    let _api =
        scene::proxy(&agent, "api", &["-service", "api", "-upstream", &upstream, "-token", &api]);
    let intentions = [intend(&agent, "web"), intend(&agent, "api")];
    scene::wait_until_reaches(managed, true);
    scene::wait_until_reaches(own, true);

    // What no intention speaks about is denied.
    for (port, intention) in [managed, own].into_iter().zip(&intentions) {
        let path = format!("/v1/connect/intentions/{intention}?token=root");
        let _ = agent.json("DELETE", &path, &Value::Null);
        scene::wait_until_reaches(port, false);
    }

    // A managed proxy's token speaks for its service and for no other.
    let secret = proxy_token(supervision::one_proxy(&agent, "db-proxy"));
    let get = |path: &str| agent.http("GET", &format!("{path}?token={secret}"), "").status;
    assert_eq!(get("/v1/agent/connect/ca/leaf/db"), 200);
    assert_eq!(get("/v1/agent/connect/ca/leaf/web"), 403);
    assert_eq!(get("/v1/agent/connect/proxy/db-proxy"), 200);
    assert_eq!(get("/v1/agent/connect/proxy/web-proxy"), 403);
    assert_eq!(get("/v1/kv/key"), 403);
    assert_eq!(get("/v1/agent/self"), 403);
}

#[test]
fn a_proxy_without_a_right_gets_no_certificate() {
    let agent = closed();
    let web = token(&agent, "web");
    let leaf = |service: &str, token: &str| {
        let path = format!("/v1/agent/connect/ca/leaf/{service}?token={token}");
        agent.http("GET", &path, "").status
    };
    assert_eq!((leaf("web", &web), leaf("db", &web), leaf("web", "")), (200, 403, 403));
    // Nor does one that was issued before for somebody else help.
    assert_eq!((leaf("db", "root"), leaf("db", &web)), (200, 403));
    let asked = json!({"Target": "db", "ClientCertURI": "spiffe://x/ns/default/dc/dc1/svc/web"});
    let authorize = |token: &str| {
        let path = format!("/v1/agent/connect/authorize?token={token}");
        agent.http("POST", &path, &asked.to_string()).status
    };
    assert_eq!((authorize(&web), authorize("root")), (403, 200));
}
