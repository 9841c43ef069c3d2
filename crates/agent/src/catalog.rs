//! Reads and writes of the catalog for this node's own sake: anti-entropy and alias checks.
//!
//! What to write is decided by [`crate::local`], when by [`crate::sync`].

use lictor_types::Index;
use lictor_types::command::{DeregisterRequest, RegisterRequest};
use lictor_types::error::EndpointError;
use lictor_types::query::QueryOptions;

use crate::check::{RemoteAnswer, RemoteChecks};
use crate::local::Remote;
use crate::sync::Catalog;
use crate::upstream::Upstream;

/// The catalog for anti-entropy.
#[derive(Debug)]
pub(crate) struct CatalogClient<U>(pub(crate) U);

impl<U: Upstream> Catalog for CatalogClient<U> {
    async fn node(&self, token: &str, node: &str) -> Result<Remote, EndpointError> {
        let Some(info) = self.0.node(token, node).await? else { return Ok(Remote::default()) };
        Ok(Remote { node: Some(info.node), services: info.services, checks: info.checks })
    }

    async fn register(&self, token: &str, request: RegisterRequest) -> Result<(), EndpointError> {
        self.0.register(token, request).await
    }

    async fn deregister(
        &self,
        token: &str,
        request: DeregisterRequest,
    ) -> Result<(), EndpointError> {
        self.0.deregister(token, request).await
    }
}

/// The catalog for alias checks.
#[derive(Debug)]
pub(crate) struct CheckReader<U>(pub(crate) U);

impl<U: Upstream> RemoteChecks for CheckReader<U> {
    fn node_checks(&self, token: &str, node: &str, index: Index) -> RemoteAnswer {
        let upstream = self.0.clone();
        let options =
            QueryOptions { token: token.to_owned(), min_index: index, ..QueryOptions::default() };
        let node = node.to_owned();
        Box::pin(async move {
            upstream.node_checks(&options, &node).await.map_err(|error| error.to_string())
        })
    }
}
