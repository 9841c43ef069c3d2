//! What consensus must be told: who we are, where the log is, how patient to be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lictor_metrics::Metrics;
use uuid::Uuid;

use crate::transport::Transport;

/// Settings of a server's consensus.
#[derive(Clone, Debug)]
pub struct RaftConfig {
    /// This server's id.
    pub node_id: Uuid,
    /// The address by which other servers reach it, for `status/leader`.
    pub address: String,
    /// Where the log is.
    pub storage: Storage,
    /// Whether a server without a log makes itself the only voter.
    pub bootstrap: bool,
    /// Patience.
    pub timing: Timing,
    /// The way to other servers; without it this server is alone.
    pub transport: Option<Arc<dyn Transport>>,
    /// Where it is counted and timed what happens.
    pub metrics: Metrics,
}

/// Where the log and snapshots are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Nowhere: gone at the end of the process.
    Memory,
    /// In this folder, which is made. What was acknowledged is on disk.
    Disk(PathBuf),
    /// On a disk of the simulation.
    #[cfg(test)]
    #[expect(private_interfaces, reason = "it is for the crate's own tests")]
    Simulated(crate::simulation::Disk),
}

/// How long to wait for what.
///
/// A leader that a quorum has answered may answer reads for a [`Timing::lease`] from then on, in
/// which nobody votes for another. When a leader dies, a follower therefore stands for election
/// after the lease and one to two [`Timing::election`]s more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Time between signs of life of a leader, and most that may pass until one is answered.
    pub heartbeat: Duration,
    /// Least time after the lease before a follower stands for election; up to twice of it is
    /// waited.
    pub election: Duration,
}

impl Timing {
    /// The times at a `raft_multiplier` of 1 (fastest) to 10; the original's default is 5, at
    /// which another server leads about 0.4 s after a leader has died. The original waits longer:
    /// there it is 5 s to 10 s.
    #[must_use]
    pub fn multiplied(multiplier: u32) -> Self {
        let by = multiplier.clamp(3, 10);
        Self { heartbeat: Duration::from_millis(20) * by, election: Duration::from_millis(25) * by }
    }

    /// How long a leader may rely on a quorum that has answered it.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.election * 2
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::multiplied(5)
    }
}
