//! Tokens, policies, roles, and ways to log in, as the store keeps them.
//!
//! Field names are the original's (1.4 and later), so that its archives can be read. Parsing rules
//! and deciding are in the `acl` crate; what may be written, and by whom, is the server's.

use serde::{Deserialize, Serialize};

use crate::Index;
use crate::codec::nullable;
use crate::timestamp::Timestamp;

/// Type of a 1.2 token that may do everything.
pub const MANAGEMENT: &str = "management";
/// Type of a 1.2 token that may do what its rules say.
pub const CLIENT: &str = "client";
/// Secret of the token of those who have none.
pub const ANONYMOUS_SECRET: &str = "anonymous";
/// Accessor of that token.
pub const ANONYMOUS_ACCESSOR: &str = "00000000-0000-0000-0000-000000000002";
/// ID of the policy that allows everything.
pub const GLOBAL_MANAGEMENT_ID: &str = "00000000-0000-0000-0000-000000000001";
/// What IDs of built-in objects begin with.
pub const RESERVED_PREFIX: &str = "00000000-0000-0000-0000-0000000000";

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

/// The right to be a service: to register it and its sidecar, and to find others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceIdentity {
    /// Name of the service.
    pub service_name: String,
    /// Datacenters it holds in; empty for all.
    #[serde(deserialize_with = "nullable")]
    pub datacenters: Vec<String>,
}

/// The right to be a node: to register it, and to see what runs on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeIdentity {
    /// Name of the node.
    pub node_name: String,
    /// Its datacenter.
    pub datacenter: String,
}

/// A named set of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclPolicy {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Unique name, whatever its case.
    pub name: String,
    /// For people.
    pub description: String,
    /// Rule text.
    pub rules: String,
    /// Datacenters it applies in; empty for all.
    #[serde(deserialize_with = "nullable")]
    pub datacenters: Vec<String>,
    /// BLAKE2b-256 of what people wrote; empty in what was written before there was one.
    #[serde(with = "hash")]
    pub hash: Vec<u8>,
    /// Index of its creation. In a write: the one that the writer saw, 0 for a new one.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}

/// A named set of policies and identities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclRole {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Unique name, whatever its case.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its policies.
    #[serde(deserialize_with = "nullable")]
    pub policies: Vec<AclLink>,
    /// The services it may be.
    #[serde(deserialize_with = "nullable")]
    pub service_identities: Vec<ServiceIdentity>,
    /// The nodes it may be.
    #[serde(deserialize_with = "nullable")]
    pub node_identities: Vec<NodeIdentity>,
    /// As of a policy.
    #[serde(with = "hash")]
    pub hash: Vec<u8>,
    /// Index of its creation. In a write: the one that the writer saw, 0 for a new one.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}

/// A token. The 1.2 form («ACL») is a token whose rules are its own.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclToken {
    /// Public UUID; empty only in what 1.2 wrote, until the leader gives it one.
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
    /// Its roles.
    #[serde(deserialize_with = "nullable")]
    pub roles: Vec<AclLink>,
    /// The services it may be.
    #[serde(deserialize_with = "nullable")]
    pub service_identities: Vec<ServiceIdentity>,
    /// The nodes it may be.
    #[serde(deserialize_with = "nullable")]
    pub node_identities: Vec<NodeIdentity>,
    /// `client` or `management` for tokens of the 1.2 form, else empty.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Own rules (1.2 form).
    pub rules: String,
    /// Whether it is valid in its own datacenter only.
    pub local: bool,
    /// The way of logging in that made it; empty for none.
    pub auth_method: String,
    /// From when on it is worth nothing; `None` for never.
    pub expiration_time: Option<Timestamp>,
    /// When it was created.
    pub create_time: Timestamp,
    /// As of a policy.
    #[serde(with = "hash")]
    pub hash: Vec<u8>,
    /// Index of its creation. In a write: the one that the writer saw, 0 for a new one.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}

impl AclToken {
    /// Whether it is worth nothing any more.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expiration_time.is_some_and(|end| end.0 != 0 && end < now)
    }

    /// Whether it has anything that a token of 1.2 cannot have.
    #[must_use]
    pub fn is_of_later_form(&self) -> bool {
        self.kind.is_empty()
            || !self.policies.is_empty()
            || !self.roles.is_empty()
            || !self.service_identities.is_empty()
            || !self.node_identities.is_empty()
            || self.expiration_time.is_some()
            || !self.auth_method.is_empty()
    }
}

impl std::fmt::Debug for AclToken {
    /// Without the secret: it must not get into logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AclToken")
            .field("accessor_id", &self.accessor_id)
            .field("description", &self.description)
            .field("policies", &self.policies)
            .field("roles", &self.roles)
            .field("service_identities", &self.service_identities)
            .field("node_identities", &self.node_identities)
            .field("kind", &self.kind)
            .field("local", &self.local)
            .field("expiration_time", &self.expiration_time)
            .field("create_index", &self.create_index)
            .field("modify_index", &self.modify_index)
            .finish_non_exhaustive()
    }
}

/// A token as 1.2 writes it into archives.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LegacyAcl {
    /// The secret.
    #[serde(rename = "ID")]
    pub id: String,
    /// For people.
    pub name: String,
    /// `client` or `management`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Rule text of 1.2.
    pub rules: String,
    /// Index of its creation.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}

impl std::fmt::Debug for LegacyAcl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LegacyAcl").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<LegacyAcl> for AclToken {
    fn from(acl: LegacyAcl) -> Self {
        let anonymous = acl.id == ANONYMOUS_SECRET;
        Self {
            accessor_id: if anonymous { ANONYMOUS_ACCESSOR.to_owned() } else { String::new() },
            secret_id: acl.id,
            description: acl.name,
            kind: acl.kind,
            rules: acl.rules,
            create_index: acl.create_index,
            modify_index: acl.modify_index,
            ..Self::default()
        }
    }
}

/// A way to get a token for something that somebody else vouches for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclAuthMethod {
    /// Unique name, whatever its case.
    pub name: String,
    /// Who vouches: `jwt`, …
    #[serde(rename = "Type")]
    pub kind: String,
    /// Name for people.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// How long its tokens live, nanoseconds; 0 for ever.
    #[serde(rename = "MaxTokenTTL")]
    pub max_token_ttl: i64,
    /// `local`, `global`, or empty for local.
    pub token_locality: String,
    /// Settings of its type.
    #[serde(deserialize_with = "nullable")]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Index of its creation. In a write: the one that the writer saw, 0 for a new one.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}

/// What those get who log in by a method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclBindingRule {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// For people.
    pub description: String,
    /// Name of the method.
    pub auth_method: String,
    /// Whom it concerns; empty for everybody.
    pub selector: String,
    /// What they get: `service`, `node` or `role`.
    pub bind_type: String,
    /// Its name, with `${…}` for what is known of them.
    pub bind_name: String,
    /// Index of its creation. In a write: the one that the writer saw, 0 for a new one.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}

/// What is wanted of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// Its content. Of its links, an ID or else a name counts.
    pub token: AclToken,
    /// How long it lives, nanoseconds; 0 leaves it at its end, if it has one.
    pub expiration_ttl: i64,
    /// Whether it must not be there yet.
    pub create: bool,
}

/// How far what another datacenter decides about access has arrived here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclReplication {
    /// Whether it is to arrive at all.
    pub enabled: bool,
    /// Whether it is under way.
    pub running: bool,
    /// Where it comes from.
    pub source_datacenter: String,
    /// `legacy`, `policies` or `tokens`; empty in version 1.2.
    pub kind: String,
    /// Up to which index policies are here, or what version 1.2 has.
    pub index: Index,
    /// Up to which index roles are here.
    pub role_index: Index,
    /// Up to which index tokens are here.
    pub token_index: Index,
    /// When it last went well.
    pub last_success: Timestamp,
    /// When it last did not.
    pub last_error: Timestamp,
}

/// A question about what a token may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclQuestion {
    /// `key`, `service`, `operator`, …
    pub resource: String,
    /// `read`, `list` or `write`.
    pub access: String,
    /// The name in question; empty for resources without names.
    pub segment: String,
}

/// Bytes that may be missing.
mod hash {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use serde_bytes::ByteBuf;

    pub(super) fn serialize<S: Serializer>(hash: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(hash)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(Option::<ByteBuf>::deserialize(from)?.unwrap_or_default().into_vec())
    }
}
