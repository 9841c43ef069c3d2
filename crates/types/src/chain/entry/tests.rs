//! Views of entries: absent and null fields, durations, free settings, and nonsense.

#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read<T: DeserializeOwned>(fields: Value) -> Result<T, EntryError> {
    let Value::Object(fields) = fields else { panic!("no fields") };
    view("kind", "name", &fields)
}

#[test]
fn what_is_absent_or_null_is_zero() {
    let null = json!({
        "Kind": "service-resolver", "Name": "web", "CreateIndex": 7, "Meta": {"a": "b"},
        "DefaultSubset": null, "Subsets": null, "Redirect": null, "Failover": null,
        "ConnectTimeout": null, "LoadBalancer": null,
    });
    assert!(read::<ServiceResolver>(null).unwrap().is_default());
    assert!(read::<ServiceResolver>(json!({})).unwrap().is_default());
    let inner = json!({"Subsets": {"v1": {"Filter": null}}, "Redirect": {"Service": null}});
    let resolver: ServiceResolver = read(inner).unwrap();
    assert_eq!(resolver.subsets["v1"], Subset::default());
    assert_eq!(resolver.redirect, Some(Redirect::default()));
    let named = json!({"Subsets": {"v1": null}, "Failover": {"*": null}});
    let resolver: ServiceResolver = read(named).unwrap();
    assert_eq!(resolver.subsets["v1"], Subset::default());
    assert_eq!(resolver.failover["*"], Failover::default());
    let router: ServiceRouter = read(json!({"Routes": [null, {}]})).unwrap();
    assert_eq!(router.routes, [ServiceRoute::default(), ServiceRoute::default()]);
    let split = json!({"Splits": [{"Weight": null, "Service": null}, {"Weight": 7}]});
    let splitter: ServiceSplitter = read(split).unwrap();
    assert_eq!(splitter.splits.iter().map(|split| split.weight).collect::<Vec<_>>(), [0.0, 7.0]);
    let sources = json!({"Sources": [{"Permissions": [null]}, {"Permissions": null}, null]});
    assert!(read::<ServiceIntentions>(sources).unwrap().has_permissions());
    let config = json!({"Config": {"a": null, "b": {"c": [null]}}, "MeshGateway": null});
    assert_eq!(read::<ProxyDefaults>(config).unwrap().config["b"], json!({"c": [null]}));
    let listed = json!({"Routes": [{"Match": null, "Destination": {"NumRetries": null}}]});
    let router: ServiceRouter = read(listed).unwrap();
    let route = ServiceRoute { matches: None, destination: Some(Default::default()) };
    assert_eq!(router.routes, [route]);
}

#[test]
fn durations_are_nanoseconds_or_text() {
    let seconds = |value: Value| -> Option<Duration> {
        Some(read::<ServiceResolver>(json!({"ConnectTimeout": value})).ok()?.connect_timeout)
    };
    for (value, expected) in [
        (json!(33_000_000_000_u64), Some(Duration::from_secs(33))),
        (json!("1m"), Some(Duration::from_secs(60))),
        (json!(1e9), Some(Duration::from_secs(1))),
        (json!(-5), Some(Duration::ZERO)),
        (json!(""), Some(Duration::ZERO)),
        (json!(1e300), Some(Duration::from_nanos(u64::try_from(i64::MAX).unwrap()))),
        (json!("soon"), None),
        (json!([1]), None),
    ] {
        assert_eq!(seconds(value.clone()), expected, "{value}");
    }
}

#[test]
fn the_protocol_is_a_free_setting() {
    for (config, expected) in [
        (json!({"protocol": "http"}), "http"),
        (json!({"Protocol": "grpc"}), "grpc"),
        (json!({"Protocol": "grpc", "protocol": "http"}), "http"),
        (json!({"protocol": 7}), "7"),
        (json!({"protocol": true}), "1"),
        (json!({"protocol": ["http"]}), ""),
        (json!({"bind_address": "::"}), ""),
        (json!(null), ""),
    ] {
        let defaults: ProxyDefaults = read(json!({"Config": config.clone()})).unwrap();
        assert_eq!(defaults.protocol(), expected, "{config}");
    }
}

#[test]
fn a_field_of_another_type_is_an_error_that_names_the_entry() {
    let error = read::<ServiceSplitter>(json!({"Splits": "all"})).unwrap_err().to_string();
    assert!(error.contains("\"kind\"") && error.contains("\"name\""), "{error}");
    assert!(error.contains("invalid type"), "{error}");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z*]{0,4}".prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "Splits",
        "Weight",
        "Service",
        "Routes",
        "Match",
        "HTTP",
        "Header",
        "Destination",
        "Subsets",
        "Failover",
        "Redirect",
        "ConnectTimeout",
        "LoadBalancer",
        "HashPolicies",
        "CookieConfig",
        "TTL",
        "Listeners",
        "Services",
        "Sources",
        "Permissions",
        "Config",
        "v1",
    ]);
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_fields_are_a_view_or_an_error(fields in json_value()) {
        if let Value::Object(fields) = fields {
            let _ = view::<ServiceDefaults>("k", "n", &fields);
            let _ = view::<ProxyDefaults>("k", "n", &fields).map(|view| view.protocol().len());
            let _ = view::<ServiceRouter>("k", "n", &fields);
            let _ = view::<ServiceSplitter>("k", "n", &fields);
            let _ = view::<ServiceResolver>("k", "n", &fields);
            let _ = view::<IngressGateway>("k", "n", &fields);
            let _ = view::<ServiceIntentions>("k", "n", &fields);
        }
    }
}
