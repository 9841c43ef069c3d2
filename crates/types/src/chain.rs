//! Discovery chains: the way from the name of a service to the instances that answer for it.
//!
//! A chain is compiled from configuration entries (module [`entry`]) by the `state` crate: a graph
//! of nodes that begins with a router, a splitter or a resolver, and ends at targets. Later
//! versions of the original have it; agents of 1.10 ask for the chain of each upstream.

pub mod entry;
pub mod policy;
pub mod route;

use std::collections::BTreeMap;
use std::time::Duration;

pub use entry::Subset;
pub use policy::LoadBalancer;
pub use route::ServiceRoute;

/// What is spoken unless somebody says so.
pub const PROTOCOL: &str = "tcp";
/// The only namespace.
pub const NAMESPACE: &str = "default";
/// How long a connection may take to be made unless somebody says so.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether requests of a protocol can be told apart, so that they may be routed and split.
#[must_use]
pub fn is_http_like(protocol: &str) -> bool {
    matches!(protocol, "http" | "http2" | "grpc")
}

/// What one wants of a chain; what is empty or zero is as the entries have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainQuery {
    /// The service.
    pub service: String,
    /// The datacenter whose instances are meant; empty for the one that is asked.
    pub evaluate_in: String,
    /// How other datacenters are reached: `none`, `local`, `remote`.
    pub mesh_gateway: String,
    /// What is spoken.
    pub protocol: String,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
}

/// A compiled chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompiledChain {
    /// The service.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// The datacenter that it was compiled in.
    pub datacenter: String,
    /// Eight digits that tell chains of one service apart that were asked for otherwise; empty if
    /// nothing that was wished made a difference.
    pub customization: String,
    /// What everything in it speaks, in small letters.
    pub protocol: String,
    /// Key of the node to begin with.
    pub start: String,
    /// Nodes by their keys, see [`Node::key`].
    pub nodes: BTreeMap<String, Node>,
    /// Where instances come from, by their ids.
    pub targets: BTreeMap<String, Target>,
}

/// A node of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name: of a resolver the id of the target, else that of the service.
    pub name: String,
    /// What it does.
    pub step: Step,
}

impl Node {
    /// The name by which other nodes lead to it.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.step.kind(), self.name)
    }
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Chooses by the request; the first route that matches counts.
    Router(Vec<Route>),
    /// Chooses by chance.
    Splitter {
        /// Between these.
        splits: Vec<Split>,
        /// The first of those of its resolvers that goes by a hash.
        load_balancer: Option<LoadBalancer>,
    },
    /// Ends the way.
    Resolver {
        /// At this.
        resolver: Resolver,
        /// How an instance is chosen.
        load_balancer: Option<LoadBalancer>,
    },
}

impl Step {
    /// The word for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Router(_) => "router",
            Self::Splitter { .. } => "splitter",
            Self::Resolver { .. } => "resolver",
        }
    }
}

/// A way out of a router.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    /// Which requests take it, and what happens to them.
    pub definition: Option<ServiceRoute>,
    /// Key of the node that it leads to.
    pub next: String,
}

/// A way out of a splitter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Split {
    /// How many of a hundred requests take it, in hundredths.
    pub weight: f32,
    /// Key of the node that it leads to.
    pub next: String,
}

/// The end of a way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Whether nobody has configured it.
    pub default: bool,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// Id of the target.
    pub target: String,
    /// Ids of the targets that take its place, in this order, if it has no healthy instance.
    pub failover: Vec<String>,
}

/// Where instances come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its name in the chain, see [`Target::new`].
    pub id: String,
    /// The service.
    pub service: String,
    /// Which of its subsets; empty for all instances.
    pub service_subset: String,
    /// Namespace of the service.
    pub namespace: String,
    /// Datacenter of the instances.
    pub datacenter: String,
    /// How that is reached: `none`, `local`, `remote`, or empty for directly.
    pub mesh_gateway: String,
    /// Which instances belong to the subset.
    pub subset: Subset,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// Whether the instances are outside of the mesh.
    pub external: bool,
    /// The name that is asked for when TLS begins.
    pub sni: String,
    /// The name that proxies have for it: as `sni`, but never an external one.
    pub name: String,
}

impl Target {
    /// All instances, or those of a subset: `v1.web.default.dc1`. The subset is left out if it is
    /// empty.
    #[must_use]
    pub fn new(
        service: &str,
        subset: &str,
        namespace: &str,
        datacenter: &str,
        trust_domain: &str,
    ) -> Self {
        let dot = if subset.is_empty() { "" } else { "." };
        let id = format!("{subset}{dot}{service}.{namespace}.{datacenter}");
        let sni = format!("{id}.internal.{trust_domain}");
        Self {
            service: service.to_owned(),
            service_subset: subset.to_owned(),
            namespace: namespace.to_owned(),
            datacenter: datacenter.to_owned(),
            name: sni.clone(),
            id,
            sni,
            ..Self::default()
        }
    }
}
