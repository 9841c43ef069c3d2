//! `/v1/operator`: the consensus group.
//!
//! Keyring and autopilot have files of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::{Client, ClientError, ReadOptions};

/// A member of the consensus group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RaftServer {
    /// ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name of the node.
    pub node: String,
    /// `host:port`.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
    /// Version of the protocol.
    pub protocol_version: String,
    /// Whether it votes.
    pub voter: bool,
}

/// Answer of `/v1/operator/raft/configuration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RaftConfiguration {
    /// Members.
    pub servers: Vec<RaftServer>,
    /// Index of the group's last change.
    pub index: u64,
}

/// Answer of `/v1/operator/usage`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Usage {
    /// By datacenter.
    pub usage: BTreeMap<String, ServiceUsage>,
    /// Index of the catalog.
    pub index: u64,
    /// How long ago the server that answered heard of its leader, in nanoseconds.
    pub last_contact: i64,
    /// Whether it knows one.
    pub known_leader: bool,
    /// How the read was served.
    pub consistency_level: String,
    /// Never: there is no answer without a body.
    pub not_modified: bool,
    /// Number of the way in which the answer was found; there is one.
    pub backend: u8,
    /// Never: who may ask sees all.
    #[serde(rename = "ResultsFilteredByACLs")]
    pub results_filtered_by_acls: bool,
}

/// How much the catalog of a datacenter holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceUsage {
    /// Nodes.
    pub nodes: u64,
    /// Names of services.
    pub services: u64,
    /// Instances.
    pub service_instances: u64,
    /// Instances in the mesh, by kind.
    pub connect_service_instances: BTreeMap<String, u64>,
    /// Instances that are neither part of the mesh' machinery nor servers.
    pub billable_service_instances: u64,
}

/// Answer of `/v1/operator/raft/transfer-leader`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LeaderTransfer {
    /// Whether another server leads now.
    pub success: bool,
}

impl Client {
    /// The consensus group.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn raft_configuration(
        &self,
        options: ReadOptions,
    ) -> Result<RaftConfiguration, ClientError> {
        self.call_json(self.read("/v1/operator/raft/configuration", options)).await
    }
}
