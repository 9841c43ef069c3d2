//! Prepared queries: a search for instances of a service that is kept under a name.
//!
//! Which one a name means, and how a template is filled in, is the store's; what it finds, the
//! server's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Index;
use crate::catalog::{CheckServiceNode, StringMap};
use crate::codec::nullable;

/// The only kind of template: it answers every name that begins with its own.
pub const NAME_PREFIX_MATCH: &str = "name_prefix_match";

/// What makes a query a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryTemplate {
    /// Empty for a query that is none; else [`NAME_PREFIX_MATCH`].
    #[serde(rename = "Type")]
    pub kind: String,
    /// Takes the name apart; empty for none.
    pub regexp: String,
    /// Whether tags that come out empty are left away.
    pub remove_empty_tags: bool,
}

/// Where else to look when nothing is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryFailover {
    /// How many of the nearest other datacenters are tried first.
    pub nearest_n: i64,
    /// Datacenters that are tried after those.
    #[serde(deserialize_with = "nullable")]
    pub datacenters: Vec<String>,
}

/// Which instances are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceQuery {
    /// Name of the service.
    pub service: String,
    /// Where else to look.
    pub failover: QueryFailover,
    /// Whether a warning is as bad as a failure.
    pub only_passing: bool,
    /// Checks whose state does not matter.
    #[serde(rename = "IgnoreCheckIDs", deserialize_with = "nullable")]
    pub ignore_check_ids: Vec<String>,
    /// Node to be near to; `_agent` and `_ip` stand for whoever asks.
    pub near: String,
    /// Tags that are wanted, and with `!` in front, not wanted.
    #[serde(deserialize_with = "nullable")]
    pub tags: Vec<String>,
    /// Metadata that the node must have.
    #[serde(deserialize_with = "nullable")]
    pub node_meta: StringMap,
    /// Metadata that the instance must have, as from 1.3 on.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "StringMap::is_empty")]
    pub service_meta: StringMap,
    /// Whether instances that speak for the service in the mesh are wanted.
    pub connect: bool,
}

/// How results are given over DNS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryDns {
    /// Time to live as a duration text; empty for the agent's.
    #[serde(rename = "TTL")]
    pub ttl: String,
}

/// A prepared query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PreparedQuery {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: Arc<str>,
    /// Name under which it is found; empty for none.
    pub name: String,
    /// Session with which it ends; empty for none.
    pub session: Arc<str>,
    /// Secret whose rights it is executed with; empty for the caller's.
    pub token: String,
    /// What makes it a template.
    pub template: QueryTemplate,
    /// Which instances are wanted.
    pub service: ServiceQuery,
    /// How results are given over DNS.
    #[serde(rename = "DNS")]
    pub dns: QueryDns,
    /// Index of its creation.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}

impl PreparedQuery {
    /// Whether it is filled in for each name that it is asked by.
    #[must_use]
    pub fn is_template(&self) -> bool {
        !self.template.kind.is_empty()
    }
}

/// What the execution of a prepared query found.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// The service that was looked for.
    pub service: String,
    /// Its instances, in the order in which they should be tried.
    pub nodes: Vec<CheckServiceNode>,
    /// How they are given over DNS.
    pub dns: QueryDns,
    /// Where they are.
    pub datacenter: String,
    /// How many other datacenters were asked.
    pub failovers: u64,
}
