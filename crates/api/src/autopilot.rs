//! `/v1/operator/autopilot`: its settings, and the health of the servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::{Client, ClientError, ReadOptions};
use crate::decode::{Body, Fields, plain};
use crate::duration::GoDuration;

/// Settings of autopilot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutopilotConfig {
    /// Remove failed servers once others have taken their place.
    pub cleanup_dead_servers: bool,
    /// Longest silence of a healthy server.
    pub last_contact_threshold: GoDuration,
    /// How many log entries a healthy server may lag behind.
    pub max_trailing_logs: u64,
    /// Voters that are left when dead ones are removed.
    pub min_quorum: u64,
    /// How long a new server must be healthy before it votes.
    pub server_stabilization_time: GoDuration,
    /// Node metadata that names zones.
    pub redundancy_zone_tag: String,
    /// No automatic upgrade.
    pub disable_upgrade_migration: bool,
    /// Node metadata with versions.
    pub upgrade_version_tag: String,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

impl Body for AutopilotConfig {
    const FIELDS: &'static Fields = &Fields(&[
        plain("CleanupDeadServers"),
        plain("LastContactThreshold"),
        plain("MaxTrailingLogs"),
        plain("MinQuorum"),
        plain("ServerStabilizationTime"),
        plain("RedundancyZoneTag"),
        plain("DisableUpgradeMigration"),
        plain("UpgradeVersionTag"),
        plain("CreateIndex"),
        plain("ModifyIndex"),
    ]);
}

/// A server as autopilot sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServerHealth {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name of the node.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// What gossip says of it.
    pub serf_status: String,
    /// Version of the program.
    pub version: String,
    /// Whether it leads.
    pub leader: bool,
    /// Time since it heard of the leader.
    pub last_contact: GoDuration,
    /// Term of its last log entry.
    pub last_term: u64,
    /// Index of its last log entry.
    pub last_index: u64,
    /// Whether it is well.
    pub healthy: bool,
    /// Whether it votes.
    pub voter: bool,
    /// Since when it has been as it is, RFC 3339.
    pub stable_since: String,
}

/// Answer of `/v1/operator/autopilot/health`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutopilotHealth {
    /// Whether all servers are well.
    pub healthy: bool,
    /// How many may fail.
    pub failure_tolerance: usize,
    /// The servers.
    #[serde(with = "crate::nullable")]
    pub servers: Vec<ServerHealth>,
}

/// A server as `/v1/operator/autopilot/state` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServerState {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name of the node.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// What gossip says of it: `alive`, `failed`, `left` or `unknown`.
    pub node_status: String,
    /// Version of the program.
    pub version: String,
    /// Time since it heard of the leader.
    pub last_contact: GoDuration,
    /// Term of its last log entry.
    pub last_term: u64,
    /// Index of its last log entry.
    pub last_index: u64,
    /// Whether it is well.
    pub healthy: bool,
    /// Since when it has been as it is, RFC 3339.
    pub stable_since: String,
    /// Whether it only answers reads; only the original's commercial edition has such servers.
    pub read_replica: bool,
    /// `leader`, `voter` or `non-voter`.
    pub status: String,
    /// Metadata of the node; servers tell each other none.
    pub meta: Option<BTreeMap<String, String>>,
    /// `voter`, for every server.
    pub node_type: String,
}

/// Answer of `/v1/operator/autopilot/state`, since 1.9.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutopilotState {
    /// Whether all servers are well.
    pub healthy: bool,
    /// How many may fail.
    pub failure_tolerance: usize,
    /// How many may fail one after another where servers are in zones; 0 where there are none.
    pub optimistic_failure_tolerance: usize,
    /// The servers by their UUIDs.
    pub servers: BTreeMap<String, ServerState>,
    /// UUID of the leader.
    pub leader: String,
    /// UUIDs of those that vote.
    pub voters: Vec<String>,
}

impl Client {
    /// The servers as autopilot sees them.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn autopilot_state(
        &self,
        options: ReadOptions,
    ) -> Result<AutopilotState, ClientError> {
        self.call_json(self.read("/v1/operator/autopilot/state", options)).await
    }

    /// The settings of autopilot.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn autopilot_config(
        &self,
        options: ReadOptions,
    ) -> Result<AutopilotConfig, ClientError> {
        self.call_json(self.read("/v1/operator/autopilot/configuration", options)).await
    }

    /// Changes the settings of autopilot if nobody else has since they were read; gives whether.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn autopilot_cas_config(
        &self,
        config: &AutopilotConfig,
    ) -> Result<bool, ClientError> {
        let request = self.put("/v1/operator/autopilot/configuration").json(config)?;
        self.call_json(request.pair("cas", &config.modify_index.to_string())).await
    }
}
