//! Transactions: all operations or none, and every failure is told.
//!
//! Texts are the original's; clients show them.

use std::sync::Arc;

use bytes::Bytes;
use lictor_types::command::Refusal;
use lictor_types::kv::KvEntry;
use lictor_types::txn::{TxnError, TxnOp, TxnVerb};

use crate::apply::Writer;
use crate::kv::KvTable;
use crate::view::View;

type Results = Vec<Arc<KvEntry>>;

/// An entry as the result of a write shows it: without its value.
fn without_value(entry: &KvEntry) -> Arc<KvEntry> {
    Arc::new(KvEntry { value: Bytes::new(), ..entry.clone() })
}

impl View {
    /// Executes a transaction that only reads.
    ///
    /// # Errors
    /// Every operation that fails, in order; also those that would write.
    pub fn txn_read(&self, operations: &[TxnOp]) -> Result<Results, Vec<TxnError>> {
        collect(operations, |operation| read(&self.tables.kv, operation))
    }
}

impl Writer {
    pub(crate) fn txn(&mut self, operations: &[TxnOp]) -> Result<Results, Vec<TxnError>> {
        collect(operations, |operation| self.operation(operation))
    }

    pub(crate) fn operation(&mut self, op: &TxnOp) -> Result<Results, String> {
        let (entry, key) = (&op.entry, &op.entry.key);
        let refused = |refusal: Refusal| refusal.to_string();
        match op.verb {
            TxnVerb::Set => self.kv_set(entry),
            TxnVerb::Delete => {
                self.kv_delete(key);
                return Ok(Vec::new());
            }
            TxnVerb::DeleteTree => {
                self.kv_delete_tree(key);
                return Ok(Vec::new());
            }
            TxnVerb::DeleteCas => {
                return if self.kv_delete_cas(key, entry.modify_index) {
                    Ok(Vec::new())
                } else {
                    Err(format!("failed to delete key \"{key}\", index is stale"))
                };
            }
            TxnVerb::Cas => {
                if !self.kv_cas(entry) {
                    return Err(format!("failed to set key \"{key}\", index is stale"));
                }
            }
            TxnVerb::Lock => {
                if op.lock_delayed {
                    return Err(format!("failed to lock key \"{key}\" due to lock delay"));
                }
                if !self.kv_lock(entry, false).map_err(refused)? {
                    return Err(format!("failed to lock key \"{key}\", lock is already held"));
                }
            }
            TxnVerb::Unlock => {
                if !self.kv_unlock(entry).map_err(refused)? {
                    let why = "lock isn't held, or is held by another session";
                    return Err(format!("failed to unlock key \"{key}\", {why}"));
                }
            }
            TxnVerb::Get
            | TxnVerb::GetOrEmpty
            | TxnVerb::GetTree
            | TxnVerb::CheckIndex
            | TxnVerb::CheckSession
            | TxnVerb::CheckNotExists => return read(&self.tables.kv, op),
        }
        Ok(self.tables.kv.get(key).map(|entry| without_value(entry)).into_iter().collect())
    }
}

pub(crate) fn read(kv: &KvTable, op: &TxnOp) -> Result<Results, String> {
    let key = &op.entry.key;
    match op.verb {
        TxnVerb::Get => match kv.get(key) {
            Some(entry) => Ok(vec![Arc::clone(entry)]),
            None => Err(format!("key \"{key}\" doesn't exist")),
        },
        TxnVerb::GetOrEmpty => {
            Ok(vec![kv.get(key).cloned().unwrap_or_else(|| {
                Arc::new(KvEntry { key: Arc::clone(key), ..KvEntry::default() })
            })])
        }
        TxnVerb::GetTree => Ok(kv.under(key).cloned().collect()),
        TxnVerb::CheckIndex => {
            let missing = || format!("failed to check index, key \"{key}\" doesn't exist");
            let (entry, wanted) = (kv.get(key).ok_or_else(missing)?, op.entry.modify_index);
            if entry.modify_index == wanted {
                Ok(vec![without_value(entry)])
            } else {
                Err(format!(
                    "failed index check for key \"{key}\", current modify index {} != {wanted}",
                    entry.modify_index
                ))
            }
        }
        TxnVerb::CheckSession => {
            let missing = || format!("failed to check session, key \"{key}\" doesn't exist");
            let (entry, wanted) = (kv.get(key).ok_or_else(missing)?, &op.entry.session);
            if entry.session == *wanted {
                Ok(vec![without_value(entry)])
            } else {
                Err(format!(
                    "failed session check for key \"{key}\", current session \"{}\" != \"{wanted}\"",
                    entry.session
                ))
            }
        }
        TxnVerb::CheckNotExists => match kv.get(key) {
            None => Ok(Vec::new()),
            Some(_) => Err(format!("key \"{key}\" exists")),
        },
        TxnVerb::Set
        | TxnVerb::Cas
        | TxnVerb::Lock
        | TxnVerb::Unlock
        | TxnVerb::Delete
        | TxnVerb::DeleteTree
        | TxnVerb::DeleteCas => Err("a read-only transaction cannot write".to_owned()),
    }
}

/// The results of all operations, or every failure.
pub(crate) fn collect<O, R>(
    operations: &[O],
    mut run: impl FnMut(&O) -> Result<Vec<R>, String>,
) -> Result<Vec<R>, Vec<TxnError>> {
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (op_index, operation) in operations.iter().enumerate() {
        match run(operation) {
            Ok(found) => results.extend(found),
            Err(what) => errors.push(TxnError { op_index, what }),
        }
    }
    if errors.is_empty() { Ok(results) } else { Err(errors) }
}
