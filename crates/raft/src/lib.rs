//! Consensus: one order of commands, agreed on by the servers and kept on disk.
//!
//! The engine is openraft; none of its types leave this crate, so that it can be replaced. Ours
//! are the log ([`log`](self)), the state machine that hands batches to the store, and the
//! proposer that makes one log entry of everything that waits. It has no rules about what is in a
//! command, and does not decide who the peers are.
//!
//! | file | subject |
//! | --- | --- |
//! | `raft` | start, end, proposing, barrier |
//! | `leadership`, `lease` | who leads, and how long it may answer |
//! | `succession` | when a leader's connection ends |
//! | `membership` | who belongs to the cluster, who is to lead |
//! | `recovery` | `peers.json` |
//! | `status` | figures |
//! | `proposer` | many proposals, one entry |
//! | `transport`, `network`, `service`, `message` | to other servers: the way, asking, answering, bytes |
//! | `machine`, `snapshot` | applying entries to the store, and what replaces them |
//! | `log`, `log/journal`, `log/segment` | the log in memory, its writer, its files |
//! | `batch`, `config` | what openraft must be told |
//! | `meters` | what is counted and timed |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod batch;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod leadership;
mod lease;
mod log;
mod machine;
mod membership;
mod message;
mod meters;
mod network;
mod proposer;
mod raft;
mod recovery;
mod service;
#[cfg(test)]
mod simulation;
mod snapshot;
mod status;
mod succession;
mod transport;

pub use config::{RaftConfig, Storage, Timing};
pub use error::{LogError, ProposeError, RecoveryError, StartError};
pub use leadership::{LeaderInfo, Leadership};
pub use membership::Peer;
pub use message::MESSAGE_MAX;
pub use raft::Raft;
pub use status::{PeerStatus, RaftStatus, Role};
pub use transport::{Answering, Transport, TransportError};

/// Work that may wait for the disk, on a thread for such; [`None`] if it panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    tasks: &lictor_task::TaskSet,
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    #[cfg(test)]
    if simulation::is_on() {
        return Some(work());
    }
    tasks.blocking(name, work).await
}
