//! Nodes and services.
//!
//! Of a proxy, version 1.2 knows the destination as `ProxyDestination` and later ones as a part of
//! `Proxy`. Both are written, and `ProxyDerived`, which only our own readers know, says that the
//! second was made of the first.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::catalog::{
    Locality, ManagedProxy, Node, NodeServices, ProxyConfig, Service, ServiceAddress,
    ServiceConnect, ServiceKind, ServiceNode, StringMap, Upstream, Weights,
};
use lictor_types::check::HealthCheck;
use lictor_types::command::{DeregisterRequest, RegisterRequest};
use lictor_types::query::Reply;

use crate::any::Kept;
use crate::record::{Fields, as_value, fields, record};
use crate::reply::data;
use crate::value::{Listed, Mapped, Value};
use crate::{ReadRequest, Source, WriteRequest, methods};

methods! {
    /// Registers a node, and a service and checks on it.
    Register = "Catalog.Register": WriteRequest<RegisterRequest> => ();
    /// Removes a node, a service or a check.
    Deregister = "Catalog.Deregister": WriteRequest<DeregisterRequest> => ();
    /// Names of the datacenters, the nearest first. Version 1.2 asks with nothing.
    ListDatacenters = "Catalog.ListDatacenters": ReadRequest => Vec<String>;
    /// All nodes.
    ListNodes = "Catalog.ListNodes": ReadRequest<NodesArgs> => Reply<Vec<Arc<Node>>>;
    /// Names of services, each with all tags that its instances have.
    ListServices = "Catalog.ListServices":
        ReadRequest<NodesArgs> => Reply<BTreeMap<Arc<str>, Vec<String>>>;
    /// Instances of a service, or those that speak for it in the mesh.
    ServiceNodes = "Catalog.ServiceNodes": ReadRequest<ServiceArgs> => Reply<Vec<ServiceNode>>;
    /// A node with its services.
    NodeServicesById = "Catalog.NodeServices": ReadRequest<NodeArgs> => Reply<NodeServices>;
    /// The same as a list, which version 1.2 does not know.
    NodeServiceList = "Catalog.NodeServiceList": ReadRequest<NodeArgs> => Reply<ServiceList>;
}

/// Some nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodesArgs {
    /// Metadata that they must have.
    pub meta: StringMap,
    /// From where distances are measured.
    pub source: Source,
}

fields! { NodesArgs {
    "NodeMetaFilters": meta,
    "Source": source,
} }

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeArgs {
    /// Its name.
    pub node: String,
}

fields! { NodeArgs { "Node": node, } }

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceArgs {
    /// Its name.
    pub name: String,
    /// Whether those are wanted that speak for it in the mesh.
    pub connect: bool,
    /// Tags that instances must have.
    pub tags: Tags,
    /// Metadata that their nodes must have.
    pub meta: StringMap,
    /// From where distances are measured.
    pub source: Source,
}

fields! { ServiceArgs {
    "Connect": connect,
    "Ingress" = false,
    "NodeMetaFilters": meta,
    "ServiceAddress" = "",
    "ServiceKind" = "",
    "ServiceName": name,
    "ServiceTag" fn put_tag => take_tag,
    "ServiceTags": tags.all,
    "Source": source,
    "TagFilter" fn put_filter => take_filter,
} }

/// Tags that are wanted. Version 1.2 knows at most one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    all: Vec<String>,
    one: String,
    filter: bool,
}

impl Deref for Tags {
    type Target = [String];

    fn deref(&self) -> &[String] {
        match (self.filter, &*self.all) {
            (false, _) => &[],
            (true, []) => std::slice::from_ref(&self.one),
            (true, all) => all,
        }
    }
}

impl From<&[String]> for Tags {
    fn from(tags: &[String]) -> Self {
        let one = tags.first().cloned().unwrap_or_default();
        Self { all: tags.to_vec(), one, filter: !tags.is_empty() }
    }
}

fn put_tag(args: &ServiceArgs, to: &mut Writer) {
    to.raw(&args.tags.one);
}

fn take_tag(args: &mut ServiceArgs, from: &mut Reader<'_>) -> Result<(), Malformed> {
    args.tags.one = Value::read(from)?;
    Ok(())
}

fn put_filter(args: &ServiceArgs, to: &mut Writer) {
    to.bool(args.tags.filter);
}

fn take_filter(args: &mut ServiceArgs, from: &mut Reader<'_>) -> Result<(), Malformed> {
    args.tags.filter = Value::read(from)?;
    Ok(())
}

record! { Node {
    "Address": address,
    "CreateIndex": create_index,
    "Datacenter": datacenter,
    "ID": id,
    "Meta": meta,
    "ModifyIndex": modify_index,
    "Node": name,
    "TaggedAddresses": tagged_addresses,
} }

impl Value for ServiceKind {
    fn write(&self, to: &mut Writer) {
        to.raw(self.as_str());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.text().map(Self::from)
    }
}

record! { Weights {
    "Passing": passing,
    "Warning": warning,
} }

record! { ServiceAddress {
    "Address": address,
    "Port": port,
} }

record! { ManagedProxy {
    "Command": command,
    "Config": config,
    "ExecMode": exec_mode,
} }

record! { ServiceConnect {
    "Native": native,
    "Proxy": proxy,
    "SidecarService" = None::<String>,
} }

record! { Upstream {
    "CentrallyConfigured" = false,
    "Config": config,
    "Datacenter": datacenter,
    "DestinationName": destination_name,
    "DestinationNamespace": destination_namespace,
    "DestinationType": destination_type,
    "IngressHosts" = None::<String>,
    "LocalBindAddress": local_bind_address,
    "LocalBindPort": local_bind_port,
    "LocalBindSocketMode" = "",
    "LocalBindSocketPath" = "",
    "MeshGateway": mesh_gateway as Kept,
} }

record! { ProxyConfig {
    "Config": config,
    "DestinationServiceID": destination_service_id,
    "DestinationServiceName": destination_service_name,
    "Expose": expose as Kept,
    "LocalServiceAddress": local_service_address,
    "LocalServicePort": local_service_port,
    "LocalServiceSocketPath" = "",
    "MeshGateway": mesh_gateway as Kept,
    "Mode": mode,
    "TransparentProxy": transparent_proxy as Kept,
    "Upstreams": upstreams,
} }

record! { Locality {
    "Region": region,
    "Zone": zone,
} }

record! { Service = Self::default() => settle settle_proxy {
    "Address": address,
    "Connect": connect,
    "CreateIndex": create_index,
    "EnableTagOverride": enable_tag_override,
    "ID": id,
    "Kind": kind,
    "Locality": locality,
    "LocallyRegisteredAsSidecar" = false,
    "Meta": meta,
    "ModifyIndex": modify_index,
    "Port": port,
    "Proxy" fn put_proxy => take_proxy,
    "ProxyDerived" fn put_derived => take_derived,
    "ProxyDestination": proxy_destination,
    "Service": name,
    "SocketPath": socket_path,
    "TaggedAddresses": tagged_addresses as Mapped,
    "Tags": tags,
    "Weights": weights,
} }

fn is_derived(service: &Service) -> bool {
    service.proxy.is_none() && !service.proxy_destination.is_empty()
}

fn put_derived(service: &Service, to: &mut Writer) {
    to.bool(is_derived(service));
}

fn put_proxy(service: &Service, to: &mut Writer) {
    if is_derived(service) {
        let destination_service_name = service.proxy_destination.clone();
        ProxyConfig { destination_service_name, ..ProxyConfig::default() }.write(to);
    } else {
        service.proxy.write(to);
    }
}

fn take_proxy(service: &mut Service, from: &mut Reader<'_>) -> Result<(), Malformed> {
    let proxy = Option::<ProxyConfig>::read(from)?;
    service.proxy = proxy.filter(|proxy| *proxy != ProxyConfig::default());
    Ok(())
}

/// Stands behind `Proxy`.
fn take_derived(service: &mut Service, from: &mut Reader<'_>) -> Result<(), Malformed> {
    if from.bool()? {
        service.proxy = None;
    }
    Ok(())
}

/// Agents of ours fill both in.
fn settle_proxy(service: &mut Service) {
    if service.kind == ServiceKind::ConnectProxy
        && service.proxy_destination.is_empty()
        && let Some(proxy) = &service.proxy
    {
        service.proxy_destination.clone_from(&proxy.destination_service_name);
    }
}

/// An instance with its node in one row; the node's indexes are not in it.
struct Row<N, S> {
    node: N,
    service: S,
}

macro_rules! rows {
    ($($key:literal $side:ident $($part:ident)? $(($put:ident, $take:ident))?,)*) => {
        impl Fields for ServiceNode {
            const COUNT: usize = { let keys: &[&str] = &[$($key),*]; keys.len() };

            fn zero() -> Self {
                Self { node: Arc::default(), service: Arc::default() }
            }

            fn write_fields(&self, to: &mut Writer) {
                let row = Row { node: &*self.node, service: &*self.service };
                $(
                    to.raw($key);
                    rows!(@put row.$side, to, $($part)? $(fn $put)?);
                )*
            }

            fn read_field(
                &mut self, key: &[u8], from: &mut Reader<'_>,
            ) -> Result<bool, Malformed> {
                $(
                    if key == $key.as_bytes() {
                        // Nobody shares the row yet, so nothing is copied.
                        let side = Arc::make_mut(&mut self.$side);
                        rows!(@take side, from, $($part)? $(fn $take)?);
                        return Ok(true);
                    }
                )*
                Ok(false)
            }

            fn settle(&mut self) {
                settle_proxy(Arc::make_mut(&mut self.service));
            }
        }
    };
    (@put $side:expr, $to:ident, fn $put:ident) => { $put($side, $to); };
    (@put $side:expr, $to:ident, $part:ident) => { $side.$part.write($to); };
    (@take $side:expr, $from:ident, fn $take:ident) => { $take($side, $from)?; };
    (@take $side:expr, $from:ident, $part:ident) => { $side.$part = Value::read($from)?; };
}

rows! {
    "Address" node address,
    "CreateIndex" service create_index,
    "Datacenter" node datacenter,
    "ID" node id,
    "ModifyIndex" service modify_index,
    "Node" node name,
    "NodeMeta" node meta,
    "ServiceAddress" service address,
    "ServiceConnect" service connect,
    "ServiceEnableTagOverride" service enable_tag_override,
    "ServiceID" service id,
    "ServiceKind" service kind,
    "ServiceLocality" service locality,
    "ServiceMeta" service meta,
    "ServiceName" service name,
    "ServicePort" service port,
    "ServiceProxy" service (put_proxy, take_proxy),
    "ServiceProxyDerived" service (put_derived, take_derived),
    "ServiceProxyDestination" service proxy_destination,
    "ServiceSocketPath" service socket_path,
    "ServiceTaggedAddresses" service tagged_addresses,
    "ServiceTags" service tags,
    "ServiceWeights" service weights,
    "TaggedAddresses" node tagged_addresses,
}

as_value!(ServiceNode, costs Arc::<Node>::COST + Arc::<Service>::COST);

fields! { RegisterRequest {
    "Address": address,
    "Check" fn put_check => take_check,
    "Checks" fn put_checks => take_checks,
    "CreateIndex" = 0_u64,
    "ID": id,
    "ModifyIndex" = 0_u64,
    "Node": node,
    "NodeMeta": node_meta,
    "Service": service,
    "SkipNodeUpdate": skip_node_update,
    "TaggedAddresses": tagged_addresses,
} }

/// A single check has a field of its own.
fn put_check(request: &RegisterRequest, to: &mut Writer) {
    match &*request.checks {
        [only] => only.write(to),
        _ => {
            to.nil();
        }
    }
}

fn take_check(request: &mut RegisterRequest, from: &mut Reader<'_>) -> Result<(), Malformed> {
    request.checks.extend(Option::<HealthCheck>::read(from)?);
    Ok(())
}

fn put_checks(request: &RegisterRequest, to: &mut Writer) {
    if request.checks.len() == 1 {
        to.nil();
    } else {
        request.checks.write(to);
    }
}

fn take_checks(request: &mut RegisterRequest, from: &mut Reader<'_>) -> Result<(), Malformed> {
    request.checks.extend(Vec::<HealthCheck>::read(from)?);
    Ok(())
}

fields! { DeregisterRequest {
    "CheckID": check_id,
    "Node": node,
    "ServiceID": service_id,
} }

/// A node with its services, as a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceList(pub NodeServices);

/// The services of a node by their ids, as [`NodeServicesById`] has them.
struct ById;

impl ById {
    fn write(of: &NodeServices, to: &mut Writer) {
        let Some((node, services)) = of else {
            to.nil();
            return;
        };
        to.map(2).raw("Node");
        node.write(to);
        to.raw("Services").map(services.len());
        for service in services {
            to.raw(&*service.id);
            service.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<NodeServices, Malformed> {
        read_services(from, |from| {
            let services = BTreeMap::<String, Arc<Service>>::read(from)?;
            Ok(services.into_values().collect())
        })
    }
}

fn read_services<'a>(
    from: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<Vec<Arc<Service>>, Malformed>,
) -> Result<NodeServices, Malformed> {
    let (mut node, mut services) = (None, Vec::new());
    for _ in 0..from.map()? {
        match from.raw()? {
            b"Node" => node = Value::read(from)?,
            b"Services" => services = read(from)?,
            _ => from.skip()?,
        }
    }
    Ok(node.map(|node| (node, services)))
}

impl Fields for ServiceList {
    const COUNT: usize = 1;

    fn zero() -> Self {
        Self::default()
    }

    fn write_fields(&self, to: &mut Writer) {
        let (node, services) = match &self.0 {
            Some((node, services)) => (Some(node), &**services),
            None => (None, &[][..]),
        };
        to.raw("NodeServices").map(2).raw("Node");
        match node {
            Some(node) => node.write(to),
            None => {
                to.nil();
            }
        }
        to.raw("Services");
        Listed::write(services, to);
    }

    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed> {
        let own = key == b"NodeServices";
        if own {
            self.0 = read_services(from, Value::read)?;
        }
        Ok(own)
    }
}

/// Services with their tags, where no tags are an empty list.
struct Tagged;

impl Tagged {
    fn write(services: &BTreeMap<Arc<str>, Vec<String>>, to: &mut Writer) {
        to.map(services.len());
        for (name, tags) in services {
            to.raw(&**name);
            Listed::write(tags, to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<BTreeMap<Arc<str>, Vec<String>>, Malformed> {
        Value::read(from)
    }
}

data! {
    "Nodes": Vec<Arc<Node>>;
    "Services": BTreeMap<Arc<str>, Vec<String>> as Tagged;
    "ServiceNodes": Vec<ServiceNode>;
    "NodeServices": NodeServices as ById;
}
