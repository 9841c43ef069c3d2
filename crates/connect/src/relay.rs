//! Copies between a mesh connection and a plain local one, both directions in one task.
//!
//! Half-close is passed on in both ways (`close_notify` ↔ shutdown of the sending side), a reader
//! that does not read stops the other side's sender, and any error ends both connections. Whether
//! the connection is allowed is decided elsewhere; here is only the signal that it no longer is.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::error::StreamError;
use crate::inbound::{Flow, PIECES};
use crate::socket;
use crate::stream::MeshStream;

/// Buffers that one direction moves before other connections of the thread get their turn.
const ROUNDS: usize = 8;

/// Bytes that went through, from the local application's view.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Plaintext bytes sent to the mesh.
    pub sent: AtomicU64,
    /// Plaintext bytes received from the mesh.
    pub received: AtomicU64,
}

/// Copies until both directions have ended, one of the connections breaks, or the mesh connection
/// is no longer allowed. Both sockets are closed on return; dropping the future before breaks both
/// connections, so that neither side takes it for a regular end.
///
/// # Errors
/// [`StreamError`] unless both directions ended in order.
pub async fn relay(
    mesh: MeshStream,
    local: TcpStream,
    traffic: &Traffic,
) -> Result<(), StreamError> {
    let receiving = Some(Receiving::Data);
    let sending = Some(Sending::Data);
    let mut relay = Relay { mesh, local, traffic, receiving, sending, ended: false };
    let outcome = poll_fn(|cx| relay.poll(cx)).await;
    match &outcome {
        Ok(()) => relay.ended = true,
        Err(error) => relay.mesh.give_up(error),
    }
    outcome
}

struct Relay<'a> {
    mesh: MeshStream,
    local: TcpStream,
    traffic: &'a Traffic,
    /// `None` when the direction is done.
    receiving: Option<Receiving>,
    sending: Option<Sending>,
    /// Both directions ended in order.
    ended: bool,
}

#[derive(Clone, Copy)]
enum Receiving {
    Data,
    /// The end was passed on; only a break of the connection is of interest.
    Ended,
}

#[derive(Clone, Copy)]
enum Sending {
    Data,
    /// The last record is on its way.
    Closing,
}

impl Relay<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if let Poll::Ready(error) = self.mesh.poll_denied(cx) {
            return Poll::Ready(Err(error));
        }
        if self.poll_receive(cx)?.is_ready() {
            self.receiving = None;
        }
        if self.poll_send(cx)?.is_ready() {
            self.sending = None;
        }
        match (self.receiving, self.sending) {
            // Nothing is left to be told to either side.
            (None | Some(Receiving::Ended), None) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    /// Mesh to local.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let Some(state) = self.receiving else { return Poll::Ready(Ok(())) };
        let MeshStream { socket: mesh, session, inbound, .. } = &mut self.mesh;
        if matches!(state, Receiving::Ended) {
            return inbound.poll_gone(cx, mesh);
        }
        for _ in 0..ROUNDS {
            match ready!(inbound.poll_flow(cx, mesh, session))? {
                Flow::Data => {
                    let mut slices = [IoSlice::new(&[]); PIECES];
                    let (count, size) = inbound.plain(&mut slices);
                    let slices = slices.get(..count).unwrap_or_default();
                    let written = ready!(socket::poll_write(&self.local, cx, slices, size));
                    let written = written.map_err(StreamError::Local)?;
                    if written == 0 {
                        let kind = io::ErrorKind::WriteZero;
                        return Poll::Ready(Err(StreamError::Local(kind.into())));
                    }
                    self.traffic.received.fetch_add(written as u64, Ordering::Relaxed);
                    inbound.taken(written);
                }
                Flow::Closed => {
                    socket::end_sending(&self.local).map_err(StreamError::Local)?;
                    self.receiving = Some(Receiving::Ended);
                    return inbound.poll_gone(cx, mesh);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Local to mesh.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let Some(mut state) = self.sending else { return Poll::Ready(Ok(())) };
        let MeshStream { socket: mesh, session, outbound, .. } = &mut self.mesh;
        for _ in 0..ROUNDS {
            ready!(outbound.poll_flush(cx, mesh, session))?;
            if matches!(state, Sending::Closing) {
                return Poll::Ready(Ok(()));
            }
            let count = ready!(outbound.poll_seal_from(cx, &self.local, session))?;
            if count == 0 {
                session.queue_close()?;
                state = Sending::Closing;
                self.sending = Some(state);
            }
            self.traffic.sent.fetch_add(count as u64, Ordering::Relaxed);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        if !self.ended {
            socket::abort_on_close(&self.local);
        }
    }
}
