//! `/v1/agent`: the agent itself, its members, maintenance and lifecycle.
//!
//! Its services, checks and mesh endpoints are in `agent_service`, `agent_check` and
//! `agent_connect`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Client, ClientError};
use crate::decode::{Body, Fields, plain};
use crate::nullable::StringMap;
use crate::url;

/// The part of the configuration that clients depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SelfConfig {
    /// Datacenter.
    pub datacenter: String,
    /// Name of the node.
    pub node_name: String,
    /// UUID of the node.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// Revision that the program was built from.
    pub revision: String,
    /// Whether it is a server.
    pub server: bool,
    /// Version of the program.
    pub version: String,
}

/// A network coordinate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Coordinate {
    /// Position, seconds.
    pub vec: Vec<f64>,
    /// Confidence.
    pub error: f64,
    /// Correction, seconds.
    pub adjustment: f64,
    /// Distance to the network, seconds.
    pub height: f64,
}

impl Default for Coordinate {
    /// Where every node starts.
    fn default() -> Self {
        Self { vec: vec![0.0; 8], error: 1.5, adjustment: 0.0, height: 1e-5 }
    }
}

/// A member of the gossip pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Member {
    /// Name; in the WAN pool with `.<datacenter>`.
    pub name: String,
    /// Address.
    pub addr: String,
    /// Gossip port.
    pub port: u16,
    /// Tags.
    pub tags: StringMap,
    /// 0 none, 1 alive, 2 leaving, 3 left, 4 failed.
    pub status: i64,
    /// Lowest protocol that it understands.
    pub protocol_min: u8,
    /// Highest protocol that it understands.
    pub protocol_max: u8,
    /// Protocol that it speaks.
    pub protocol_cur: u8,
    /// Lowest delegate protocol.
    pub delegate_min: u8,
    /// Highest delegate protocol.
    pub delegate_max: u8,
    /// Delegate protocol that it speaks.
    pub delegate_cur: u8,
}

/// Answer of `/v1/agent/self`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentSelf {
    /// What clients depend on.
    pub config: SelfConfig,
    /// The whole configuration, secrets hidden.
    pub debug_config: Value,
    /// Its coordinate.
    pub coord: Option<Coordinate>,
    /// Itself as a member.
    pub member: Member,
    /// Figures by section.
    pub stats: BTreeMap<String, StringMap>,
    /// Metadata of the node.
    pub meta: StringMap,
}

/// Body of `/v1/agent/token/…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TokenUpdate {
    /// The new token.
    pub token: String,
}

impl Body for TokenUpdate {
    const FIELDS: &'static Fields = &Fields(&[plain("Token")]);
}

/// A gauge of `/v1/agent/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Gauge {
    /// Name.
    pub name: String,
    /// Last value.
    pub value: f64,
    /// Labels.
    pub labels: StringMap,
}

/// A counter or timer of `/v1/agent/metrics`, over the last interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Sample {
    /// Name.
    pub name: String,
    /// Number of values.
    pub count: u64,
    /// Values per second.
    pub rate: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub stddev: f64,
    /// Labels.
    pub labels: StringMap,
}

/// Answer of `/v1/agent/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Metrics {
    /// Start of the interval.
    pub timestamp: String,
    /// Gauges.
    pub gauges: Vec<Gauge>,
    /// Always empty.
    pub points: Vec<Value>,
    /// Counters.
    pub counters: Vec<Sample>,
    /// Timers.
    pub samples: Vec<Sample>,
}

impl Client {
    /// The agent itself.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_self(&self) -> Result<AgentSelf, ClientError> {
        self.call_json(self.get("/v1/agent/self")).await
    }

    /// Members of the LAN or WAN pool; `segment` is empty, a name, or `_all`.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_members(
        &self,
        wan: bool,
        segment: &str,
    ) -> Result<Vec<Member>, ClientError> {
        let request = self.get("/v1/agent/members").pair_if("segment", segment);
        self.call_json(if wan { request.pair("wan", "1") } else { request }).await
    }

    /// Puts the node in or out of maintenance.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_maintenance(&self, enable: bool, reason: &str) -> Result<(), ClientError> {
        let request = self.put("/v1/agent/maintenance").pair("enable", &enable.to_string());
        self.call(request.pair_if("reason", reason)).await.map(drop)
    }

    /// Puts a service in or out of maintenance.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_service_maintenance(
        &self,
        service_id: &str,
        enable: bool,
        reason: &str,
    ) -> Result<(), ClientError> {
        let request = self.put(&url::path("/v1/agent/service/maintenance/", service_id));
        let request = request.pair("enable", &enable.to_string()).pair_if("reason", reason);
        self.call(request).await.map(drop)
    }

    /// Makes the agent read its configuration again.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_reload(&self) -> Result<(), ClientError> {
        self.call(self.put("/v1/agent/reload")).await.map(drop)
    }

    /// Makes the agent leave the cluster and end.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_leave(&self) -> Result<(), ClientError> {
        self.call(self.put("/v1/agent/leave")).await.map(drop)
    }

    /// Makes the agent join the cluster of the member at `address`.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_join(&self, address: &str, wan: bool) -> Result<(), ClientError> {
        let request = self.put(&url::path("/v1/agent/join/", address));
        self.call(if wan { request.pair("wan", "1") } else { request }).await.map(drop)
    }

    /// Takes a failed member for one that left.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_force_leave(&self, node: &str) -> Result<(), ClientError> {
        self.call(self.put(&url::path("/v1/agent/force-leave/", node))).await.map(drop)
    }
}
