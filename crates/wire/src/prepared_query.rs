//! Prepared queries.

use std::sync::Arc;

use lictor_types::prepared_query::{
    PreparedQuery, QueryDns, QueryFailover, QueryResult, QueryTemplate, ServiceQuery,
};
use lictor_types::query::Reply;

use crate::record::{fields, record};
use crate::reply::{AtMostOne, data};
use crate::value::{Natural, words};
use crate::{ReadRequest, Source, WriteRequest, methods};

methods! {
    /// Writes a query; the reply is its id.
    Apply = "PreparedQuery.Apply": WriteRequest<QueryChange> => Arc<str>;
    /// A query by its id.
    Get = "PreparedQuery.Get": ReadRequest<QueryArgs> => Reply<Option<Arc<PreparedQuery>>>;
    /// All queries.
    List = "PreparedQuery.List": ReadRequest => Reply<Vec<Arc<PreparedQuery>>>;
    /// What a query is for the name that it is asked by.
    Explain = "PreparedQuery.Explain": ReadRequest<Execution> => Reply<Arc<PreparedQuery>>;
    /// What a query finds, here or elsewhere.
    Execute = "PreparedQuery.Execute": ReadRequest<Execution> => Reply<QueryResult>;
    /// What a query finds in the datacenter that is asked.
    ExecuteRemote = "PreparedQuery.ExecuteRemote":
        ReadRequest<RemoteExecution> => Reply<QueryResult>;
}

/// What is done with a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryOp {
    /// It is created.
    #[default]
    Create,
    /// The one with its id is replaced.
    Update,
    /// The one with its id is deleted.
    Delete,
}

words! { QueryOp {
    "create": Create,
    "update": Update,
    "delete": Delete,
} }

/// A write to prepared queries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryChange {
    /// What is done.
    pub op: QueryOp,
    /// With which one.
    pub query: PreparedQuery,
}

fields! { QueryChange {
    "Op": op,
    "Query": query,
} }

/// A query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryArgs {
    /// Its id.
    pub id: String,
}

fields! { QueryArgs { "QueryID": id, } }

/// How a query is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// Its id or name.
    pub name: String,
    /// Most instances that are wanted; 0 for all.
    pub limit: usize,
    /// Whether instances of the mesh are wanted, even if the query does not say so.
    pub connect: bool,
    /// From where distances are measured, instead of where the query says.
    pub source: Source,
    /// The agent that was asked.
    pub agent: Source,
}

fields! { Execution {
    "Agent": agent,
    "Connect": connect,
    "Limit": limit as Natural,
    "QueryIDOrName": name,
    "Source": source,
} }

/// How another datacenter's query is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteExecution {
    /// The query, with templates filled in.
    pub query: PreparedQuery,
    /// Most instances that are wanted; 0 for all.
    pub limit: usize,
    /// Whether instances of the mesh are wanted, even if the query does not say so.
    pub connect: bool,
}

fields! { RemoteExecution {
    "Connect": connect,
    "Limit": limit as Natural,
    "Query": query,
} }

record! { QueryFailover {
    "Datacenters": datacenters,
    "NearestN": nearest_n,
} }

record! { QueryTemplate {
    "Regexp": regexp,
    "RemoveEmptyTags": remove_empty_tags,
    "Type": kind,
} }

record! { QueryDns { "TTL": ttl, } }

record! { ServiceQuery {
    "Connect": connect,
    "Failover": failover,
    "IgnoreCheckIDs": ignore_check_ids,
    "Near": near,
    "NodeMeta": node_meta,
    "OnlyPassing": only_passing,
    "Service": service,
    "ServiceMeta": service_meta,
    "Tags": tags,
} }

record! { PreparedQuery {
    "CreateIndex": create_index,
    "DNS": dns,
    "ID": id,
    "ModifyIndex": modify_index,
    "Name": name,
    "Service": service,
    "Session": session,
    "Template": template,
    "Token": token,
} }

fields! { QueryResult = Self {
    service: String::new(),
    nodes: Vec::new(),
    dns: QueryDns::default(),
    datacenter: String::new(),
    failovers: 0,
} => {
    "DNS": dns,
    "Datacenter": datacenter,
    "Failovers": failovers,
    "Nodes": nodes,
    "Service": service,
} }

data! {
    "Query": Arc<PreparedQuery>;
    "Queries": Option<Arc<PreparedQuery>> as AtMostOne;
    "Queries": Vec<Arc<PreparedQuery>>;
}
