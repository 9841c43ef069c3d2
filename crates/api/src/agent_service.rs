//! `/v1/agent/service…`: services of the local agent.
//!
//! How they appear in the catalog is in [`crate::catalog`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent_check::{AgentServiceCheck, CheckRegistration, SERVICE_CHECK};
use crate::catalog::{
    ADDRESS, LOCALITY, Locality, PROXY, ProxyConfig, ServiceAddress, WEIGHTS, Weights,
};
use crate::client::{Client, ClientError};
use crate::decode::{Body, Content, Field, Fields, aliased, list, object, opaque, plain};
use crate::nullable::{self, StringMap};
use crate::url;

/// The managed proxy of a local service, with everything decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentManagedProxy {
    /// `daemon` or `script`.
    pub exec_mode: String,
    /// Program and arguments.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub command: Vec<String>,
    /// The proxy's own configuration, as registered; `null` when none.
    pub config: Value,
}

/// The mesh part of a local service that has a managed proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentServiceConnect {
    /// It speaks mutual TLS itself.
    pub native: bool,
    /// The proxy that the agent runs.
    pub proxy: Option<AgentManagedProxy>,
}

/// A local service as the agent shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentService {
    /// `connect-proxy`, or empty.
    pub kind: String,
    /// ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name.
    pub service: String,
    /// Tags; never `null`.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub tags: Vec<String>,
    /// Metadata; never `null`.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub meta: StringMap,
    /// Port.
    pub port: i64,
    /// Own address, or empty.
    pub address: String,
    /// Addresses by kind, if any.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable::deserialize"
    )]
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    /// Path of a unix socket instead of a port.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<Locality>,
    /// Weights.
    pub weights: Weights,
    /// Whether the catalog's tags win.
    pub enable_tag_override: bool,
    /// Always 0.
    pub create_index: u64,
    /// Always 0.
    pub modify_index: u64,
    /// For a proxy: the service that it stands for.
    pub proxy_destination: String,
    /// For a proxy in the later form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyConfig>,
    /// Only for services with a managed proxy and native ones; else `null`.
    pub connect: Option<AgentServiceConnect>,
    /// Datacenter of the agent.
    pub datacenter: String,
    /// Digest of all the rest, where one may wait for its change.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub content_hash: String,
}

/// A local service with its state and its checks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentServiceHealth {
    /// The worst state of its checks.
    pub aggregated_status: String,
    /// The service; `null` when it is not here.
    pub service: Option<AgentService>,
    /// Its checks and the node's; `null` when it is not here.
    pub checks: Option<Vec<AgentServiceCheck>>,
}

/// The managed proxy in a registration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProxyRegistration {
    /// Program and arguments; empty for the agent's default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// `daemon`, `script`, or empty for the agent's default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exec_mode: String,
    /// The proxy's own configuration.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub config: Value,
}

/// The mesh part of a registration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConnectRegistration {
    /// It speaks mutual TLS itself.
    pub native: bool,
    /// Let the agent run a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyRegistration>,
    /// Register a sidecar with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sidecar_service: Option<Box<ServiceRegistration>>,
}

/// Body of `/v1/agent/service/register`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceRegistration {
    /// `connect-proxy`, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// ID; the name when empty.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Name.
    pub name: String,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Own address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Addresses by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    /// Metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: StringMap,
    /// Port.
    pub port: i64,
    /// Path of a unix socket instead.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<Locality>,
    /// Weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// A check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckRegistration>,
    /// Checks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckRegistration>,
    /// Whether the catalog's tags win.
    pub enable_tag_override: bool,
    /// Token for its catalog writes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// For a proxy: the service that it stands for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proxy_destination: String,
    /// For a proxy in the later form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyConfig>,
    /// Mesh settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<ConnectRegistration>,
}

const CONNECT: &Fields = &Fields(&[
    plain("Native"),
    object(
        "Proxy",
        &Fields(&[plain("Command"), aliased("ExecMode", &["exec_mode"]), opaque("Config")]),
    ),
    Field {
        name: "SidecarService",
        aliases: &["sidecar_service"],
        content: Content::Object(SIDECAR),
    },
]);

/// A sidecar has no sidecar of its own.
const SIDECAR: &Fields = &Fields(&[
    plain("Kind"),
    plain("ID"),
    plain("Name"),
    plain("Tags"),
    plain("Address"),
    Field {
        name: "TaggedAddresses",
        aliases: &["tagged_addresses"],
        content: Content::Map(ADDRESS),
    },
    opaque("Meta"),
    plain("Port"),
    aliased("SocketPath", &["socket_path"]),
    object("Locality", LOCALITY),
    object("Weights", WEIGHTS),
    object("Check", SERVICE_CHECK),
    list("Checks", SERVICE_CHECK),
    aliased("EnableTagOverride", &["enable_tag_override"]),
    plain("Token"),
    plain("ProxyDestination"),
    object("Proxy", PROXY),
]);

impl Body for ServiceRegistration {
    const FIELDS: &'static Fields = &Fields(&[
        plain("Kind"),
        plain("ID"),
        plain("Name"),
        plain("Tags"),
        plain("Address"),
        Field {
            name: "TaggedAddresses",
            aliases: &["tagged_addresses"],
            content: Content::Map(ADDRESS),
        },
        opaque("Meta"),
        plain("Port"),
        aliased("SocketPath", &["socket_path"]),
        object("Locality", LOCALITY),
        object("Weights", WEIGHTS),
        object("Check", SERVICE_CHECK),
        list("Checks", SERVICE_CHECK),
        aliased("EnableTagOverride", &["enable_tag_override"]),
        plain("Token"),
        plain("ProxyDestination"),
        object("Proxy", PROXY),
        object("Connect", CONNECT),
    ]);
}

impl Client {
    /// Services of the agent by ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_services(&self) -> Result<BTreeMap<String, AgentService>, ClientError> {
        self.call_json(self.get("/v1/agent/services")).await
    }

    /// Registers a service with the agent.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_service_register(
        &self,
        service: &ServiceRegistration,
    ) -> Result<(), ClientError> {
        let request = self.put("/v1/agent/service/register").json(service)?;
        self.call(request).await.map(drop)
    }

    /// Removes a service, with its checks, from the agent.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_service_deregister(&self, service_id: &str) -> Result<(), ClientError> {
        let request = self.put(&url::path("/v1/agent/service/deregister/", service_id));
        self.call(request).await.map(drop)
    }
}
