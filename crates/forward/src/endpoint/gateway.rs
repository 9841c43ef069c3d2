//! Which services a gateway leads to, by its configuration entry, and through which gateways a service is
//! reached from outside the mesh.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use lictor_types::catalog::CheckServiceNode;
use lictor_types::config_entry::fields::{items, part, text, texts};
use lictor_types::config_entry::{ConfigEntry, GLOBAL, Kind};
use lictor_types::error::EndpointError;
use lictor_types::intention::WILDCARD;
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::Wanted;
use crate::away::mapped;
use crate::servers::Servers;

/// What is spoken unless somebody says so.
const PROTOCOL: &str = "tcp";
/// The service that the servers themselves are.
const SERVERS: &str = "consul";

/// A service that a gateway leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayService {
    /// Name of the service.
    pub service: String,
    /// Kind of the gateway.
    pub kind: &'static str,
    /// Port where the gateway listens for it; 0 at one that leads out of the mesh.
    pub port: i64,
    /// What is spoken there.
    pub protocol: String,
    /// Names of hosts that lead to it.
    pub hosts: Vec<String>,
    /// PEM file of the authority that the service's certificate is of.
    pub ca_file: String,
    /// PEM file of the certificate that is shown to it.
    pub cert_file: String,
    /// PEM file with the key of that.
    pub key_file: String,
    /// Name that is asked for.
    pub sni: String,
    /// Whether it is there since the gateway leads to all services.
    pub from_wildcard: bool,
    /// Index of the creation of the gateway's entry.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// The services that the entry of a gateway names, wildcards among them.
fn named(entry: &ConfigEntry) -> Vec<GatewayService> {
    let common = GatewayService {
        kind: entry.kind.as_str(),
        create_index: entry.create_index,
        modify_index: entry.modify_index,
        ..GatewayService::default()
    };
    match entry.kind {
        Kind::IngressGateway => {
            let listeners = items(&entry.fields, "Listeners");
            let services = listeners.flat_map(|listener| {
                items(listener, "Services").map(|service| GatewayService {
                    service: text(service, "Name").to_owned(),
                    port: listener.get("Port").and_then(Value::as_i64).unwrap_or_default(),
                    protocol: text(listener, "Protocol").to_owned(),
                    hosts: texts(service, "Hosts").map(str::to_owned).collect(),
                    ..common.clone()
                })
            });
            services.collect()
        }
        Kind::TerminatingGateway => {
            let services = items(&entry.fields, "Services").map(|service| {
                let text = |name: &str| text(service, name).to_owned();
                GatewayService {
                    service: text("Name"),
                    ca_file: text("CAFile"),
                    cert_file: text("CertFile"),
                    key_file: text("KeyFile"),
                    sni: text("SNI"),
                    ..common.clone()
                }
            });
            services.collect()
        }
        _ => Vec::new(),
    }
}

/// What a service speaks, by the entries.
fn protocol(entries: &[Arc<ConfigEntry>], service: &str) -> String {
    let find = |kind, name: &str| {
        entries.iter().find(|one| one.kind == kind && one.name.eq_ignore_ascii_case(name))
    };
    let own = find(Kind::ServiceDefaults, service).map(|one| text(&one.fields, "Protocol"));
    let global =
        || Some(text(part(&find(Kind::ProxyDefaults, GLOBAL)?.fields, "Config")?, "protocol"));
    match own.or_else(global).unwrap_or_default() {
        "" => PROTOCOL.to_owned(),
        given => given.to_lowercase(),
    }
}

/// The services that a gateway leads to: those that its entry names, and in the place of a wildcard all
/// others that there are and that speak what is spoken there.
fn services(
    entries: &[Arc<ConfigEntry>],
    gateway: &str,
    known: &[Arc<str>],
) -> Vec<GatewayService> {
    let entry = entries.iter().find(|entry| {
        matches!(entry.kind, Kind::IngressGateway | Kind::TerminatingGateway)
            && entry.name.eq_ignore_ascii_case(gateway)
    });
    let all = entry.map(|entry| named(entry)).unwrap_or_default();
    let (wild, exact): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.service == WILDCARD);
    let mut found = exact;
    for wild in wild {
        let others: Vec<_> = known
            .iter()
            .filter(|name| &***name != SERVERS)
            .filter(|name| {
                !found.iter().any(|one| one.port == wild.port && *one.service == ***name)
            })
            .map(|name| GatewayService {
                service: name.to_string(),
                from_wildcard: true,
                ..wild.clone()
            })
            .collect();
        found.extend(others);
    }
    found.retain(|one| one.port == 0 || protocol(entries, &one.service) == one.protocol);
    found
}

impl Servers {
    /// The services that a gateway leads to.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn gateway_services(
        &self,
        options: &QueryOptions,
        gateway: &str,
    ) -> Result<Reply<Vec<GatewayService>>, EndpointError> {
        let entries = self.config_entries(options, "").await?;
        // An agent that is no server sees no entry without that right, and so no service.
        if let Some(server) = self.here()
            && !server.authorizer(&options.token)?.service_read(gateway)
        {
            return Err(EndpointError::permission_denied());
        }
        let is_wild = entries.result.value.iter().any(|entry| {
            entry.name.eq_ignore_ascii_case(gateway)
                && named(entry).iter().any(|one| one.service == WILDCARD)
        });
        let known = if is_wild {
            let now = QueryOptions { min_index: 0, filter: String::new(), ..options.clone() };
            let names = self.catalog_services(&now, &Default::default()).await?;
            names.result.value.keys().cloned().collect()
        } else {
            Vec::new()
        };
        Ok(mapped(entries, |entries| services(&entries, gateway, &known)))
    }
}

/// The names of the gateways that lead from outside the mesh to a service.
fn entrances(entries: &[Arc<ConfigEntry>], service: &str) -> Vec<String> {
    let known = [Arc::from(service)];
    let leads = |entry: &&Arc<ConfigEntry>| {
        entry.kind == Kind::IngressGateway
            && services(entries, &entry.name, &known).iter().any(|one| one.service == service)
    };
    entries.iter().filter(leads).map(|entry| entry.name.clone()).collect()
}

/// What is waited for.
type Change<'a> = Pin<Box<dyn Future<Output = Result<(), EndpointError>> + Send + 'a>>;

impl Servers {
    /// The instances of the gateways that lead from outside the mesh to a service. Whoever waits is told of
    /// a change to them, and to what leads where.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn health_ingress(
        &self,
        options: &QueryOptions,
        service: &str,
        wanted: &Wanted<'_>,
    ) -> Result<Reply<Vec<CheckServiceNode>>, EndpointError> {
        let waits = self.config().waits;
        let wait = if options.max_wait.is_zero() { waits.usual } else { options.max_wait };
        let deadline = Instant::now() + wait.min(waits.most);
        // A filter is about instances.
        let of_entries = QueryOptions { filter: String::new(), ..options.clone() };
        let at = |of: &QueryOptions, min_index, max_wait| QueryOptions {
            min_index,
            max_wait,
            ..of.clone()
        };
        loop {
            let entries = self.config_entries(&at(&of_entries, 0, Duration::ZERO), "").await?;
            let gateways = entrances(&entries.result.value, service);
            let mut meta = entries.meta;
            let (mut rows, mut indexes) = (Vec::new(), Vec::new());
            for gateway in &gateways {
                let now = at(options, 0, Duration::ZERO);
                let found = self.health_service_nodes(&now, gateway, wanted).await?;
                indexes.push(found.meta.index);
                meta.index = meta.index.max(found.meta.index);
                rows.extend(found.result.value.iter().cloned());
            }
            let blocks = options.min_index > 0 && meta.index <= options.min_index;
            if !blocks || Instant::now() >= deadline {
                return Ok(Reply { result: Evaluated::new(meta.index, rows), meta });
            }
            let left = deadline - Instant::now();
            let entries_index = entries.meta.index;
            let of_gateways: Vec<_> = gateways
                .iter()
                .zip(&indexes)
                .map(|(gateway, index)| (gateway, at(options, *index, left)))
                .collect();
            let of_entries = at(&of_entries, entries_index, left);
            let mut changes: Vec<Change<'_>> =
                vec![Box::pin(async { self.config_entries(&of_entries, "").await.map(drop) })];
            for (gateway, waiting) in &of_gateways {
                changes.push(Box::pin(async {
                    self.health_service_nodes(waiting, gateway, wanted).await.map(drop)
                }));
            }
            let ended = timeout_at(deadline, select_all(changes)).await;
            if let Ok((changed, ..)) = ended {
                changed?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(given: Value) -> Arc<ConfigEntry> {
        let Value::Object(given) = given else { panic!("no object") };
        Arc::new(ConfigEntry::from_json(&given).expect("an entry"))
    }

    #[test]
    fn a_wildcard_stands_for_all_that_speak_what_is_spoken_there() {
        let entries = [
            entry(json!({"Kind": "ingress-gateway", "Name": "in", "Listeners": [
                {"Port": 80, "Protocol": "http", "Services": [{"Name": "*"}, {"Name": "web"}]},
                {"Port": 81, "Protocol": "tcp", "Services": [{"Name": "db"}]}]})),
            entry(json!({"Kind": "terminating-gateway", "Name": "out",
                "Services": [{"Name": "*", "CAFile": "all"}, {"Name": "db", "SNI": "x"}]})),
            entry(json!({"Kind": "proxy-defaults", "Config": {"protocol": "HTTP"}})),
            entry(json!({"Kind": "service-defaults", "Name": "db", "Protocol": "tcp"})),
        ];
        let known: Vec<Arc<str>> =
            ["api", "consul", "db", "web"].into_iter().map(Arc::from).collect();
        let found = |gateway: &str| -> Vec<_> {
            let found = services(&entries, gateway, &known);
            found.into_iter().map(|one| (one.service, one.port, one.from_wildcard)).collect()
        };
        let row = |name: &str, port, wild| (name.to_owned(), port, wild);
        assert_eq!(
            found("in"),
            [row("web", 80, false), row("db", 81, false), row("api", 80, true)]
        );
        assert_eq!(found("OUT"), [row("db", 0, false), row("api", 0, true), row("web", 0, true)]);
        assert!(found("nosuch").is_empty());
        assert_eq!(entrances(&entries, "db"), ["in"]);
        assert_eq!(entrances(&entries, "api"), ["in"]);
        assert!(entrances(&entries[1..], "db").is_empty());
    }
}
