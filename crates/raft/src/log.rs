//! The log as openraft sees it: entries that are not yet part of a snapshot, and the vote.
//!
//! They are all held in memory, where reads find them; a journal, if there is one, has them on
//! disk before they are acknowledged. Where bytes go is the journal's.

mod finished;
pub(crate) mod journal;
pub(crate) mod segment;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use lictor_task::TaskSet;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use tokio::sync::watch;

use self::journal::Journal;
use crate::batch::{Entry, LogId, Types, Vote};
use crate::config::Storage;
use crate::error::LogError;
use crate::meters::Meters;

/// Clones share the log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    held: Arc<Mutex<Held>>,
    journal: Option<Journal>,
    meters: Arc<Meters>,
    #[cfg(test)]
    simulated: Option<crate::simulation::Writer>,
}

/// The log in memory.
#[derive(Debug, Default)]
struct Held {
    vote: Option<Vote>,
    purged: Option<LogId>,
    /// Without gaps.
    entries: VecDeque<Entry>,
}

impl Held {
    /// Index of the first entry, if there is one.
    fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.log_id.index)
    }

    /// Position of the first entry with at least this index.
    fn position(&self, index: u64) -> usize {
        let skipped = self.first().map_or(0, |first| index.saturating_sub(first));
        usize::try_from(skipped).unwrap_or(usize::MAX).min(self.entries.len())
    }

    fn range(&self, range: &impl RangeBounds<u64>) -> Vec<Entry> {
        let start = match range.start_bound() {
            Bound::Included(index) => self.position(*index),
            Bound::Excluded(index) => self.position(index.saturating_add(1)),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => self.position(index.saturating_add(1)),
            Bound::Excluded(index) => self.position(*index),
            Bound::Unbounded => self.entries.len(),
        };
        self.entries.range(start..end.max(start)).cloned().collect()
    }
}

impl Log {
    /// Opens the log and reads what is there.
    pub(crate) async fn open(
        storage: &Storage,
        tasks: &TaskSet,
        meters: &Arc<Meters>,
    ) -> Result<Self, LogError> {
        let meters = Arc::clone(meters);
        #[cfg(test)]
        if let Storage::Simulated(disk) = storage {
            let (note, entries) = disk.read();
            let held = Held { vote: note.vote, purged: note.purged, entries: entries.into() };
            let (held, simulated) = (Arc::new(Mutex::new(held)), Some(disk.writer(tasks)));
            return Ok(Self { held, journal: None, meters, simulated });
        }
        let Storage::Disk(dir) = storage else {
            return Ok(Self {
                held: Arc::default(),
                journal: None,
                meters,
                #[cfg(test)]
                simulated: None,
            });
        };
        let (journal, recovered) = Journal::open(dir, tasks, &meters).await?;
        let held = Held {
            vote: recovered.note.vote,
            purged: recovered.note.purged,
            entries: recovered.entries.into(),
        };
        Ok(Self {
            held: Arc::new(Mutex::new(held)),
            journal: Some(journal),
            meters,
            #[cfg(test)]
            simulated: None,
        })
    }

    /// All entries.
    pub(crate) fn all(&self) -> Vec<Entry> {
        self.held.lock().range(&..)
    }

    /// Why nothing can be written at the moment, if the disk is full.
    pub(crate) fn full(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.journal.as_ref().map_or_else(|| watch::channel(None).1, Journal::full)
    }

    /// From now on a full disk is not waited out.
    pub(crate) fn give_up(&self) {
        if let Some(journal) = &self.journal {
            journal.give_up();
        }
    }

    /// Waits until everything that was handed to the journal is on disk, and ends it.
    pub(crate) async fn close(&self) {
        if let Some(journal) = &self.journal {
            journal.close().await;
        }
    }

    /// Writes down vote and purge point as they are held.
    async fn note(&self) -> io::Result<()> {
        #[cfg(test)]
        if let Some(disk) = &self.simulated {
            let note = {
                let held = self.held.lock();
                journal::Note { vote: held.vote, purged: held.purged }
            };
            return disk.note(note).await;
        }
        let Some(journal) = &self.journal else { return Ok(()) };
        let note = {
            let held = self.held.lock();
            journal::Note { vote: held.vote, purged: held.purged }
        };
        journal.note(note).await
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.held.lock().range(&range))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.held.lock().vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let held = self.held.lock();
        let last = held.entries.back().map(|entry| entry.log_id).or(held.purged);
        Ok(LogState { last_purged_log_id: held.purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.held.lock().vote = Some(*vote);
        self.note().await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        #[cfg(test)]
        if let Some(disk) = &self.simulated {
            let entries: Vec<Entry> = entries.into_iter().collect();
            self.held.lock().entries.extend(entries.iter().cloned());
            return disk.append(entries, callback).await;
        }
        let Some(journal) = &self.journal else {
            let began = Instant::now();
            self.held.lock().entries.extend(entries);
            self.meters.written(began.elapsed());
            callback.io_completed(Ok(()));
            return Ok(());
        };
        let entries: Vec<Entry> = entries.into_iter().collect();
        let records = segment::encode(&entries)?;
        self.held.lock().entries.extend(entries);
        journal.append(records, callback).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let keep = last.map_or(0, |id| id.index + 1);
        {
            let mut held = self.held.lock();
            let position = held.position(keep);
            held.entries.truncate(position);
        }
        #[cfg(test)]
        if let Some(disk) = &self.simulated {
            return disk.truncate(keep).await;
        }
        match &self.journal {
            Some(journal) => journal.truncate(keep).await,
            None => Ok(()),
        }
    }

    async fn purge(&mut self, up_to: LogId) -> Result<(), io::Error> {
        let _timed = self.meters.compact.start();
        {
            let mut held = self.held.lock();
            held.purged = Some(up_to);
            let position = held.position(up_to.index + 1);
            held.entries.drain(..position);
        }
        // First the note: without it the missing files would look like a loss.
        self.note().await?;
        #[cfg(test)]
        if let Some(disk) = &self.simulated {
            return disk.purge(up_to.index).await;
        }
        match &self.journal {
            Some(journal) => journal.purge(up_to.index).await,
            None => Ok(()),
        }
    }
}

/// Makes a change of names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}
