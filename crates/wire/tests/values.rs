//! What is written is read as the same value, where a field of ours is more than one of the
//! original's or another one; and what others leave out or write otherwise is understood.

use std::sync::Arc;
use std::time::Duration;

use lictor_pack::Writer;
use lictor_types::acl::{AclToken, TokenRequest};
use lictor_types::autopilot::{
    AutopilotConfig, AutopilotHealth, AutopilotWrite, LogStatus, ServerHealth,
};
use lictor_types::catalog::{
    Locality, ManagedProxy, Node, ProxyConfig, Service, ServiceConnect, ServiceKind, ServiceNode,
    Upstream,
};
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::{RegisterRequest, SessionWrite};
use lictor_types::query::{Consistency, Evaluated, QueryMeta, QueryOptions, Reply};
use lictor_types::session::Session;
use lictor_types::timestamp::Timestamp;
use lictor_wire::catalog::{ServiceArgs, ServiceList};
use lictor_wire::intention::IntentionChange;
use lictor_wire::{Message, ReadRequest, WriteRequest, operator};
use proptest::prelude::*;
use serde_json::json;

fn again<T: Message>(message: &T) -> T {
    T::decode(&message.encode().expect("it can be written")).expect("it can be read")
}

fn registered(service: Service) -> Service {
    let args = RegisterRequest { service: Some(service), ..RegisterRequest::default() };
    again(&WriteRequest::new("", "", args)).args.service.expect("a service")
}

fn later_proxy() -> Service {
    let upstream = Upstream {
        destination_name: "db".into(),
        local_bind_port: 9000,
        config: json!({"connect_timeout_ms": 1000, "deep": [1.5, "x", null, true]}),
        mesh_gateway: json!({"Mode": "local"}),
        ..Upstream::default()
    };
    let proxy = ProxyConfig {
        destination_service_name: "web".into(),
        local_service_port: 8080,
        upstreams: vec![upstream],
        transparent_proxy: json!({"OutboundListenerPort": 15001}),
        ..ProxyConfig::default()
    };
    Service {
        kind: ServiceKind::ConnectProxy,
        proxy_destination: "web".into(),
        proxy: Some(proxy),
        ..Service::default()
    }
}

#[test]
fn where_a_service_runs_goes_along() {
    let locality = Some(Locality { region: "north".into(), zone: "1".into() });
    let service = Service { locality: locality.clone(), ..Service::default() };
    assert_eq!(registered(service).locality, locality);
    assert_eq!(registered(Service::default()).locality, None);
}

#[test]
fn a_proxy_keeps_the_form_in_which_it_was_registered() {
    let old = Service {
        kind: ServiceKind::ConnectProxy,
        proxy_destination: "web".into(),
        ..Service::default()
    };
    assert_eq!(registered(old.clone()), old);
    let row = ServiceNode { node: Arc::default(), service: Arc::new(old) };
    let reply = |rows| Reply { result: Evaluated::new(1, rows), meta: QueryMeta::default() };
    assert_eq!(again(&reply(vec![row.clone()])).result.value, [row]);

    let later = later_proxy();
    assert_eq!(registered(later.clone()), later);
    let row = ServiceNode { node: Arc::default(), service: Arc::new(later) };
    assert_eq!(again(&reply(vec![row.clone()])).result.value, [row]);

    let managed = ManagedProxy { config: json!({"port": 7}), ..ManagedProxy::default() };
    let connect = ServiceConnect { native: false, proxy: Some(managed) };
    let managed = Service { connect, ..Service::default() };
    assert_eq!(registered(managed.clone()), managed);
}

#[test]
fn a_proxy_of_later_versions_has_a_destination_for_1_2() {
    // As version 1.10 registers it: nothing but `Proxy`.
    let mut to = Writer::default();
    to.map(1).raw("Service").map(2).raw("Kind").raw("connect-proxy");
    to.raw("Proxy").map(1).raw("DestinationServiceName").raw("web");
    let request = WriteRequest::<RegisterRequest>::decode(&to.into_bytes()).expect("a request");
    let service = request.args.service.expect("a service");
    assert_eq!(service.proxy_destination, "web");
    assert_eq!(service.proxy.expect("a proxy").destination_service_name, "web");
}

#[test]
fn checks_of_a_session_are_one_list_whichever_way_they_come() {
    let session = Session {
        checks: vec!["serfHealth".into(), "service:web".into()],
        service_checks: vec!["service:web".into()],
        lock_delay: 15,
        ..Session::default()
    };
    let create = WriteRequest::new("", "", SessionWrite::Create(session.clone()));
    assert_eq!(again(&create).args, SessionWrite::Create(session));
    let destroy = WriteRequest::new("", "", SessionWrite::Destroy("x".into()));
    assert_eq!(again(&destroy).args, SessionWrite::Destroy("x".into()));
    // Nothing but the checks of nodes, as version 1.10 has them; and what is done comes last.
    let mut to = Writer::default();
    to.map(2).raw("Session").map(2).raw("ID").raw("y");
    to.raw("NodeChecks").array(1).raw("serfHealth").raw("Op").raw("create");
    let SessionWrite::Create(read) =
        WriteRequest::<SessionWrite>::decode(&to.into_bytes()).expect("a request").args
    else {
        panic!("not created");
    };
    assert_eq!(read.checks, ["serfHealth"]);
    assert_eq!(&*read.id, "y");
}

#[test]
fn tags_are_wanted_in_both_forms() {
    let wanted = |tags: &[&str]| {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let args = ServiceArgs { tags: tags[..].into(), ..ServiceArgs::default() };
        again(&ReadRequest::new(&QueryOptions::default(), args)).args.tags.to_vec()
    };
    assert_eq!(wanted(&["a", "b"]), ["a", "b"]);
    assert!(wanted(&[]).is_empty());
    // Version 1.2 has one, which may be there without counting.
    for (filter, tags) in [(true, &["a"][..]), (false, &[])] {
        let mut to = Writer::default();
        to.map(2).raw("TagFilter").bool(filter).raw("ServiceTag").raw("a");
        let request = ReadRequest::<ServiceArgs>::decode(&to.into_bytes()).expect("a request");
        assert_eq!(*request.args.tags, *tags);
    }
}

#[test]
fn what_a_check_printed_need_not_be_text() {
    let mut to = Writer::default();
    to.map(1).raw("Check").map(2).raw("Output").raw([b'a', 0xff]).raw("Status").nil();
    let request = WriteRequest::<RegisterRequest>::decode(&to.into_bytes()).expect("a request");
    let expected =
        HealthCheck { output: "a\u{fffd}".into(), status: Status::Critical, ..Default::default() };
    assert_eq!(request.args.checks, [expected]);
    // A name has to be.
    let mut to = Writer::default();
    to.map(1).raw("Node").raw([0xff]);
    assert!(WriteRequest::<RegisterRequest>::decode(&to.into_bytes()).is_err());
}

#[test]
fn what_an_intention_does_may_be_left_open() {
    let decoded = |action: Option<&str>| {
        let mut to = Writer::default();
        to.map(2).raw("Op").raw("create").raw("Intention");
        match action {
            Some(action) => to.map(1).raw("Action").raw(action),
            None => to.map(0),
        };
        WriteRequest::<IntentionChange>::decode(&to.into_bytes()).map(|read| read.args.has_action)
    };
    assert_eq!(decoded(Some("allow")), Ok(true));
    assert_eq!(decoded(Some("")), Ok(false));
    assert_eq!(decoded(None), Ok(false));
    assert!(decoded(Some("maybe")).is_err());
}

#[test]
fn settings_of_autopilot_carry_what_is_expected() {
    let config = AutopilotConfig { max_trailing_logs: 9, ..AutopilotConfig::default() };
    for cas in [None, Some(0), Some(7)] {
        let write = AutopilotWrite { config: config.clone(), cas };
        let read = again(&WriteRequest::new("", "", write)).args;
        assert_eq!((read.cas, read.config.max_trailing_logs), (cas, 9));
    }
}

#[test]
fn servers_are_the_same_in_both_forms() {
    let server = |id: &str, leader, voter| ServerHealth {
        id: id.into(),
        name: "n".into(),
        serf_status: "failed".into(),
        log: LogStatus { last_contact: 3, last_term: 2, last_index: 1 },
        healthy: leader,
        leader,
        voter,
        stable_since: Timestamp(5),
        ..ServerHealth::default()
    };
    let servers =
        vec![server("a", true, true), server("b", false, true), server("c", false, false)];
    let health = AutopilotHealth { healthy: false, failure_tolerance: 1, servers };
    assert_eq!(again(&health), health);
    let state = operator::State(health);
    assert_eq!(again(&state), state);
}

#[test]
fn a_token_has_a_life_only_when_it_is_asked_for() {
    let token = AclToken {
        secret_id: "s".into(),
        expiration_time: Some(Timestamp(9)),
        hash: vec![1, 2],
        ..AclToken::default()
    };
    assert_eq!(again(&token), token);
    let request = TokenRequest { token, expiration_ttl: 60, create: true };
    assert_eq!(again(&WriteRequest::new("", "", request.clone())).args, request);
}

#[test]
fn services_of_a_node_are_there_or_not() {
    let node = Arc::new(Node { name: "n".into(), ..Node::default() });
    let service = |id: &str| Arc::new(Service { id: id.into(), ..Service::default() });
    for found in [None, Some((node, vec![service("a"), service("b")]))] {
        let meta = QueryMeta::default();
        let reply = Reply { result: Evaluated::new(3, found.clone()), meta };
        assert_eq!(again(&reply).result.value, found);
        let reply = Reply { result: Evaluated::new(3, ServiceList(found.clone())), meta };
        assert_eq!(again(&reply).result.value, ServiceList(found));
    }
}

proptest! {
    #[test]
    fn options_and_facts_are_kept(
        datacenter in "\\PC{0,9}", token in "\\PC{0,40}", filter in "\\PC{0,40}", min_index: u64,
        wait in 0..i64::MAX, which in 0..3_usize, known_leader: bool, filtered: bool,
    ) {
        let consistency = [Consistency::Leader, Consistency::Stale, Consistency::Consistent][which];
        let max_wait = Duration::from_nanos(wait.unsigned_abs());
        let max_stale = Duration::from_secs(1);
        let options =
            QueryOptions { datacenter, token, min_index, max_wait, consistency, max_stale, filter };
        let read = again(&ReadRequest { options: options.clone(), args: () }).options;
        prop_assert_eq!(read.datacenter, options.datacenter);
        prop_assert_eq!(read.token, options.token);
        prop_assert_eq!(read.filter, options.filter);
        prop_assert_eq!((read.min_index, read.max_wait), (min_index, max_wait));
        prop_assert_eq!(read.consistency, consistency);
        prop_assert_eq!(read.max_stale, Duration::ZERO, "whoever asks looks at it");
        let meta =
            QueryMeta { index: min_index, last_contact: max_wait, known_leader, consistency, filtered };
        let reply = again(&Reply { result: Evaluated::new(min_index, ()), meta });
        prop_assert_eq!(reply.meta, meta);
        prop_assert_eq!(reply.result.index, min_index);
    }

    #[test]
    fn free_values_are_kept(
        text in "\\PC{0,40}", whole in any::<i64>(), large in any::<u64>(),
        fraction in any::<f64>().prop_filter("JSON has no word for it", |n| n.is_finite()),
    ) {
        // What is whole is shown as such, however it came.
        let shown = if fraction.fract() == 0.0 && fraction.abs() < 9_007_199_254_740_992.0 {
            json!(fraction as i64)
        } else {
            json!(fraction)
        };
        let config = |fraction| json!({"a": [text, whole, large, fraction], "b": {"c": null, "d": true}});
        let proxy = ProxyConfig { config: config(json!(fraction)), ..ProxyConfig::default() };
        let service = Service { proxy: Some(proxy), ..Service::default() };
        let read = registered(service).proxy.expect("a proxy");
        prop_assert_eq!(read.config, config(shown));
    }
}
