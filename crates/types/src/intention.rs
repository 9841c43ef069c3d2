//! Intentions: who may connect to whom, by service name.
//!
//! Precedence is computed here since every layer needs the same order; deciding is in `acl`.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::Index;
use crate::catalog::StringMap;
use crate::codec::nullable;
use crate::timestamp::Timestamp;

/// The wildcard, for names and namespaces.
pub const WILDCARD: &str = "*";
/// The only namespace of this edition.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What an intention says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Connections may be made.
    Allow,
    /// Connections are refused and ended.
    Deny,
}

impl Action {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// An intention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Intention {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Namespace of the source, or `*`.
    #[serde(rename = "SourceNS")]
    pub source_ns: String,
    /// Name of the source, or `*`.
    pub source_name: String,
    /// Namespace of the destination, or `*`.
    #[serde(rename = "DestinationNS")]
    pub destination_ns: String,
    /// Name of the destination, or `*`.
    pub destination_name: String,
    /// Always `consul`.
    pub source_type: String,
    /// Allow or deny.
    pub action: Action,
    /// Unused, kept for compatibility.
    #[serde(default)]
    pub default_addr: String,
    /// Unused, kept for compatibility.
    #[serde(default)]
    pub default_port: i64,
    /// Free metadata.
    #[serde(default, deserialize_with = "nullable")]
    pub meta: StringMap,
    /// Rank of the match, 9 (both exact) to 1 (both `*/*`).
    #[serde(default)]
    pub precedence: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// Index of its creation.
    #[serde(default)]
    pub create_index: Index,
    /// Index of its last change.
    #[serde(default)]
    pub modify_index: Index,
}

impl Intention {
    /// The rank by exactness: destination first, then source (see the table of the reference).
    #[must_use]
    pub fn computed_precedence(&self) -> i64 {
        let exact = |ns: &str, name: &str| match (ns == WILDCARD, name == WILDCARD) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        let highest = match exact(&self.destination_ns, &self.destination_name) {
            2 => 9,
            1 => 6,
            _ => 3,
        };
        highest - (2 - exact(&self.source_ns, &self.source_name))
    }

    /// Whether the source side covers the service `ns/name`.
    #[must_use]
    pub fn covers_source(&self, ns: &str, name: &str) -> bool {
        covers(&self.source_ns, &self.source_name, ns, name)
    }

    /// Whether the destination side covers the service `ns/name`.
    #[must_use]
    pub fn covers_destination(&self, ns: &str, name: &str) -> bool {
        covers(&self.destination_ns, &self.destination_name, ns, name)
    }

    /// The intention in one line, in the words that operators know.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{} {}/{} => {}/{} (ID: {}, Precedence: {})",
            self.action.as_str().to_uppercase(),
            self.source_ns,
            self.source_name,
            self.destination_ns,
            self.destination_name,
            self.id,
            self.precedence,
        )
    }

    /// The order in which intentions are tried: highest precedence first, ties by names.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let key = |i: &Self| (i.source_ns.clone(), i.source_name.clone(), i.destination_ns.clone());
        other
            .precedence
            .cmp(&self.precedence)
            .then_with(|| key(self).cmp(&key(other)))
            .then_with(|| self.destination_name.cmp(&other.destination_name))
    }
}

fn covers(rule_ns: &str, rule_name: &str, ns: &str, name: &str) -> bool {
    rule_ns == WILDCARD || (rule_ns == ns && (rule_name == WILDCARD || rule_name == name))
}
