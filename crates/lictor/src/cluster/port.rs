//! What is answered on the server port.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use lictor_forward::{JoinOffer, ServeError, Servers};
use lictor_rpc::message::Splitter;
use lictor_rpc::server::{
    Answering, AnsweringPeer, CallError, Connection, Refusals, Service, Serving,
};
use lictor_server::archive::ARCHIVE_MAX;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// How long the next part of what is asked may take to come, or of an answer to be taken.
const PART_TIMEOUT: Duration = Duration::from_secs(30);

/// One request to save or restore, which has the connection for itself.
async fn snapshot(servers: &Servers, mut io: Box<dyn Connection>) -> io::Result<()> {
    let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
    let mut splitter = Splitter::default();
    let head = loop {
        if let Some(value) = splitter.next_value().map_err(io::Error::other)? {
            break value;
        }
        let read = timeout(PART_TIMEOUT, io.read_buf(splitter.buffer()));
        if read.await.map_err(timed_out)?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut archive = std::mem::take(splitter.buffer());
    let reader = &mut io;
    let rest = async move {
        while timeout(PART_TIMEOUT, reader.read_buf(&mut archive)).await.map_err(timed_out)?? > 0 {
            if archive.len() > ARCHIVE_MAX {
                let text = format!("an archive of more than {ARCHIVE_MAX} bytes");
                return Err(io::Error::other(text));
            }
        }
        Ok(Bytes::from(archive))
    };
    let (head, pieces) = servers.serve_snapshot(&head, rest).await?;
    timeout(PART_TIMEOUT, io.write_all(&head)).await.map_err(timed_out)??;
    if let Some(mut pieces) = pieces {
        while let Some(piece) = pieces.recv().await {
            timeout(PART_TIMEOUT, io.write_all(&piece?)).await.map_err(timed_out)??;
        }
    }
    timeout(PART_TIMEOUT, io.shutdown()).await.map_err(timed_out)?
}

/// What who wants to join is told where nobody is.
const NOT_ALLOWED: &str = "AutoEncrypt.AllowTLS must be enabled in order to use this endpoint";

/// The server behind the port.
pub(super) struct Port {
    pub(super) servers: Servers,
    /// What agents that want to join are told; `None` where none may.
    pub(super) offer: Option<JoinOffer>,
    /// Who got no certificate.
    pub(super) refusals: Refusals,
}

fn failed(error: ServeError) -> CallError {
    match error {
        ServeError::NoService => CallError::NoService,
        ServeError::NoMethod => CallError::NoMethod,
        ServeError::Failed(text) => CallError::Failed(text),
    }
}

impl Service for Port {
    fn call<'a>(&'a self, _: SocketAddr, method: &'a str, body: Vec<u8>) -> Answering<'a> {
        let answering = self.servers.serve(method, body);
        Box::pin(async move { answering.await.map_err(failed) })
    }

    fn open_call<'a>(&'a self, from: SocketAddr, method: &'a str, body: Vec<u8>) -> Answering<'a> {
        Box::pin(async move {
            let Some(offer) = &self.offer else {
                return Err(CallError::Failed(NOT_ALLOWED.to_owned()));
            };
            let answer = self.servers.serve_stranger(method, &body, offer).await;
            if let Err(ServeError::Failed(error)) = &answer
                && self.refusals.is_news(from.ip(), error)
            {
                tracing::warn!(%from, error, "an agent that wants to join got no certificate");
            }
            answer.map_err(failed)
        })
    }

    fn peer<'a>(&'a self, from: SocketAddr, message: Bytes) -> AnsweringPeer<'a> {
        Box::pin(async move {
            let server = self.servers.here().ok_or(CallError::NoService)?;
            Ok(server.consensus().handle(Some(from), message).await)
        })
    }

    fn peer_gone(&self, from: SocketAddr) {
        if let Some(server) = self.servers.here() {
            server.consensus().connection_ended(from);
        }
    }

    fn consensus(&self, from: SocketAddr, _: Box<dyn Connection>) -> Serving<'_> {
        // Servers of the original cannot be members of this group.
        Box::pin(async move {
            tracing::warn!(%from, "a server that speaks another kind of consensus was refused");
            Err(io::Error::other("this kind of consensus is not spoken here"))
        })
    }

    fn snapshot(&self, _: SocketAddr, io: Box<dyn Connection>) -> Serving<'_> {
        Box::pin(snapshot(&self.servers, io))
    }
}
