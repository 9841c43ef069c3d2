//! Consensus: one order of commands, agreed on by the servers and kept on disk.
//!
//! The engine is openraft; none of its types leave this crate, so that it can be replaced. Ours
//! are the log ([`log`](self)), the state machine that hands batches to the store, and the
//! proposer that makes one log entry of everything that waits. It has no rules about what is in a
//! command, and does not decide who the peers are.
//!
//! | file | subject |
//! | --- | --- |
//! | `raft` | start, end, leadership, barrier, status |
//! | `proposer` | many proposals, one entry |
//! | `machine`, `snapshot` | applying entries to the store, and what replaces them |
//! | `log`, `log/journal`, `log/segment` | the log in memory and on disk |
//! | `batch`, `config`, `network` | what openraft must be told |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod batch;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod log;
mod machine;
mod network;
mod proposer;
mod raft;
mod snapshot;

pub use config::{RaftConfig, Storage, Timing};
pub use error::{LogError, ProposeError, StartError};
pub use raft::{LeaderInfo, Leadership, Raft, RaftStatus, Role};
