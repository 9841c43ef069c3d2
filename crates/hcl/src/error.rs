//! Why a text could not be read, and where.
//!
//! Errors about the meaning of values are made by callers, from the lines kept in the tree.

/// The first mistake in a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("At {line}:{column}: {reason}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong there.
    pub reason: String,
}
