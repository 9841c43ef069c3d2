//! What entries say for the proxy of one service: the defaults of all proxies, what the service
//! says for itself, and what it says for its upstreams.

use std::collections::BTreeSet;

use lictor_types::Index;
use lictor_types::config_entry::fields::{self, Fields, items, text};
use lictor_types::config_entry::{GLOBAL, Kind};
use lictor_types::intention::WILDCARD;
use serde_json::Value;

use crate::index::Table;
use crate::view::View;

/// The mode in which upstreams need not be named.
const TRANSPARENT: &str = "transparent";

/// A proxy that asks what holds for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyQuery {
    /// The service that it stands before.
    pub service: String,
    /// How its listeners are reached, by its own registration.
    pub mode: String,
    /// How it reaches other datacenters, by its own registration.
    pub mesh_gateway: Fields,
    /// The services that it leads to.
    pub upstreams: Vec<String>,
}

/// What holds for a proxy unless its registration says otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyDefaults {
    /// Settings handed to it.
    pub config: Fields,
    /// How its listeners are reached.
    pub mode: String,
    /// How it reaches other datacenters.
    pub mesh_gateway: Fields,
    /// What can be reached without the mesh.
    pub expose: Fields,
    /// How traffic is captured.
    pub transparent_proxy: Fields,
    /// Settings by upstream, `*` for all that have none of their own.
    pub upstreams: Vec<(String, Fields)>,
}

fn part(of: &Fields, name: &str) -> Fields {
    fields::part(of, name).cloned().unwrap_or_default()
}

/// Sets what is said, and leaves the rest.
fn overlay(onto: &mut Fields, fields: &Fields) {
    onto.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
}

/// The settings of an upstream under the names that proxies know.
fn merge_upstream(onto: &mut Fields, upstream: &Fields) {
    for (name, key) in [
        ("EnvoyListenerJSON", "envoy_listener_json"),
        ("EnvoyClusterJSON", "envoy_cluster_json"),
        ("Protocol", "protocol"),
        ("ConnectTimeoutMs", "connect_timeout_ms"),
        ("MeshGateway", "mesh_gateway"),
        ("Limits", "limits"),
        ("PassiveHealthCheck", "passive_health_check"),
    ] {
        if let Some(value) = upstream.get(name) {
            onto.insert(key.to_owned(), value.clone());
        }
    }
}

impl View {
    /// What holds for a proxy, and the index of the last change to any entry.
    #[must_use]
    pub fn proxy_defaults(&self, query: &ProxyQuery) -> (Index, ProxyDefaults) {
        let index = self.table_index(&[Table::ConfigEntries]);
        let entry = |kind, name: &str| self.config_entry(kind, name).1;
        let mut found = ProxyDefaults::default();
        let mut protocol = String::new();
        if let Some(global) = entry(Kind::ProxyDefaults, GLOBAL) {
            let fields = &global.fields;
            found.config = part(fields, "Config");
            text(fields, "Mode").clone_into(&mut found.mode);
            found.mesh_gateway = part(fields, "MeshGateway");
            found.expose = part(fields, "Expose");
            found.transparent_proxy = part(fields, "TransparentProxy");
            text(&found.config, "protocol").clone_into(&mut protocol);
        }
        let own = entry(Kind::ServiceDefaults, &query.service);
        if let Some(own) = &own {
            let fields = &own.fields;
            overlay(&mut found.expose, &part(fields, "Expose"));
            overlay(&mut found.mesh_gateway, &part(fields, "MeshGateway"));
            overlay(&mut found.transparent_proxy, &part(fields, "TransparentProxy"));
            if let Some(protocol) = fields.get("Protocol") {
                found.config.insert("protocol".to_owned(), protocol.clone());
            }
            if !text(fields, "Mode").is_empty() {
                text(fields, "Mode").clone_into(&mut found.mode);
            }
        }
        // A proxy that leads nowhere is told nothing about where to.
        let transparent = query.mode == TRANSPARENT || found.mode == TRANSPARENT;
        if query.upstreams.is_empty() && !transparent {
            return (index, found);
        }
        let said = own.as_ref().map(|own| part(&own.fields, "UpstreamConfig")).unwrap_or_default();
        let defaults = part(&said, "Defaults");
        let overrides: Vec<&Fields> = items(&said, "Overrides").collect();
        if !defaults.is_empty() {
            let mut settings = Fields::new();
            merge_upstream(&mut settings, &defaults);
            found.upstreams.push((WILDCARD.to_owned(), settings));
        }
        let names: BTreeSet<&str> = query
            .upstreams
            .iter()
            .map(String::as_str)
            .chain(overrides.iter().map(|one| text(one, "Name")))
            .filter(|name| !name.is_empty())
            .collect();
        for name in names {
            let mut settings = Fields::new();
            // How everybody speaks, how the upstream wants to be spoken to, and, by the following,
            // how this service wants to speak to it.
            let theirs = entry(Kind::ServiceDefaults, name);
            let theirs = theirs.as_ref().map_or("", |entry| text(&entry.fields, "Protocol"));
            let protocol = if theirs.is_empty() { &protocol } else { theirs };
            if !protocol.is_empty() {
                settings.insert("protocol".to_owned(), protocol.into());
            }
            merge_upstream(&mut settings, &defaults);
            if !query.mesh_gateway.is_empty() {
                let mode = Value::Object(query.mesh_gateway.clone());
                settings.insert("mesh_gateway".to_owned(), mode);
            }
            if let Some(own) = overrides.iter().find(|one| text(one, "Name") == name) {
                merge_upstream(&mut settings, own);
            }
            if !settings.is_empty() {
                found.upstreams.push((name.to_owned(), settings));
            }
        }
        (index, found)
    }
}

#[cfg(test)]
mod tests {
    use lictor_types::command::Command;
    use lictor_types::config_entry::{ConfigEntry, ConfigEntryWrite};
    use serde_json::json;

    use super::*;
    use crate::store::Store;

    fn put(store: &Store, given: Value) {
        let Value::Object(given) = given else { panic!("no object") };
        let entry = Box::new(ConfigEntry::from_json(&given).unwrap());
        let write = ConfigEntryWrite::Upsert { entry, cas: None };
        store.apply_batch([Command::ConfigEntry(Box::new(write))]);
    }

    #[test]
    fn the_nearest_word_counts() {
        let store = Store::new();
        let query = |upstreams: &[&str]| ProxyQuery {
            service: "web".to_owned(),
            upstreams: upstreams.iter().map(|name| (*name).to_owned()).collect(),
            ..ProxyQuery::default()
        };
        assert_eq!(store.view().proxy_defaults(&query(&["db"])), (0, ProxyDefaults::default()));
        put(
            &store,
            json!({"Kind": "proxy-defaults", "Config": {"protocol": "http", "n": 1},
            "MeshGateway": {"Mode": "local"}}),
        );
        put(
            &store,
            json!({"Kind": "service-defaults", "Name": "web", "Protocol": "grpc",
            "Expose": {"Checks": true}, "UpstreamConfig": {
                "Defaults": {"ConnectTimeoutMs": 5}, "Overrides": [
                    {"Name": "api", "Protocol": "tcp"}, {"Name": "db", "ConnectTimeoutMs": 7}]}}),
        );
        put(&store, json!({"Kind": "service-defaults", "Name": "db", "Protocol": "tcp"}));
        let (index, found) = store.view().proxy_defaults(&query(&[]));
        assert_eq!(index, 3);
        assert_eq!(Value::Object(found.config), json!({"protocol": "grpc", "n": 1}));
        assert_eq!(Value::Object(found.mesh_gateway), json!({"Mode": "local"}));
        assert_eq!(Value::Object(found.expose), json!({"Checks": true}));
        assert!(found.upstreams.is_empty(), "it leads nowhere");
        let (_, found) = store.view().proxy_defaults(&query(&["db", "other"]));
        let upstreams: Vec<_> =
            found.upstreams.into_iter().map(|(name, one)| (name, Value::Object(one))).collect();
        assert_eq!(
            upstreams,
            [
                ("*".to_owned(), json!({"connect_timeout_ms": 5})),
                ("api".to_owned(), json!({"protocol": "tcp", "connect_timeout_ms": 5})),
                ("db".to_owned(), json!({"protocol": "tcp", "connect_timeout_ms": 7})),
                ("other".to_owned(), json!({"protocol": "http", "connect_timeout_ms": 5})),
            ]
        );
    }
}
