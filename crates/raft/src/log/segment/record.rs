//! What is in a file of log entries, as bytes.
//!
//! A file begins with a magic and an id of its own; records follow, then zeros that were written
//! when the file was made. A record is the length of its body, a checksum, how much of the file
//! was on disk when it was written, and the entry. The checksum is over the file's id and the
//! position, too: what is left of an earlier use of the disk, or was moved, is no record.
//!
//! What follows the last sync may be there in any part after a crash, so the first bad record
//! ends the file, unless a later record says that it was on disk already: then it was
//! acknowledged, and has been damaged since.
//!
//! Files of the first version have no id, no zeros, and records with length and checksum alone.
//! They are read, but nothing is added to them.

use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::batch::Entry;
use crate::error::LogError;

const MAGIC: &[u8; 8] = b"LICTLOG2";
const OLD_MAGIC: &[u8; 8] = b"LICTLOG1";
/// Magic, id, and the checksum of both.
pub(super) const HEAD: usize = 28;
const NAMED: usize = HEAD - 4;
/// Length, checksum, and how much is on disk.
pub(super) const HEADER: usize = 16;
const OLD_HEADER: usize = 8;
/// How every encoded entry begins: it and what it begins with are pairs.
const ENTRY: &[u8] = &[0x92, 0x92, 0x92];

/// Encoded entries.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(super) bytes: Vec<u8>,
    /// Index and length of each.
    pub(super) sizes: Vec<(u64, usize)>,
}

/// Encodes entries for a file; which one and where is told by [`Records::seal`].
pub(crate) fn encode(entries: &[Entry]) -> io::Result<Records> {
    let mut records = Records::default();
    for entry in entries {
        let start = records.bytes.len();
        records.bytes.extend_from_slice(&[0; HEADER]);
        rmp_serde::encode::write(&mut records.bytes, entry).map_err(io::Error::other)?;
        let size = records.bytes.len() - start;
        u32::try_from(size).map_err(io::Error::other)?;
        records.sizes.push((entry.log_id.index, size));
    }
    Ok(records)
}

impl Records {
    /// Makes them records of the file `id` from the position `at` on, of which everything before
    /// `synced` is on disk.
    pub(super) fn seal(&mut self, id: Uuid, mut at: u64, synced: u64) {
        let mut rest = &mut self.bytes[..];
        for (_, size) in &self.sizes {
            let (record, after) = std::mem::take(&mut rest).split_at_mut(*size);
            rest = after;
            let Some((header, body)) = record.split_first_chunk_mut::<HEADER>() else { return };
            let length = body.len() as u32;
            let sum = checksum(id, at, length, synced, body);
            let [a, b, c, d, e, f, g, h] = synced.to_le_bytes();
            let ([l0, l1, l2, l3], [s0, s1, s2, s3]) = (length.to_le_bytes(), sum.to_le_bytes());
            *header = [l0, l1, l2, l3, s0, s1, s2, s3, a, b, c, d, e, f, g, h];
            at += *size as u64;
        }
    }
}

fn checksum(id: Uuid, at: u64, length: u32, synced: u64, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(id.as_bytes());
    sum.update(&at.to_le_bytes());
    sum.update(&length.to_le_bytes());
    sum.update(&synced.to_le_bytes());
    sum.update(body);
    sum.finalize()
}

/// The beginning of a new file.
pub(super) fn head(id: Uuid) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    if let Some((named, sum)) = head.split_first_chunk_mut::<NAMED>() {
        let (magic, place) = named.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        place.copy_from_slice(id.as_bytes());
        sum.copy_from_slice(&crc32fast::hash(named).to_le_bytes());
    }
    head
}

/// The id of a file that begins so, if all of that is whole.
fn id(head: &[u8; HEAD]) -> Option<Uuid> {
    let (named, sum) = head.split_first_chunk::<NAMED>()?;
    let id = named.last_chunk()?;
    (crc32fast::hash(named).to_le_bytes() == *sum).then(|| Uuid::from_bytes(*id))
}

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Content {
    /// The file's id; one of the first version has none.
    pub(super) id: Option<Uuid>,
    pub(crate) entries: Vec<Entry>,
    /// Where each of them begins.
    pub(super) starts: Vec<u64>,
    /// Where the last of them ends.
    pub(super) length: u64,
    /// Whether something that is no record follows.
    pub(super) torn: bool,
}

/// A whole record, or why there is none.
enum Read<'a> {
    /// Its body and length, and how much was on disk then.
    Record(&'a [u8], usize, u64),
    Torn(&'static str),
}

impl Content {
    fn record<'a>(&self, bytes: &'a [u8], at: usize) -> Read<'a> {
        let rest = bytes.get(at..).unwrap_or_default();
        let (size, sum, synced, body) = match self.id {
            Some(_) => {
                let Some((header, body)) = rest.split_first_chunk::<HEADER>() else {
                    return Read::Torn("cut off");
                };
                let [l0, l1, l2, l3, s0, s1, s2, s3, synced @ ..] = *header;
                let (size, sum) = ([l0, l1, l2, l3], [s0, s1, s2, s3]);
                (size, sum, u64::from_le_bytes(synced), body)
            }
            None => {
                let Some((header, body)) = rest.split_first_chunk::<OLD_HEADER>() else {
                    return Read::Torn("cut off");
                };
                let [l0, l1, l2, l3, sum @ ..] = *header;
                ([l0, l1, l2, l3], sum, u64::MAX, body)
            }
        };
        let length = u32::from_le_bytes(size);
        let Some(body) = body.get(..length as usize) else { return Read::Torn("cut off") };
        // Nearly all places where none begins are ruled out before a checksum is made.
        if !body.starts_with(ENTRY) {
            return Read::Torn("no entry");
        }
        let found = match self.id {
            Some(id) => checksum(id, at as u64, length, synced, body),
            None => crc32fast::hash(body),
        };
        if found != u32::from_le_bytes(sum) {
            return Read::Torn("checksum does not match");
        }
        let header = if self.id.is_some() { HEADER } else { OLD_HEADER };
        Read::Record(body, header + body.len(), synced)
    }

    /// Whether a record behind the bad one at `at` says that this was on disk.
    fn was_on_disk(&self, bytes: &[u8], at: usize, index: u64) -> bool {
        (at + 1..bytes.len()).any(|later| match self.record(bytes, later) {
            Read::Record(body, _, synced) => {
                synced > at as u64
                    && rmp_serde::from_slice::<Entry>(body)
                        .is_ok_and(|entry| entry.log_id.index > index)
            }
            Read::Torn(_) => false,
        })
    }
}

/// Reads the content of a file whose first entry is `first`; `path` is for messages. Only the end
/// of the last file may be torn.
pub(crate) fn parse(
    path: &Path,
    bytes: &[u8],
    first: u64,
    last_file: bool,
) -> Result<Content, LogError> {
    let damaged = |at: usize, reason: &str| LogError::Damaged {
        path: path.to_owned(),
        at: at as u64,
        reason: reason.to_owned(),
    };
    let (mut entries, mut starts) = (Vec::new(), Vec::new());
    let (id, mut at) = match bytes.first_chunk::<8>() {
        Some(OLD_MAGIC) => (None, OLD_MAGIC.len()),
        Some(MAGIC) => match bytes.first_chunk().and_then(id) {
            None => return Err(damaged(0, "the head of the file is not whole")),
            id => (id, HEAD),
        },
        // A crash right after a file of the first version was made.
        None if last_file && OLD_MAGIC.starts_with(bytes) => {
            return Ok(Content { id: None, entries, starts, length: 0, torn: false });
        }
        _ => return Err(damaged(0, "not a log of a known version")),
    };
    let mut content =
        Content { id, entries: Vec::new(), starts: Vec::new(), length: 0, torn: false };
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let expected = first + entries.len() as u64;
        let reason = match content.record(bytes, at) {
            Read::Record(body, size, _) => match rmp_serde::from_slice::<Entry>(body) {
                Ok(entry) if entry.log_id.index == expected => {
                    starts.push(at as u64);
                    entries.push(entry);
                    at += size;
                    continue;
                }
                Ok(_) => "an entry that does not follow",
                Err(_) => "an entry that cannot be read",
            },
            Read::Torn(reason) => reason,
        };
        if rest.is_empty() || (id.is_some() && rest.iter().all(|byte| *byte == 0)) {
            break;
        }
        if !last_file || content.was_on_disk(bytes, at, expected) {
            return Err(damaged(at, reason));
        }
        tracing::warn!(path = %path.display(), at, reason,
            "the end of the log was being written at a crash and is cut off");
        content.torn = true;
        break;
    }
    (content.entries, content.starts, content.length) = (entries, starts, at as u64);
    Ok(content)
}
