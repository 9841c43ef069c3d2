//! Discovery chains: which instances the upstream of a proxy leads to.
//!
//! Agents of version 1.10 ask for the chain of each upstream. As long as there are no
//! configuration entries, every chain is one step long: the healthy instances of the service.
//! Source: `rpc-fields-1.10.11.md`, and the recorded one.

use std::collections::BTreeMap;
use std::time::Duration;

use lictor_types::query::Reply;

use crate::record::{fields, record};
use crate::reply::data;
use crate::{ReadRequest, methods};

methods! {
    /// The chain of an upstream. Version 1.2 does not know it.
    Get = "DiscoveryChain.Get": ReadRequest<ChainArgs> => Reply<Option<Chain>>;
}

/// A service, and what its upstream wants otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainArgs {
    /// The service.
    pub name: String,
    /// The datacenter whose instances are meant; empty for the one that is asked.
    pub evaluate_in: String,
    /// How long a connection may take to be made; zero for the usual.
    pub connect_timeout: Duration,
    /// How other datacenters are reached; empty for directly.
    pub mesh_gateway: Gateway,
    /// What is spoken; empty for TCP.
    pub protocol: String,
}

fields! { ChainArgs {
    "EvaluateInDatacenter": evaluate_in,
    "EvaluateInNamespace" = "",
    "Name": name,
    "OverrideConnectTimeout": connect_timeout,
    "OverrideMeshGateway": mesh_gateway,
    "OverrideProtocol": protocol,
} }

/// How gateways are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// `none`, `local`, `remote`, or empty.
    pub mode: String,
}

record! { Gateway {
    "Mode": mode,
} }

/// The way to a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The service.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// The datacenter that it was asked for.
    pub datacenter: String,
    /// Tells chains of one service apart that were asked for otherwise; empty for the usual one.
    pub customization: String,
    /// What is spoken.
    pub protocol: String,
    /// The node to begin with.
    pub start: String,
    /// Nodes by name.
    pub nodes: BTreeMap<String, ChainNode>,
    /// Where instances come from, by name.
    pub targets: BTreeMap<String, ChainTarget>,
}

record! { Chain {
    "CustomizationHash": customization,
    "Datacenter": datacenter,
    "Namespace": namespace,
    "Nodes": nodes,
    "Protocol": protocol,
    "ServiceName": service,
    "StartNode": start,
    "Targets": targets,
} }

data! {
    "Chain": Option<Chain>;
}

/// A step, which ends at instances: there are no routers and splitters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainNode {
    /// `resolver`.
    pub kind: String,
    /// Name of the target.
    pub name: String,
    /// What it says.
    pub resolver: Option<Resolver>,
}

record! { ChainNode {
    "LoadBalancer" = None::<String>,
    "Name": name,
    "Resolver": resolver,
    "Routes" = None::<String>,
    "Splits" = None::<String>,
    "Type": kind,
} }

/// How instances are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Whether nobody has configured it.
    pub default: bool,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// The target.
    pub target: String,
}

record! { Resolver {
    "ConnectTimeout": connect_timeout,
    "Default": default,
    "Failover" = None::<String>,
    "Target": target,
} }

/// Where instances come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainTarget {
    /// Its name.
    pub id: String,
    /// The service.
    pub service: String,
    /// Namespace of the service.
    pub namespace: String,
    /// Datacenter of the instances.
    pub datacenter: String,
    /// How other datacenters are reached.
    pub mesh_gateway: Gateway,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// The name that is asked for when TLS begins.
    pub sni: String,
    /// The name that proxies have for it.
    pub name: String,
}

record! { ChainTarget {
    "ConnectTimeout": connect_timeout,
    "Datacenter": datacenter,
    "External" = false,
    "ID": id,
    "MeshGateway": mesh_gateway,
    "Name": name,
    "Namespace": namespace,
    "SNI": sni,
    "Service": service,
    "ServiceSubset" = "",
    "Subset" = AllInstances,
} }

/// Which of a service's instances: all that are healthy.
#[derive(Clone, Copy, Debug)]
struct AllInstances;

record! { AllInstances = Self => {
    "Filter" = "",
    "OnlyPassing" = false,
} }
