//! Transactions over the key/value store and the catalog.
//!
//! The verbs follow the original's `/v1/txn`; applying them is the store's.

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use crate::catalog::{Node, Service};
use crate::check::HealthCheck;
use crate::kv::KvEntry;
use crate::query::QueryMeta;

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
    /// Read; an empty entry when missing.
    GetOrEmpty,
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

/// What an operation does to a row of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogVerb {
    /// Read; fails when missing.
    Get,
    /// Write.
    Set,
    /// Write if the row's index matches; 0 matches a row that is not there.
    Cas,
    /// Delete; what is not there is no error.
    Delete,
    /// Delete if the row's index matches; what is not there is no error.
    DeleteCas,
}

/// One step of a transaction that may touch the catalog. Rows carry the index to compare with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TxnStep {
    /// On a key.
    Kv(TxnOp),
    /// On a node.
    Node {
        /// What to do.
        verb: CatalogVerb,
        /// The node.
        node: Node,
    },
    /// On a service of a node.
    Service {
        /// What to do.
        verb: CatalogVerb,
        /// Name of the node.
        node: Arc<str>,
        /// The service.
        service: Box<Service>,
    },
    /// On a check.
    Check {
        /// What to do.
        verb: CatalogVerb,
        /// The check, with the name of its node.
        check: Box<HealthCheck>,
    },
}

/// A result of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum TxnRow {
    /// A key.
    Kv(Arc<KvEntry>),
    /// A node.
    Node(Arc<Node>),
    /// A service.
    Service(Arc<Service>),
    /// A check.
    Check(Arc<HealthCheck>),
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

/// What a transaction gave that may touch the catalog.
#[derive(Clone, Debug, Default)]
pub struct CatalogTxnReply {
    /// Rows, in the order of the steps; empty if any failed.
    pub results: Vec<TxnRow>,
    /// Every step that failed; then nothing was applied.
    pub errors: Vec<TxnError>,
    /// Facts about the answer, if it was only a read.
    pub meta: Option<QueryMeta>,
}
