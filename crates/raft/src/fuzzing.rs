//! The readers of files and commands by themselves, for fuzz targets.
//!
//! It is hidden and no part of the crate's promise.

use std::path::Path;

use crate::batch::Batch;
use crate::log::segment;
use crate::message::{Answer, Message};

/// Reads the content of a file of log entries; how many it holds, if it is whole. With `last` a
/// torn end is cut off.
#[must_use]
pub fn log_file(bytes: &[u8], last: bool) -> Option<usize> {
    let parsed = segment::parse(Path::new("fuzzed"), bytes, 0, last);
    parsed.ok().map(|content| content.entries.len())
}

/// Reads the commands of an entry and encodes them again.
#[must_use]
pub fn batch(bytes: &[u8]) -> Option<Vec<u8>> {
    let batch: Batch = rmp_serde::from_slice(bytes).ok()?;
    rmp_serde::to_vec(&batch).ok()
}

/// Reads a message of another server, or an answer, and encodes it again.
#[must_use]
pub fn message(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let _ = Answer::decode(&bytes);
    let (envelope, message) = Message::decode(&bytes).ok()?;
    message.encode(envelope).ok().map(Into::into)
}
