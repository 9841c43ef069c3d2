//! What a server counts and times, by the original's names.

use lictor_metrics::{Handle, Metrics};
use lictor_types::command::Command;

/// Handles of everything that is counted here.
#[derive(Debug)]
pub(crate) struct Meters {
    /// Commands that were proposed.
    pub(crate) raft_apply: Handle,
    /// How long they took to be agreed on and applied.
    pub(crate) commit_time: Handle,
    /// Reads.
    pub(crate) query: Handle,
    register: Handle,
    deregister: Handle,
    kvs: Handle,
    session: Handle,
    txn: Handle,
    intention: Handle,
    prepared_query: Handle,
    acl: Handle,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            raft_apply: metrics.counter("raft.apply"),
            commit_time: metrics.sample("raft.commitTime"),
            query: metrics.counter("rpc.query"),
            register: metrics.sample("catalog.register"),
            deregister: metrics.sample("catalog.deregister"),
            kvs: metrics.sample("kvs.apply"),
            session: metrics.sample("session.apply"),
            txn: metrics.sample("txn.apply"),
            intention: metrics.sample("intention.apply"),
            prepared_query: metrics.sample("prepared-query.apply"),
            acl: metrics.sample("acl.apply"),
        }
    }

    /// Where writes of this kind are timed.
    pub(crate) const fn of(&self, command: &Command) -> Option<&Handle> {
        Some(match command {
            Command::Register(_) => &self.register,
            Command::Deregister(_) => &self.deregister,
            Command::Kv(_) => &self.kvs,
            Command::Session(_) => &self.session,
            Command::Txn(_) => &self.txn,
            Command::Intention(_) => &self.intention,
            Command::PreparedQuery(_) => &self.prepared_query,
            Command::Acl(_) => &self.acl,
            Command::Ca(_)
            | Command::Coordinates(_)
            | Command::Autopilot(_)
            | Command::ReapTombstones(_)
            | Command::Restore(_)
            | Command::Noop => return None,
        })
    }
}
