//! Prepared queries.

use lictor_server::{QueryRequest, QueryResult};
use lictor_types::error::EndpointError;
use lictor_types::query::{QueryOptions, Reply};

use crate::servers::Servers;

impl Servers {
    /// Finds instances by the query that an ID or a name means. It does not block.
    ///
    /// # Errors
    /// See [`Servers::kv_get`]; when it means none, or a template that cannot be filled in.
    pub async fn prepared_query_execute(
        &self,
        options: &QueryOptions,
        request: &QueryRequest<'_>,
    ) -> Result<Reply<QueryResult>, EndpointError> {
        self.only_here()?.prepared_query_execute(options, request).await
    }
}
