//! Metrics: what is counted, with what it is about; rules for what is wanted; receivers.

use std::net::UdpSocket;
use std::time::Duration;

use lictor_testkit::{Agent, Signal, free_ports, wait_for};
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

/// Names that are shown for Prometheus, with their kind.
fn shown(agent: &Agent) -> Vec<String> {
    let text = agent.http("GET", "/v1/agent/metrics?format=prometheus&token=root", "").text();
    text.lines().filter_map(|line| line.strip_prefix("# TYPE consul_").map(str::to_owned)).collect()
}

fn until_shown(agent: &Agent, expected: &[&str]) {
    let mut missing = Vec::new();
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(40) {
        let names = shown(agent);
        let there = |name: &&&str| names.iter().any(|one| one == **name);
        missing = expected.iter().filter(|name| !there(name)).collect();
        if missing.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("not counted: {missing:?}; {}", agent.program.output());
}

#[test]
fn what_a_server_alone_does_is_counted() {
    let [port] = free_ports::<1>();
    let extra = json!({"telemetry": {"prometheus_retention_time": "1h", "disable_hostname": true},
        "ports": {"dns": port}, "acl": {"enabled": true, "default_policy": "allow",
        "tokens": {"master": "root"}}});
    let agent = Agent::dev(&extra);
    let call = |method: &str, path: &str, body: Value| {
        let sign = if path.contains('?') { '&' } else { '?' };
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let reply = agent.http(method, &format!("{path}{sign}token=root"), &text);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply
    };
    call("PUT", "/v1/kv/a", json!(1));
    call("GET", "/v1/kv/a?consistent", Value::Null);
    call("DELETE", "/v1/kv/a?recurse", Value::Null);
    let session = call("PUT", "/v1/session/create", json!({"TTL": "10s"})).json();
    let id = session["ID"].as_str().expect("an ID").to_owned();
    call("PUT", &format!("/v1/session/renew/{id}"), Value::Null);
    call("PUT", &format!("/v1/session/destroy/{id}"), Value::Null);
    call("PUT", "/v1/txn", json!([{"KV": {"Verb": "set", "Key": "t", "Value": ""}}]));
    call("PUT", "/v1/txn", json!([{"KV": {"Verb": "get", "Key": "t"}}]));
    call("POST", "/v1/query", json!({"Name": "q", "Service": {"Service": "web"}}));
    call("GET", "/v1/query/q/execute", Value::Null);
    let intention = json!({"SourceName": "a", "DestinationName": "b", "Action": "allow"});
    call("POST", "/v1/connect/intentions", intention);
    call("PUT", "/v1/acl/create", json!({"Name": "t", "Type": "client"}));
    call("PUT", "/v1/event/fire/deploy", Value::Null);
    call("GET", "/v1/catalog/connect/web", Value::Null);
    let archive = agent.http("GET", "/v1/snapshot?token=root", "");
    assert_eq!(archive.status, 200);
    let ask = |name: &[u8], kind: u8| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let question = [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, kind, 0, 1]].concat();
        socket.send_to(&question, ("127.0.0.1", port)).expect("it is sent");
        socket.recv(&mut [0; 2000]).expect("an answer");
    };
    ask(b"\x06consul\x07service\x06consul\0", 1);
    ask(b"\x011\x010\x010\x03127\x07in-addr\x04arpa\0", 12);
    until_shown(
        &agent,
        &[
            "acl_apply summary",
            "acl_cache_hit counter",
            "acl_cache_miss counter",
            "acl_fault summary",
            "acl_resolveToken summary",
            "autopilot_failure_tolerance gauge",
            "autopilot_healthy gauge",
            "client_api_catalog_connect_service_nodes counter",
            "client_api_success_catalog_service_nodes counter",
            "dns_domain_query summary",
            "dns_ptr_query summary",
            "fsm_acl summary",
            "fsm_autopilot summary",
            "fsm_ca summary",
            "fsm_intention summary",
            "fsm_kvs summary",
            "fsm_prepared_query summary",
            "fsm_register summary",
            "fsm_session summary",
            "fsm_txn summary",
            "leader_barrier summary",
            "leader_reconcile summary",
            "memberlist_gossip summary",
            "memberlist_msg_alive counter",
            "raft_apply counter",
            "raft_barrier counter",
            "raft_commitTime summary",
            "raft_fsm_apply summary",
            "raft_leader_dispatchLog summary",
            "raft_state_candidate counter",
            "raft_state_follower counter",
            "raft_state_leader counter",
            "raft_verify_leader counter",
            "rpc_query counter",
            "serf_events counter",
            "serf_events_consul:event:deploy counter",
            "serf_member_join counter",
            "serf_queue_Event summary",
            "session_renew summary",
            "session_ttl_active gauge",
            "txn_read summary",
        ],
    );
    let text = agent.http("GET", "/v1/agent/metrics?format=prometheus&token=root", "").text();
    for line in [
        "consul_fsm_kvs_count{op=\"set\"} ",
        "consul_fsm_kvs_count{op=\"delete-tree\"} ",
        "consul_fsm_session_count{op=\"destroy\"} ",
        "consul_autopilot_healthy 1",
        "consul_dns_ptr_query_count{node=\"node1\"} 1",
    ] {
        assert!(text.contains(line), "no {line}: {text}");
    }
    let json = agent.http("GET", "/v1/agent/metrics?token=root", "").json();
    let healthy = named(&json, "Gauges", "consul.autopilot.healthy");
    assert_eq!(healthy[0]["Value"], 1.0);
    assert_eq!(agent.http("PUT", "/v1/kv/last?token=root", "x").status, 200);
}

#[test]
fn what_agents_do_together_is_counted() {
    let quick = || {
        json!({"gossip_interval": "20ms", "probe_interval": "100ms", "probe_timeout": "50ms",
            "suspicion_mult": 2})
    };
    let start = |name: &str, flags: &[&str], join: Option<String>| {
        let folder = tempfile::Builder::new().prefix("lictor-meters-").tempdir().expect("one");
        let config = json!({"node_name": name, "data_dir": folder.path().join("data"),
            "gossip_lan": quick(), "gossip_wan": quick(), "retry_join": join.into_iter().collect::<Vec<_>>(),
            "telemetry": {"prometheus_retention_time": "1h", "disable_hostname": true}});
        Agent::start_in(folder, flags, &config)
    };
    let a = start("a", &["-server", "-bootstrap-expect=1"], None);
    let place = {
        let me = a.json("GET", "/v1/agent/self", &Value::Null);
        format!("127.0.0.1:{}", me["Member"]["Port"])
    };
    let b = start("b", &["-server"], Some(place.clone()));
    let mut c = start("c", &[], Some(place));
    wait_for("the client to reach a server", Duration::from_secs(30), || {
        (c.http("PUT", "/v1/kv/x", "1").status == 200).then_some(())
    });
    wait_for("the other to follow", Duration::from_secs(30), || {
        let peers = a.json("GET", "/v1/status/peers", &Value::Null);
        (peers.as_array().map(Vec::len) == Some(2)).then_some(())
    });
    until_shown(&c, &["client_rpc counter", "memberlist_probeNode summary"]);
    let everybody = [
        "memberlist_probeNode summary",
        "memberlist_pushPullNode summary",
        "memberlist_tcp_connect counter",
        "memberlist_tcp_sent counter",
        "memberlist_udp_received counter",
        "memberlist_udp_sent counter",
        "serf_coordinate_adjustment_ms summary",
        "serf_msgs_received summary",
        "serf_msgs_sent summary",
        "serf_snapshot_appendLine summary",
    ];
    until_shown(&b, &everybody);
    until_shown(
        &b,
        &[
            "raft_rpc_appendEntries summary",
            "raft_rpc_processHeartbeat summary",
            "raft_rpc_appendEntries_storeLogs summary",
            "rpc_raft_handoff counter",
        ],
    );
    c.program.signal(Signal::KILL);
    c.program.wait(Duration::from_secs(20));
    until_shown(
        &a,
        &[
            "raft_leader_lastContact summary",
            "rpc_accept_conn counter",
            "rpc_request counter",
            "memberlist_tcp_accept counter",
            "memberlist_msg_suspect counter",
            "memberlist_msg_dead counter",
            "serf_member_failed counter",
            "leader_reconcileMember summary",
        ],
    );
    let names = shown(&a);
    for what in ["heartbeat", "appendEntries_rpc", "appendEntries_logs"] {
        let start = format!("raft_replication_{what}_");
        assert!(names.iter().any(|name| name.starts_with(&start)), "{start}: {names:?}");
    }
}
