//! `/v1/acl`: ways to log in, what they give, and logging in and out.

use serde::{Deserialize, Serialize};

use crate::acl::is_zero;
use crate::decode::{Body, Fields, opaque, plain};
use crate::duration::GoDuration;
use crate::nullable::{self, StringMap};

/// A way to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthMethod {
    /// Unique name.
    pub name: String,
    /// Who vouches: `jwt`, …
    #[serde(rename = "Type")]
    pub kind: String,
    /// Name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How long its tokens live.
    #[serde(rename = "MaxTokenTTL", skip_serializing_if = "GoDuration::is_zero")]
    pub max_token_ttl: GoDuration,
    /// `local` or `global`; local when left out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token_locality: String,
    /// Settings of its type; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<serde_json::Map<String, serde_json::Value>>,
    /// Index of its creation.
    #[serde(skip_serializing_if = "is_zero")]
    pub create_index: u64,
    /// Index of its last change.
    #[serde(skip_serializing_if = "is_zero")]
    pub modify_index: u64,
}

impl Body for AuthMethod {
    const FIELDS: &'static Fields = &Fields(&[
        plain("Name"),
        plain("Type"),
        plain("DisplayName"),
        plain("Description"),
        plain("MaxTokenTTL"),
        plain("TokenLocality"),
        opaque("Config"),
    ]);
}

/// What those get who log in by a method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindingRule {
    /// UUID.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// For people.
    pub description: String,
    /// Name of the method.
    pub auth_method: String,
    /// Whom it concerns; empty for everybody.
    pub selector: String,
    /// `service`, `node` or `role`.
    pub bind_type: String,
    /// Name of that, with `${…}`.
    pub bind_name: String,
    /// Index of its creation.
    #[serde(skip_serializing_if = "is_zero")]
    pub create_index: u64,
    /// Index of its last change.
    #[serde(skip_serializing_if = "is_zero")]
    pub modify_index: u64,
}

impl Body for BindingRule {
    const FIELDS: &'static Fields = &Fields(&[
        plain("ID"),
        plain("Description"),
        plain("AuthMethod"),
        plain("Selector"),
        plain("BindType"),
        plain("BindName"),
    ]);
}

/// Body of `/v1/acl/login`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Login {
    /// Name of the method.
    pub auth_method: String,
    /// What it is told.
    pub bearer_token: String,
    /// Becomes part of the token's description.
    #[serde(
        skip_serializing_if = "StringMap::is_empty",
        deserialize_with = "nullable::deserialize"
    )]
    pub meta: StringMap,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("auth_method", &self.auth_method).finish_non_exhaustive()
    }
}

impl Body for Login {
    const FIELDS: &'static Fields =
        &Fields(&[plain("AuthMethod"), plain("BearerToken"), opaque("Meta")]);
}
