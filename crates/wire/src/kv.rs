//! Keys and their values.

use std::sync::Arc;

use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use lictor_types::query::Reply;

use crate::record::{fields, record};
use crate::reply::{AtMostOne, data};
use crate::value::words;
use crate::{ReadRequest, WriteRequest, methods};

methods! {
    /// Writes a key. Whether it was done is only said of what depends on the present state: see
    /// [`verdict`].
    Apply = "KVS.Apply": WriteRequest<KvWrite> => bool;
    /// Reads a key.
    Get = "KVS.Get": ReadRequest<Key> => Reply<Option<Arc<KvEntry>>>;
    /// Reads all keys that begin with this one.
    List = "KVS.List": ReadRequest<Key> => Reply<Vec<Arc<KvEntry>>>;
    /// Lists keys by their beginning, up to the next separator.
    ListKeys = "KVS.ListKeys": ReadRequest<Keys> => Reply<Vec<Arc<str>>>;
}

/// What the reply to [`Apply`] means: servers say «false» of a write without a condition, which is
/// always done.
#[must_use]
pub const fn verdict(op: KvOp, reply: bool) -> bool {
    reply || matches!(op, KvOp::Set | KvOp::Delete | KvOp::DeleteTree)
}

/// A key, or the beginning of some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// The text.
    pub key: String,
}

fields! { Key { "Key": key, } }

/// Which keys are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// How they begin.
    pub prefix: String,
    /// After the beginning, keys are cut behind this; empty for whole keys.
    pub separator: String,
}

fields! { Keys {
    "Prefix": prefix,
    "Seperator": separator,
} }

record! { KvEntry {
    "CreateIndex": create_index,
    "Flags": flags,
    "Key": key,
    "LockIndex": lock_index,
    "ModifyIndex": modify_index,
    "Session": session,
    "Value": value,
} }

// Whether a lock is delayed is decided by the leader.
fields! { KvWrite = Self { op: KvOp::Set, entry: KvEntry::default(), lock_delayed: false } => {
    "DirEnt": entry,
    "Op": op,
} }

words! { KvOp {
    "set": Set,
    "delete": Delete,
    "delete-cas": DeleteCas,
    "delete-tree": DeleteTree,
    "cas": Cas,
    "lock": Lock,
    "unlock": Unlock,
} }

data! {
    "Entries": Option<Arc<KvEntry>> as AtMostOne;
    "Entries": Vec<Arc<KvEntry>>;
    "Keys": Vec<Arc<str>>;
}
