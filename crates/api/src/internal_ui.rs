//! `/v1/internal/ui`: what the web interface shows.
//!
//! Not a stable interface for others.

use serde::{Deserialize, Serialize};

use crate::catalog::Service;
use crate::health::HealthCheck;
use crate::nullable::{self, StringMap};

/// A node with everything on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UiNode {
    /// UUID, or empty.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name.
    pub node: String,
    /// Address.
    pub address: String,
    /// Addresses by kind; none is `null`.
    #[serde(with = "nullable")]
    pub tagged_addresses: StringMap,
    /// Metadata; none is `null`.
    #[serde(with = "nullable")]
    pub meta: StringMap,
    /// Services.
    pub services: Vec<Service>,
    /// Checks.
    pub checks: Vec<HealthCheck>,
}

/// A service with counts of its checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UiService {
    /// `connect-proxy`, or left out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name.
    pub name: String,
    /// Tags of all instances; none is `null`.
    #[serde(with = "nullable")]
    pub tags: Vec<String>,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Passing checks, the nodes' included.
    pub checks_passing: usize,
    /// Warning checks.
    pub checks_warning: usize,
    /// Critical checks.
    pub checks_critical: usize,
}
