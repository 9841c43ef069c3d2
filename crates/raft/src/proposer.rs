//! Makes one log entry of all proposals that wait, and hands each its part of the answer.
//!
//! While one entry is under way the next fills up: under load entries grow by themselves and a
//! write to disk is shared by many, without any waiting when there is none. While the log's disk is
//! full, proposals are refused and not kept; nor does anybody wait for a leader that has lost its
//! followers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lictor_state::Applied;
use lictor_task::CancellationToken;
use lictor_types::command::Command;
use tokio::sync::{mpsc, oneshot, watch};

use crate::batch::Batch;
use crate::error::ProposeError;
use crate::leadership::Leadership;
use crate::membership::refusal;
use crate::raft::Engine;

/// Proposals that wait before callers have to.
pub(crate) const QUEUE: usize = 4096;
/// Most commands of one entry.
const ENTRY_MAX: usize = 1024;
/// Most bytes of an entry's values, but that one command may have more: an entry goes to the
/// other servers as a whole.
const VALUES_MAX: usize = 1 << 20;
/// Entries under way at a time: one is being written while the next is being filled.
const IN_FLIGHT: usize = 2;

/// A command, and where its answer goes.
pub(crate) struct Proposal {
    pub(crate) command: Command,
    pub(crate) answer: oneshot::Sender<Result<Applied, ProposeError>>,
}

/// When proposals that are under way are given up.
#[derive(Clone)]
pub(crate) struct Limits {
    /// Why nothing can be written, if the disk is full.
    pub(crate) full: watch::Receiver<Option<Arc<str>>>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// How long a leader may be without its followers.
    pub(crate) lonely: Duration,
}

/// Runs until it is told to stop; what still waits then is not proposed.
pub(crate) async fn run(
    raft: Engine,
    mut proposals: mpsc::Receiver<Proposal>,
    limits: Limits,
    stop: CancellationToken,
) {
    let mut waiting = Vec::with_capacity(ENTRY_MAX);
    let mut under_way = FuturesUnordered::new();
    let mut open = true;
    while open || !under_way.is_empty() {
        tokio::select! {
            biased;
            () = stop.cancelled(), if open => open = false,
            Some(()) = under_way.next() => {}
            count = more(&mut proposals, &mut waiting), if open && under_way.len() < IN_FLIGHT => {
                if count == 0 {
                    open = false;
                } else {
                    let rest = waiting.split_off(fitting(&waiting));
                    let entry = std::mem::replace(&mut waiting, rest);
                    under_way.push(write(raft.clone(), limits.clone(), entry));
                }
            }
        }
    }
}

/// Waits for proposals unless some are left over; how many there are then.
async fn more(proposals: &mut mpsc::Receiver<Proposal>, waiting: &mut Vec<Proposal>) -> usize {
    if waiting.is_empty() {
        proposals.recv_many(waiting, ENTRY_MAX).await;
    }
    waiting.len()
}

/// How many of the proposals go in one entry: at least one.
fn fitting(waiting: &[Proposal]) -> usize {
    let mut bytes = 0;
    let fit = waiting.iter().take_while(|proposal| {
        bytes += weight(&proposal.command);
        bytes <= VALUES_MAX
    });
    fit.count().max(1)
}

/// Bytes of what can be large in a command.
fn weight(command: &Command) -> usize {
    match command {
        Command::Kv(write) => write.entry.value.len(),
        // Each has its limit by itself; together they have that of a transaction.
        Command::Txn(_) | Command::CatalogTxn(_) => VALUES_MAX / 4,
        Command::Restore(archive) => archive.len(),
        _ => 0,
    }
}

async fn write(raft: Engine, mut limits: Limits, proposals: Vec<Proposal>) {
    let mut answers = Vec::with_capacity(proposals.len());
    let commands: Vec<Command> = proposals
        .into_iter()
        .map(|proposal| {
            answers.push(proposal.answer);
            proposal.command
        })
        .collect();
    let written = tokio::select! {
        biased;
        why = until_full(&mut limits.full) => Err(ProposeError::Full(why)),
        written = raft.client_write(Batch(commands.into())) => written.map_err(refusal),
        () = until_lost(&mut limits.leadership, limits.lonely) => Err(ProposeError::LeadershipLost),
    };
    match written {
        Ok(response) => {
            for (answer, applied) in answers.into_iter().zip(response.data.applied) {
                // Whoever proposed may have given up.
                let _ = answer.send(Ok(applied));
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

/// Waits until the disk is full, which it may be already; says how.
async fn until_full(full: &mut watch::Receiver<Option<Arc<str>>>) -> Arc<str> {
    if let Ok(why) = full.wait_for(Option::is_some).await
        && let Some(why) = &*why
    {
        return Arc::clone(why);
    }
    // The log has ended; what becomes of the proposals is the engine's to say.
    std::future::pending().await
}

/// Waits until this server, which leads, has not done so for a while.
async fn until_lost(leadership: &mut watch::Receiver<Leadership>, lonely: Duration) {
    loop {
        let leads = leadership.wait_for(|leadership| leadership.is_self);
        let lost = leads.await.is_ok()
            && leadership.wait_for(|leadership| !leadership.is_self).await.is_ok();
        if !lost {
            // Consensus has ended; what becomes of the proposals is the engine's to say.
            return std::future::pending().await;
        }
        let again = leadership.wait_for(|leadership| leadership.is_self);
        if tokio::time::timeout(lonely, again).await.is_err() {
            return;
        }
    }
}
