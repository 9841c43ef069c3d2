//! One non-blocking read or write on a TCP socket, with as few system calls as can be.
//!
//! The runtime's own vectored calls find out that a socket is drained only by one more call that
//! fails. As on Linux readiness is reported anew for whatever comes later, a call that moved less
//! than it could is taken as the end of readiness here. There is no buffering and no TLS.

use std::io::{self, IoSlice, IoSliceMut};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::TcpStream;

/// Waits until a read is worth trying, without a buffer at hand.
pub(crate) fn poll_readable(socket: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    socket.poll_read_ready(cx)
}

/// Reads once into `slices`, whose sizes sum up to `room`; 0 is the end of the stream.
pub(crate) fn poll_read(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    slices: &mut [IoSliceMut<'_>],
    room: usize,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_read_ready(cx))?;
        let call = || match &mut *slices {
            [one] => rustix::io::read(socket, &mut one[..]),
            many => rustix::io::readv(socket, many),
        };
        if let Some(done) = once(socket, Interest::READABLE, room, call) {
            return Poll::Ready(done);
        }
    }
}

/// Writes once from `slices`, whose sizes sum up to `size` (not 0).
pub(crate) fn poll_write(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
    size: usize,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_write_ready(cx))?;
        let call = || match slices {
            [one] => rustix::io::write(socket, one),
            many => rustix::io::writev(socket, many),
        };
        if let Some(done) = once(socket, Interest::WRITABLE, size, call) {
            return Poll::Ready(done);
        }
    }
}

/// Writes what the socket takes right now, for a last word before closing.
pub(crate) fn write_now(socket: &TcpStream, bytes: &[u8]) {
    let _ = socket.try_write(bytes);
}

/// Tells the other side that nothing more will come. That it is gone already is no error.
pub(crate) fn end_sending(socket: &TcpStream) -> io::Result<()> {
    match rustix::net::shutdown(socket, rustix::net::Shutdown::Write) {
        Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Makes closing `socket` an abort that the other side can tell from a regular end.
pub(crate) fn abort_on_close(socket: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO));
}

/// One call; `None` if it would have blocked, so that the caller has to wait again.
fn once(
    socket: &TcpStream,
    interest: Interest,
    most: usize,
    call: impl FnOnce() -> rustix::io::Result<usize>,
) -> Option<io::Result<usize>> {
    let mut moved = None;
    let outcome = socket.try_io(interest, || {
        let count = call()?;
        moved = Some(count);
        if count > 0 && count < most {
            // Clears the readiness that was seen before the call, not one that came after it.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    });
    match (moved, outcome) {
        (Some(count), _) => Some(Ok(count)),
        (None, Err(e)) if e.kind() == io::ErrorKind::WouldBlock => None,
        (None, Err(e)) if e.kind() == io::ErrorKind::Interrupted => None,
        (None, Err(e)) => Some(Err(e)),
        (None, Ok(())) => None,
    }
}
