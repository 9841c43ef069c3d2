//! Answering other servers.
//!
//! Whatever the bytes are there is an answer, if only that they make no sense.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lictor_task::TaskSet;
use openraft::raft::AppendEntriesResponse;
use openraft::rt::WatchReceiver as _;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use uuid::Uuid;

use crate::batch::{Types, Vote};
use crate::lease::Lease;
use crate::message::{self, Answer, Message, Part, Whole};
use crate::meters::Meters;
use crate::raft::Engine;
use crate::snapshot::{Arrival, Frozen, Snapshots};

/// Long messages that arrive at a time, one of each sender.
const ARRIVING_MAX: usize = 8;
/// Time without a part after which a long message is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// The answering side of a server.
#[derive(Debug)]
pub(crate) struct Service {
    own: Uuid,
    lease: Arc<Lease>,
    snapshots: Snapshots,
    tasks: TaskSet,
    /// Before this, a vote that was promised to a leader before a restart may still hold.
    votes_from: Option<Instant>,
    messages: Mutex<HashMap<Uuid, Arriving<Vec<u8>>>>,
    snapshot: Mutex<Option<Arriving<Arrival>>>,
    meters: Arc<Meters>,
    /// Where the leader was heard of last.
    leader_connection: parking_lot::Mutex<Option<SocketAddr>>,
    /// Told when that ends.
    ended: Arc<Notify>,
}

/// Something long of which not all is there.
#[derive(Debug)]
struct Arriving<T> {
    from: Uuid,
    stream: u64,
    total: u64,
    place: T,
    touched: Instant,
}

impl<T> Arriving<T> {
    fn is(&self, from: Uuid, part: &Part) -> bool {
        (self.from, self.stream, self.total) == (from, part.stream, part.total)
    }
}

impl Service {
    pub(crate) fn new(
        own: Uuid,
        lease: Arc<Lease>,
        snapshots: Snapshots,
        tasks: TaskSet,
        votes_from: Option<Instant>,
        meters: Arc<Meters>,
        ended: Arc<Notify>,
    ) -> Self {
        let (messages, snapshot) = (Mutex::default(), Mutex::default());
        let leader_connection = parking_lot::Mutex::default();
        Self {
            own,
            lease,
            snapshots,
            tasks,
            votes_from,
            messages,
            snapshot,
            leader_connection,
            ended,
            meters,
        }
    }

    /// Answers a message that came on a connection.
    pub(crate) async fn answer(
        &self,
        engine: &Engine,
        connection: Option<SocketAddr>,
        message: Bytes,
    ) -> Bytes {
        let version = message::version_of(&message);
        let answer = self.consider(engine, message).await;
        let follows = |answer: &AppendEntriesResponse<Types>| {
            !matches!(answer, AppendEntriesResponse::HigherVote(_))
        };
        if matches!(&answer, Answer::Append(answer) if follows(answer)) {
            self.lease.heard();
            *self.leader_connection.lock() = connection;
        }
        answer.encode(version)
    }

    /// A connection has ended.
    pub(crate) fn connection_ended(&self, connection: SocketAddr) {
        let mut leaders = self.leader_connection.lock();
        if *leaders == Some(connection) {
            *leaders = None;
            self.ended.notify_one();
        }
    }

    async fn consider(&self, engine: &Engine, message: Bytes) -> Answer {
        let (envelope, message) = match Message::decode(&message) {
            Ok(decoded) => decoded,
            Err(error) => return Answer::Refused(error.to_string()),
        };
        if envelope.to != self.own {
            return Answer::Refused(format!("this is server {}, not {}", self.own, envelope.to));
        }
        match message {
            Message::Part(part) => match part.whole {
                Whole::Message => match self.message_part(envelope.from, part).await {
                    Ok(Some(whole)) => Box::pin(self.consider(engine, whole)).await,
                    Ok(None) => Answer::Refused("too many long messages at a time".into()),
                    Err(next) => Answer::Next(next),
                },
                Whole::Snapshot(vote) => {
                    let answered = self.snapshot_part(engine, envelope.from, vote, part).await;
                    answered.unwrap_or_else(|error| Answer::Refused(error.to_string()))
                }
            },
            short => self.answer_short(engine, short).await,
        }
    }

    async fn answer_short(&self, engine: &Engine, message: Message) -> Answer {
        let refused = |error: &dyn std::fmt::Display| Answer::Refused(error.to_string());
        let heartbeat = matches!(&message, Message::Append(append) if append.entries.is_empty());
        let _heartbeat = heartbeat.then(|| self.meters.heartbeat.start());
        let _timed = match &message {
            Message::Append(_) => Some(self.meters.append.start()),
            Message::Vote(_) => Some(self.meters.vote.start()),
            _ => None,
        };
        match message {
            Message::Append(append) => {
                engine.append_entries(append).await.map_or_else(|e| refused(&e), Answer::Append)
            }
            // A leader that gives its place away knows of the promises.
            Message::Vote(vote) if !vote.leadership_transfer && self.is_bound() => bound(),
            Message::Vote(vote) => {
                engine.vote(vote).await.map_or_else(|e| refused(&e), Answer::Vote)
            }
            Message::PreVote(_) if self.is_bound() => bound(),
            Message::PreVote(vote) => {
                engine.pre_vote(vote).await.map_or_else(|e| refused(&e), Answer::Vote)
            }
            Message::Transfer(transfer) => match engine.handle_transfer_leader(transfer).await {
                Ok(tried) => Answer::Transfer(tried.is_ok()),
                Err(error) => refused(&error),
            },
            Message::Part(_) => Answer::Refused("a part within a part".into()),
        }
    }

    fn is_bound(&self) -> bool {
        self.votes_from.is_some_and(|from| Instant::now() < from)
    }

    /// The whole message if this was its last part, nothing if there is no place for it, or the
    /// offset that is wanted.
    async fn message_part(&self, from: Uuid, part: Part) -> Result<Option<Bytes>, u64> {
        let mut messages = self.messages.lock().await;
        let now = Instant::now();
        messages.retain(|_, arriving| now - arriving.touched < FORGOTTEN_AFTER);
        if messages.len() >= ARRIVING_MAX && !messages.contains_key(&from) {
            return Ok(None);
        }
        let (stream, total) = (part.stream, part.total);
        let fresh = || Arriving { from, stream, total, place: Vec::new(), touched: now };
        let arriving = messages.entry(from).or_insert_with(fresh);
        if !arriving.is(from, &part) {
            *arriving = fresh();
        }
        arriving.touched = now;
        if part.offset == arriving.place.len() as u64 {
            arriving.place.extend_from_slice(&part.bytes);
        }
        let length = arriving.place.len() as u64;
        if length < total {
            return Err(length);
        }
        Ok(messages.remove(&from).map(|arrived| arrived.place.into()))
    }

    async fn snapshot_part(
        &self,
        engine: &Engine,
        from: Uuid,
        vote: Vote,
        part: Part,
    ) -> io::Result<Answer> {
        let known = engine.server_metrics().borrow_watched().vote;
        if known > vote {
            return Ok(Answer::Installed(known));
        }
        let mut held = self.snapshot.lock().await;
        let arriving = held.take().filter(|arriving| arriving.is(from, &part));
        let mut arriving = match arriving {
            Some(arriving) => arriving,
            None => {
                let (stream, total, place) = (part.stream, part.total, self.snapshots.arrival()?);
                Arriving { from, stream, total, place, touched: Instant::now() }
            }
        };
        if part.offset == arriving.place.length() && !part.bytes.is_empty() {
            let written = crate::blocking(&self.tasks, "writing a part of a snapshot", move || {
                arriving.place.write(&part.bytes).map(|()| arriving)
            });
            arriving = written.await.ok_or_else(interrupted)??;
        }
        if arriving.place.length() < arriving.total {
            let next = arriving.place.length();
            *held = Some(arriving);
            return Ok(Answer::Next(next));
        }
        let finished =
            crate::blocking(&self.tasks, "syncing a snapshot", move || arriving.place.finish());
        let frozen = finished.await.ok_or_else(interrupted)??;
        self.take_over(engine, vote, frozen).await
    }

    async fn take_over(&self, engine: &Engine, vote: Vote, frozen: Frozen) -> io::Result<Answer> {
        let _timed = self.meters.install.start();
        let left = frozen.clone();
        let installed = match self.snapshots.arrived(frozen).await {
            Ok(snapshot) => {
                let installed = engine.install_full_snapshot(vote, snapshot).await;
                installed.map_err(|error| io::Error::other(error.to_string()))
            }
            Err(error) => Err(error),
        };
        if let Frozen::File(path) = left {
            // It has another name if it was wanted.
            let _ =
                crate::blocking(&self.tasks, "removing a snapshot", || std::fs::remove_file(path))
                    .await;
        }
        self.lease.heard();
        installed.map(|answer| Answer::Installed(answer.vote))
    }
}

fn bound() -> Answer {
    Answer::Refused("restarted a moment ago: a leader may rely on this server still".into())
}

fn interrupted() -> io::Error {
    io::Error::other("the task was interrupted")
}
