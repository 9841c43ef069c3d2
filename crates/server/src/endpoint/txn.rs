//! Transactions over the key/value store.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_types::command::{Command, Outcome};
use lictor_types::error::{EndpointError, ErrorKind, text};
use lictor_types::kv::KvEntry;
use lictor_types::query::{QueryMeta, QueryOptions};
use lictor_types::txn::{TxnError, TxnOp, TxnVerb};

use crate::rights::Visible;
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
        token: &str,
        options: &QueryOptions,
        mut operations: Vec<TxnOp>,
    ) -> Result<TxnReply, EndpointError> {
        let reads = |op: &TxnOp| {
            let v = op.verb;
            use TxnVerb::{CheckIndex, CheckNotExists, CheckSession, Get, GetTree};
            matches!(v, Get | GetTree | CheckIndex | CheckSession | CheckNotExists)
        };
        if operations.iter().all(reads) {
            self.may_answer(options).await?;
            let who = self.authorizer(token)?;
            let refused = refused(&who, &operations);
            let (results, errors) = match self.view().txn_read(&operations) {
                _ if !refused.is_empty() => (Vec::new(), refused),
                Ok(results) => (seen(&who, results), Vec::new()),
                Err(errors) => (Vec::new(), errors),
            };
            return Ok(TxnReply { results, errors, meta: Some(self.meta(options, 0)) });
        }
        self.check_datacenter(&options.datacenter)?;
        let who = self.authorizer(token)?;
        let refused = refused(&who, &operations);
        if !refused.is_empty() {
            return Ok(TxnReply { errors: refused, ..TxnReply::default() });
        }
        for op in operations.iter_mut().filter(|op| op.verb == TxnVerb::Lock) {
            op.lock_delayed = self.lock_delays().is_delayed(&op.entry.key);
        }
        match self.propose(Command::Txn(operations)).await?.outcome {
            Outcome::Txn(results) => {
                Ok(TxnReply { results: seen(&who, results), ..TxnReply::default() })
            }
            Outcome::TxnFailed(errors) => Ok(TxnReply { errors, ..TxnReply::default() }),
            other => {
                let text = format!("unexpected outcome of a transaction: {other:?}");
                Err(EndpointError::new(ErrorKind::Internal, text))
            }
        }
    }
}

/// Operations that are not even tried: without the key that they need (only the deletion of a
/// tree may mean everything), or without the right to it.
fn refused(who: &Authorizer, operations: &[TxnOp]) -> Vec<TxnError> {
    let problem = |op: &TxnOp| {
        if op.entry.key.is_empty() && op.verb != TxnVerb::DeleteTree {
            return Some("Must provide key");
        }
        (!may(who, op)).then_some(text::PERMISSION_DENIED)
    };
    let problems = operations.iter().map(problem).enumerate();
    let told = |(op_index, what): (usize, Option<&str>)| {
        Some(TxnError { op_index, what: what?.to_owned() })
    };
    problems.filter_map(told).collect()
}

fn may(who: &Authorizer, op: &TxnOp) -> bool {
    let key = &op.entry.key;
    match op.verb {
        // What is read is filtered afterwards.
        TxnVerb::Get | TxnVerb::GetTree => true,
        // Whether these hold tells something about the key.
        TxnVerb::CheckIndex | TxnVerb::CheckSession | TxnVerb::CheckNotExists => who.key_read(key),
        TxnVerb::DeleteTree => who.key_write_prefix(key),
        TxnVerb::Set
        | TxnVerb::Cas
        | TxnVerb::Lock
        | TxnVerb::Unlock
        | TxnVerb::Delete
        | TxnVerb::DeleteCas => who.key_write(key),
    }
}

/// The results that may be seen.
fn seen(who: &Authorizer, results: Vec<Arc<KvEntry>>) -> Vec<Arc<KvEntry>> {
    if who.allows_everything() {
        return results;
    }
    results.visible(who).unwrap_or(results)
}
