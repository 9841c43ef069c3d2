//! What chains look like.

use std::time::Duration;

use lictor_types::chain::CONNECT_TIMEOUT;

use super::*;

#[test]
fn without_entries_a_chain_is_one_step() {
    let chain = chain(&Entries::default(), "web");
    assert_eq!((&*chain.protocol, &*chain.customization), ("tcp", ""));
    assert_eq!((&*chain.namespace, &*chain.datacenter), ("default", "dc1"));
    assert_eq!(chain.start, "resolver:web.default.dc1");
    let own = resolver(&chain, &chain.start);
    assert!(own.default && own.connect_timeout == CONNECT_TIMEOUT && own.failover.is_empty());
    let target = &chain.targets["web.default.dc1"];
    assert_eq!(target.sni, format!("web.default.dc1.internal.{TRUST}"));
    assert_eq!((&target.name, target.external), (&target.sni, false));
    assert_eq!((chain.nodes.len(), chain.targets.len()), (1, 1));
    assert_eq!(error(&Entries::default(), ""), "serviceName is required");
}

#[test]
fn the_protocol_is_the_service_s_or_that_of_all() {
    let mut all = entries(&[("proxy-defaults", "global", json!({"Config": {"protocol": "HTTP"}}))]);
    assert_eq!(chain(&all, "web").protocol, "http");
    put(&mut all, "defaults", "web", json!({"Protocol": "gRPC"}));
    assert_eq!(chain(&all, "WEB").protocol, "grpc");
    // Who has settings of its own does not take a part of them from elsewhere.
    put(&mut all, "defaults", "web", json!({"ExternalSNI": "x"}));
    assert_eq!(chain(&all, "web").protocol, "tcp");
    put(&mut all, "proxy-defaults", "another", json!({"Config": {"protocol": "grpc"}}));
    assert_eq!(chain(&all, "api").protocol, "http");
    all.remove("proxy-defaults", "global");
    assert_eq!(chain(&all, "api").protocol, "tcp");
}

#[test]
fn a_router_leads_to_splitters_and_past_them_to_subsets() {
    let mut all = http(&["web", "admin"]);
    let subsets = json!({"Subsets": {"v1": {"Filter": "Service.Meta.v == 1"}}});
    put(&mut all, "resolver", "admin", subsets);
    put(&mut all, "splitter", "admin", even(&["web", "admin"]));
    let route = |to: Value| json!({"Match": {"HTTP": {"PathPrefix": "/x"}}, "Destination": to});
    let routes = json!({"Routes": [
        route(json!({"Service": "admin"})),
        route(json!({"Service": "admin", "ServiceSubset": "v1"})),
        route(json!(null)),
    ]});
    put(&mut all, "router", "web", routes);
    let chain = chain(&all, "web");
    assert_eq!(chain.start, "router:web.default");
    let Step::Router(routes) = &chain.nodes[&chain.start].step else { panic!("no router") };
    let next: Vec<_> = routes.iter().map(|route| &*route.next).collect();
    let web = "resolver:web.default.dc1";
    assert_eq!(next, ["splitter:admin.default", "resolver:v1.admin.default.dc1", web, web]);
    let last = routes[3].definition.as_ref().unwrap();
    let path = &last.matches.as_ref().unwrap().http.as_ref().unwrap().path_prefix;
    let to = last.destination.as_ref().unwrap();
    assert_eq!((&**path, &*to.service, &*to.namespace), ("/", "web", "default"));
    assert_eq!(chain.targets["v1.admin.default.dc1"].subset.filter, "Service.Meta.v == 1");
    // Of somebody else's chain it is no part.
    let other = super::chain(&all, "admin");
    assert_eq!(other.start, "splitter:admin.default");
    assert!(other.nodes.keys().all(|key| !key.starts_with("router")));
}

#[test]
fn splitters_behind_splitters_become_one() {
    let mut all = http(&["a", "b", "c", "x", "y"]);
    put(&mut all, "splitter", "c", even(&["x", "y", "c"]));
    let weights = |inner: &str, first: f64| json!({"Splits": [{"Weight": first, "Service": inner}, {"Weight": 100.0 - first}]});
    put(&mut all, "splitter", "b", weights("c", 12.5));
    put(&mut all, "splitter", "a", weights("b", 99.99));
    let chain = chain(&all, "a");
    let at = |name: &str| format!("resolver:{name}.default.dc1");
    let (x, y, c, b, a) = (at("x"), at("y"), at("c"), at("b"), at("a"));
    let expected = [(4.17, &*x), (4.17, &*y), (4.17, &*c), (87.49, &*b), (0.01, &*a)];
    let found = splits(&chain, "splitter:a.default");
    for ((weight, to), (expected, place)) in found.iter().zip(expected) {
        assert!((weight - expected).abs() < 0.015 && *to == place, "{found:?}");
    }
    assert_eq!(found.len(), 5);
    // Each weight is a number of hundredths.
    assert!(found.iter().all(|(w, _)| ((w * 100.0).round() / 100.0 - w).abs() < 1e-6), "{found:?}");
    // Nothing leads to the inner ones any more.
    assert!(chain.nodes.keys().all(|key| key == "splitter:a.default" || key.starts_with("res")));
}

#[test]
fn a_splitter_takes_the_first_policy_that_goes_by_a_hash() {
    let mut all = http(&["web", "a", "b", "c"]);
    let policy = |policy: &str| json!({"LoadBalancer": {"Policy": policy}});
    put(&mut all, "resolver", "a", policy("least_request"));
    put(&mut all, "resolver", "b", policy("ring_hash"));
    put(&mut all, "resolver", "c", policy("maglev"));
    put(&mut all, "splitter", "web", even(&["a", "b", "c"]));
    let chain = chain(&all, "web");
    let of = |key: &str| match &chain.nodes[key].step {
        Step::Splitter { load_balancer, .. } | Step::Resolver { load_balancer, .. } => {
            load_balancer.as_ref().map(|own| &*own.policy)
        }
        Step::Router(_) => None,
    };
    assert_eq!(of("splitter:web.default"), Some("ring_hash"));
    assert_eq!(of("resolver:a.default.dc1"), Some("least_request"));
    assert_eq!(of("resolver:c.default.dc1"), Some("maglev"));
}

#[test]
fn redirects_and_default_subsets_are_followed() {
    let all = entries(&[
        ("resolver", "web", json!({"Redirect": {"Service": "api", "Datacenter": "dc2"}})),
        (
            "resolver",
            "api",
            json!({
                "DefaultSubset": "v2", "ConnectTimeout": 1_500_000_000,
                "Subsets": {"v2": {"OnlyPassing": true}},
            }),
        ),
    ]);
    let chain = chain(&all, "web");
    assert_eq!(chain.start, "resolver:v2.api.default.dc2");
    assert_eq!(chain.targets.len(), 1);
    let target = &chain.targets["v2.api.default.dc2"];
    assert!(target.subset.only_passing);
    assert_eq!(target.connect_timeout, Duration::from_millis(1500));
    let parts = (&*target.service, &*target.service_subset, &*target.datacenter);
    assert_eq!(parts, ("api", "v2", "dc2"));
    assert!(!resolver(&chain, &chain.start).default);
}

#[test]
fn failover_leads_to_others_but_not_to_itself() {
    let failover = json!({
        "Subsets": {"v1": {}, "v2": {}}, "DefaultSubset": "v1",
        "Failover": {
            "v1": {"Datacenters": ["dc2", "dc1", "dc3"]},
            "*": {"Service": "backup"},
        },
    });
    let mut all = entries(&[
        ("resolver", "web", failover),
        (
            "resolver",
            "backup",
            json!({
                "Redirect": {"Service": "last"}, "Failover": null,
            }),
        ),
        ("resolver", "last", json!({"Failover": {"*": {"Service": "web"}}})),
    ]);
    let chain = chain(&all, "web");
    let own = resolver(&chain, "resolver:v1.web.default.dc1");
    assert_eq!(own.failover, ["v1.web.default.dc2", "v1.web.default.dc3"]);
    assert_eq!((chain.nodes.len(), chain.targets.len()), (1, 3));
    // Others' subsets are not ours, their redirects count, and their failover does not.
    put(&mut all, "resolver", "front", json!({"Failover": {"*": {"Service": "backup"}}}));
    let front = super::chain(&all, "front");
    assert_eq!(resolver(&front, "resolver:front.default.dc1").failover, ["last.default.dc1"]);
    assert_eq!(front.nodes.len(), 1);
    put(&mut all, "resolver", "alone", json!({"Failover": {"*": {"Datacenters": ["dc1"]}}}));
    let alone = super::chain(&all, "alone");
    assert!(resolver(&alone, "resolver:alone.default.dc1").failover.is_empty());
}

#[test]
fn gateways_lead_to_other_datacenters_only() {
    let mut all = entries(&[
        ("proxy-defaults", "global", json!({"MeshGateway": {"Mode": "remote"}})),
        ("resolver", "web", json!({"Failover": {"*": {"Datacenters": ["dc2"]}}})),
        ("defaults", "api", json!({"MeshGateway": {"Mode": "local"}})),
    ]);
    let mode = |all: &Entries, name: &str, wish: &str, target: &str| {
        let options = CompileOptions { evaluate_in: "dc2", mesh_gateway: wish, ..options() };
        compile(all, name, &options).unwrap().targets[target].mesh_gateway.clone()
    };
    let here = chain(&all, "web");
    assert_eq!(here.targets["web.default.dc1"].mesh_gateway, "");
    assert_eq!(here.targets["web.default.dc2"].mesh_gateway, "remote");
    assert_eq!(mode(&all, "web", "", "web.default.dc2"), "remote");
    assert_eq!(mode(&all, "api", "", "api.default.dc2"), "local");
    assert_eq!(mode(&all, "api", "none", "api.default.dc2"), "none");
    // Nor to what is outside of the mesh.
    put(&mut all, "defaults", "api", json!({"ExternalSNI": "api.example.com"}));
    assert_eq!(mode(&all, "api", "local", "api.default.dc2"), "");
    let external = chain(&all, "api");
    let target = &external.targets["api.default.dc1"];
    assert!(target.external && target.sni == "api.example.com" && target.name != target.sni);
}

#[test]
fn wishes_that_make_a_difference_have_the_original_s_digits() {
    let all = http(&["web"]);
    let wish = |service: &str, gateway: &'static str, protocol: &'static str, nanos: u64| {
        let connect_timeout = Duration::from_nanos(nanos);
        let evaluate_in = if gateway.is_empty() { "dc1" } else { "dc2" };
        let options = CompileOptions {
            mesh_gateway: gateway,
            protocol,
            connect_timeout,
            evaluate_in,
            ..options()
        };
        compile(&all, service, &options).unwrap().customization
    };
    assert_eq!(wish("web", "", "http", 5_000_000_000), "");
    assert_eq!(wish("web", "", "tcp", 0), "96f2c150");
    assert_eq!(wish("web", "", "", 7_000_000_000), "8b1bc506");
    assert_eq!(wish("web", "", "http2", 1), "149e0660");
    assert_eq!(wish("web", "local", "", 0), "c225dc1c");
    assert_eq!(wish("web", "remote", "tcp", 7_000_000_000), "c0a8267f");
}

#[test]
fn a_protocol_without_requests_leaves_routers_and_splitters_out() {
    let mut all = http(&["web", "api"]);
    put(&mut all, "splitter", "web", even(&["web", "api"]));
    put(&mut all, "router", "web", json!({"Routes": [{"Destination": {"Service": "api"}}]}));
    let tcp = compile(&all, "web", &CompileOptions { protocol: "tcp", ..options() }).unwrap();
    assert_eq!((&*tcp.protocol, &*tcp.start), ("tcp", "resolver:web.default.dc1"));
    assert!(!tcp.customization.is_empty());
    let grpc = compile(&all, "web", &CompileOptions { protocol: "grpc", ..options() }).unwrap();
    assert_eq!((&*grpc.protocol, &*grpc.start), ("grpc", "router:web.default"));
    // Where there is nothing to leave out, and nothing else is spoken, there is no difference.
    let same = compile(&all, "api", &CompileOptions { protocol: "http", ..options() }).unwrap();
    assert_eq!(same, chain(&all, "api"));
}
