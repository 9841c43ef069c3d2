//! Why a mesh connection could not be made, or ended before its time.
//!
//! The texts are those that users of the original's library and proxy know (connect.md sections
//! 13 and 14). What a peer is told in alerts is decided where the error is made.

use std::io;

use crate::record::RecordError;

/// Why an established connection ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection to the mesh peer broke.
    #[error("mesh connection: {0}")]
    Peer(#[source] io::Error),
    /// The connection to the local application broke.
    #[error("local connection: {0}")]
    Local(#[source] io::Error),
    /// The peer broke the protocol, or said that it gives up.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The peer's stream ended without saying so: what came may not be everything.
    #[error("unexpected EOF")]
    Truncated,
    /// The rules changed and forbid this connection now.
    #[error("authz denied: {0}")]
    Denied(String),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Peer(e) | StreamError::Local(e) => e.kind(),
            StreamError::Record(_) => io::ErrorKind::InvalidData,
            StreamError::Truncated => io::ErrorKind::UnexpectedEof,
            StreamError::Denied(_) => io::ErrorKind::PermissionDenied,
        };
        Self::new(kind, error)
    }
}
