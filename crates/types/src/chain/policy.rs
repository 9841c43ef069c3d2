//! How an instance is chosen among those of a target.

use std::time::Duration;

use serde::Deserialize;

use super::entry::nanoseconds;

/// A policy of balancing load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LoadBalancer {
    /// `random`, `round_robin`, `least_request`, `ring_hash`, `maglev`, or empty for the proxy's
    /// own.
    pub policy: String,
    /// For `ring_hash`.
    #[serde(rename = "RingHashConfig")]
    pub ring_hash: Option<RingHash>,
    /// For `least_request`.
    #[serde(rename = "LeastRequestConfig")]
    pub least_request: Option<LeastRequest>,
    /// What a hash is made of, for the policies that go by one.
    pub hash_policies: Vec<HashPolicy>,
}

impl LoadBalancer {
    /// Whether equal requests go to the same instance.
    #[must_use]
    pub fn is_hash_based(&self) -> bool {
        matches!(&*self.policy, "maglev" | "ring_hash")
    }
}

/// Sizes of the ring of hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RingHash {
    /// Places at least.
    pub minimum_ring_size: u64,
    /// Places at most.
    pub maximum_ring_size: u64,
}

/// Among how many the one with the fewest requests is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LeastRequest {
    /// Instances, by chance.
    pub choice_count: u32,
}

/// A part of a hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HashPolicy {
    /// `header`, `cookie`, `query_parameter`, or empty.
    pub field: String,
    /// Name of the header, cookie or parameter.
    pub field_value: String,
    /// How the proxy makes a cookie where there is none.
    #[serde(rename = "CookieConfig")]
    pub cookie: Option<Cookie>,
    /// Whether the client's address is taken, in place of a field.
    #[serde(rename = "SourceIP")]
    pub source_ip: bool,
    /// Whether the policies after it do not count if it gave something.
    pub terminal: bool,
}

/// A cookie that the proxy makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Cookie {
    /// Whether it ends with the client's session.
    pub session: bool,
    /// How long it lasts otherwise.
    #[serde(rename = "TTL", deserialize_with = "nanoseconds")]
    pub ttl: Duration,
    /// For which paths.
    pub path: String,
}
