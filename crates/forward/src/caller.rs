//! The way to other servers, as far as this crate needs one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::routes::Target;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// No byte of the call has left: there was no connection, and none could be made.
    Unsent(String),
    /// The connection was lost after the call, or a part of it, had left: whether it was carried
    /// out is not known.
    Lost(String),
    /// The patience was at its end; the same holds.
    TimedOut,
    /// The server answered that it failed, with this text.
    Remote(String),
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(why) => write!(f, "rpc error getting client: {why}"),
            Self::Lost(why) => write!(f, "rpc error making call: {why}"),
            Self::TimedOut => f.write_str("rpc error making call: i/o deadline reached"),
            Self::Remote(text) => write!(f, "rpc error making call: {text}"),
        }
    }
}

/// An answer in the making.
pub type Calling<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, CallFailure>> + Send + 'a>>;

/// The answer to a snapshot's call: its head, and what follows it.
#[derive(Debug)]
pub struct SnapshotAnswer {
    /// One MessagePack value.
    pub head: Vec<u8>,
    /// The archive in pieces; an error is the last.
    pub pieces: mpsc::Receiver<std::io::Result<Bytes>>,
}

/// A snapshot's answer in the making.
pub type CallingSnapshot<'a> =
    Pin<Box<dyn Future<Output = Result<SnapshotAnswer, CallFailure>> + Send + 'a>>;

/// Calls methods of other servers. It knows no method: bodies are MessagePack.
pub trait Caller: fmt::Debug + Send + Sync + 'static {
    /// Calls `method` of the server at `to` and waits no longer than `patience`.
    fn call<'a>(
        &'a self,
        to: &'a Target,
        method: &'static str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Calling<'a>;

    /// Asks for a snapshot, or with `archive` for its restoration, on a connection of its own.
    fn snapshot<'a>(
        &'a self,
        to: &'a Target,
        head: Vec<u8>,
        archive: Option<Bytes>,
        patience: Duration,
    ) -> CallingSnapshot<'a>;
}

/// Calls nobody: for a server that is alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

fn nobody() -> CallFailure {
    CallFailure::Unsent("there is no way to other servers".to_owned())
}

impl Caller for Nobody {
    fn call<'a>(&'a self, _: &'a Target, _: &'static str, _: Vec<u8>, _: Duration) -> Calling<'a> {
        Box::pin(async { Err(nobody()) })
    }

    fn snapshot<'a>(
        &'a self,
        _: &'a Target,
        _: Vec<u8>,
        _: Option<Bytes>,
        _: Duration,
    ) -> CallingSnapshot<'a> {
        Box::pin(async { Err(nobody()) })
    }
}
