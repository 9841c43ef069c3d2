//! Why consensus cannot start, or a command could not be agreed on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A problem with the log or a snapshot on disk.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error("{0} is in use by another agent")]
    InUse(PathBuf),
    /// A file holds bytes that were not written so, and more after them: nothing is thrown away.
    #[error(
        "{path}: damaged at byte {at} ({reason}); restore the data directory from a backup or remove it and restore a snapshot"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Position of the damage.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// Entries are missing between two files.
    #[error("{path}: the log continues at entry {found}, but entry {expected} is missing")]
    Gap {
        /// The file.
        path: PathBuf,
        /// The entry that should come.
        expected: u64,
        /// The entry that comes.
        found: u64,
    },
}

impl LogError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Why the servers of a `peers.json` do not become the cluster.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The file is not as it must be.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The log or snapshot.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why consensus does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The recovery that was asked for.
    #[error("recovery failed: {0}")]
    Recovery(#[from] RecoveryError),
    /// The log or snapshot.
    #[error("raft log: {0}")]
    Log(#[from] LogError),
    /// The engine refused.
    #[error("raft: {0}")]
    Engine(String),
}

/// Why a command was not agreed on, or the cluster not changed. Unless it says otherwise, it may
/// still come to be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// There is no leader, or it is another server. The command is not applied; it may be tried
    /// again, here or there.
    #[error("No cluster leader")]
    NoLeader,
    /// This server lost the leadership while it waited for the others.
    #[error("leadership lost while committing log")]
    LeadershipLost,
    /// The cluster cannot be changed so.
    #[error("{0}")]
    Membership(String),
    /// The disk of the log is full.
    #[error("the raft log cannot be written: {0}")]
    Full(Arc<str>),
    /// Consensus has stopped: shutdown, or its disk failed.
    #[error("consensus has stopped: {0}")]
    Stopped(String),
}
