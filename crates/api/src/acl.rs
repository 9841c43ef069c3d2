//! `/v1/acl`: tokens, policies and roles; the endpoints of version 1.2.
//!
//! Ways to log in are in [`crate::acl_auth`]. What is left out of an answer when it is empty follows
//! the original; times are RFC 3339, fingerprints base64.

use serde::{Deserialize, Serialize};

use crate::decode::{Body, Fields, list, plain};
use crate::duration::GoDuration;
use crate::nullable;

/// A policy or role by ID, and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclLink {
    /// UUID; in a request it may be empty if there is a name.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// The right to be a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceIdentity {
    /// Its name.
    pub service_name: String,
    /// Datacenters it holds in; all when left out.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub datacenters: Vec<String>,
}

/// The right to be a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeIdentity {
    /// Its name.
    pub node_name: String,
    /// Its datacenter.
    pub datacenter: String,
}

const LINK: &Fields = &Fields(&[plain("ID"), plain("Name")]);
const SERVICE: &Fields = &Fields(&[plain("ServiceName"), plain("Datacenters")]);
const NODE: &Fields = &Fields(&[plain("NodeName"), plain("Datacenter")]);

/// A token.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclToken {
    /// The secret once more, as answers to a bootstrap have it.
    #[serde(rename = "ID", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it is called in public.
    #[serde(rename = "AccessorID", skip_serializing_if = "String::is_empty")]
    pub accessor_id: String,
    /// What its bearer shows.
    #[serde(rename = "SecretID", skip_serializing_if = "String::is_empty")]
    pub secret_id: String,
    /// For people.
    pub description: String,
    /// Its policies.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub policies: Vec<AclLink>,
    /// Its roles.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub roles: Vec<AclLink>,
    /// The services it may be.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub service_identities: Vec<ServiceIdentity>,
    /// The nodes it may be.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub node_identities: Vec<NodeIdentity>,
    /// Rules of its own, in the language of 1.2; not in lists.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rules: String,
    /// Whether it is valid in one datacenter only.
    pub local: bool,
    /// The way of logging in that made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_method: String,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<String>,
    /// How long it lives, in requests.
    #[serde(rename = "ExpirationTTL", skip_serializing_if = "GoDuration::is_zero")]
    pub expiration_ttl: GoDuration,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    /// Fingerprint of its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Index of its creation.
    #[serde(skip_serializing_if = "is_zero")]
    pub create_index: u64,
    /// Index of its last change.
    #[serde(skip_serializing_if = "is_zero")]
    pub modify_index: u64,
    /// In lists, whether it has rules of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub legacy: bool,
}

impl std::fmt::Debug for AclToken {
    /// Without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AclToken")
            .field("accessor_id", &self.accessor_id)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
pub(crate) const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Body for AclToken {
    const FIELDS: &'static Fields = &Fields(&[
        plain("AccessorID"),
        plain("SecretID"),
        plain("Description"),
        list("Policies", LINK),
        list("Roles", LINK),
        list("ServiceIdentities", SERVICE),
        list("NodeIdentities", NODE),
        plain("Rules"),
        plain("Local"),
        plain("AuthMethod"),
        plain("ExpirationTime"),
        plain("ExpirationTTL"),
    ]);
}

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclPolicy {
    /// UUID.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Unique name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Rule text.
    pub rules: String,
    /// Datacenters it holds in; all when left out.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub datacenters: Vec<String>,
    /// Fingerprint of its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Index of its creation.
    #[serde(skip_serializing_if = "is_zero")]
    pub create_index: u64,
    /// Index of its last change.
    #[serde(skip_serializing_if = "is_zero")]
    pub modify_index: u64,
}

impl Body for AclPolicy {
    const FIELDS: &'static Fields = &Fields(&[
        plain("ID"),
        plain("Name"),
        plain("Description"),
        plain("Rules"),
        plain("Datacenters"),
    ]);
}

/// A policy in a list: without its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclPolicyStub {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Unique name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Datacenters it holds in; `null` for all.
    #[serde(with = "nullable")]
    pub datacenters: Vec<String>,
    /// Fingerprint of its content.
    pub hash: Option<String>,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclRole {
    /// UUID.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Unique name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its policies.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub policies: Vec<AclLink>,
    /// The services it may be.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub service_identities: Vec<ServiceIdentity>,
    /// The nodes it may be.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable::deserialize")]
    pub node_identities: Vec<NodeIdentity>,
    /// Fingerprint of its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Index of its creation.
    #[serde(skip_serializing_if = "is_zero")]
    pub create_index: u64,
    /// Index of its last change.
    #[serde(skip_serializing_if = "is_zero")]
    pub modify_index: u64,
}

impl Body for AclRole {
    const FIELDS: &'static Fields = &Fields(&[
        plain("ID"),
        plain("Name"),
        plain("Description"),
        list("Policies", LINK),
        list("ServiceIdentities", SERVICE),
        list("NodeIdentities", NODE),
    ]);
}

/// A token as 1.2 has it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LegacyAcl {
    /// The secret.
    #[serde(rename = "ID")]
    pub id: String,
    /// For people.
    pub name: String,
    /// `client` or `management`; empty in a request for the former.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Rule text of 1.2.
    pub rules: String,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

impl std::fmt::Debug for LegacyAcl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LegacyAcl").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Body for LegacyAcl {
    const FIELDS: &'static Fields =
        &Fields(&[plain("ID"), plain("Name"), plain("Type"), plain("Rules")]);
}

/// The secret of a token that was written.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyAclId {
    /// The secret.
    #[serde(rename = "ID")]
    pub id: String,
}

impl std::fmt::Debug for LegacyAclId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LegacyAclId").finish_non_exhaustive()
    }
}

/// How copying from another datacenter goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclReplication {
    /// Whether it is wanted.
    pub enabled: bool,
    /// Whether it goes on.
    pub running: bool,
    /// Where it is copied from.
    pub source_datacenter: String,
    /// What is copied.
    pub replication_type: String,
    /// Index of policies up to which it was copied.
    pub replicated_index: u64,
    /// The same of roles.
    pub replicated_role_index: u64,
    /// The same of tokens.
    pub replicated_token_index: u64,
    /// When it last went well.
    pub last_success: String,
    /// When it last failed.
    pub last_error: String,
}

impl Default for AclReplication {
    fn default() -> Self {
        let never = "0001-01-01T00:00:00Z".to_owned();
        Self {
            enabled: false,
            running: false,
            source_datacenter: String::new(),
            replication_type: String::new(),
            replicated_index: 0,
            replicated_role_index: 0,
            replicated_token_index: 0,
            last_success: never.clone(),
            last_error: never,
        }
    }
}

/// A question about a right; the answer has it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclAuthorization {
    /// `key`, `service`, …
    pub resource: String,
    /// `read`, `list` or `write`.
    pub access: String,
    /// The name in question.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub segment: String,
    /// The decision.
    pub allow: bool,
}

impl Body for AclAuthorization {
    const FIELDS: &'static Fields =
        &Fields(&[plain("Resource"), plain("Access"), plain("Segment")]);
}

/// Body of `/v1/agent/token/…`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentToken {
    /// The secret.
    pub token: String,
}

impl std::fmt::Debug for AgentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentToken").finish_non_exhaustive()
    }
}

impl Body for AgentToken {
    const FIELDS: &'static Fields = &Fields(&[plain("Token")]);
}
