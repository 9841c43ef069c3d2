//! Readers of messages that are no questions, for fuzz targets.
//!
//! It is hidden and no part of the crate's promise; a program opens a server instead.

use crate::recursor;

/// Reads what a recursor answered; how many records of it would be passed on.
#[must_use]
pub fn recursor_answer(message: &[u8]) -> Option<usize> {
    recursor::records(message).map(|records| records.len())
}
