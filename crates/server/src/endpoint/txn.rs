//! Transactions over the key/value store.

use std::sync::Arc;

use lictor_types::command::{Command, Outcome};
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::kv::KvEntry;
use lictor_types::query::{QueryMeta, QueryOptions};
use lictor_types::txn::{TxnError, TxnOp, TxnVerb};

use crate::server::Server;

/// What a transaction gave.
#[derive(Clone, Debug, Default)]
pub struct TxnReply {
    /// Entries, in the order of the operations; empty if any failed.
    pub results: Vec<Arc<KvEntry>>,
    /// Every operation that failed; then nothing was applied.
    pub errors: Vec<TxnError>,
    /// Facts about the answer, if it was only a read.
    pub meta: Option<QueryMeta>,
}

impl Server {
    /// Executes all operations or none. One that only reads is a read with its consistency.
    ///
    /// # Errors
    /// When it could not be tried at all; operations that fail are part of the answer.
    pub async fn txn(
        &self,
        _token: &str,
        options: &QueryOptions,
        mut operations: Vec<TxnOp>,
    ) -> Result<TxnReply, EndpointError> {
        let reads = |op: &TxnOp| {
            let v = op.verb;
            use TxnVerb::{CheckIndex, CheckNotExists, CheckSession, Get, GetTree};
            matches!(v, Get | GetTree | CheckIndex | CheckSession | CheckNotExists)
        };
        let keyless = keyless(&operations);
        if operations.iter().all(reads) {
            self.may_answer(options).await?;
            let (results, errors) = match self.view().txn_read(&operations) {
                _ if !keyless.is_empty() => (Vec::new(), keyless),
                Ok(results) => (results, Vec::new()),
                Err(errors) => (Vec::new(), errors),
            };
            return Ok(TxnReply { results, errors, meta: Some(self.meta(options, 0)) });
        }
        self.check_datacenter(&options.datacenter)?;
        if !keyless.is_empty() {
            return Ok(TxnReply { errors: keyless, ..TxnReply::default() });
        }
        for op in operations.iter_mut().filter(|op| op.verb == TxnVerb::Lock) {
            op.lock_delayed = self.lock_delays().is_delayed(&op.entry.key);
        }
        match self.propose(Command::Txn(operations)).await?.outcome {
            Outcome::Txn(results) => Ok(TxnReply { results, ..TxnReply::default() }),
            Outcome::TxnFailed(errors) => Ok(TxnReply { errors, ..TxnReply::default() }),
            other => {
                let text = format!("unexpected outcome of a transaction: {other:?}");
                Err(EndpointError::new(ErrorKind::Internal, text))
            }
        }
    }
}

/// Operations without the key that they need; only the deletion of a tree may mean everything.
fn keyless(operations: &[TxnOp]) -> Vec<TxnError> {
    let lacks = |op: &TxnOp| op.entry.key.is_empty() && op.verb != TxnVerb::DeleteTree;
    let failed = operations.iter().enumerate().filter(|(_, op)| lacks(op));
    failed.map(|(op_index, _)| TxnError { op_index, what: "Must provide key".to_owned() }).collect()
}
