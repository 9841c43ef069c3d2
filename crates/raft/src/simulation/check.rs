//! What must hold whatever happens.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

use crate::batch::{Entry, LogId};

/// What all servers of a run have applied, checked as it is.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// What the log holds at an index, as whoever came first has applied it.
    agreed: BTreeMap<u64, (LogId, u32)>,
    /// How far each server of each life is.
    applied: HashMap<u128, u64>,
    digest: u32,
    /// Snapshots of others that were taken over.
    installed: u64,
    /// Indexes of the store that clients were told or have seen.
    seen: u64,
}

impl History {
    /// A life of a server begins; it has what its snapshot has.
    pub(crate) fn begins(&self, server: u128, at: Option<u64>) {
        let mut held = self.0.lock();
        match at {
            Some(at) => held.applied.insert(server, at),
            None => held.applied.remove(&server),
        };
    }

    /// A server applies an entry: the one after the last, and the one that others applied.
    pub(crate) fn applies(&self, server: u128, entry: &Entry) {
        let mut held = self.0.lock();
        let index = entry.log_id.index;
        let before = held.applied.insert(server, index);
        assert_eq!(before.map_or(0, |before| before + 1), index, "{server} applies out of order");
        let bytes = rmp_serde::to_vec(entry).unwrap();
        let sum = crc32fast::hash(&bytes);
        let agreed = *held.agreed.entry(index).or_insert((entry.log_id, sum));
        assert_eq!(agreed, (entry.log_id, sum), "{server} applies something else at {index}");
        held.digest = held.digest.rotate_left(5) ^ sum;
    }

    /// A server takes over a snapshot, which must not take it back.
    pub(crate) fn installs(&self, server: u128, at: u64) {
        let mut held = self.0.lock();
        held.installed += 1;
        let before = held.applied.insert(server, at);
        assert!(before.is_none_or(|before| before <= at), "{server} goes back to {at}");
    }

    /// The newest index that a client knows of.
    pub(super) fn known(&self) -> u64 {
        self.0.lock().seen
    }

    /// A client comes to know an index.
    pub(super) fn sees(&self, index: u64) {
        let mut held = self.0.lock();
        held.seen = held.seen.max(index);
    }

    /// How often a snapshot of another server was taken over.
    pub(super) fn installed(&self) -> u64 {
        self.0.lock().installed
    }

    /// Differs between runs that differ.
    pub(super) fn digest(&self) -> u32 {
        self.0.lock().digest
    }
}
