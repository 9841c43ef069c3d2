//! Whatever the entries say: a chain or an error, and chains whose parts fit together.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 5] = ["a", "b", "c", "web", "WEB"];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES.to_vec())
}

fn maybe(of: Vec<&'static str>) -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), prop::sample::select(of)]
}

prop_compose! {
    fn to()(
        service in maybe(NAMES.to_vec()),
        subset in maybe(vec!["v1", "v2"]),
        datacenter in maybe(vec!["dc1", "dc2"]),
        namespace in maybe(vec!["", "other"]),
    ) -> Value {
        let datacenters: Vec<_> = (!datacenter.is_empty()).then_some(datacenter).into_iter().collect();
        json!({
            "Service": service, "ServiceSubset": subset, "Datacenter": datacenter,
            "Datacenters": datacenters, "Namespace": namespace, "Weight": 33.33,
            "Name": if service.is_empty() { "*" } else { service },
        })
    }
}

fn list() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(to(), 0..4)
}

fn protocol() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("http"), 1 => Just(""), 1 => Just("tcp"), 1 => Just("grpc")]
}

fn entry() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    let defaults = (name(), protocol(), maybe(vec!["local"]), maybe(vec!["x.example.com"]))
        .prop_map(|(name, protocol, mode, sni)| {
            let gateway = json!({"Mode": mode});
            let fields = json!({"Protocol": protocol, "MeshGateway": gateway, "ExternalSNI": sni});
            ("defaults", name, fields)
        });
    let global = protocol().prop_map(|protocol| {
        ("proxy-defaults", "global", json!({"Config": {"protocol": protocol}}))
    });
    let router = (name(), list()).prop_map(|(name, to)| {
        let routes: Vec<_> = to.into_iter().map(|to| json!({"Destination": to})).collect();
        ("router", name, json!({"Routes": routes}))
    });
    let splitter =
        (name(), list()).prop_map(|(name, to)| ("splitter", name, json!({"Splits": to})));
    let resolver = (
        name(),
        prop::option::weighted(0.3, to()),
        prop::option::weighted(0.3, to()),
        any::<bool>(),
        maybe(vec!["v1", "v2"]),
    )
        .prop_map(|(name, redirect, failover, subsets, default)| {
            let subsets =
                if subsets { json!({"v1": {}, "v2": {"Filter": "x"}}) } else { json!({}) };
            let mut fields = json!({"Subsets": subsets, "DefaultSubset": default});
            fields["Redirect"] = json!(redirect);
            fields["Failover"] = json!(failover.map(|failover| json!({"*": failover})));
            ("resolver", name, fields)
        });
    let ingress = (name(), protocol(), list()).prop_map(|(name, protocol, to)| {
        let listener = json!({"Protocol": protocol, "Services": to});
        ("ingress-gateway", name, json!({"Listeners": [listener]}))
    });
    let intentions =
        name().prop_map(|name| ("intentions", name, json!({"Sources": [{"Permissions": [{}]}]})));
    prop_oneof![3 => defaults, 1 => global, 2 => router, 4 => splitter, 4 => resolver, 1 => ingress, 1 => intentions]
}

/// Whether everything that a chain names is in it, and nothing else.
fn consistent(chain: &CompiledChain) {
    let mut reached = BTreeSet::new();
    let mut targets = BTreeSet::new();
    let mut todo = vec![chain.start.clone()];
    while let Some(key) = todo.pop() {
        if !reached.insert(key.clone()) {
            continue;
        }
        let node = &chain.nodes[&key];
        assert_eq!(node.key(), key);
        match &node.step {
            Step::Router(routes) => todo.extend(routes.iter().map(|route| route.next.clone())),
            Step::Splitter { splits, .. } => {
                todo.extend(splits.iter().map(|split| split.next.clone()));
                assert!(splits.iter().all(|split| split.next.starts_with("resolver:")));
            }
            Step::Resolver { resolver, .. } => {
                targets.insert(resolver.target.clone());
                targets.extend(resolver.failover.iter().cloned());
            }
        }
    }
    assert!(reached.iter().eq(chain.nodes.keys()), "{chain:?}");
    assert!(targets.iter().all(|id| chain.targets.contains_key(id)), "{chain:?}");
}

proptest! {
    #[test]
    fn any_entries_make_a_chain_or_an_error(
        all in prop::collection::vec(entry(), 0..12),
        protocol in protocol(),
        nanos in 0_u64..3,
    ) {
        let all = entries(&all);
        let wishes = CompileOptions {
            evaluate_in: "dc2",
            protocol,
            mesh_gateway: "local",
            connect_timeout: Duration::from_nanos(nanos),
            ..options()
        };
        for name in NAMES {
            for options in [options(), wishes] {
                if let Ok(chain) = compile(&all, name, &options) {
                    consistent(&chain);
                }
            }
        }
    }

    /// Entries that were let in one after the other make chains, whatever is wished.
    #[test]
    fn what_is_let_in_makes_chains(all in prop::collection::vec(entry(), 0..14)) {
        let mut kept = Entries::default();
        for (kind, name, fields) in all {
            let mut tried = kept.clone();
            put(&mut tried, kind, name, fields);
            if check(&tried, &long(kind), name, "dc1").is_ok() {
                kept = tried;
                let own = compile(&kept, name, &options());
                prop_assert!(own.is_ok() || matches!(kind, "ingress-gateway" | "intentions"), "{own:?}");
            }
        }
    }
}
