//! Intentions, configuration entries, the authority, and prepared queries.

use lictor_pki::csr::make;
use lictor_pki::{PrivateKey, ServiceId, TrustDomain};
use lictor_testkit::wait_for;
use lictor_types::chain::{ChainQuery, CompiledChain, Step};
use lictor_types::command::IntentionPair;
use lictor_types::intention::{Action, Intention};
use lictor_types::prepared_query::{PreparedQuery, ServiceQuery};
use lictor_types::query::Reply;
use lictor_wire::intention::{IntentionChange, IntentionOp, Matching, Wanted};
use lictor_wire::prepared_query::{Execution, QueryArgs, QueryChange, QueryOp, RemoteExecution};
use lictor_wire::{
    Message as _, WriteRequest, config_entry, connect_ca, discovery_chain, intention,
    prepared_query,
};

use crate::SOON;
use crate::server::{Reference, asked, each, written};

#[test]
fn mesh_and_prepared_queries() {
    each("mesh_and_prepared_queries", |path| {
        let reference = Reference::start(path, false);
        let pair = |source: &str, destination: &str| IntentionPair {
            source: ("default".into(), source.into()),
            destination: ("default".into(), destination.into()),
        };
        let change = |op, id: &str| {
            let intention = Intention {
                id: id.to_owned(),
                source_ns: "default".into(),
                source_name: "web".into(),
                destination_ns: "default".into(),
                destination_name: "db".into(),
                source_type: "consul".into(),
                action: Action::Deny,
                ..no_intention()
            };
            written(IntentionChange { op, intention, has_action: op != IntentionOp::Delete })
        };
        let id = reference.call::<intention::Apply>(&change(IntentionOp::Create, ""));
        assert_eq!(id.len(), 36);
        reference.call::<intention::Apply>(&change(IntentionOp::Update, &id));
        let by_id = || Wanted { id: id.clone(), ..Wanted::default() };
        let got = reference.call::<intention::Get>(&asked(by_id()));
        assert_eq!(got.result.value.as_ref().expect("it is there").action, Action::Deny);
        assert_eq!(reference.call::<intention::List>(&asked(())).result.value.len(), 1);
        let names = vec![("default".to_owned(), "db".to_owned())];
        let matching = Some(Matching { by_source: false, names });
        let found =
            reference.call::<intention::Match>(&asked(Wanted { matching, ..Wanted::default() }));
        assert_eq!(found.result.value[0].len(), 1);
        let checked = |source| {
            let check = Some(pair(source, "db"));
            reference
                .call::<intention::Check>(&asked(Wanted { check, ..Wanted::default() }))
                .allowed
        };
        assert!(!checked("web") && checked("other"));
        reference.call::<intention::Apply>(&change(IntentionOp::Delete, &id));
        if reference.later {
            reference.call::<intention::Apply>(&change(IntentionOp::Upsert, ""));
            let pair = Some(pair("web", "db"));
            let got =
                reference.call::<intention::Get>(&asked(Wanted { pair, ..Wanted::default() }));
            assert!(got.result.value.is_some());
            reference.call::<intention::Apply>(&change(IntentionOp::Delete, ""));
            assert!(reference.call::<intention::List>(&asked(())).result.value.is_empty());
        }

        let name = || {
            asked(config_entry::ServiceName {
                name: "web".into(),
                ..config_entry::ServiceName::default()
            })
        };
        if reference.later {
            let settings = reference.call::<config_entry::ResolveServiceConfig>(&name());
            assert!(settings.0.meta.index > 0);
            configured(&reference);
        } else {
            let missing = "rpc: can't find service";
            reference.refused::<config_entry::ResolveServiceConfig>(&name(), missing);
        }

        let roots = wait_for("the authority is there", SOON, || {
            let roots = reference.try_call::<connect_ca::Roots>(&asked(())).ok()?;
            (!roots.result.value.active_root_id.is_empty()).then_some(roots)
        });
        assert!(roots.result.value.roots[0].active && roots.result.value.roots[0].not_after.0 > 0);
        let config = reference.call::<connect_ca::ConfigurationGet>(&asked(()));
        assert_eq!(config.provider, "consul");
        reference.call::<connect_ca::ConfigurationSet>(&written(connect_ca::ConfigChange {
            config: lictor_types::ca::CaChange::new(&config.provider, config.config.clone()),
        }));
        let domain = TrustDomain::for_cluster(&config.cluster_id).expect("a trust domain");
        let id = ServiceId::new(domain, "dc1", "web");
        let csr = make(&id, &PrivateKey::generate().expect("a key")).expect("a request");
        let signed = reference.call::<connect_ca::Sign>(&written(connect_ca::SignArgs { csr }));
        assert_eq!((&*signed.service, &*signed.service_uri), ("web", &*id.to_uri()));
        assert!(signed.cert_pem.contains("CERTIFICATE") && signed.valid_before.0 > 0);
        let none = || written(connect_ca::SignArgs { csr: "none".into() });
        let reason = if reference.later { "PEM" } else { "rpc: can't find method" };
        reference.refused::<connect_ca::SignIntermediate>(&none(), reason);
        let reason = if reference.later { "" } else { "rpc: can't find service" };
        reference.refused::<connect_ca::AutoEncryptSign>(&none(), reason);

        let query = |op, id: &str| {
            let service = ServiceQuery { service: "consul".into(), ..ServiceQuery::default() };
            let name = if op == QueryOp::Delete { "" } else { "q" };
            let query =
                PreparedQuery { id: id.into(), name: name.into(), service, ..Default::default() };
            written(QueryChange { op, query })
        };
        let id = reference.call::<prepared_query::Apply>(&query(QueryOp::Create, ""));
        reference.call::<prepared_query::Apply>(&query(QueryOp::Update, &id));
        let args = QueryArgs { id: id.to_string() };
        let got = reference.call::<prepared_query::Get>(&asked(args));
        let kept = got.result.value.clone().expect("the query");
        assert_eq!(kept.name, "q");
        assert_eq!(reference.call::<prepared_query::List>(&asked(())).result.value.len(), 1);
        let execution = || asked(Execution { name: "q".into(), limit: 3, ..Execution::default() });
        let explained = reference.call::<prepared_query::Explain>(&execution());
        assert_eq!(explained.result.value.service.service, "consul");
        let found = reference.call::<prepared_query::Execute>(&execution());
        assert_eq!(found.result.value.nodes.len(), 1);
        let remote = RemoteExecution { query: (*kept).clone(), limit: 0, connect: false };
        let found = reference.call::<prepared_query::ExecuteRemote>(&asked(remote));
        assert_eq!(found.result.value.nodes.len(), 1);
        reference.call::<prepared_query::Apply>(&query(QueryOp::Delete, &id));
    });
}

fn no_intention() -> Intention {
    // What an empty message is read as.
    let bytes = [0x81, 0xa9, b'I', b'n', b't', b'e', b'n', b't', b'i', b'o', b'n', 0x80];
    WriteRequest::<IntentionChange>::decode(&bytes).expect("an empty intention").args.intention
}

/// Configuration entries, and what they make of a chain.
fn configured(reference: &Reference) {
    let change = |kind: &str, fields: serde_json::Value| config_entry::EntryChange {
        op: "upsert".to_owned(),
        entry: config_entry::Entry {
            kind: kind.to_owned(),
            fields: fields.as_object().cloned().unwrap_or_default(),
        },
        ..config_entry::EntryChange::default()
    };
    let service = change(
        "service-defaults",
        serde_json::json!({"Kind": "service-defaults", "Name": "api", "Protocol": "http"}),
    );
    let proxies = change(
        "proxy-defaults",
        serde_json::json!({"Kind": "proxy-defaults", "Name": "global", "Config": {"a": "b"}}),
    );
    for change in [&service, &proxies] {
        assert!(reference.call::<config_entry::Apply>(change));
    }
    let named = |kind: &str, name: &str| {
        asked(config_entry::EntryName { kind: kind.to_owned(), name: name.to_owned() })
    };
    let got = reference.call::<config_entry::Get>(&named("service-defaults", "api")).0;
    let fields = got.entry.expect("it was written").fields;
    assert!(fields["Protocol"] == "http" && got.meta.index > 0, "{fields:?}");
    let missing = reference.call::<config_entry::Get>(&named("service-defaults", "other")).0;
    assert!(missing.entry.is_none() && missing.meta.index > 0);
    let listed = reference.call::<config_entry::List>(&named("proxy-defaults", "")).0;
    assert_eq!((listed.entries.len(), &*listed.kind), (1, "proxy-defaults"));
    assert_eq!(listed.entries[0].fields["Config"]["a"], "b");
    let kinds = ["service-defaults", "proxy-defaults"].map(str::to_owned).to_vec();
    let all = reference.call::<config_entry::ListAll>(&asked(config_entry::Kinds { kinds })).0;
    let mut kinds: Vec<_> = all.entries.iter().map(|entry| &*entry.kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["proxy-defaults", "service-defaults"]);

    let args = ChainQuery { service: "api".to_owned(), ..ChainQuery::default() };
    let chain = wait_for("the authority is there", SOON, || {
        let reply = reference.try_call::<discovery_chain::Get>(&asked(args.clone())).ok()?;
        reply.result.value.clone()
    });
    assert_eq!((&*chain.protocol, &*chain.service), ("http", "api"));
    assert!(chain.nodes.contains_key(&chain.start));
    let routed = routed(&change, reference);
    for change in routed.iter().rev().chain([&service, &proxies]) {
        reference.call::<config_entry::Delete>(change);
    }
}

/// A chain with a node of each type, as the original writes it, and written again.
fn routed(
    change: &dyn Fn(&str, serde_json::Value) -> config_entry::EntryChange,
    reference: &Reference,
) -> Vec<config_entry::EntryChange> {
    let balancer = serde_json::json!({"Policy": "maglev", "HashPolicies": [
        {"Field": "cookie", "FieldValue": "c", "CookieConfig": {"TTL": 7, "Path": "/"}},
    ]});
    let entries = [
        (
            "service-resolver",
            serde_json::json!({
                "Subsets": {"v1": {"Filter": "Service.Meta.v == v1", "OnlyPassing": true}},
                "Failover": {"*": {"Datacenters": ["dc2"]}}, "LoadBalancer": balancer,
            }),
        ),
        (
            "service-splitter",
            serde_json::json!({"Splits": [
                {"Weight": 66.67, "ServiceSubset": "v1"}, {"Weight": 33.33},
            ]}),
        ),
        (
            "service-router",
            serde_json::json!({"Routes": [{
                "Match": {"HTTP": {"PathPrefix": "/x", "Methods": ["GET"],
                    "Header": [{"Name": "a", "Present": true}],
                    "QueryParam": [{"Name": "b", "Exact": "c"}]}},
                "Destination": {"ServiceSubset": "v1", "NumRetries": 3, "RequestTimeout": 7,
                    "RetryOnStatusCodes": [503]},
            }]}),
        ),
    ];
    let changes = entries.map(|(kind, mut fields)| {
        fields["Kind"] = kind.into();
        fields["Name"] = "api".into();
        change(kind, fields)
    });
    for change in &changes {
        assert!(reference.call::<config_entry::Apply>(change));
    }
    let args = asked(ChainQuery { service: "api".to_owned(), ..ChainQuery::default() });
    let reply = reference.call::<discovery_chain::Get>(&args);
    let chain = reply.result.value.as_ref().expect("it is there");
    assert_eq!(chain.start, "router:api.default");
    let Step::Router(routes) = &chain.nodes[&chain.start].step else { panic!("{chain:?}") };
    let route = routes[0].definition.as_ref().expect("it is ours");
    let http = route.matches.as_ref().and_then(|matches| matches.http.as_ref()).expect("of HTTP");
    assert!(http.header[0].present && http.query_param[0].exact == "c" && http.methods == ["GET"]);
    let to = route.destination.as_ref().expect("where to");
    assert_eq!((to.num_retries, to.request_timeout.as_nanos()), (3, 7));
    assert_eq!(to.retry_on_status_codes, [503]);
    let Step::Splitter { splits, load_balancer } = &chain.nodes["splitter:api.default"].step else {
        panic!("{chain:?}")
    };
    let weights: Vec<_> = splits.iter().map(|split| split.weight).collect();
    assert_eq!(weights, [66.67, 33.33]);
    let cookie = load_balancer.as_ref().and_then(|own| own.hash_policies[0].cookie.as_ref());
    assert_eq!(cookie.expect("a cookie").ttl.as_nanos(), 7);
    let Step::Resolver { resolver, .. } = &chain.nodes["resolver:v1.api.default.dc1"].step else {
        panic!("{chain:?}")
    };
    assert_eq!(resolver.failover, ["v1.api.default.dc2"]);
    assert!(chain.targets[&resolver.target].subset.only_passing);
    let bytes = reply.encode().expect("it is written");
    let again = Reply::<Option<CompiledChain>>::decode(&bytes).expect("it is read");
    assert_eq!(again.result.value, reply.result.value);
    changes.to_vec()
}
