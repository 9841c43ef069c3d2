//! Sessions: the owners of locks.
//!
//! Timers and lock-delays are the leader's (`server` crate); invalidation rules the store's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Index;
use crate::codec::nullable;

/// What happens to a session's keys when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionBehavior {
    /// Locks are released.
    #[default]
    Release,
    /// Keys are deleted.
    Delete,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Session {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: Arc<str>,
    /// For people.
    pub name: String,
    /// Node that it is bound to.
    pub node: Arc<str>,
    /// IDs of the checks that end it when they turn critical.
    #[serde(deserialize_with = "nullable")]
    pub checks: Vec<String>,
    /// Those among them that were given as checks of services, as from 1.7 on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_checks: Vec<String>,
    /// Nanoseconds during which its keys cannot be locked after it was ended by force.
    pub lock_delay: i64,
    /// What happens to its keys at its end.
    pub behavior: SessionBehavior,
    /// Go duration, or empty for none.
    #[serde(rename = "TTL")]
    pub ttl: String,
    /// Index of its creation.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}
