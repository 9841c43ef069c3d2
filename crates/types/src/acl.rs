//! Tokens, policies and roles as the store keeps them.
//!
//! Parsing rules and deciding are in the `acl` crate.

use serde::{Deserialize, Serialize};

use crate::Index;
use crate::codec::nullable;
use crate::timestamp::Timestamp;

/// A reference by ID with the name it had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclLink {
    /// UUID of the policy or role.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A named set of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclPolicy {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Unique name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Rule text.
    pub rules: String,
    /// Datacenters it applies in; empty for all.
    #[serde(deserialize_with = "nullable")]
    pub datacenters: Vec<String>,
    /// Index of its creation.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}

/// A token. The 1.2 form («ACL») is a token whose rules are its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclToken {
    /// Public UUID.
    #[serde(rename = "AccessorID")]
    pub accessor_id: String,
    /// The secret that callers present.
    #[serde(rename = "SecretID")]
    pub secret_id: String,
    /// For people.
    pub description: String,
    /// Its policies.
    #[serde(deserialize_with = "nullable")]
    pub policies: Vec<AclLink>,
    /// `client` or `management` for tokens of the 1.2 form, else empty.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Own rules (1.2 form).
    pub rules: String,
    /// Whether it is valid in its own datacenter only.
    pub local: bool,
    /// When it was created.
    pub create_time: Timestamp,
    /// Index of its creation.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}
