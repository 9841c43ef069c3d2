//! Metrics: what is counted, with what it is about; rules for what is wanted; receivers.

use std::net::UdpSocket;
use std::time::Duration;

use lictor_testkit::{Agent, Signal, wait_for};
use serde_json::{Value, json};

fn named<'a>(all: &'a Value, kind: &str, name: &str) -> Vec<&'a Value> {
    let those = all[kind].as_array().expect("a list").iter();
    those.filter(|one| one["Name"] == name).collect()
}

#[test]
fn searches_are_counted_with_their_service_and_rules_hide_names() {
    let extra = json!({"telemetry": {"prefix_filter": ["-consul.http", "+consul.http.GET.v1.kv"],
        "prometheus_retention_time": "1h", "disable_hostname": true}});
    let agent = Agent::dev(&extra);
    let metrics = wait_for("the figures", Duration::from_secs(40), || {
        let _ = agent.http("GET", "/v1/catalog/service/web?tag=x", "");
        let _ = agent.http("GET", "/v1/health/service/consul", "");
        let _ = agent.http("GET", "/v1/kv/a", "");
        let metrics = agent.json("GET", "/v1/agent/metrics", &Value::Null);
        (!named(&metrics, "Counters", "consul.catalog.service.query-tag").is_empty())
            .then_some(metrics)
    });
    let labels = |name: &str| named(&metrics, "Counters", name)[0]["Labels"].clone();
    assert_eq!(labels("consul.catalog.service.query"), json!({"service": "web"}));
    assert_eq!(labels("consul.catalog.service.query-tag"), json!({"service": "web", "tag": "x"}));
    assert_eq!(labels("consul.catalog.service.not-found"), json!({"service": "web"}));
    assert_eq!(labels("consul.health.service.query"), json!({"service": "consul"}));
    assert_eq!(labels("consul.client.api.catalog_service_nodes"), json!({"node": "node1"}));
    assert!(named(&metrics, "Counters", "consul.health.service.not-found").is_empty());
    let text = agent.http("GET", "/v1/agent/metrics?format=prometheus", "").text();
    assert!(text.contains("consul_catalog_service_query{service=\"web\"} "), "{text}");
    assert!(text.contains("\nconsul_http_GET_v1_kv___count "), "{text}");
    assert!(!text.contains("consul_http_GET_v1_catalog"), "{text}");

    // A reload changes the rules.
    let file = agent.folder.path().join("agent.json");
    let config = std::fs::read_to_string(&file).expect("the configuration");
    std::fs::write(&file, config.replace("-consul.http", "-consul.catalog")).expect("a file");
    agent.program.signal(Signal::HUP);
    wait_for("the new rules", Duration::from_secs(20), || {
        let text = agent.http("GET", "/v1/agent/metrics?format=prometheus", "").text();
        let seen = text.contains("consul_http_GET_v1_catalog");
        (seen && !text.contains("consul_catalog_service_query")).then_some(())
    });
}

#[test]
fn every_receiver_gets_every_value_in_its_form() {
    let bind = || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let address = socket.local_addr().expect("its address").to_string();
        (socket, address)
    };
    let ((statsd, statsd_at), (dog, dog_at)) = (bind(), bind());
    let extra = json!({"telemetry": {"statsd_address": statsd_at, "dogstatsd_addr": dog_at,
        "dogstatsd_tags": ["team:x"], "metrics_prefix": "own"}});
    let agent = Agent::dev(&extra);
    let _ = agent.http("GET", "/v1/catalog/service/web", "");
    let until = |socket: &UdpSocket, expected: &str| {
        let mut packet = [0; 2000];
        wait_for(expected, Duration::from_secs(20), || {
            let length = socket.recv(&mut packet).expect("a packet");
            assert!(length <= 1400);
            let text = String::from_utf8_lossy(&packet[..length]).into_owned();
            text.lines().any(|line| line.starts_with(expected)).then_some(())
        });
    };
    until(&statsd, "own.catalog.service.query.web:1.000000|c");
    until(&dog, "own.catalog.service.query:1.000000|c|#team:x,service:web");
    let _ = agent.http("GET", "/v1/status/leader", "");
    until(&statsd, "own.http.GET.v1.status.leader:");
    until(&dog, "own.runtime.alloc_bytes:");
}
