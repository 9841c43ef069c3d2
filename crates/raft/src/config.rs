//! What consensus must be told: who we are, where the log is, how patient to be.

use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

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
}

/// Where the log and snapshots are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Nowhere: gone at the end of the process.
    Memory,
    /// In this folder, which is made. What was acknowledged is on disk.
    Disk(PathBuf),
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Time between signs of life of a leader.
    pub heartbeat: Duration,
    /// Least silence after which a follower stands for election; up to twice of it is waited.
    pub election: Duration,
}

impl Timing {
    /// The original's timing times its `raft_multiplier` (1 is fastest, 5 its default).
    #[must_use]
    pub fn multiplied(multiplier: u32) -> Self {
        let by = multiplier.clamp(1, 10);
        Self { heartbeat: Duration::from_millis(100) * by, election: Duration::from_secs(1) * by }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::multiplied(1)
    }
}
