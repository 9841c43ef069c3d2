//! The consensus group, and what the catalog holds, as operators see them.

use std::collections::BTreeMap;

/// The consensus group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftGroup {
    /// Its members.
    pub servers: Vec<RaftServer>,
    /// Index of its last change.
    pub index: u64,
}

/// A member of the consensus group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftServer {
    /// ID.
    pub id: String,
    /// Name of the node.
    pub node: String,
    /// `host:port`.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it votes.
    pub voter: bool,
}

/// How much the catalog of a datacenter holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Its name.
    pub datacenter: String,
    /// Nodes.
    pub nodes: u64,
    /// Names of services.
    pub services: u64,
    /// Instances of services.
    pub instances: u64,
    /// Instances that belong to the mesh, by their kind; `connect-native` for those that speak for
    /// themselves. Every kind is there.
    pub connect: BTreeMap<String, u64>,
    /// Instances that are neither proxies or gateways nor servers of the cluster.
    pub billable: u64,
}
