//! An established mesh connection: encrypted, with a peer whose identity is known.
//!
//! To applications it is an ordinary asynchronous byte stream. The proxy does not use it as such
//! but hands it to `relay`, which copies less. Handshake and authorisation come before.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lictor_pki::PeerIdentity;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::error::StreamError;
use crate::handshake::Finished;
use crate::inbound::{Flow, Inbound};
use crate::live::Permit;
use crate::outbound::Outbound;
use crate::record::Session;
use crate::socket;

/// A connection to a mesh peer.
///
/// Reading gives the end of the stream only when the peer ended it in order. Shutting it down ends
/// our side only; the peer may go on sending.
pub struct MeshStream {
    pub(crate) socket: TcpStream,
    pub(crate) session: Session,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    peer: Arc<PeerIdentity>,
    permit: Option<Permit>,
    closing: bool,
}

impl MeshStream {
    pub(crate) fn new(socket: TcpStream, finished: Finished, peer: Arc<PeerIdentity>) -> Self {
        Self {
            socket,
            session: finished.session,
            inbound: Inbound::starting_with(&finished.leftover),
            outbound: Outbound::default(),
            peer,
            permit: None,
            closing: false,
        }
    }

    /// Makes the connection end when `permit` is withdrawn.
    pub(crate) fn under(mut self, permit: Permit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// Who is at the other end.
    #[must_use]
    pub const fn peer(&self) -> &Arc<PeerIdentity> {
        &self.peer
    }

    /// The other end's address.
    ///
    /// # Errors
    /// When the socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Ready with an error once the connection is no longer allowed.
    pub(crate) fn poll_denied(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        match &mut self.permit {
            Some(permit) => permit.poll_withdrawn(cx).map(StreamError::Denied),
            None => Poll::Pending,
        }
    }

    /// Tells the peer why the connection ends, as far as the socket takes it at once.
    pub(crate) fn give_up(&mut self, error: &StreamError) {
        let alert = match error {
            StreamError::Record(error) => error.alert(),
            StreamError::Denied(_) => Some(rustls::AlertDescription::AccessDenied),
            StreamError::Peer(_) | StreamError::Local(_) | StreamError::Truncated => None,
        };
        if let Some(alert) = alert {
            self.last_word(alert);
        }
    }

    /// Tells the peer that it may not connect, as far as the socket takes it at once.
    pub(crate) fn refuse(&mut self) {
        self.last_word(rustls::AlertDescription::AccessDenied);
    }

    fn last_word(&mut self, alert: rustls::AlertDescription) {
        // A half-sent record cannot be followed by anything.
        if self.outbound.is_empty() && self.session.queue_fatal(alert).is_ok() {
            socket::write_now(&self.socket, self.session.control());
        }
    }

    fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Result<(), StreamError> {
        match self.poll_denied(cx) {
            Poll::Ready(error) => {
                self.give_up(&error);
                Err(error)
            }
            Poll::Pending => Ok(()),
        }
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.outbound.poll_flush(cx, &self.socket, &mut self.session)
    }
}

impl fmt::Debug for MeshStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshStream")
            .field("peer", &self.peer)
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for MeshStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_allowed(cx)?;
        let flow = this.inbound.poll_flow(cx, &this.socket, &mut this.session);
        // Key updates are answered even by those who only read.
        if !this.session.control().is_empty() {
            let _ = this.poll_flushed(cx)?;
        }
        match ready!(flow) {
            Ok(Flow::Data) => {
                while into.remaining() > 0 {
                    let piece = this.inbound.first();
                    let count = piece.len().min(into.remaining());
                    if count == 0 {
                        break;
                    }
                    into.put_slice(piece.get(..count).unwrap_or_default());
                    this.inbound.taken(count);
                }
                Poll::Ready(Ok(()))
            }
            Ok(Flow::Closed) => Poll::Ready(Ok(())),
            Err(error) => {
                this.give_up(&error);
                Poll::Ready(Err(error.into()))
            }
        }
    }
}

impl AsyncWrite for MeshStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.poll_allowed(cx)?;
        if this.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.poll_flushed(cx))?;
        if from.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = this.outbound.seal_from(from, &mut this.session)?;
        // Sent at once if the socket takes it; else by the next call.
        let _ = this.poll_flushed(cx)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_allowed(cx)?;
        this.poll_flushed(cx).map_err(io::Error::from)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing {
            ready!(this.poll_flushed(cx))?;
            this.session.queue_close().map_err(StreamError::from)?;
            this.closing = true;
        }
        this.poll_flushed(cx).map_err(io::Error::from)
    }
}
