//! An accepted connection of either kind, as non-blocking reads and writes.
//!
//! HTTP is not known here. Nothing is held while a connection waits: reads go through a buffer on
//! the stack, so that an idle connection costs no buffer at all.

use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Bytes read at a time while the length is not known.
const CHUNK: usize = 8 * 1024;

/// A connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Address of the other end; none on a local socket.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|peer| peer.ip().to_canonical()),
            Self::Unix(_) => None,
        }
    }

    /// Appends what has arrived to `into`; 0 bytes at the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::<u8>::uninit() }; CHUNK];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(self.poll_read_buf(cx, &mut buffer))?;
        let read = buffer.filled();
        into.extend_from_slice(read);
        Poll::Ready(Ok(read.len()))
    }

    fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// Writes from `head`, then `body`, as much as the system takes at once.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        body: &[u8],
    ) -> Poll<io::Result<usize>> {
        let both = [io::IoSlice::new(head), io::IoSlice::new(body)];
        match self {
            Self::Tcp(stream) if body.is_empty() => Pin::new(stream).poll_write(cx, head),
            Self::Unix(stream) if body.is_empty() => Pin::new(stream).poll_write(cx, head),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, &both),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, &both),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
