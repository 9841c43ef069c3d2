//! Health checks as the catalog stores them.
//!
//! How an agent runs checks is the `agent` crate's; definitions are in [`crate::definition`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Index;
use crate::codec::nullable;

/// State of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Healthy.
    Passing,
    /// Degraded; still offered unless a reader asks for passing instances only.
    Warning,
    /// Unhealthy: not offered.
    #[default]
    Critical,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The state named by `word`, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "passing" => Some(Self::Passing),
            "warning" => Some(Self::Warning),
            "critical" => Some(Self::Critical),
            _ => None,
        }
    }
}

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        if word.is_empty() {
            return Ok(Self::Critical);
        }
        Self::parse(&word).ok_or_else(|| serde::de::Error::custom("invalid check status"))
    }
}

/// What the catalog remembers of how a check is run (informative only). Durations in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheckDefinition {
    /// URL of an HTTP check.
    #[serde(rename = "HTTP")]
    pub http: String,
    /// Whether the certificate is not verified.
    #[serde(rename = "TLSSkipVerify")]
    pub tls_skip_verify: bool,
    /// Request headers.
    #[serde(deserialize_with = "nullable")]
    pub header: BTreeMap<String, Vec<String>>,
    /// Request method.
    pub method: String,
    /// Address of a TCP check.
    #[serde(rename = "TCP")]
    pub tcp: String,
    /// Address of a UDP check.
    #[serde(rename = "UDP")]
    pub udp: String,
    /// Nanoseconds between runs.
    pub interval: i64,
    /// Nanoseconds a run may take.
    pub timeout: i64,
    /// Nanoseconds of critical state after which the service is removed.
    pub deregister_critical_service_after: i64,
}

impl HealthCheckDefinition {
    /// The kind of the check that it defines, as later versions call it; empty if it defines none.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            _ if self.interval <= 0 => "",
            Self { http, .. } if !http.is_empty() => "http",
            Self { tcp, .. } if !tcp.is_empty() => "tcp",
            Self { udp, .. } if !udp.is_empty() => "udp",
            _ => "",
        }
    }
}

/// A row of the checks table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// Name of the node.
    pub node: Arc<str>,
    /// Unique on its node.
    #[serde(rename = "CheckID")]
    pub check_id: Arc<str>,
    /// For people.
    pub name: String,
    /// Current state.
    pub status: Status,
    /// Free text of the definition.
    pub notes: String,
    /// Output of the last run.
    pub output: String,
    /// ID of the service it belongs to; empty for a node's check.
    #[serde(rename = "ServiceID")]
    pub service_id: Arc<str>,
    /// Name of that service (filled in by the store).
    pub service_name: Arc<str>,
    /// Tags of that service (filled in by the store).
    #[serde(deserialize_with = "nullable")]
    pub service_tags: Vec<String>,
    /// How it is run.
    pub definition: HealthCheckDefinition,
    /// Kind of check (`http`, `ttl`, …) as later versions show it; empty when unknown.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Time between runs as text, where the check was registered by itself; later versions show it.
    pub interval: String,
    /// Longest time of a run, likewise.
    pub timeout: String,
    /// Index of the write that created the row.
    pub create_index: Index,
    /// Index of the last write that changed the row.
    pub modify_index: Index,
}

impl HealthCheck {
    /// Whether both describe the same state, indexes aside.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let a = Self { create_index: other.create_index, ..self.clone() };
        Self { modify_index: other.modify_index, ..a } == *other
    }
}
