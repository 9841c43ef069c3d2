//! `/v1/catalog`: nodes, services and their registration.
//!
//! Health checks are in [`crate::health`].

use std::collections::BTreeMap;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::client::{Client, ClientError, ReadOptions};
use crate::decode::{Body, Fields, aliased, list, map, object, opaque, plain};
use crate::health::{CHECK, HealthCheck};
use crate::nullable::{self, StringMap};
use crate::url;

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    /// UUID, or empty.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name.
    pub node: String,
    /// Address.
    pub address: String,
    /// Datacenter.
    pub datacenter: String,
    /// Addresses by kind; none is `null`.
    #[serde(with = "nullable")]
    pub tagged_addresses: StringMap,
    /// Metadata; none is `null`.
    #[serde(with = "nullable")]
    pub meta: StringMap,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// The managed proxy of a service in the catalog; unset parts are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManagedProxy {
    /// Program and arguments.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub command: Vec<String>,
    /// `daemon` or `script`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exec_mode: String,
    /// The proxy's own configuration.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub config: Value,
}

/// How a service takes part in the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceConnect {
    /// It speaks mutual TLS itself.
    pub native: bool,
    /// The agent runs a proxy for it.
    pub proxy: Option<ManagedProxy>,
}

/// An address with a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceAddress {
    /// IP or host name.
    pub address: String,
    /// Port.
    pub port: i64,
}

/// DNS weights of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Weights {
    /// While all checks pass.
    #[serde(default)]
    pub passing: i64,
    /// While one warns.
    #[serde(default)]
    pub warning: i64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// An upstream of a sidecar in the later registration form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Upstream {
    /// `service` or `prepared_query`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination_type: String,
    /// Namespace of the destination.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination_namespace: String,
    /// Name of the destination.
    pub destination_name: String,
    /// Datacenter of the destination.
    pub datacenter: String,
    /// Address of the local listener.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub local_bind_address: String,
    /// Port of the local listener.
    pub local_bind_port: i64,
    /// The upstream's own configuration.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// How it goes through mesh gateways, as it was registered.
    #[serde(serialize_with = "as_object")]
    pub mesh_gateway: Value,
}

/// The proxy part of a sidecar in the later registration form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProxyConfig {
    /// Service that the proxy stands for; gateways have none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination_service_name: String,
    /// Local instance that it stands for.
    #[serde(rename = "DestinationServiceID", skip_serializing_if = "String::is_empty")]
    pub destination_service_id: String,
    /// Address of the local application.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub local_service_address: String,
    /// Port of the local application.
    #[serde(skip_serializing_if = "is_zero")]
    pub local_service_port: i64,
    /// The proxy's own configuration.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// Destinations offered on loopback.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub upstreams: Vec<Upstream>,
    /// How traffic reaches the proxy, as it was registered.
    pub mode: String,
    /// How upstreams go through mesh gateways, as it was registered.
    #[serde(serialize_with = "as_object")]
    pub mesh_gateway: Value,
    /// What is reachable past the proxy, as it was registered.
    #[serde(serialize_with = "as_object")]
    pub expose: Value,
    /// How traffic is captured, as it was registered.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub transparent_proxy: Value,
}

/// What is unset is an empty object.
fn as_object<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Value::Null => serializer.serialize_map(Some(0))?.end(),
        value => value.serialize(serializer),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Where something runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone within it.
    pub zone: String,
}

/// Field names of a [`Locality`].
pub(crate) const LOCALITY: &Fields = &Fields(&[plain("Region"), plain("Zone")]);

/// A service instance, without its node. `TaggedAddresses`, `Weights` and `Proxy` belong to later
/// versions, `ProxyDestination` and `Connect.Proxy` to earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    /// `connect-proxy`, or left out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Unique on its node.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name.
    pub service: String,
    /// Tags; never `null`.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub tags: Vec<String>,
    /// Own address, or empty.
    pub address: String,
    /// Addresses by kind.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable::deserialize"
    )]
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    /// Metadata; none is `null`.
    #[serde(with = "nullable")]
    pub meta: StringMap,
    /// Port.
    pub port: i64,
    /// Path of a unix socket instead of a port.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<Locality>,
    /// Weights; in a registration none are the default ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Whether the catalog's tags win over the agent's.
    pub enable_tag_override: bool,
    /// For a proxy: the service that it stands for.
    pub proxy_destination: String,
    /// For a proxy in the later form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyConfig>,
    /// Mesh settings.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub connect: ServiceConnect,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// A service instance together with its node, in one object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CatalogService {
    /// The node's UUID, or empty.
    #[serde(rename = "ID")]
    pub id: String,
    /// The node's name.
    pub node: String,
    /// The node's address.
    pub address: String,
    /// The node's datacenter.
    pub datacenter: String,
    /// The node's addresses by kind; none is `null`.
    #[serde(with = "nullable")]
    pub tagged_addresses: StringMap,
    /// The node's metadata; none is `null`.
    #[serde(with = "nullable")]
    pub node_meta: StringMap,
    /// `connect-proxy`, or empty.
    pub service_kind: String,
    /// Unique on its node.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    /// Name.
    pub service_name: String,
    /// Tags; never `null`.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub service_tags: Vec<String>,
    /// Own address, or empty.
    pub service_address: String,
    /// Addresses by kind.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable::deserialize"
    )]
    pub service_tagged_addresses: BTreeMap<String, ServiceAddress>,
    /// Weights; in a registration none are the default ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_weights: Option<Weights>,
    /// Metadata; never `null`.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub service_meta: StringMap,
    /// Port.
    pub service_port: i64,
    /// Path of a unix socket instead of a port.
    pub service_socket_path: String,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_locality: Option<Locality>,
    /// Whether the catalog's tags win over the agent's.
    pub service_enable_tag_override: bool,
    /// For a proxy: the service that it stands for.
    pub service_proxy_destination: String,
    /// For a proxy in the later form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_proxy: Option<ProxyConfig>,
    /// Mesh settings.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub service_connect: ServiceConnect,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// A node with its services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeServices {
    /// The node.
    pub node: Node,
    /// Services by ID.
    pub services: BTreeMap<String, Service>,
}

/// A node with its services in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeServiceList {
    /// The node; `null` when there is none.
    pub node: Option<Node>,
    /// Services by ID; `null` when there is no node.
    pub services: Option<Vec<Service>>,
}

/// Body of `/v1/catalog/register`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CatalogRegistration {
    /// Datacenter to write to; empty for the agent's.
    pub datacenter: String,
    /// UUID of the node.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name of the node.
    pub node: String,
    /// Address of the node.
    pub address: String,
    /// Addresses of the node by kind.
    pub tagged_addresses: StringMap,
    /// Metadata of the node.
    pub node_meta: StringMap,
    /// A service on it.
    pub service: Option<Service>,
    /// A check on it.
    pub check: Option<HealthCheck>,
    /// Checks on it.
    pub checks: Vec<HealthCheck>,
    /// Leave the node itself as it is.
    pub skip_node_update: bool,
}

const UPSTREAM: &Fields = &Fields(&[
    aliased("DestinationType", &["destination_type"]),
    aliased("DestinationNamespace", &["destination_namespace"]),
    aliased("DestinationName", &["destination_name"]),
    plain("Datacenter"),
    aliased("LocalBindAddress", &["local_bind_address"]),
    aliased("LocalBindPort", &["local_bind_port"]),
    opaque("Config"),
    opaque("MeshGateway"),
]);
/// Field names of an address with a port.
pub(crate) const ADDRESS: &Fields = &Fields(&[plain("Address"), plain("Port")]);
pub(crate) const PROXY: &Fields = &Fields(&[
    aliased("DestinationServiceName", &["destination_service_name"]),
    aliased("DestinationServiceID", &["destination_service_id"]),
    aliased("LocalServiceAddress", &["local_service_address"]),
    aliased("LocalServicePort", &["local_service_port"]),
    opaque("Config"),
    list("Upstreams", UPSTREAM),
    plain("Mode"),
    opaque("MeshGateway"),
    opaque("Expose"),
    opaque("TransparentProxy"),
]);
pub(crate) const WEIGHTS: &Fields = &Fields(&[plain("Passing"), plain("Warning")]);
const CONNECT: &Fields = &Fields(&[
    plain("Native"),
    object("Proxy", &Fields(&[plain("Command"), plain("ExecMode"), opaque("Config")])),
]);
pub(crate) const NODE: &Fields = &Fields(&[
    plain("ID"),
    plain("Node"),
    plain("Address"),
    opaque("TaggedAddresses"),
    opaque("Meta"),
    plain("ModifyIndex"),
]);
pub(crate) const SERVICE: &Fields = &Fields(&[
    plain("Kind"),
    plain("ID"),
    plain("Service"),
    plain("Tags"),
    plain("Address"),
    map("TaggedAddresses", ADDRESS),
    opaque("Meta"),
    plain("Port"),
    aliased("SocketPath", &["socket_path"]),
    object("Locality", LOCALITY),
    object("Weights", WEIGHTS),
    plain("EnableTagOverride"),
    plain("ProxyDestination"),
    object("Proxy", PROXY),
    object("Connect", CONNECT),
    plain("ModifyIndex"),
]);

impl Body for CatalogRegistration {
    const FIELDS: &'static Fields = &Fields(&[
        plain("Datacenter"),
        plain("ID"),
        plain("Node"),
        plain("Address"),
        opaque("TaggedAddresses"),
        opaque("NodeMeta"),
        object("Service", SERVICE),
        object("Check", CHECK),
        list("Checks", CHECK),
        plain("SkipNodeUpdate"),
    ]);
}

/// Body of `/v1/catalog/deregister`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CatalogDeregistration {
    /// Datacenter to write to; empty for the agent's.
    pub datacenter: String,
    /// Name of the node.
    pub node: String,
    /// Address of the node; has no meaning.
    pub address: String,
    /// Service to remove.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    /// Check to remove.
    #[serde(rename = "CheckID")]
    pub check_id: String,
}

impl Body for CatalogDeregistration {
    const FIELDS: &'static Fields = &Fields(&[
        plain("Datacenter"),
        plain("Node"),
        plain("Address"),
        plain("ServiceID"),
        plain("CheckID"),
    ]);
}

/// Which nodes to list, and in which order.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeFilter<'a> {
    /// Sort by distance from this node; empty for no order.
    pub near: &'a str,
    /// Metadata that nodes must have.
    pub meta: &'a [(String, String)],
}

impl NodeFilter<'_> {
    pub(crate) fn apply(&self, request: crate::client::Request) -> crate::client::Request {
        self.meta.iter().fold(request.pair_if("near", self.near), |request, (key, value)| {
            request.pair("node-meta", &format!("{key}:{value}"))
        })
    }
}

impl Client {
    /// Names of the known datacenters.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn catalog_datacenters(&self) -> Result<Vec<String>, ClientError> {
        self.call_json(self.get("/v1/catalog/datacenters")).await
    }

    /// Nodes.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn catalog_nodes(
        &self,
        filter: NodeFilter<'_>,
        options: ReadOptions,
    ) -> Result<Vec<Node>, ClientError> {
        let request = filter.apply(self.read("/v1/catalog/nodes", options));
        self.call_json(request).await
    }

    /// Names of services with their tags.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn catalog_services(
        &self,
        filter: NodeFilter<'_>,
        options: ReadOptions,
    ) -> Result<BTreeMap<String, Vec<String>>, ClientError> {
        let request = filter.apply(self.read("/v1/catalog/services", options));
        self.call_json(request).await
    }

    /// Instances of a service.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn catalog_service(
        &self,
        name: &str,
        filter: NodeFilter<'_>,
        options: ReadOptions,
    ) -> Result<Vec<CatalogService>, ClientError> {
        let path = url::path("/v1/catalog/service/", name);
        self.call_json(filter.apply(self.read(&path, options))).await
    }

    /// Instances through which a service is reached over mutual TLS.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn catalog_connect(
        &self,
        name: &str,
        options: ReadOptions,
    ) -> Result<Vec<CatalogService>, ClientError> {
        let path = url::path("/v1/catalog/connect/", name);
        self.call_json(self.read(&path, options)).await
    }

    /// A node with its services, by name or start of its ID; `None` when there is no such node.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn catalog_node(
        &self,
        node: &str,
        options: ReadOptions,
    ) -> Result<Option<NodeServices>, ClientError> {
        let path = url::path("/v1/catalog/node/", node);
        self.call_json(self.read(&path, options)).await
    }

    /// Registers a node, service or checks directly in the catalog.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn catalog_register(&self, body: &CatalogRegistration) -> Result<(), ClientError> {
        let request = self.put("/v1/catalog/register").json(body)?;
        self.call(request).await.map(drop)
    }

    /// Removes a node, service or check from the catalog.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn catalog_deregister(
        &self,
        body: &CatalogDeregistration,
    ) -> Result<(), ClientError> {
        let request = self.put("/v1/catalog/deregister").json(body)?;
        self.call(request).await.map(drop)
    }
}
