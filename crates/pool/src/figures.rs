//! What is counted of a pool, for those who cannot wait for its task.

use lictor_gossip::serf::{Serf, Status};

/// Figures of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Members, also those that left or failed.
    pub members: usize,
    /// Those that do not answer.
    pub failed: usize,
    /// Those that left.
    pub left: usize,
    /// The logical times of members, events and queries.
    pub clocks: [u64; 3],
    /// Messages that wait: intents, queries, events.
    pub queued: [usize; 3],
    /// Own health: 0 is good.
    pub health: u32,
    /// Whether gossip is encrypted.
    pub encrypted: bool,
}

impl Figures {
    /// Those of now.
    pub(crate) fn of(serf: &Serf) -> Self {
        let [failed, left] = [Status::Failed, Status::Left].map(|status| serf.count(status));
        Self {
            members: serf.known(),
            failed,
            left,
            clocks: serf.clocks(),
            queued: serf.queued(),
            health: serf.swim().awareness(),
            encrypted: !serf.swim().keyring().is_empty(),
        }
    }
}
