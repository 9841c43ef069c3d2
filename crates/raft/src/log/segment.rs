//! Files of log entries: append-only, each record with its length and CRC-32.
//!
//! A file is named after its first entry. Its end may be torn by a crash, which is cut off; damage
//! that has whole records after it is not: those were acknowledged, so the start stops there.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::batch::Entry;
use crate::error::LogError;
use crate::log::sync_dir;

const MAGIC: &[u8; 8] = b"LICTLOG1";
const SUFFIX: &str = ".log";
/// Length and checksum before each record.
const HEADER: usize = 8;
/// How every encoded entry begins: it and what it begins with are pairs.
const ENTRY: &[u8] = &[0x92, 0x92, 0x92];
/// Size after which the next file begins.
pub(super) const SEGMENT_MAX: u64 = 16 << 20;

/// Encoded entries.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(super) bytes: Vec<u8>,
    /// Index and length of each.
    pub(super) sizes: Vec<(u64, usize)>,
}

/// Encodes entries for the file.
pub(super) fn encode(entries: &[Entry]) -> io::Result<Records> {
    let mut records = Records::default();
    for entry in entries {
        let start = records.bytes.len();
        records.bytes.extend_from_slice(&[0; HEADER]);
        rmp_serde::encode::write(&mut records.bytes, entry).map_err(io::Error::other)?;
        let body = records.bytes.get(start + HEADER..).unwrap_or_default();
        let size = u32::try_from(body.len()).map_err(io::Error::other)?.to_le_bytes();
        let sum = crc32fast::hash(body).to_le_bytes();
        let header = records.bytes.get_mut(start..start + HEADER).unwrap_or_default();
        header.copy_from_slice(&[size, sum].concat());
        records.sizes.push((entry.log_id.index, records.bytes.len() - start));
    }
    Ok(records)
}

/// One file.
#[derive(Debug)]
pub(crate) struct Segment {
    first: u64,
    path: PathBuf,
    /// Bytes that are good.
    length: u64,
    /// Where each entry begins, from `first` on.
    starts: VecDeque<u64>,
}

impl Segment {
    /// Index of the entry that comes next.
    fn next(&self) -> u64 {
        self.first + self.starts.len() as u64
    }
}

/// All files of a log.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    closed: VecDeque<Segment>,
    active: Option<(Segment, File)>,
}

impl Segments {
    /// Opens the files of `dir` and reads all entries from `from` on.
    pub(super) fn open(dir: &Path, from: u64) -> Result<(Self, Vec<Entry>), LogError> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(LogError::io(dir))? {
            let path = entry.map_err(LogError::io(dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(first) = name.strip_suffix(SUFFIX).and_then(|n| n.parse::<u64>().ok()) {
                paths.push((first, path));
            }
        }
        paths.sort_unstable();
        let mut this = Self { dir: dir.to_owned(), closed: VecDeque::new(), active: None };
        let (mut entries, mut next) = (Vec::new(), None);
        let count = paths.len();
        for (position, (first, path)) in paths.into_iter().enumerate() {
            let last_file = position + 1 == count;
            let expected = next.unwrap_or(first.min(from));
            if first > expected.max(from) && first != expected {
                return Err(LogError::Gap { path, expected, found: first });
            }
            let (segment, read) = read(&path, first, last_file)?;
            next = Some(segment.next());
            entries.extend(read.into_iter().filter(|entry| entry.log_id.index >= from));
            if last_file {
                let file = OpenOptions::new().append(true).open(&path);
                let file = file.map_err(LogError::io(&path))?;
                file.set_len(segment.length).map_err(LogError::io(&path))?;
                file.sync_all().map_err(LogError::io(&path))?;
                this.active = Some((segment, file));
            } else {
                this.closed.push_back(segment);
            }
        }
        Ok((this, entries))
    }

    /// Appends records, all or none. They are safe only after [`Segments::sync`].
    pub(super) fn append(&mut self, records: &Records) -> io::Result<()> {
        let Some(&(first, _)) = records.sizes.first() else { return Ok(()) };
        // After a snapshot of another server the log goes on where that ends.
        let fits = |segment: &Segment| segment.next() == first && segment.length < SEGMENT_MAX;
        if !self.active.as_ref().is_some_and(|(segment, _)| fits(segment)) {
            self.sync()?;
            let new = create(&self.dir, first)?;
            self.closed.extend(self.active.replace(new).map(|(segment, _)| segment));
        }
        let Some((segment, file)) = &mut self.active else { return Ok(()) };
        if let Err(error) = file.write_all(&records.bytes) {
            // What was written of it must not stand in front of what comes next.
            file.set_len(segment.length)?;
            return Err(error);
        }
        for (_, size) in &records.sizes {
            segment.starts.push_back(segment.length);
            segment.length += *size as u64;
        }
        Ok(())
    }

    /// Returns when everything appended is on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.active.as_ref().map_or(Ok(()), |(_, file)| file.sync_data())
    }

    /// Removes entries from `keep` on.
    pub(super) fn truncate(&mut self, keep: u64) -> io::Result<()> {
        while let Some((mut segment, file)) = self.active.take() {
            if segment.first < keep || (segment.first == keep && segment.starts.is_empty()) {
                let kept = usize::try_from(keep - segment.first).unwrap_or(usize::MAX);
                if let Some(start) = segment.starts.get(kept) {
                    segment.length = *start;
                    segment.starts.truncate(kept);
                    file.set_len(segment.length)?;
                    file.sync_all()?;
                }
                self.active = Some((segment, file));
                return Ok(());
            }
            drop(file);
            fs::remove_file(&segment.path)?;
            sync_dir(&self.dir)?;
            if let Some(before) = self.closed.pop_back() {
                let file = OpenOptions::new().append(true).open(&before.path)?;
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

fn create(dir: &Path, first: u64) -> io::Result<(Segment, File)> {
    let path = dir.join(format!("{first:020}{SUFFIX}"));
    let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
    let made = file.write_all(MAGIC).and_then(|()| file.sync_all()).and_then(|()| sync_dir(dir));
    if let Err(error) = made {
        // Else the next try would find it there.
        fs::remove_file(&path)?;
        return Err(error);
    }
    let length = MAGIC.len() as u64;
    Ok((Segment { first, path, length, starts: VecDeque::new() }, file))
}

/// One record at a position.
enum Read {
    Entry(Box<Entry>, usize),
    End,
    Torn(String),
}

fn record(bytes: &[u8], expected: u64) -> Read {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return if bytes.is_empty() { Read::End } else { Read::Torn("cut off".into()) };
    };
    let [a, b, c, d, sum @ ..] = *header;
    let size = u32::from_le_bytes([a, b, c, d]) as usize;
    let Some(body) = rest.get(..size) else { return Read::Torn("cut off".into()) };
    if crc32fast::hash(body) != u32::from_le_bytes(sum) {
        return Read::Torn("checksum does not match".into());
    }
    match rmp_serde::from_slice::<Entry>(body) {
        Ok(entry) if entry.log_id.index == expected => Read::Entry(Box::new(entry), HEADER + size),
        Ok(entry) => Read::Torn(format!("entry {} instead of {expected}", entry.log_id.index)),
        Err(error) => Read::Torn(error.to_string()),
    }
}

fn read(path: &Path, first: u64, last_file: bool) -> Result<(Segment, Vec<Entry>), LogError> {
    let bytes = fs::read(path).map_err(LogError::io(path))?;
    let (segment, entries) = parse(path, &bytes, first, last_file)?;
    if bytes.len() < MAGIC.len() {
        fs::write(path, MAGIC).map_err(LogError::io(path))?;
    }
    Ok((segment, entries))
}

/// Reads the content of a file; `path` is for messages.
pub(crate) fn parse(
    path: &Path,
    bytes: &[u8],
    first: u64,
    last_file: bool,
) -> Result<(Segment, Vec<Entry>), LogError> {
    let damaged =
        |at: usize, reason| LogError::Damaged { path: path.to_owned(), at: at as u64, reason };
    let mut segment = Segment { first, path: path.to_owned(), length: 0, starts: VecDeque::new() };
    let mut entries = Vec::new();
    if !bytes.starts_with(MAGIC) {
        // A crash right after the file was made.
        if last_file && MAGIC.starts_with(bytes) {
            segment.length = MAGIC.len() as u64;
            return Ok((segment, entries));
        }
        return Err(damaged(0, "not a log of a known version".into()));
    }
    let mut at = MAGIC.len();
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match record(rest, first + entries.len() as u64) {
            Read::Entry(entry, size) => {
                segment.starts.push_back(at as u64);
                entries.push(*entry);
                at += size;
            }
            Read::End => break,
            Read::Torn(reason) => {
                if !last_file || more_after(rest, first + entries.len() as u64) {
                    return Err(damaged(at, reason));
                }
                tracing::warn!(path = %path.display(), at, reason, lost = rest.len(),
                    "the end of the log was being written at a crash and is cut off");
                break;
            }
        }
    }
    segment.length = at as u64;
    Ok((segment, entries))
}

/// Whether a record with an index after `index` can be found behind a bad one.
fn more_after(bytes: &[u8], index: u64) -> bool {
    let is_later = |bytes: &[u8]| {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return false };
        let [a, b, c, d, sum @ ..] = *header;
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some(body) = rest.get(..size).filter(|body| body.starts_with(ENTRY)) else {
            return false;
        };
        crc32fast::hash(body) == u32::from_le_bytes(sum)
            && rmp_serde::from_slice::<Entry>(body).is_ok_and(|e| e.log_id.index > index)
    };
    // Nearly all places are ruled out before the checksum of what would be a record is made.
    (1..bytes.len()).any(|at| is_later(bytes.get(at..).unwrap_or_default()))
}

#[cfg(test)]
mod tests;
