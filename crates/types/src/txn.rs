//! Transactions over the key/value store.
//!
//! The verbs follow the original's `/v1/txn`; applying them is the store's.

use serde::{Deserialize, Serialize};

use crate::kv::KvEntry;

/// What one operation of a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TxnVerb {
    /// Write.
    Set,
    /// Write if the index matches.
    Cas,
    /// Take a lock.
    Lock,
    /// Give a lock back.
    Unlock,
    /// Read; fails when missing.
    Get,
    /// Read a prefix.
    GetTree,
    /// Fail unless the key has this index.
    CheckIndex,
    /// Fail unless the key is held by this session.
    CheckSession,
    /// Fail if the key exists.
    CheckNotExists,
    /// Delete.
    Delete,
    /// Delete a prefix.
    DeleteTree,
    /// Delete if the index matches.
    DeleteCas,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TxnOp {
    /// What to do.
    pub verb: TxnVerb,
    /// Key, value, flags, index (`modify_index`), session.
    #[serde(rename = "DirEnt")]
    pub entry: KvEntry,
    /// See [`crate::kv::KvWrite::lock_delayed`].
    #[serde(default)]
    pub lock_delayed: bool,
}

/// Why an operation failed; nothing of the transaction was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TxnError {
    /// Position of the operation.
    pub op_index: usize,
    /// The reason, in the original's words.
    pub what: String,
}
