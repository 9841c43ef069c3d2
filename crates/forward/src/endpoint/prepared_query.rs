//! Prepared queries.

use std::sync::Arc;

use lictor_server::{QueryRequest, QueryResult};
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::prepared_query::PreparedQuery;
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use lictor_wire::Source;
use lictor_wire::prepared_query::{self, Execution, QueryArgs, QueryChange, QueryOp};

use crate::away::{Serving, WriteOptions, answers, read, write};
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

    fn execution(&self, request: &QueryRequest<'_>) -> Execution {
        let datacenter = self.routes().datacenter().to_string();
        let segment = request.segment.to_owned();
        Execution {
            name: request.name.to_owned(),
            limit: request.limit,
            connect: request.connect,
            source: Source {
                datacenter: datacenter.clone(),
                segment: segment.clone(),
                node: request.near.to_owned(),
                ip: request.address.map(|ip| ip.to_string()).unwrap_or_default(),
            },
            agent: Source {
                datacenter,
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
            self.execution(request),
        )
    }

    /// Finds instances by the query that an ID or a name means. It does not block.
    ///
    /// # Errors
    /// See [`Servers::kv_get`]; when it means none, or a template that cannot be filled in.
    pub async fn prepared_query_execute(
        &self,
        options: &QueryOptions,
        request: &QueryRequest<'_>,
    ) -> Result<Reply<QueryResult>, EndpointError> {
        read!(
            self,
            options,
            |server| server.prepared_query_execute(options, request),
            prepared_query::Execute,
            self.execution(request),
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
