//! The log's writer: jobs in order, one sync for all that wait, and the note of vote and purge
//! point.
//!
//! A full disk is waited out: nothing is acknowledged meanwhile, and whoever asks is told. Any
//! other failure ends the log, since what is in the file is not known then.
//!
//! Bytes and files of entries are [`super::segment`]'s.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_task::{CancellationToken, TaskSet};
use openraft::storage::IOFlushed;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::finished::{self, Teller};
use super::segment::{Records, Segments};
use super::sync_dir;
use crate::batch::{Entry, LogId, Types, Vote};
use crate::error::LogError;
use crate::meters::Meters;

const NOTE: &str = "vote";
const LOCK: &str = "lock";
/// Jobs that wait before the engine has to.
const QUEUE: usize = 256;
/// Time between tries to write to a full disk.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

/// What is small and replaced as a whole.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<LogId>,
}

/// What was found at the start.
pub(super) struct Recovered {
    pub(super) note: Note,
    pub(super) entries: Vec<Entry>,
}

/// The way to the writer.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    jobs: mpsc::Sender<Job>,
    full: watch::Receiver<Option<Arc<str>>>,
    ending: CancellationToken,
}

type Done = oneshot::Sender<io::Result<()>>;

enum Job {
    Append(Records, IOFlushed<Types>),
    Note(Note, Done),
    Truncate(u64, Done),
    Purge(u64, Done),
    Close(Done),
}

/// How a round of jobs went.
enum Round {
    Done,
    /// The log was closed, or its files cannot be relied on any more.
    Over,
    /// There is no space for the first of these.
    Full(io::Error, VecDeque<Job>),
}

struct Files {
    dir: PathBuf,
    segments: Segments,
    /// Holds the folder for this process as long as it is open.
    _lock: File,
}

impl Journal {
    pub(super) async fn open(
        dir: &Path,
        tasks: &TaskSet,
        meters: &Arc<Meters>,
    ) -> Result<(Self, Recovered), LogError> {
        let (dir, own) = (dir.to_owned(), tasks.clone());
        let opened = tasks.blocking("opening the log", move || open(&dir, &own)).await;
        let interrupted = || LogError::Io {
            path: PathBuf::new(),
            source: io::Error::other("opening the log was interrupted"),
        };
        let (files, recovered) = opened.ok_or_else(interrupted)??;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (fullness, full) = watch::channel(None);
        let ending = CancellationToken::new();
        let runtime = Handle::current();
        let meters = Arc::clone(meters);
        let (finished, listener) = finished::channel().map_err(LogError::io(&files.dir))?;
        let writer = Writer { runtime, fullness, ending: ending.clone(), meters, finished };
        let own = tasks.clone();
        tasks.spawn("written entries", listener.run());
        tasks.spawn("log", async move {
            // A panic is told of there; every later job fails.
            let _ = own.blocking("writing the log", move || writer.work(files, queue)).await;
        });
        Ok((Self { jobs, full, ending }, recovered))
    }

    /// Why nothing can be written at the moment, if the disk is full.
    pub(super) fn full(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.full.clone()
    }

    /// From now on a full disk is an error like any other: the process is about to end.
    pub(super) fn give_up(&self) {
        self.ending.cancel();
    }

    pub(super) async fn append(&self, records: Records, done: IOFlushed<Types>) -> io::Result<()> {
        self.jobs.send(Job::Append(records, done)).await.map_err(|_| closed())
    }

    pub(super) async fn note(&self, note: Note) -> io::Result<()> {
        self.wait(|done| Job::Note(note, done)).await
    }

    pub(super) async fn truncate(&self, keep: u64) -> io::Result<()> {
        self.wait(|done| Job::Truncate(keep, done)).await
    }

    pub(super) async fn purge(&self, up_to: u64) -> io::Result<()> {
        self.wait(|done| Job::Purge(up_to, done)).await
    }

    pub(super) async fn close(&self) {
        // An error means that it is closed already.
        let _ = self.wait(Job::Close).await;
    }

    async fn wait(&self, job: impl FnOnce(Done) -> Job) -> io::Result<()> {
        let (done, finished) = oneshot::channel();
        self.jobs.send(job(done)).await.map_err(|_| closed())?;
        finished.await.map_err(|_| closed())?
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed")
}

fn open(dir: &Path, tasks: &TaskSet) -> Result<(Files, Recovered), LogError> {
    fs::create_dir_all(dir).map_err(LogError::io(dir))?;
    // The log holds the CA's key and everything that tokens protect.
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(dir, private).map_err(LogError::io(dir))?;
    let path = dir.join(LOCK);
    let lock = File::create(&path).map_err(LogError::io(&path))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| LogError::InUse(dir.to_owned()))?;
    let note = read_note(dir)?;
    let from = note.purged.map_or(0, |id| id.index + 1);
    let (segments, entries) = Segments::open(dir, from, Some(tasks))?;
    if let Some(first) = entries.first().filter(|entry| entry.log_id.index > from) {
        let found = first.log_id.index;
        return Err(LogError::Gap { path: dir.to_owned(), expected: from, found });
    }
    let files = Files { dir: dir.to_owned(), segments, _lock: lock };
    Ok((files, Recovered { note, entries }))
}

fn read_note(dir: &Path) -> Result<Note, LogError> {
    let path = dir.join(NOTE);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Note::default()),
        other => other.map_err(LogError::io(&path))?,
    };
    let damaged = |reason: String| LogError::Damaged { path: path.clone(), at: 0, reason };
    let Some((body, sum)) = bytes.split_last_chunk::<4>() else {
        return Err(damaged("too short".into()));
    };
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err(damaged("checksum does not match".into()));
    }
    rmp_serde::from_slice(body).map_err(|e| damaged(e.to_string()))
}

fn write_note(dir: &Path, note: &Note) -> io::Result<()> {
    let mut bytes = rmp_serde::to_vec_named(note).map_err(io::Error::other)?;
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    let partial = dir.join("vote.partial");
    let mut file = File::create(&partial)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(partial, dir.join(NOTE))?;
    sync_dir(dir)
}

/// Whether there may be space again later.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

struct Writer {
    runtime: Handle,
    fullness: watch::Sender<Option<Arc<str>>>,
    ending: CancellationToken,
    meters: Arc<Meters>,
    finished: Teller,
}

impl Writer {
    /// Takes jobs until the log is closed, on a thread of its own: from a job to its sync nobody
    /// else has to be woken.
    fn work(self, mut files: Files, mut queue: mpsc::Receiver<Job>) {
        let (mut jobs, mut waiting) = (Vec::new(), VecDeque::new());
        while !waiting.is_empty() || queue.blocking_recv_many(&mut jobs, QUEUE) > 0 {
            waiting.extend(jobs.drain(..));
            let round = std::mem::take(&mut waiting);
            let appends = round.iter().any(|job| matches!(job, Job::Append(..)));
            let began = Instant::now();
            match self.perform(&mut files, round, !self.ending.is_cancelled()) {
                Round::Done => {
                    if appends {
                        self.meters.written(began.elapsed());
                    }
                    self.room_again();
                }
                Round::Over => break,
                Round::Full(error, rest) => {
                    waiting = rest;
                    self.no_room(&files.dir, &error);
                }
            }
        }
    }

    fn room_again(&self) {
        if self.fullness.borrow().is_some() {
            tracing::info!("the raft log can be written again");
            self.fullness.send_replace(None);
        }
    }

    fn no_room(&self, dir: &Path, error: &io::Error) {
        if self.fullness.borrow().is_none() {
            tracing::error!(path = %dir.display(), %error,
                "the raft log cannot be written; nothing is until there is space");
            let text = format!("{}: {error}", dir.display());
            self.fullness.send_replace(Some(text.into()));
        }
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.ending.cancelled() => {}
                () = tokio::time::sleep(RETRY) => {}
            }
        });
    }

    /// Does jobs in order; appends that follow each other share one sync. One that is `patient` stops
    /// at a full disk with everything as it was before.
    fn perform(&self, files: &mut Files, mut jobs: VecDeque<Job>, patient: bool) -> Round {
        let mut unsynced: Vec<IOFlushed<Types>> = Vec::new();
        let mut failed: Option<io::Error> = None;
        while let Some(job) = jobs.pop_front() {
            match job {
                Job::Append(mut records, done) => {
                    if failed.is_none() {
                        failed = files.segments.append(&mut records).err();
                    }
                    if let Some(error) = failed.take_if(|error| patient && is_full(error)) {
                        self.flush(files, &mut unsynced, &mut failed);
                        if failed.is_some() {
                            self.finished.tell([(done, Err(same(&error)))]);
                            return Round::Over;
                        }
                        jobs.push_front(Job::Append(records, done));
                        return Round::Full(error, jobs);
                    }
                    unsynced.push(done);
                }
                other => {
                    self.flush(files, &mut unsynced, &mut failed);
                    let (result, done) = match other {
                        Job::Note(note, done) => match write_note(&files.dir, &note) {
                            Err(error) if patient && is_full(&error) && failed.is_none() => {
                                jobs.push_front(Job::Note(note, done));
                                return Round::Full(error, jobs);
                            }
                            result => (result, done),
                        },
                        Job::Truncate(keep, done) => (files.segments.truncate(keep), done),
                        Job::Purge(up_to, done) => (files.segments.purge(up_to), done),
                        Job::Close(done) => {
                            // The engine may have ended meanwhile, here and below.
                            let _ = done.send(Ok(()));
                            return Round::Over;
                        }
                        Job::Append(..) => continue,
                    };
                    let _ = done.send(result);
                }
            }
        }
        self.flush(files, &mut unsynced, &mut failed);
        if failed.is_none() { Round::Done } else { Round::Over }
    }

    /// After a failure nothing more is acknowledged: what is in the file is not known.
    fn flush(
        &self,
        files: &mut Files,
        unsynced: &mut Vec<IOFlushed<Types>>,
        failed: &mut Option<io::Error>,
    ) {
        if unsynced.is_empty() {
            return;
        }
        if failed.is_none() {
            *failed = files.segments.sync().err();
        }
        let result = || failed.as_ref().map_or(Ok(()), |error| Err(same(error)));
        self.finished.tell(unsynced.drain(..).map(|done| (done, result())));
    }
}

fn same(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
