//! Makes one log entry of all proposals that wait, and hands each its part of the answer.
//!
//! While one entry is under way the next fills up: under load entries grow by themselves and a
//! write to disk is shared by many, without any waiting when there is none. While the log's disk is
//! full, proposals are refused and not kept; nor does anybody wait for a leader that has lost its
//! followers.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lictor_state::Applied;
use lictor_task::CancellationToken;
use lictor_types::command::Command;
use openraft::errors::RaftError;
use openraft::raft::ClientWriteResult;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::batch::{Batch, Responder, Types};
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
    pub(crate) answer: Answer,
}

/// Where a proposal's answer goes. Dropped, it says that consensus has ended.
type Answer = oneshot::Sender<Result<Applied, ProposeError>>;

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
    let Limits { mut full, leadership, lonely } = limits;
    let under_way = Arc::new(UnderWay::default());
    let mut lost = pin!(until_lost(leadership.clone(), lonely));
    let mut waiting = Vec::with_capacity(ENTRY_MAX);
    let mut open = true;
    while open || !under_way.is_empty() {
        let room = open && under_way.has_room();
        if !room && !under_way.awaits_end() {
            continue;
        }
        tokio::select! {
            biased;
            () = stop.cancelled(), if open => open = false,
            () = under_way.ended.notified(), if !room => {}
            why = until_full(&mut full), if !under_way.is_empty() => {
                under_way.refuse(&ProposeError::Full(why));
            }
            () = &mut lost => {
                under_way.refuse(&ProposeError::LeadershipLost);
                lost.set(until_lost(leadership.clone(), lonely));
            }
            count = more(&mut proposals, &mut waiting), if room => {
                if count == 0 {
                    open = false;
                } else {
                    let rest = waiting.split_off(fitting(&waiting));
                    let entry = std::mem::replace(&mut waiting, rest);
                    let why = full.borrow().clone();
                    match why {
                        None => propose(&raft, &under_way, entry).await,
                        Some(why) => {
                            let answers = entry.into_iter().map(|proposal| proposal.answer);
                            refuse(answers, &ProposeError::Full(why));
                        }
                    }
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

/// Hands an entry to the engine.
async fn propose(raft: &Engine, under_way: &Arc<UnderWay>, proposals: Vec<Proposal>) {
    let mut answers = Vec::with_capacity(proposals.len());
    let commands: Vec<Command> = proposals
        .into_iter()
        .map(|proposal| {
            answers.push(proposal.answer);
            proposal.command
        })
        .collect();
    let place = UnderWay::enter(under_way, answers);
    let responder = Responder::new(move |written| place.answer(written));
    // It fails when the engine has ended, which whoever proposed is told by the end of its answer.
    let _ = raft.client_write_ff(Batch(commands.into()), Some(responder)).await;
}

fn refuse(answers: impl IntoIterator<Item = Answer>, why: &ProposeError) {
    for answer in answers {
        // Whoever proposed may have given up.
        let _ = answer.send(Err(why.clone()));
    }
}

/// Entries that are under way. Whoever proposed them is answered at once by what applies them, and
/// not by way of the proposer: it is woken only when it waits for the end of one, since each task
/// that is woken needlessly delays the answer.
#[derive(Default)]
struct UnderWay {
    entries: Mutex<Entries>,
    ended: Notify,
}

#[derive(Default)]
struct Entries {
    next: u64,
    /// At most [`IN_FLIGHT`], with whom they are answered to.
    answers: Vec<(u64, Vec<Answer>)>,
    /// The proposer waits for the end of one.
    awaited: bool,
}

impl UnderWay {
    fn is_empty(&self) -> bool {
        self.entries.lock().answers.is_empty()
    }

    fn has_room(&self) -> bool {
        self.entries.lock().answers.len() < IN_FLIGHT
    }

    /// Has the next end told of; whether there is one to come.
    fn awaits_end(&self) -> bool {
        let mut entries = self.entries.lock();
        entries.awaited = !entries.answers.is_empty();
        entries.awaited
    }

    fn enter(this: &Arc<Self>, answers: Vec<Answer>) -> Place {
        let mut entries = this.entries.lock();
        let id = entries.next;
        entries.next += 1;
        entries.answers.push((id, answers));
        drop(entries);
        Place { under_way: Arc::clone(this), id }
    }

    /// Takes out whom an entry is answered to, unless they have been refused.
    fn leave(&self, id: u64) -> Vec<Answer> {
        let mut entries = self.entries.lock();
        let found = entries.answers.iter().position(|(entry, _)| *entry == id);
        let Some(found) = found else { return Vec::new() };
        let (_, answers) = entries.answers.swap_remove(found);
        let awaited = std::mem::take(&mut entries.awaited);
        drop(entries);
        if awaited {
            self.ended.notify_one();
        }
        answers
    }

    /// Answers all before it is known what becomes of their entries.
    fn refuse(&self, why: &ProposeError) {
        let given_up = std::mem::take(&mut self.entries.lock().answers);
        refuse(given_up.into_iter().flat_map(|(_, answers)| answers), why);
    }
}

/// An entry's place among those under way. It is given up when the engine does not answer any
/// more.
struct Place {
    under_way: Arc<UnderWay>,
    id: u64,
}

impl Place {
    fn answer(self, written: ClientWriteResult<Types>) {
        let answers = self.under_way.leave(self.id);
        match written {
            Ok(response) => {
                for (answer, applied) in answers.into_iter().zip(response.data.applied) {
                    // Whoever proposed may have given up.
                    let _ = answer.send(Ok(applied));
                }
            }
            Err(error) => refuse(answers, &refusal(RaftError::APIError(error))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.under_way.leave(self.id));
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
async fn until_lost(mut leadership: watch::Receiver<Leadership>, lonely: Duration) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Answer, oneshot::Receiver<Result<Applied, ProposeError>>) {
        oneshot::channel()
    }

    #[tokio::test]
    async fn an_entry_that_the_engine_drops_makes_room_and_ends_its_answers() {
        let under_way = Arc::new(UnderWay::default());
        let ((first, mut told), (second, _)) = (pair(), pair());
        let first = UnderWay::enter(&under_way, vec![first]);
        assert!(under_way.has_room());
        let second = UnderWay::enter(&under_way, vec![second]);
        assert!(!under_way.has_room() && under_way.awaits_end());
        drop(Responder::<ClientWriteResult<Types>>::new(move |written| first.answer(written)));
        assert_eq!(told.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
        under_way.ended.notified().await;
        assert!(under_way.has_room());
        drop(second);
        assert!(under_way.is_empty() && !under_way.awaits_end());
    }

    #[tokio::test]
    async fn what_was_given_up_is_answered_once() {
        let under_way = Arc::new(UnderWay::default());
        let (answer, mut told) = pair();
        let place = UnderWay::enter(&under_way, vec![answer]);
        under_way.refuse(&ProposeError::LeadershipLost);
        assert!(matches!(told.try_recv(), Ok(Err(ProposeError::LeadershipLost))));
        assert!(under_way.is_empty());
        // The engine comes to it later.
        place.answer(Err(openraft::errors::ClientWriteError::ForwardToLeader(
            openraft::errors::ForwardToLeader::empty(),
        )));
        assert!(under_way.is_empty());
    }
}
