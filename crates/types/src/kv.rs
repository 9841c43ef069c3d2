//! Entries of the key/value store and the operations on them.
//!
//! The rules of locking are applied by the `state` crate.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Index;

/// A stored key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KvEntry {
    /// Number of times the key was locked afresh.
    pub lock_index: u64,
    /// Full key, bytewise ordered.
    pub key: Arc<str>,
    /// Opaque number of the client.
    pub flags: u64,
    /// Value; empty is shown as null.
    #[serde(with = "value_bytes")]
    pub value: Bytes,
    /// ID of the session that holds the lock; empty when free.
    pub session: Arc<str>,
    /// Index of the write that created the key.
    pub create_index: Index,
    /// Index of the last write.
    pub modify_index: Index,
}

/// Values are raw byte strings on the wire; nil is an empty value.
mod value_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let value = Option::<serde_bytes::ByteBuf>::deserialize(from)?;
        Ok(value.map(|v| Bytes::from(v.into_vec())).unwrap_or_default())
    }
}

/// What a KV write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvOp {
    /// Write unconditionally.
    Set,
    /// Delete one key.
    Delete,
    /// Delete one key if its ModifyIndex equals the entry's.
    DeleteCas,
    /// Delete every key under a prefix.
    DeleteTree,
    /// Write if the ModifyIndex equals the entry's (0: only create).
    Cas,
    /// Take the lock for a session, and write.
    Lock,
    /// Give the lock back, and write.
    Unlock,
}

/// A KV write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KvWrite {
    /// What to do.
    pub op: KvOp,
    /// Key, value, flags; `modify_index` is the expected index of the CAS forms, `session` the
    /// locker of the lock forms.
    #[serde(rename = "DirEnt")]
    pub entry: KvEntry,
    /// For `Lock`: the proposer found the key inside its lock-delay, so the lock is refused.
    /// Decided by the leader's clock, hence part of the command.
    #[serde(default)]
    pub lock_delayed: bool,
}
