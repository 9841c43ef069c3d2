//! The seam to prepared queries: who knows how to carry one out.
//!
//! What a prepared query is belongs elsewhere; here it is a name that becomes instances.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use lictor_agent::Agent;
use lictor_types::catalog::CheckServiceNode;
use lictor_types::duration;
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::query::{Consistency, QueryOptions};

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

/// Has the agent's servers carry them out.
#[derive(Clone, Debug)]
pub struct ServerQueries(pub Agent);

impl PreparedQueries for ServerQueries {
    fn execute<'a>(&'a self, request: &'a QueryRequest) -> QueryFuture<'a> {
        Box::pin(async move {
            let consistency = match request.allow_stale {
                true => Consistency::Stale,
                false => Consistency::Leader,
            };
            let datacenter = request.datacenter.clone();
            let token = self.0.tokens().dns_token().to_string();
            let options =
                QueryOptions { consistency, datacenter, token, ..QueryOptions::default() };
            let search = lictor_server::QueryRequest {
                name: &request.name,
                limit: 0,
                connect: false,
                near: "",
                address: request.source,
                agent: &self.0.config().node_name,
                segment: "",
                // A node of this datacenter is near to nothing in another one.
                datacenter: self.0.servers().routes().datacenter(),
            };
            let found = self.0.servers().prepared_query_execute(&options, &search).await;
            let found = match found {
                Ok(reply) => reply.result,
                Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let result = &found.value;
            // What was stored was checked; anything else counts as not given.
            let ttl = duration::parse(&result.dns.ttl).ok();
            Ok(Some(QueryAnswer {
                nodes: result.nodes.clone(),
                service: result.service.clone(),
                datacenter: result.datacenter.clone(),
                ttl: ttl.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos),
            }))
        })
    }
}
