//! Streams of gossip: one message each way on a connection, within limits and a deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lictor_gossip::keyring::Keyring;
use lictor_gossip::pack::Malformed;
use lictor_gossip::packet::Incoming;
use lictor_gossip::stream::{STREAM_MAX, StreamMessage, decode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::meters::Wire;

/// How much is read at a time at most.
const CHUNK: usize = 64 << 10;

/// Why a stream gave no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came cannot be read.
    #[error(transparent)]
    Malformed(Malformed),
    /// It took too long.
    #[error("i/o timeout")]
    Timeout,
}

/// Reads one message.
pub(crate) async fn read(
    connection: &mut TcpStream,
    keyring: &Keyring,
    incoming: Incoming,
) -> Result<StreamMessage, StreamError> {
    let mut bytes = Vec::new();
    // A message in clear is tried anew only when there is much more of it: its length is not known.
    let mut next_try = 0;
    loop {
        bytes.reserve(CHUNK.min(STREAM_MAX));
        let read = connection.read_buf(&mut bytes).await?;
        let ended = read == 0;
        if ended || bytes.len() >= next_try || read < CHUNK {
            match decode(&bytes, keyring, incoming) {
                Err(Malformed::Incomplete) if !ended => next_try = bytes.len() + bytes.len() / 2,
                Err(Malformed::Incomplete) => {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                Err(error) => return Err(StreamError::Malformed(error)),
                Ok(message) => return Ok(message),
            }
        }
        if bytes.len() > STREAM_MAX {
            return Err(StreamError::Malformed(Malformed::TooLarge));
        }
    }
}

/// Connects, sends, and reads the answer, all `within` a time.
pub(crate) async fn exchange(
    to: SocketAddr,
    bytes: &[u8],
    within: Duration,
    keyring: &Keyring,
    incoming: Incoming,
    wire: &Wire,
) -> Result<StreamMessage, StreamError> {
    let whole = async {
        let mut connection = TcpStream::connect(to).await?;
        wire.tcp_connected.count();
        wire.tcp_sent.add(bytes.len() as f64);
        connection.write_all(bytes).await?;
        read(&mut connection, keyring, incoming).await
    };
    timeout(within, whole).await.unwrap_or(Err(StreamError::Timeout))
}
