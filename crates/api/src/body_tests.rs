//! Names, order and null rules of the bodies, against what the original was seen to write.

use serde::Serialize;

use crate::agent_check::CheckRegistration;
use crate::agent_service::{AgentService, ServiceRegistration};
use crate::catalog::{
    CatalogDeregistration, CatalogRegistration, CatalogService, ManagedProxy, Node, Service,
};
use crate::connect_ca::{CaConfig, CaRoot};
use crate::decode::{Body, decode};
use crate::duration::GoDuration;
use crate::health::{HealthCheck, HealthCheckDefinition};
use crate::intentions::Intention;
use crate::json;
use crate::prepared_query::{Execution, Explanation, Instance, PreparedQuery};
use crate::session::SessionRequest;

fn text<T: Serialize>(value: &T) -> String {
    String::from_utf8(json::to_vec(value, false).unwrap()).unwrap()
}

fn read<T: Body>(text: &str) -> T {
    decode(text.as_bytes()).unwrap()
}

#[test]
fn a_node() {
    let node = Node { node: "n".into(), address: "10.0.0.1".into(), ..Node::default() };
    assert_eq!(
        text(&node),
        "{\"ID\":\"\",\"Node\":\"n\",\"Address\":\"10.0.0.1\",\"Datacenter\":\"\",\
         \"TaggedAddresses\":null,\"Meta\":null,\"CreateIndex\":0,\"ModifyIndex\":0}"
    );
    assert_eq!(serde_json::from_str::<Node>(&text(&node)).unwrap(), node);
}

#[test]
fn a_service_of_a_node() {
    let service = Service { id: "s".into(), service: "s".into(), port: 1, ..Service::default() };
    assert_eq!(
        text(&service),
        "{\"ID\":\"s\",\"Service\":\"s\",\"Tags\":[],\"Address\":\"\",\"Meta\":null,\"Port\":1,\
         \"EnableTagOverride\":false,\"ProxyDestination\":\"\",\
         \"Connect\":{\"Native\":false,\"Proxy\":null},\"CreateIndex\":0,\"ModifyIndex\":0}"
    );
    let mut proxied = Service { kind: "connect-proxy".into(), ..service };
    proxied.connect.proxy = Some(ManagedProxy::default());
    let written = text(&proxied);
    assert!(written.starts_with("{\"Kind\":\"connect-proxy\",\"ID\""), "{written}");
    assert!(written.contains("\"Connect\":{\"Native\":false,\"Proxy\":{}}"), "{written}");
    assert_eq!(serde_json::from_str::<Service>(&written).unwrap(), proxied);
}

#[test]
fn a_service_in_the_catalog() {
    assert_eq!(
        text(&CatalogService::default()),
        "{\"ID\":\"\",\"Node\":\"\",\"Address\":\"\",\"Datacenter\":\"\",\
         \"TaggedAddresses\":null,\"NodeMeta\":null,\"ServiceKind\":\"\",\"ServiceID\":\"\",\
         \"ServiceName\":\"\",\"ServiceTags\":[],\"ServiceAddress\":\"\",\"ServiceMeta\":{},\
         \"ServicePort\":0,\"ServiceSocketPath\":\"\",\"ServiceEnableTagOverride\":false,\"ServiceProxyDestination\":\"\",\
         \"ServiceConnect\":{\"Native\":false,\"Proxy\":null},\"CreateIndex\":0,\
         \"ModifyIndex\":0}"
    );
}

#[test]
fn a_service_of_the_agent() {
    assert_eq!(
        text(&AgentService { id: "x".into(), service: "x".into(), ..AgentService::default() }),
        "{\"Kind\":\"\",\"ID\":\"x\",\"Service\":\"x\",\"Tags\":[],\"Meta\":{},\"Port\":0,\
         \"Address\":\"\",\"Weights\":{\"Passing\":1,\"Warning\":1},\
         \"EnableTagOverride\":false,\"CreateIndex\":0,\"ModifyIndex\":0,\
         \"ProxyDestination\":\"\",\"Connect\":null,\"Datacenter\":\"\"}"
    );
}

#[test]
fn a_check() {
    let definition = HealthCheckDefinition {
        http: "http://x".into(),
        interval: GoDuration(10_000_000_000),
        ..HealthCheckDefinition::default()
    };
    let check = HealthCheck { node: "n".into(), definition, ..HealthCheck::default() };
    assert_eq!(
        text(&check),
        "{\"Node\":\"n\",\"CheckID\":\"\",\"Name\":\"\",\"Status\":\"\",\"Notes\":\"\",\
         \"Output\":\"\",\"ServiceID\":\"\",\"ServiceName\":\"\",\"ServiceTags\":[],\
         \"Type\":\"\",\"Interval\":\"\",\"Timeout\":\"\",\"ExposedPort\":0,\
         \"Definition\":{\"HTTP\":\"http://x\",\"Interval\":\"10s\"},\"CreateIndex\":0,\
         \"ModifyIndex\":0}"
    );
}

#[test]
fn an_intention_and_a_root() {
    assert!(text(&Intention::default()).contains("\"DefaultPort\":0,\"Meta\":{},\"Precedence\""));
    assert!(text(&CaRoot::default()).contains("\"IntermediateCerts\":null,\"Active\":false"));
}

#[test]
fn a_service_registration_in_lower_case() {
    let body: ServiceRegistration = read(
        r#"{"name":"lower","tags":["t"],"port":9,"enable_tag_override":true,
            "check":{"ttl":"5m","deregister_critical_service_after":"90m","id":"ignored"},
            "connect":{"native":true,"proxy":{"config":{"Some_Key":{"Null":null}}},
                       "sidecar_service":{"port":7}},
            "meta":{"Name":"kept"},"proxy_destination":"not accepted"}"#,
    );
    assert_eq!((body.name.as_str(), body.port, body.enable_tag_override), ("lower", 9, true));
    let check = body.check.unwrap();
    assert_eq!(check.ttl, GoDuration(300_000_000_000));
    assert_eq!(check.deregister_critical_service_after, GoDuration(5_400_000_000_000));
    assert!(check.id.is_empty() && body.proxy_destination.is_empty());
    let connect = body.connect.unwrap();
    assert_eq!(text(&connect.proxy.unwrap().config), r#"{"Some_Key":{"Null":null}}"#);
    assert_eq!(connect.sidecar_service.unwrap().port, 7);
    assert_eq!(body.meta["Name"], "kept");
}

#[test]
fn what_later_versions_say_of_a_service() {
    let body: ServiceRegistration = read(
        r#"{"name":"web","weights":{"passing":10},
            "tagged_addresses":{"lan":{"address":"10.0.0.1","port":5}},
            "check":{"h2ping":"h:1","h2ping_use_tls":false,"body":"b","alias_service":"x",
                     "success_before_passing":2,"failures_before_critical":3},
            "proxy":{"destination_service_name":"db","expose":{"checks":true},
                     "upstreams":[{"destination_name":"a","mesh_gateway":{"mode":"local"}}]}}"#,
    );
    let weights = body.weights.unwrap();
    assert_eq!((weights.passing, weights.warning), (10, 0));
    assert_eq!(body.tagged_addresses["lan"].port, 5);
    let check = body.check.unwrap();
    assert_eq!((check.h2ping.as_str(), check.h2ping_use_tls), ("h:1", Some(false)));
    assert_eq!((check.body.as_str(), check.alias_service.as_str()), ("b", "x"));
    assert_eq!((check.success_before_passing, check.failures_before_critical), (2, 3));
    let proxy = body.proxy.unwrap();
    assert_eq!(proxy.expose["checks"], true);
    assert_eq!(text(&proxy.upstreams[0].config), "null");
    let written = text(&crate::catalog::ProxyConfig::default());
    assert_eq!(written, r#"{"Mode":"","MeshGateway":{},"Expose":{}}"#);
}

#[test]
fn transactions_on_the_catalog() {
    let list: Vec<crate::txn::TxnOp> = crate::decode::decode_list(
        br#"[{"node":{"verb":"cas","node":{"node":"n","modifyindex":7}}},
             {"Service":{"Verb":"set","Node":"n","Service":{"Service":"s","ModifyIndex":8}}},
             {"Check":{"Verb":"get","Check":{"Node":"n","CheckID":"c"}}},{}]"#,
    )
    .unwrap();
    let node = list[0].node.as_ref().unwrap();
    assert_eq!((node.verb.as_str(), node.node.modify_index), ("cas", 7));
    assert_eq!(list[1].service.as_ref().unwrap().service.modify_index, 8);
    assert_eq!(list[2].check.as_ref().unwrap().check.check_id, "c");
    assert!(list[3] == crate::txn::TxnOp::default());
}

#[test]
fn a_check_registration_in_snake_case() {
    let body: CheckRegistration = read(
        r#"{"name":"c","script_args":["a"],"tls_skip_verify":true,"service_id":"s",
            "docker_container_id":"d","Interval":1000000000,"AliasService":"no","Script":"no",
            "header":{"X-One":["a"]}}"#,
    );
    assert_eq!(body.args, ["a"]);
    assert_eq!((body.service_id.as_str(), body.docker_container_id.as_str()), ("s", "d"));
    assert!(body.tls_skip_verify && !body.is_empty());
    assert_eq!(body.interval, GoDuration(1_000_000_000));
    assert_eq!(body.header["X-One"], ["a"]);
    assert!(read::<CheckRegistration>(r#"{"Unknown":1}"#).is_empty());
}

#[test]
fn catalog_requests() {
    let body: CatalogRegistration = read(
        r#"{"node":"x","Service":{"service":"db","Connect":{"Native":true}},
            "Check":{"CheckID":"c","Status":"passing","definition":{"timeout":"1s"}},
            "Checks":[{"Name":"d"}],"NodeMeta":{"k":"v"},"SkipNodeUpdate":true}"#,
    );
    let service = body.service.unwrap();
    assert!(service.service == "db" && service.connect.native);
    assert_eq!(body.check.unwrap().definition.timeout, GoDuration(1_000_000_000));
    assert_eq!(body.checks[0].name, "d");
    assert_eq!(body.node_meta["k"], "v");
    assert_eq!(read::<CatalogDeregistration>(r#"{"serviceid":"s"}"#).service_id, "s");
    assert!(decode::<CatalogRegistration>(br#"{"Node":5}"#).is_err());
}

#[test]
fn prepared_queries() {
    assert_eq!(
        text(&Explanation::default()),
        "{\"Query\":{\"ID\":\"\",\"Name\":\"\",\"Session\":\"\",\"Token\":\"\",\
         \"Template\":{\"Type\":\"\",\"Regexp\":\"\",\"RemoveEmptyTags\":false},\
         \"Service\":{\"Service\":\"\",\"Failover\":{\"NearestN\":0,\"Datacenters\":null},\
         \"OnlyPassing\":false,\"IgnoreCheckIDs\":null,\"Near\":\"\",\"Tags\":null,\
         \"NodeMeta\":null,\"Connect\":false},\"DNS\":{\"TTL\":\"\"},\"CreateIndex\":0,\
         \"ModifyIndex\":0},\"Index\":0,\"LastContact\":0,\"KnownLeader\":false,\
         \"ConsistencyLevel\":\"\"}"
    );
    let mut execution = Execution { nodes: vec![Instance::default()], ..Execution::default() };
    let written = text(&execution);
    assert!(
        written.contains("\"Checks\":null}],\"DNS\":{\"TTL\":\"\"},\"Datacenter\""),
        "{written}"
    );
    assert_eq!(serde_json::from_str::<Execution>(&written).unwrap(), execution);
    execution.nodes.clear();
    assert!(text(&execution).starts_with("{\"Service\":\"\",\"Nodes\":[],\"DNS\""));
    let body: PreparedQuery = read(
        r#"{"name":"q","Template":{"type":"name_prefix_match"},"DNS":{"ttl":"5s"},"Other":1,
            "service":{"service":"web","Tags":["a"],"ignorecheckids":["c"],"nodemeta":{"K":"v"},
                       "failover":{"nearestn":3.0,"datacenters":["dc2"]}}}"#,
    );
    assert_eq!((body.name.as_str(), body.dns.ttl.as_str()), ("q", "5s"));
    assert_eq!(body.template.kind, "name_prefix_match");
    assert_eq!(
        (body.service.tags, body.service.ignore_check_ids),
        (vec!["a".into()], vec!["c".into()])
    );
    assert_eq!(body.service.node_meta["K"], "v");
    assert_eq!(body.service.failover.nearest_n, 3);
    assert_eq!(body.service.failover.datacenters, ["dc2"]);
}

#[test]
fn session_and_ca_requests() {
    let body: SessionRequest = read(r#"{"Name":"n","LockDelay":20,"Checks":[]}"#);
    assert_eq!(body.lock_delay, Some(GoDuration(20)));
    assert_eq!((body.checks, body.ttl), (Some(vec![]), None));
    assert!(decode::<SessionRequest>(br#"{"LockDelay":"abc"}"#).is_err());
    let body: CaConfig = read(r#"{"provider":"consul","config":{"LeafCertTTL":"48h"}}"#);
    assert_eq!(body.provider, "consul");
    assert_eq!(body.config["LeafCertTTL"], "48h");
}
