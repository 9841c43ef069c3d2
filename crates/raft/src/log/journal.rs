//! The log's writer: jobs in order, one sync for all that wait, and the note of vote and purge
//! point.
//!
//! Bytes and files of entries are [`super::segment`]'s.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lictor_task::TaskSet;
use openraft::storage::IOFlushed;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::segment::{Records, Segments};
use super::sync_dir;
use crate::batch::{Entry, LogId, Types, Vote};
use crate::error::LogError;

const NOTE: &str = "vote";
const LOCK: &str = "lock";
/// Jobs that wait before the engine has to.
const QUEUE: usize = 256;

/// What is small and replaced as a whole.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<LogId>,
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
}

type Done = oneshot::Sender<io::Result<()>>;

enum Job {
    Append(Records, IOFlushed<Types>),
    Note(Note, Done),
    Truncate(u64, Done),
    Purge(u64, Done),
    Close(Done),
}

struct Files {
    dir: PathBuf,
    segments: Segments,
    /// Holds the folder for this process as long as it is open.
    _lock: File,
}

impl Journal {
    pub(super) async fn open(dir: &Path, tasks: &TaskSet) -> Result<(Self, Recovered), LogError> {
        let dir = dir.to_owned();
        let opened = tasks.blocking("opening the log", move || open(&dir)).await;
        let interrupted = || LogError::Io {
            path: PathBuf::new(),
            source: io::Error::other("opening the log was interrupted"),
        };
        let (files, recovered) = opened.ok_or_else(interrupted)??;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let runner = tasks.clone();
        tasks.spawn("log", async move { work(files, queue, runner).await });
        Ok((Self { jobs }, recovered))
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

fn open(dir: &Path) -> Result<(Files, Recovered), LogError> {
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
    let (segments, entries) = Segments::open(dir, from)?;
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

/// Takes jobs until it is closed. Files are handed to a blocking thread for each round; should
/// that be lost, so is the log, and every later job fails.
async fn work(files: Files, mut queue: mpsc::Receiver<Job>, tasks: TaskSet) {
    let mut files = Some(files);
    let mut jobs = Vec::new();
    while queue.recv_many(&mut jobs, QUEUE).await > 0 {
        let Some(mut held) = files.take() else { break };
        let round = std::mem::take(&mut jobs);
        let done = tasks.blocking("writing the log", move || {
            let open = perform(&mut held, round);
            (held, open)
        });
        match done.await {
            Some((held, true)) => files = Some(held),
            _ => break,
        }
    }
}

/// Does jobs in order; appends that follow each other share one sync. Gives false at the end.
fn perform(files: &mut Files, jobs: Vec<Job>) -> bool {
    let mut unsynced: Vec<IOFlushed<Types>> = Vec::new();
    let mut failed: Option<io::Error> = None;
    let mut open = true;
    for job in jobs {
        match job {
            Job::Append(records, done) => {
                if failed.is_none() {
                    failed = files.segments.append(&records).err();
                }
                unsynced.push(done);
            }
            other => {
                flush(files, &mut unsynced, &mut failed);
                let (result, done) = match other {
                    Job::Note(note, done) => (write_note(&files.dir, &note), done),
                    Job::Truncate(keep, done) => (files.segments.truncate(keep), done),
                    Job::Purge(up_to, done) => (files.segments.purge(up_to), done),
                    Job::Close(done) => {
                        open = false;
                        (Ok(()), done)
                    }
                    Job::Append(..) => continue,
                };
                // The engine may have ended meanwhile.
                let _ = done.send(result);
            }
        }
    }
    flush(files, &mut unsynced, &mut failed);
    open && failed.is_none()
}

/// After a failure nothing more is acknowledged: what is in the file is not known.
fn flush(files: &Files, unsynced: &mut Vec<IOFlushed<Types>>, failed: &mut Option<io::Error>) {
    if unsynced.is_empty() {
        return;
    }
    if failed.is_none() {
        *failed = files.segments.sync().err();
    }
    for done in unsynced.drain(..) {
        done.io_completed(match failed {
            None => Ok(()),
            Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
        });
    }
}
