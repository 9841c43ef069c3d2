//! Chains of entries, and what is refused: each rule once. What comes out of them was compared
//! with what the original makes of the same entries.

mod change;
mod random;
mod shape;

use lictor_types::chain::{CompiledChain, Step};
use serde_json::{Map, Value, json};

use super::*;

pub(super) const TRUST: &str = "11111111-2222-3333-4444-555555555555.consul";

pub(super) fn fields(fields: Value) -> Map<String, Value> {
    let Value::Object(fields) = fields else { panic!("no fields") };
    fields
}

/// Entries of `(kind, name, fields)`; the kind without its `service-`.
pub(super) fn entries(all: &[(&str, &str, Value)]) -> Entries {
    let mut entries = Entries::default();
    for (kind, name, value) in all {
        put(&mut entries, kind, name, value.clone());
    }
    entries
}

pub(super) fn long(kind: &str) -> String {
    let own = matches!(kind, "defaults" | "router" | "splitter" | "resolver" | "intentions");
    if own { format!("service-{kind}") } else { kind.to_owned() }
}

pub(super) fn put(entries: &mut Entries, kind: &str, name: &str, value: Value) {
    entries.insert(&long(kind), name, &fields(value)).unwrap();
}

pub(super) fn options() -> CompileOptions<'static> {
    CompileOptions {
        evaluate_in: "dc1",
        used_in: "dc1",
        trust_domain: TRUST,
        ..CompileOptions::default()
    }
}

pub(super) fn chain(entries: &Entries, service: &str) -> CompiledChain {
    compile(entries, service, &options()).unwrap()
}

pub(super) fn error(entries: &Entries, service: &str) -> String {
    compile(entries, service, &options()).unwrap_err().to_string()
}

/// Splits of a splitter of the chain: weight and where to.
pub(super) fn splits<'a>(chain: &'a CompiledChain, key: &str) -> Vec<(f32, &'a str)> {
    match &chain.nodes[key].step {
        Step::Splitter { splits, .. } => {
            splits.iter().map(|split| (split.weight, &*split.next)).collect()
        }
        step => panic!("{key} is a {}", step.kind()),
    }
}

pub(super) fn resolver<'a>(
    chain: &'a CompiledChain,
    key: &str,
) -> &'a lictor_types::chain::Resolver {
    match &chain.nodes[key].step {
        Step::Resolver { resolver, .. } => resolver,
        step => panic!("{key} is a {}", step.kind()),
    }
}

pub(super) fn http(names: &[&str]) -> Entries {
    let all = names.iter().map(|name| ("defaults", *name, json!({"Protocol": "http"})));
    entries(&all.collect::<Vec<_>>())
}

/// Splits evenly between these.
pub(super) fn even(to: &[&str]) -> Value {
    let weight = 100.0 / to.len() as f64;
    let splits: Vec<_> = to.iter().map(|to| json!({"Weight": weight, "Service": to})).collect();
    json!({"Splits": splits})
}
