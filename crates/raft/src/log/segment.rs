//! Files of log entries: written from the front to the back of room that was made before.
//!
//! A file is named after its first entry. What is in it is [`record`]'s, how it comes to be
//! [`room`]'s.

mod record;
mod room;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use lictor_task::TaskSet;
use uuid::Uuid;

use self::record::{Content, HEAD};
pub(crate) use self::record::{Records, encode, parse};
use self::room::{Empty, ROOM_MAX, ROOM_MIN, Spare};
use crate::batch::Entry;
use crate::error::LogError;
use crate::log::sync_dir;

const SUFFIX: &str = ".log";

/// One file.
#[derive(Debug)]
struct Segment {
    first: u64,
    path: PathBuf,
    /// Its id; one of the first version has none.
    id: Option<Uuid>,
    /// Bytes that are good.
    length: u64,
    /// Bytes that the file has.
    room: u64,
    /// Where each entry begins, from `first` on.
    starts: VecDeque<u64>,
}

impl Segment {
    /// Index of the entry that comes next.
    fn next(&self) -> u64 {
        self.first + self.starts.len() as u64
    }

    /// Whether an entry with this index and size goes here. An empty file takes anything, and
    /// grows if it must.
    fn takes(&self, index: u64, size: u64) -> bool {
        let fits = self.length + size <= self.room || self.starts.is_empty();
        self.id.is_some() && self.next() == index && fits
    }

    /// Removes everything after what is good, the room as well: nothing old may follow what is
    /// written next.
    fn cut(&mut self, file: &File) -> io::Result<()> {
        self.room = self.length;
        file.set_len(self.length)
    }
}

/// All files of a log.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    closed: VecDeque<Segment>,
    active: Option<(Segment, File)>,
    /// How much of the active file is on disk.
    synced: u64,
    spare: Spare,
}

impl Segments {
    /// Opens the files of `dir` and reads all entries from `from` on. With `tasks` room is made
    /// ahead.
    pub(super) fn open(
        dir: &Path,
        from: u64,
        tasks: Option<&TaskSet>,
    ) -> Result<(Self, Vec<Entry>), LogError> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(LogError::io(dir))? {
            let path = entry.map_err(LogError::io(dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(first) = name.strip_suffix(SUFFIX).and_then(|n| n.parse::<u64>().ok()) {
                paths.push((first, path));
            }
        }
        paths.sort_unstable();
        let spare = Spare::new(dir, tasks).map_err(LogError::io(dir))?;
        let (dir, closed) = (dir.to_owned(), VecDeque::new());
        let mut this = Self { dir, closed, active: None, synced: 0, spare };
        let (mut entries, mut next) = (Vec::new(), None);
        let count = paths.len();
        for (position, (first, path)) in paths.into_iter().enumerate() {
            let last_file = position + 1 == count;
            let expected = next.unwrap_or(first.min(from));
            if first > expected.max(from) && first != expected {
                return Err(LogError::Gap { path, expected, found: first });
            }
            let bytes = fs::read(&path).map_err(LogError::io(&path))?;
            let Content { id, entries: read, starts, length, torn } =
                parse(&path, &bytes, first, last_file)?;
            let (room, starts) = (bytes.len() as u64, starts.into());
            let mut segment = Segment { first, path: path.clone(), id, length, room, starts };
            next = Some(segment.next());
            entries.extend(read.into_iter().filter(|entry| entry.log_id.index >= from));
            if last_file {
                let opened = OpenOptions::new().write(true).open(&path).and_then(|file| {
                    if torn {
                        segment.cut(&file)?;
                    }
                    file.sync_all().map(|()| file)
                });
                this.synced = length;
                this.active = Some((segment, opened.map_err(LogError::io(&path))?));
            } else {
                this.closed.push_back(segment);
            }
        }
        Ok((this, entries))
    }

    /// Appends records, all or none. They are safe only after [`Segments::sync`].
    pub(super) fn append(&mut self, records: &mut Records) -> io::Result<()> {
        let Some(&(first, _)) = records.sizes.first() else { return Ok(()) };
        let size = records.bytes.len() as u64;
        // After a snapshot of another server the log goes on where that ends.
        if !self.active.as_ref().is_some_and(|(segment, _)| segment.takes(first, size)) {
            self.begin(first)?;
        }
        let next_room = self.next_room();
        let Some((segment, file)) = &mut self.active else { return Ok(()) };
        records.seal(segment.id.unwrap_or_default(), segment.length, self.synced);
        if let Err(error) = file.write_all_at(&records.bytes, segment.length) {
            segment.cut(file)?;
            return Err(error);
        }
        for (_, size) in &records.sizes {
            segment.starts.push_back(segment.length);
            segment.length += *size as u64;
        }
        if segment.length > segment.room / 2 {
            self.spare.prepare(next_room);
        }
        Ok(())
    }

    /// Begins the next file.
    fn begin(&mut self, first: u64) -> io::Result<()> {
        self.sync()?;
        let empty = self.spare.take(self.next_room())?;
        let path = self.dir.join(format!("{first:020}{SUFFIX}"));
        if let Some((before, _)) = self.active.take_if(|(before, _)| before.starts.is_empty())
            && before.path != path
        {
            fs::remove_file(&before.path)?;
        }
        empty.name(&path)?;
        sync_dir(&self.dir)?;
        if let Some((mut before, file)) = self.active.take() {
            // It needs no room any more. If that is lost in a crash there are zeros at its end.
            before.cut(&file)?;
            self.closed.push_back(before);
        }
        let Empty { file, id, room, .. } = empty;
        let (length, starts) = (HEAD as u64, VecDeque::new());
        let segment = Segment { first, path, id: Some(id), length, room, starts };
        self.synced = length;
        self.active = Some((segment, file));
        Ok(())
    }

    fn next_room(&self) -> u64 {
        let now = self.active.as_ref().map_or(0, |(segment, _)| segment.room);
        (now * 2).clamp(ROOM_MIN, ROOM_MAX)
    }

    /// Returns when everything appended is on disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some((segment, file)) = &self.active else { return Ok(()) };
        if self.synced < segment.length {
            file.sync_data()?;
            self.synced = segment.length;
        }
        Ok(())
    }

    /// Removes entries from `keep` on.
    pub(super) fn truncate(&mut self, keep: u64) -> io::Result<()> {
        while let Some((mut segment, file)) = self.active.take() {
            if segment.first < keep || (segment.first == keep && segment.starts.is_empty()) {
                let kept = usize::try_from(keep - segment.first).unwrap_or(usize::MAX);
                if let Some(start) = segment.starts.get(kept) {
                    segment.length = *start;
                    segment.starts.truncate(kept);
                    segment.cut(&file)?;
                    file.sync_all()?;
                }
                self.synced = segment.length;
                self.active = Some((segment, file));
                return Ok(());
            }
            drop(file);
            fs::remove_file(&segment.path)?;
            sync_dir(&self.dir)?;
            if let Some(before) = self.closed.pop_back() {
                let file = OpenOptions::new().write(true).open(&before.path)?;
                self.active = Some((before, file));
            }
        }
        Ok(())
    }

    /// Removes files that hold nothing after `up_to`.
    pub(super) fn purge(&mut self, up_to: u64) -> io::Result<()> {
        while let Some(segment) = self.closed.front() {
            if segment.next() > up_to + 1 {
                break;
            }
            fs::remove_file(&segment.path)?;
            self.closed.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
