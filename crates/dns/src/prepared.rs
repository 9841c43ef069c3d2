//! The seam to prepared queries: who knows how to carry one out.
//!
//! What a prepared query is belongs elsewhere; here it is a name that becomes instances.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use lictor_types::catalog::CheckServiceNode;
use lictor_types::error::EndpointError;

/// A prepared query that is asked for.
#[derive(Clone, Debug)]
pub struct QueryRequest {
    /// Its name, in lower case, or its ID.
    pub name: String,
    /// Where it is to be carried out; empty for here.
    pub datacenter: String,
    /// Who asks: the client's network if its resolver says so, else the peer.
    pub source: Option<IpAddr>,
    /// Whether a server that does not lead may answer.
    pub allow_stale: bool,
}

/// What a prepared query found.
#[derive(Clone, Debug)]
pub struct QueryAnswer {
    /// Healthy instances in the order in which they are to be used.
    pub nodes: Vec<CheckServiceNode>,
    /// The service that was looked for in the end.
    pub service: String,
    /// Where they are.
    pub datacenter: String,
    /// The query's own TTL.
    pub ttl: Option<Duration>,
}

/// The answer to be; `None` when there is no such query.
pub type QueryFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Option<QueryAnswer>, EndpointError>> + Send + 'a>>;

/// Carries out prepared queries.
pub trait PreparedQueries: std::fmt::Debug + Send + Sync {
    /// Carries one out.
    fn execute<'a>(&'a self, request: &'a QueryRequest) -> QueryFuture<'a>;
}

/// Knows no query.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoQueries;

impl PreparedQueries for NoQueries {
    fn execute<'a>(&'a self, _request: &'a QueryRequest) -> QueryFuture<'a> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
