//! Nodes and service instances as the catalog stores them.
//!
//! Registration requests are in [`crate::command`]; health checks in [`crate::check`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Index;
use crate::codec::nullable;

/// String pairs kept in name order; used for metadata and tagged addresses.
pub type StringMap = BTreeMap<String, String>;

/// A machine (or an external address) that carries services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    /// UUID of the node, or empty for nodes registered without one.
    #[serde(rename = "ID")]
    pub id: String,
    /// Unique name (compared case-insensitively only by DNS).
    #[serde(rename = "Node")]
    pub name: Arc<str>,
    /// Address of the node, an IP or a host name.
    pub address: String,
    /// Datacenter that the node belongs to.
    pub datacenter: String,
    /// Further addresses by kind: `lan`, `wan`.
    #[serde(deserialize_with = "nullable")]
    pub tagged_addresses: StringMap,
    /// Free metadata.
    #[serde(deserialize_with = "nullable")]
    pub meta: StringMap,
    /// Index of the write that created the row.
    pub create_index: Index,
    /// Index of the last write that changed the row.
    pub modify_index: Index,
}

/// What a service instance is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceKind {
    /// An ordinary service.
    #[default]
    Typical,
    /// A sidecar that terminates mutual TLS for another service.
    ConnectProxy,
    /// A kind known to later versions (gateways); kept verbatim.
    Other(String),
}

impl ServiceKind {
    /// The name on the wire: empty for an ordinary service.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Typical => "",
            Self::ConnectProxy => "connect-proxy",
            Self::Other(kind) => kind,
        }
    }
}

impl From<&str> for ServiceKind {
    fn from(kind: &str) -> Self {
        match kind {
            "" => Self::Typical,
            "connect-proxy" => Self::ConnectProxy,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Serialize for ServiceKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ServiceKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

/// The managed proxy of a service: how the agent starts it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManagedProxy {
    /// `daemon`, `script`, or empty for the agent's default.
    pub exec_mode: String,
    /// Program and arguments; empty for the agent's default.
    #[serde(deserialize_with = "nullable")]
    pub command: Vec<String>,
    /// Opaque configuration handed to the proxy; `Null` when none was given.
    pub config: serde_json::Value,
}

/// How a service takes part in the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceConnect {
    /// The application speaks mutual TLS itself.
    pub native: bool,
    /// The agent runs a proxy for it.
    pub proxy: Option<ManagedProxy>,
}

/// DNS and load-balancing weights of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Weights {
    /// Weight while all checks pass.
    pub passing: u32,
    /// Weight while a check warns.
    pub warning: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// One upstream of a sidecar in the later registration form (`proxy { upstreams }`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Upstream {
    /// `service` or `prepared_query`.
    pub destination_type: String,
    /// Namespace of the destination.
    pub destination_namespace: String,
    /// Name of the destination.
    pub destination_name: String,
    /// Datacenter of the destination; empty for the local one.
    pub datacenter: String,
    /// Address the local listener binds to.
    pub local_bind_address: String,
    /// Port the local listener binds to.
    pub local_bind_port: u16,
    /// Opaque configuration.
    pub config: serde_json::Value,
    /// How it goes through mesh gateways; kept for whoever reads it, without a meaning here.
    pub mesh_gateway: serde_json::Value,
}

/// The proxy part of a sidecar in the later registration form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProxyConfig {
    /// Name of the service that the proxy stands for.
    pub destination_service_name: String,
    /// ID of the local instance that the proxy stands for.
    #[serde(rename = "DestinationServiceID")]
    pub destination_service_id: String,
    /// Address of the local application.
    pub local_service_address: String,
    /// Port of the local application; 0 when unset.
    pub local_service_port: u16,
    /// Opaque configuration.
    pub config: serde_json::Value,
    /// Destinations that the proxy offers on loopback.
    #[serde(deserialize_with = "nullable")]
    pub upstreams: Vec<Upstream>,
    /// `transparent`, `direct` or empty. Like what follows, kept for whoever reads it (a proxy of
    /// another make), without a meaning here.
    pub mode: String,
    /// How upstreams go through mesh gateways; `Null` when unset.
    pub mesh_gateway: serde_json::Value,
    /// Paths that are reachable past the proxy; `Null` when unset.
    pub expose: serde_json::Value,
    /// How traffic is captured; `Null` when unset.
    pub transparent_proxy: serde_json::Value,
}

/// Where something runs, in the terms of its provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone within it.
    pub zone: String,
}

/// A service instance without the node that carries it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    /// What it is.
    pub kind: ServiceKind,
    /// Unique on its node.
    #[serde(rename = "ID")]
    pub id: Arc<str>,
    /// The name by which it is found.
    #[serde(rename = "Service")]
    pub name: Arc<str>,
    /// Tags in the order given.
    #[serde(deserialize_with = "nullable")]
    pub tags: Vec<String>,
    /// Own address; empty means the node's.
    pub address: String,
    /// Addresses by kind (`lan`, `wan`, …), each with a port.
    #[serde(deserialize_with = "nullable")]
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    /// Free metadata.
    #[serde(deserialize_with = "nullable")]
    pub meta: StringMap,
    /// Port, 0 when none.
    pub port: u16,
    /// Path of a unix socket that it listens at instead; kept and shown, never dialled.
    pub socket_path: String,
    /// Where it runs; kept and shown.
    pub locality: Option<Locality>,
    /// Weights of the instance.
    #[serde(deserialize_with = "nullable")]
    pub weights: Weights,
    /// Whether others may change the tags in the catalog.
    pub enable_tag_override: bool,
    /// For a proxy in the 1.2 form: name of the service that it stands for.
    pub proxy_destination: String,
    /// For a proxy in the later form.
    pub proxy: Option<ProxyConfig>,
    /// Mesh settings.
    pub connect: ServiceConnect,
    /// Index of the write that created the row.
    pub create_index: Index,
    /// Index of the last write that changed the row.
    pub modify_index: Index,
}

/// What is wrong with a proxy for `destination`, in the original's words; `None` when nothing is.
#[must_use]
pub fn proxy_problems(
    destination: &str,
    port: u16,
    native: bool,
    upstreams: &[Upstream],
) -> Option<String> {
    let rules = [
        (destination.is_empty(), "ProxyDestination must be non-empty for Connect proxy services"),
        (
            destination == "*",
            "Proxy.DestinationServiceName must not be a wildcard for Connect proxy services",
        ),
        (port == 0, "Port must be set for a Connect proxy"),
        (native, "A Proxy cannot also be ConnectNative, only typical services"),
    ];
    let broken = rules.into_iter().filter(|(broken, _)| *broken);
    let mut reasons: Vec<String> = broken.map(|(_, reason)| reason.to_owned()).collect();
    reasons.extend(upstream_problems(upstreams));
    let list = || format!("{} error(s) occurred:\n\n* {}", reasons.len(), reasons.join("\n* "));
    (!reasons.is_empty()).then(list)
}

/// What is wrong with the upstreams of a proxy, in the original's words.
#[must_use]
pub fn upstream_problems<'a>(upstreams: impl IntoIterator<Item = &'a Upstream>) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut names, mut listeners) = (BTreeSet::new(), BTreeSet::new());
    for upstream in upstreams {
        let kind = &*upstream.destination_type;
        let name = &*upstream.destination_name;
        let listener = match &*upstream.local_bind_address {
            "" => format!("127.0.0.1:{}", upstream.local_bind_port),
            address => format!("{address}:{}", upstream.local_bind_port),
        };
        if !matches!(kind, "" | "service" | "prepared_query") {
            problems.push(format!("unknown upstream destination type: {kind:?}"));
        } else if name.is_empty() {
            problems.push("upstream destination name cannot be empty".to_owned());
        } else if name == "*" {
            problems.push("upstream destination name cannot be a wildcard".to_owned());
        } else if upstream.local_bind_port == 0 {
            let text = "upstream local bind port or local socket path must be defined and nonzero";
            problems.push(text.to_owned());
        } else if !names.insert((kind == "prepared_query", name, &*upstream.datacenter)) {
            problems.push(format!("upstreams cannot contain duplicates of {name}"));
        } else if !listeners.insert(listener.clone()) {
            problems.push(format!(
                "upstreams cannot contain duplicates by local bind address and port or unix \
                 path; {listener:?} is specified twice"
            ));
        }
    }
    problems
}

impl Service {
    /// The name of the service that this instance gives access to over mutual TLS: a proxy's
    /// destination, or a native service's own name; `None` for all others.
    #[must_use]
    pub fn connect_name(&self) -> Option<&str> {
        match self.kind {
            ServiceKind::ConnectProxy => match &self.proxy {
                Some(proxy) if !proxy.destination_service_name.is_empty() => {
                    Some(&proxy.destination_service_name)
                }
                _ => Some(&self.proxy_destination),
            },
            ServiceKind::Typical | ServiceKind::Other(_) => {
                self.connect.native.then_some(&*self.name)
            }
        }
    }

    /// Whether both describe the same service, indexes aside.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let a = Self { create_index: other.create_index, ..self.clone() };
        Self { modify_index: other.modify_index, ..a } == *other
    }
}

/// An address with its port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceAddress {
    /// IP or host name.
    pub address: String,
    /// Port.
    pub port: u16,
}

/// A row of the services table: an instance on a node.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceNode {
    /// The node's row at the time of the read.
    pub node: Arc<Node>,
    /// The instance.
    pub service: Arc<Service>,
}

/// An instance with its node and all checks that concern it (the node's, then its own).
#[derive(Clone, Debug, PartialEq)]
pub struct CheckServiceNode {
    /// The node.
    pub node: Arc<Node>,
    /// The instance.
    pub service: Arc<Service>,
    /// The node's checks, then the service's.
    pub checks: Vec<Arc<crate::check::HealthCheck>>,
}

/// A node with its services by id; `None` if there is no such node.
pub type NodeServices = Option<(Arc<Node>, Vec<Arc<Service>>)>;

/// A node with everything on it, as the UI's endpoints show it.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeInfo {
    /// The node.
    pub node: Arc<Node>,
    /// Its services.
    pub services: Vec<Arc<Service>>,
    /// Its checks, the services' included.
    pub checks: Vec<Arc<crate::check::HealthCheck>>,
}
