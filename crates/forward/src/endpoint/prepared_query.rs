//! Prepared queries.

use std::sync::Arc;

use lictor_server::{Executed, QueryRequest, QueryResult, Server, failover_order};
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::prepared_query::PreparedQuery;
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use lictor_wire::Source;
use lictor_wire::prepared_query::{
    self, Execution, QueryArgs, QueryChange, QueryOp, RemoteExecution,
};

use crate::attempts::Attempts;
use crate::away::{Serving, WriteOptions, answers, mapped, read, write};
use crate::servers::Servers;

fn not_found() -> EndpointError {
    EndpointError::new(ErrorKind::NotFound, "Query not found")
}

impl Servers {
    /// All prepared queries.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn prepared_query_list(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Vec<Arc<PreparedQuery>>>, EndpointError> {
        read!(self, options, |server| server.prepared_query_list(options), prepared_query::List, ())
    }

    /// One prepared query, as it was written.
    ///
    /// # Errors
    /// See [`Servers::kv_get`]; when there is none with this ID.
    pub async fn prepared_query_get(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Arc<PreparedQuery>>, EndpointError> {
        let args = || QueryArgs { id: id.to_owned() };
        read!(
            self,
            options,
            |server| server.prepared_query_get(options, id),
            prepared_query::Get,
            args(),
            |reply| Reply {
                result: Evaluated::new(
                    reply.result.index,
                    reply.result.value.clone().ok_or_else(not_found)?,
                ),
                meta: reply.meta,
            },
        )
    }

    /// Creates a prepared query and gives its ID.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn prepared_query_create(
        &self,
        to: &WriteOptions,
        query: PreparedQuery,
    ) -> Result<Arc<str>, EndpointError> {
        write!(
            self,
            to,
            |server| server.prepared_query_create(&to.token, query.clone()),
            prepared_query::Apply,
            QueryChange { op: QueryOp::Create, query: query.clone() },
        )
    }

    /// Replaces a prepared query.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn prepared_query_update(
        &self,
        to: &WriteOptions,
        query: PreparedQuery,
    ) -> Result<(), EndpointError> {
        write!(
            self,
            to,
            |server| server.prepared_query_update(&to.token, query.clone()),
            prepared_query::Apply,
            QueryChange { op: QueryOp::Update, query: query.clone() },
            |_id| (),
        )
    }

    /// Deletes a prepared query.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn prepared_query_delete(
        &self,
        to: &WriteOptions,
        id: &str,
    ) -> Result<(), EndpointError> {
        let query = || PreparedQuery { id: id.into(), ..PreparedQuery::default() };
        write!(
            self,
            to,
            |server| server.prepared_query_delete(&to.token, id),
            prepared_query::Apply,
            QueryChange { op: QueryOp::Delete, query: query() },
            |_id| (),
        )
    }

    fn execution(&self, options: &QueryOptions, request: &QueryRequest<'_>) -> Execution {
        let named =
            if request.datacenter.is_empty() { &options.datacenter } else { request.datacenter };
        let segment = request.segment.to_owned();
        Execution {
            name: request.name.to_owned(),
            limit: request.limit,
            connect: request.connect,
            source: Source {
                datacenter: self.named(named).to_owned(),
                segment: segment.clone(),
                node: request.near.to_owned(),
                ip: request.address.map(|ip| ip.to_string()).unwrap_or_default(),
            },
            agent: Source {
                datacenter: self.routes().datacenter().to_string(),
                segment,
                node: request.agent.to_owned(),
                ip: String::new(),
            },
        }
    }

    /// The query that an ID or a name means, with a template filled in. It does not block.
    ///
    /// # Errors
    /// See [`Servers::kv_get`]; when it means none, or a template that cannot be filled in.
    pub async fn prepared_query_explain(
        &self,
        options: &QueryOptions,
        request: &QueryRequest<'_>,
    ) -> Result<Reply<Arc<PreparedQuery>>, EndpointError> {
        read!(
            self,
            options,
            |server| server.prepared_query_explain(options, request),
            prepared_query::Explain,
            self.execution(options, request),
        )
    }

    /// Finds instances by the query that an ID or a name means. It does not block. What has none
    /// in the datacenter is looked for in others, if the query says so.
    ///
    /// # Errors
    /// See [`Servers::kv_get`]; when it means none, or a template that cannot be filled in.
    pub async fn prepared_query_execute(
        &self,
        options: &QueryOptions,
        request: &QueryRequest<'_>,
    ) -> Result<Reply<QueryResult>, EndpointError> {
        let here = async |server: &Server| {
            let executed = server.prepared_query_execute(options, request).await?;
            let failover = &executed.query.service.failover;
            let elsewhere = failover.nearest_n > 0 || !failover.datacenters.is_empty();
            if !elsewhere || !executed.reply.result.value.nodes.is_empty() {
                return Ok(executed.reply);
            }
            // What is seldom needed must not make every execution larger.
            Box::pin(self.failover(options, request, executed)).await
        };
        read!(
            self,
            options,
            |server| here(server),
            prepared_query::Execute,
            self.execution(options, request),
        )
    }

    /// Looks in other datacenters, one after the other, until one has something.
    async fn failover(
        &self,
        options: &QueryOptions,
        request: &QueryRequest<'_>,
        executed: Executed,
    ) -> Result<Reply<QueryResult>, EndpointError> {
        let Executed { mut reply, query } = executed;
        let mut others = self.by_distance().await;
        others.retain(|name| **name != **self.routes().datacenter());
        let mut failovers = 0;
        for datacenter in failover_order(&query.service.failover, others) {
            failovers += 1;
            let options = QueryOptions { datacenter, ..options.clone() };
            let mut attempts = Attempts::read(self, &options);
            let args = || RemoteExecution {
                query: PreparedQuery::clone(&query),
                limit: request.limit,
                connect: request.connect,
            };
            let asked =
                self.read_away::<prepared_query::ExecuteRemote, _>(&mut attempts, &options, args);
            match asked.await {
                Ok(Some(found)) => {
                    let some = !found.result.value.nodes.is_empty();
                    reply = found;
                    if some {
                        break;
                    }
                }
                // Nobody else is this server.
                Ok(None) => {}
                Err(error) => {
                    let (service, datacenter) = (&query.service.service, &options.datacenter);
                    tracing::warn!(service, datacenter, %error,
                        "a prepared query cannot be executed in another datacenter");
                }
            }
        }
        Ok(mapped(reply, |result| QueryResult { failovers, ..result }))
    }

    /// Finds instances by a query of another datacenter.
    pub(crate) async fn prepared_query_execute_remote(
        &self,
        options: &QueryOptions,
        asked: &RemoteExecution,
    ) -> Result<Reply<QueryResult>, EndpointError> {
        let RemoteExecution { query, limit, connect } = asked;
        read!(
            self,
            options,
            |server| server.prepared_query_execute_remote(options, query, *limit, *connect),
            prepared_query::ExecuteRemote,
            asked.clone(),
        )
    }
}

fn request(asked: &Execution) -> QueryRequest<'_> {
    QueryRequest {
        name: &asked.name,
        limit: asked.limit,
        connect: asked.connect,
        near: &asked.source.node,
        address: asked.source.ip.parse().ok(),
        agent: &asked.agent.node,
        segment: &asked.agent.segment,
        datacenter: match &*asked.source.datacenter {
            "" => &asked.agent.datacenter,
            named => named,
        },
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        prepared_query::List, asked => servers.prepared_query_list(&asked.options);
        prepared_query::Get, asked => async {
            let reply = servers.prepared_query_get(&asked.options, &asked.args.id).await?;
            let found = Some(Arc::clone(&reply.result.value));
            let result = Evaluated::new(reply.result.index, found);
            Ok::<_, EndpointError>(Reply { result, meta: reply.meta })
        };
        prepared_query::Explain, asked => async {
            servers.prepared_query_explain(&asked.options, &request(&asked.args)).await
        };
        prepared_query::Execute, asked => async {
            servers.prepared_query_execute(&asked.options, &request(&asked.args)).await
        };
        prepared_query::ExecuteRemote, asked => async {
            servers.prepared_query_execute_remote(&asked.options, &asked.args).await
        };
        prepared_query::Apply, asked => async {
            let to = WriteOptions { datacenter: asked.datacenter, token: asked.token };
            let QueryChange { op, query } = asked.args;
            let id = Arc::clone(&query.id);
            match op {
                QueryOp::Create => servers.prepared_query_create(&to, query).await,
                QueryOp::Update => servers.prepared_query_update(&to, query).await.map(|()| id),
                QueryOp::Delete => servers.prepared_query_delete(&to, &id).await.map(|()| id),
            }
        };
    }
}
