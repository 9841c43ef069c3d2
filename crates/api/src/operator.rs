//! `/v1/operator`: the consensus group.
//!
//! Keyring and autopilot have files of their own.

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
