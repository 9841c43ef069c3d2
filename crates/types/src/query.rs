//! How a read is asked for and what its answer carries besides the data.
//!
//! The queries themselves are methods of the store's view and of the server's endpoints.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use crate::Index;

/// Which server may answer, and how sure it must be of its leadership.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// The leader, from its lease.
    #[default]
    Leader,
    /// Any server, from whatever it has.
    Stale,
    /// The leader, after a quorum confirmed it.
    Consistent,
}

impl Consistency {
    /// The word of the `X-Consul-Effective-Consistency` header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Stale => "stale",
            Self::Consistent => "consistent",
        }
    }
}

/// Options that every read understands.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Datacenter to ask; empty for the own one.
    pub datacenter: String,
    /// The caller's secret; empty for anonymous.
    pub token: String,
    /// Block until the result's index is greater than this; 0 does not block.
    pub min_index: Index,
    /// Longest time to block, jitter not yet added; zero means the default of 5 minutes.
    pub max_wait: Duration,
    /// Who may answer.
    pub consistency: Consistency,
    /// How old an answer may be that anybody gives; an older one is asked of the leader. Zero takes
    /// any. Only who asks looks at it: it is not sent on.
    pub max_stale: Duration,
    /// Expression that rows must match, for the lists that can be filtered; empty for none.
    pub filter: String,
}

/// Facts about an answer that go into response headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryMeta {
    /// Index of the result.
    pub index: Index,
    /// Time since the answering server heard the leader.
    pub last_contact: Duration,
    /// Whether a leader is known.
    pub known_leader: bool,
    /// How the read was served.
    pub consistency: Consistency,
    /// Whether something was left out that the token may not see.
    pub filtered: bool,
}

/// The result of evaluating a query once, shared by everybody who asked the same.
#[derive(Debug)]
pub struct Evaluated<T> {
    /// Index of the result, as the endpoint defines it.
    pub index: Index,
    /// The data.
    pub value: T,
    /// The door's encoded body, made by the first that needs it: compact, then pretty.
    pub body: [OnceLock<Bytes>; 2],
    /// What whoever answers keeps with it, such as where it is counted.
    pub kept: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl<T> Evaluated<T> {
    /// A result that nobody has encoded yet.
    #[must_use]
    pub fn new(index: Index, value: T) -> Arc<Self> {
        let body = [OnceLock::new(), OnceLock::new()];
        Arc::new(Self { index, value, body, kept: OnceLock::new() })
    }
}

/// An answer to a read.
#[derive(Debug)]
pub struct Reply<T> {
    /// The shared result.
    pub result: Arc<Evaluated<T>>,
    /// Facts for the headers.
    pub meta: QueryMeta,
}
