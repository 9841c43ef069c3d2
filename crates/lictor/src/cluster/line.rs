//! Calls to other servers, for `lictor_forward` and for consensus.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lictor_forward::{CallFailure, Caller, Calling, CallingSnapshot, SnapshotAnswer, Target};
use lictor_rpc::client::{ClientError, Destination, Pool};
use lictor_rpc::message::Splitter;
use lictor_rpc::server::{Connection, SNAPSHOT};
use lictor_server::{Answering, Transport, TransportError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Size of a piece of an archive, and pieces that wait for a slow reader.
const PIECE: usize = 64 << 10;
const PIECES: usize = 8;
/// How long the next piece of an archive may take.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// The way to other servers.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) pool: Pool,
    pub(super) secure: bool,
}

impl Line {
    fn to<'a>(&self, target: &'a Target) -> Destination<'a> {
        Destination { address: target.address, secure: self.secure, realm: &target.datacenter }
    }
}

fn failure(error: ClientError) -> CallFailure {
    match error {
        ClientError::Unreached(..) => CallFailure::Unsent(error.to_string()),
        ClientError::Io(..) | ClientError::Message(..) => CallFailure::Lost(error.to_string()),
        ClientError::Remote(text) => CallFailure::Remote(text),
    }
}

/// The way to the peers of the own datacenter.
#[derive(Clone, Debug)]
pub(super) struct PeerLine {
    pub(super) line: Line,
    pub(super) datacenter: String,
}

impl Transport for PeerLine {
    fn call<'a>(&'a self, address: &'a str, message: Bytes, patience: Duration) -> Answering<'a> {
        Box::pin(async move {
            let unreachable = |text: String| TransportError::Unreachable(text);
            let address = address.parse().map_err(|_| unreachable(format!("{address}?")))?;
            let secure = self.line.secure;
            let to = Destination { address, secure, realm: &self.datacenter };
            match timeout(patience, self.line.pool.peer(to, &message)).await {
                Ok(answer) => answer.map_err(|error| unreachable(error.to_string())),
                Err(_) => {
                    self.line.pool.doubt_peer(to);
                    Err(TransportError::Timeout)
                }
            }
        })
    }
}

impl Caller for Line {
    fn call<'a>(
        &'a self,
        to: &'a Target,
        method: &'static str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Calling<'a> {
        Box::pin(async move {
            match timeout(patience, self.pool.call(self.to(to), method, &body)).await {
                Ok(answer) => answer.map_err(failure),
                Err(_) => Err(CallFailure::TimedOut),
            }
        })
    }

    fn snapshot<'a>(
        &'a self,
        to: &'a Target,
        head: Vec<u8>,
        archive: Option<Bytes>,
        patience: Duration,
    ) -> CallingSnapshot<'a> {
        Box::pin(async move {
            let unsent = |error: std::io::Error| CallFailure::Unsent(error.to_string());
            let lost = |error: std::io::Error| CallFailure::Lost(error.to_string());
            let mut io = self.pool.raw(self.to(to), SNAPSHOT).await.map_err(unsent)?;
            let asked = async {
                io.write_all(&head).await?;
                io.flush().await?;
                if let Some(archive) = archive {
                    io.write_all(&archive).await?;
                    // The end of what is to be restored.
                    io.shutdown().await?;
                }
                let mut splitter = Splitter::default();
                loop {
                    if let Some(value) = splitter.next_value().map_err(std::io::Error::other)? {
                        let rest = std::mem::take(splitter.buffer());
                        return Ok((value, rest));
                    }
                    if io.read_buf(splitter.buffer()).await? == 0 {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
            };
            let answer = timeout(patience, asked).await.map_err(|_| CallFailure::TimedOut)?;
            let (head, rest) = answer.map_err(lost)?;
            let (sender, pieces) = mpsc::channel(PIECES);
            self.pool.tasks().spawn_cut("snapshot", pass_on(io, rest, sender));
            Ok(SnapshotAnswer { head, pieces })
        })
    }
}

/// Hands what comes on to whoever wants it.
async fn pass_on(
    mut io: Box<dyn Connection>,
    first: Vec<u8>,
    sender: mpsc::Sender<std::io::Result<Bytes>>,
) {
    let mut piece = BytesMut::from(&first[..]);
    loop {
        if piece.len() >= PIECE && sender.send(Ok(piece.split().freeze())).await.is_err() {
            return;
        }
        piece.reserve(PIECE);
        let ended = match timeout(PIECE_TIMEOUT, io.read_buf(&mut piece)).await {
            Ok(Ok(0)) => None,
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(std::io::ErrorKind::TimedOut.into()),
        };
        if !piece.is_empty() && sender.send(Ok(piece.freeze())).await.is_err() {
            return;
        }
        if let Some(error) = ended {
            // Nobody is there any more, or hears of it.
            let _ = sender.send(Err(error)).await;
        }
        return;
    }
}
