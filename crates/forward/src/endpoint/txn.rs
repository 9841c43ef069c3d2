//! Transactions on keys and on the catalog.

use lictor_server::{CatalogTxnReply, Server, only_reads};
use lictor_types::error::EndpointError;
use lictor_types::query::{Consistency, QueryOptions};
use lictor_types::txn::TxnStep;
use lictor_wire::txn::{self, Steps};

use crate::away::{Serving, WriteOptions, answers, read, write};
use crate::servers::Servers;

impl Servers {
    /// Executes all steps or none. A transaction that only reads is a read with its consistency.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`] and, if it only reads, [`Servers::kv_get`].
    pub async fn catalog_txn(
        &self,
        options: &QueryOptions,
        steps: Vec<TxnStep>,
    ) -> Result<CatalogTxnReply, EndpointError> {
        let token = &options.token;
        let args = || Steps { steps: steps.clone() };
        if only_reads(&steps) {
            let here = async |server: &Server| {
                let stale = options.consistency == Consistency::Stale;
                if !stale && server.follows() {
                    return Err(EndpointError::not_leader());
                }
                server.catalog_txn(token, options, steps.clone()).await
            };
            return read!(self, options, |server| here(server), txn::Read, args());
        }
        let to = &WriteOptions { datacenter: options.datacenter.clone(), token: token.clone() };
        write!(
            self,
            to,
            |server| server.catalog_txn(token, options, steps.clone()),
            txn::Apply,
            args(),
        )
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        txn::Read, request => async {
            if !only_reads(&request.args.steps) {
                return Err(EndpointError::refused("a transaction that writes is no read"));
            }
            servers.catalog_txn(&request.options, request.args.steps).await
        };
        txn::Apply, request => async {
            let options = QueryOptions {
                datacenter: request.datacenter,
                token: request.token,
                ..QueryOptions::default()
            };
            servers.catalog_txn(&options, request.args.steps).await
        };
    }
}
