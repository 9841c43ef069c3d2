//! A disk that takes its time, and keeps at a crash only what it has said to keep, and perhaps a
//! part of what it was writing.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lictor_task::TaskSet;
use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::check::History;
use crate::batch::{Entry, SnapshotMeta, Types};
use crate::log::journal::Note;

/// What survives.
#[derive(Debug, Default)]
struct Kept {
    note: Note,
    entries: VecDeque<Entry>,
    snapshot: Option<Bytes>,
}

/// A disk as one life of a server sees it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    kept: Arc<Mutex<Kept>>,
    chance: Arc<Mutex<fastrand::Rng>>,
    /// Whether this life is over: then nothing is written any more.
    crashed: Arc<Mutex<bool>>,
    /// What the life's server has applied.
    pub(crate) history: Arc<History>,
    pub(crate) server: u128,
}

impl PartialEq for Disk {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.crashed, &other.crashed)
    }
}

impl Eq for Disk {}

type Done = oneshot::Sender<io::Result<()>>;

enum Job {
    Append(Vec<Entry>, IOFlushed<Types>),
    Note(Note, Done),
    Truncate(u64, Done),
    Purge(u64, Done),
    Snapshot(Bytes, Done),
}

/// The way to what writes.
#[derive(Clone, Debug)]
pub(crate) struct Writer(mpsc::Sender<Job>);

impl Disk {
    pub(super) fn new(seed: u64, server: u128, history: Arc<History>) -> Self {
        Self {
            kept: Arc::default(),
            chance: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            crashed: Arc::default(),
            history,
            server,
        }
    }

    /// Ends this life; what it was writing is lost, or some of it is not. The disk of the next.
    pub(super) fn crash(&self) -> Self {
        *self.crashed.lock() = true;
        Self { crashed: Arc::default(), ..self.clone() }
    }

    pub(crate) fn read(&self) -> (Note, Vec<Entry>) {
        let mut kept = self.kept.lock();
        // A crash may have come between the note and what is purged by it.
        let from = kept.note.purged.map_or(0, |id| id.index + 1);
        kept.entries.retain(|entry| entry.log_id.index >= from);
        (kept.note, kept.entries.iter().cloned().collect())
    }

    pub(crate) fn snapshot(&self) -> Option<Bytes> {
        self.kept.lock().snapshot.clone()
    }

    pub(crate) fn writer(&self, tasks: &TaskSet) -> Writer {
        let (jobs, queue) = mpsc::channel(64);
        let (written, told) = mpsc::channel(64);
        tasks.spawn("simulated disk", self.clone().work(queue, written));
        tasks.spawn("simulated bell", self.clone().tell(told));
        Writer(jobs)
    }

    /// Tells the engine of entries that are written, perhaps after it knows of what was written later:
    /// as with the journal that is told on another way.
    async fn tell(self, mut written: mpsc::Receiver<IOFlushed<Types>>) {
        while let Some(done) = written.recv().await {
            let micros = {
                let mut chance = self.chance.lock();
                if chance.u32(..50) == 0 { chance.u64(..100_000) } else { 0 }
            };
            if micros > 0 {
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
            if *self.crashed.lock() {
                return;
            }
            done.io_completed(Ok(()));
        }
    }

    async fn work(self, mut queue: mpsc::Receiver<Job>, written: mpsc::Sender<IOFlushed<Types>>) {
        let mut jobs = Vec::new();
        while queue.recv_many(&mut jobs, 64).await > 0 {
            let pause = {
                let mut chance = self.chance.lock();
                let micros = if chance.u32(..100) == 0 { 80_000 } else { 2_000 };
                Duration::from_micros(chance.u64(50..micros))
            };
            // A crash in here may leave what is written first.
            let torn = self.chance.lock().usize(..=jobs.len());
            tokio::time::sleep(pause / 2).await;
            for job in &jobs[..torn] {
                self.write(job);
            }
            tokio::time::sleep(pause / 2).await;
            for job in &jobs[torn..] {
                self.write(job);
            }
            if *self.crashed.lock() {
                return;
            }
            for job in jobs.drain(..) {
                match job {
                    Job::Append(_, done) => {
                        // The life may have ended.
                        let _ = written.send(done).await;
                    }
                    Job::Note(_, done)
                    | Job::Truncate(_, done)
                    | Job::Purge(_, done)
                    | Job::Snapshot(_, done) => {
                        let _ = done.send(Ok(()));
                    }
                }
            }
        }
    }

    fn write(&self, job: &Job) {
        if *self.crashed.lock() {
            return;
        }
        let mut kept = self.kept.lock();
        match job {
            Job::Append(entries, _) => {
                for entry in entries {
                    let last = kept.entries.back().map(|entry| entry.log_id.index);
                    let before = last.or(kept.note.purged.map(|id| id.index));
                    let next = before.map_or(0, |index| index + 1);
                    assert_eq!(entry.log_id.index, next, "a gap is being written");
                    kept.entries.push_back(entry.clone());
                }
            }
            Job::Note(note, _) => {
                assert!(kept.note.vote <= note.vote, "a vote is taken back");
                kept.note = *note;
            }
            Job::Truncate(keep, _) => kept.entries.retain(|entry| entry.log_id.index < *keep),
            Job::Purge(up_to, _) => kept.entries.retain(|entry| entry.log_id.index > *up_to),
            Job::Snapshot(bytes, _) => kept.snapshot = Some(bytes.clone()),
        }
    }
}

impl Writer {
    pub(crate) async fn append(
        &self,
        entries: Vec<Entry>,
        done: IOFlushed<Types>,
    ) -> io::Result<()> {
        self.0.send(Job::Append(entries, done)).await.map_err(|_| closed())
    }

    pub(crate) async fn note(&self, note: Note) -> io::Result<()> {
        self.wait(|done| Job::Note(note, done)).await
    }

    pub(crate) async fn truncate(&self, keep: u64) -> io::Result<()> {
        self.wait(|done| Job::Truncate(keep, done)).await
    }

    pub(crate) async fn purge(&self, up_to: u64) -> io::Result<()> {
        self.wait(|done| Job::Purge(up_to, done)).await
    }

    pub(crate) async fn snapshot(&self, bytes: Bytes) -> io::Result<()> {
        self.wait(|done| Job::Snapshot(bytes, done)).await
    }

    async fn wait(&self, job: impl FnOnce(Done) -> Job) -> io::Result<()> {
        let (done, finished) = oneshot::channel();
        self.0.send(job(done)).await.map_err(|_| closed())?;
        finished.await.map_err(|_| closed())?
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "this life is over")
}

/// What a snapshot stands for, in a disk's history.
pub(crate) fn end(meta: &SnapshotMeta) -> u64 {
    meta.last_log_id.map_or(0, |id| id.index)
}
