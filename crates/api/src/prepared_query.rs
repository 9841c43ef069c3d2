//! `/v1/query`: prepared queries.
//!
//! Results of executions have lists that are `null` where those of `/v1/health` are empty.

use serde::{Deserialize, Serialize};

use crate::catalog::{Node, Service};
use crate::decode::{Body, Fields, object, opaque, plain};
use crate::health::HealthCheck;
use crate::nullable::{self, StringMap};

/// What makes a query a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryTemplate {
    /// Empty, or `name_prefix_match`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Takes the name apart.
    pub regexp: String,
    /// Whether tags that come out empty are left away.
    pub remove_empty_tags: bool,
}

/// Where else to look when nothing is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryFailover {
    /// How many of the nearest datacenters are tried.
    pub nearest_n: i64,
    /// Datacenters that are tried after those; none is `null`.
    #[serde(with = "nullable")]
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
    /// Checks whose state does not matter; none is `null`.
    #[serde(rename = "IgnoreCheckIDs", with = "nullable")]
    pub ignore_check_ids: Vec<String>,
    /// Node to be near to.
    pub near: String,
    /// Tags that are wanted, and with `!` in front, not wanted; none is `null`.
    #[serde(with = "nullable")]
    pub tags: Vec<String>,
    /// Metadata that the node must have; none is `null`.
    #[serde(with = "nullable")]
    pub node_meta: StringMap,
    /// Metadata that the instance must have; none is left out, as 1.2 does not know it.
    #[serde(with = "nullable", skip_serializing_if = "StringMap::is_empty")]
    pub service_meta: StringMap,
    /// Whether instances of the mesh are wanted.
    pub connect: bool,
}

/// How results are given over DNS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryDns {
    /// Duration text, or empty.
    #[serde(rename = "TTL")]
    pub ttl: String,
}

/// A prepared query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PreparedQuery {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name, or empty.
    pub name: String,
    /// Session with which it ends, or empty.
    pub session: String,
    /// Secret that it is executed with, or empty.
    pub token: String,
    /// What makes it a template.
    pub template: QueryTemplate,
    /// Which instances are wanted.
    pub service: ServiceQuery,
    /// How results are given over DNS.
    #[serde(rename = "DNS")]
    pub dns: QueryDns,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

impl Body for PreparedQuery {
    const FIELDS: &'static Fields = &Fields(&[
        plain("ID"),
        plain("Name"),
        plain("Session"),
        plain("Token"),
        object("Template", &Fields(&[plain("Type"), plain("Regexp"), plain("RemoveEmptyTags")])),
        object(
            "Service",
            &Fields(&[
                plain("Service"),
                object("Failover", &Fields(&[plain("NearestN"), plain("Datacenters")])),
                plain("OnlyPassing"),
                plain("IgnoreCheckIDs"),
                plain("Near"),
                plain("Tags"),
                opaque("NodeMeta"),
                opaque("ServiceMeta"),
                plain("Connect"),
            ]),
        ),
        object("DNS", &Fields(&[plain("TTL")])),
    ]);
}

/// Answer of a creation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedQueryId {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
}

/// Facts about an answer that does not block; they are in its body, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecutionMeta {
    /// Always 0.
    pub index: u64,
    /// Nanoseconds since the answering server heard the leader.
    pub last_contact: u64,
    /// Whether a leader is known.
    pub known_leader: bool,
    /// `leader`, `consistent` or `stale`.
    pub consistency_level: String,
}

/// Answer of `explain`: the query that a name means, with its template filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Explanation {
    /// The query.
    pub query: PreparedQuery,
    /// Facts about the answer.
    #[serde(flatten)]
    pub meta: ExecutionMeta,
}

/// An instance that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Instance {
    /// The node.
    pub node: Node,
    /// The instance.
    pub service: Service,
    /// The node's checks, then the instance's; none is `null`.
    #[serde(with = "nullable")]
    pub checks: Vec<HealthCheck>,
}

/// Answer of `execute`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    /// Service that was looked for.
    pub service: String,
    /// Its instances, in the order in which they should be tried; never `null`.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub nodes: Vec<Instance>,
    /// How they are given over DNS.
    #[serde(rename = "DNS")]
    pub dns: QueryDns,
    /// Where they are.
    pub datacenter: String,
    /// How many other datacenters were asked.
    pub failovers: u64,
    /// Facts about the answer.
    #[serde(flatten)]
    pub meta: ExecutionMeta,
}
