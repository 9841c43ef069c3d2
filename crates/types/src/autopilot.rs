//! What the leader may do about servers by itself, and when it takes one for healthy.
//!
//! Durations are in nanoseconds; some fields belong to the original's commercial edition and are
//! only kept.

use serde::{Deserialize, Serialize};

use crate::Index;
use crate::timestamp::Timestamp;

/// Settings of autopilot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutopilotConfig {
    /// Remove failed servers once others have taken their place.
    pub cleanup_dead_servers: bool,
    /// Longest silence of a healthy server.
    pub last_contact_threshold: i64,
    /// How many log entries a healthy server may lag behind.
    pub max_trailing_logs: u64,
    /// How long a new server must be healthy before it votes.
    pub server_stabilization_time: i64,
    /// Node metadata that names zones; only kept.
    pub redundancy_zone_tag: String,
    /// Only kept.
    pub disable_upgrade_migration: bool,
    /// Node metadata with versions; only kept.
    pub upgrade_version_tag: String,
    /// Index of its creation.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
    /// Voters that are left when dead ones are removed. It came last: fields of the log have an order.
    pub min_quorum: u64,
}

impl Default for AutopilotConfig {
    fn default() -> Self {
        Self {
            cleanup_dead_servers: true,
            last_contact_threshold: 200_000_000,
            max_trailing_logs: 250,
            server_stabilization_time: 10_000_000_000,
            redundancy_zone_tag: String::new(),
            disable_upgrade_migration: false,
            upgrade_version_tag: String::new(),
            create_index: 0,
            modify_index: 0,
            min_quorum: 0,
        }
    }
}

/// A write of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AutopilotWrite {
    /// The new settings.
    pub config: AutopilotConfig,
    /// Write only if this is the index of the present ones' last change; 0: if there are none.
    pub cas: Option<Index>,
}

/// What a server says about its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStatus {
    /// Time since it heard of the leader, in nanoseconds; 0 for the leader itself.
    pub last_contact: i64,
    /// Term of its last entry.
    pub last_term: u64,
    /// Index of its last entry.
    pub last_index: u64,
}

/// A server as autopilot sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHealth {
    /// UUID.
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
    /// Its log.
    pub log: LogStatus,
    /// Whether it is well.
    pub healthy: bool,
    /// Whether it votes.
    pub voter: bool,
    /// Since when it has been as it is.
    pub stable_since: Timestamp,
}

/// All servers as autopilot sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutopilotHealth {
    /// Whether all of them are well.
    pub healthy: bool,
    /// How many of those that vote may fail.
    pub failure_tolerance: usize,
    /// The servers; none as long as the leader has not looked.
    pub servers: Vec<ServerHealth>,
}
