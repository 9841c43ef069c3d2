//! The way to other servers, which somebody else provides.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

/// An answer on its way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Bytes, TransportError>> + Send + 'a>>;

/// Carries messages to other servers; there each is given to [`crate::Raft::handle`], whose
/// answer is carried back.
///
/// Messages may be lost, late, doubled and out of order; they must not be changed. A message or an
/// answer is never larger than [`MESSAGE_MAX`](crate::MESSAGE_MAX).
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Sends `message` to the server at `address` and waits for its answer, up to `patience`.
    /// Dropped, it need not be answered any more.
    fn call<'a>(&'a self, address: &'a str, message: Bytes, patience: Duration) -> Answering<'a>;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// There is nobody, or the connection broke. It is tried again after a while.
    #[error("{0}")]
    Unreachable(String),
    /// None came in time.
    #[error("no answer in time")]
    Timeout,
}
