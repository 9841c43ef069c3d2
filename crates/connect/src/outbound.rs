//! The sending direction: plaintext is read or copied into the slots of one buffer, sealed there,
//! and written with one system call.
//!
//! A buffer is held only while there are bytes in it. Where the plaintext comes from is the
//! caller's affair.

use std::io::{self, IoSlice, IoSliceMut};
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::buffer::{Buffer, PLAINTEXT_MAX, RECORDS};
use crate::error::StreamError;
use crate::record::{HEADER, Session};
use crate::socket;

/// State of the sending direction of one connection.
#[derive(Default)]
pub(crate) struct Outbound {
    buffer: Option<Buffer>,
    /// Sealed bytes that are not sent yet.
    start: usize,
    end: usize,
}

impl Outbound {
    /// Waits until everything sealed was sent, control records included.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &TcpStream,
        session: &mut Session,
    ) -> Poll<Result<(), StreamError>> {
        while let Some(buffer) = &self.buffer {
            let wire = buffer.get(self.start..self.end).unwrap_or_default();
            if wire.is_empty() {
                self.release();
                break;
            }
            self.start += ready!(poll_send(cx, socket, wire))?;
        }
        while !session.control().is_empty() {
            let sent = ready!(poll_send(cx, socket, session.control()))?;
            session.control_sent(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once from `source` and seals what came; everything sealed before must be sent.
    /// Gives the number of bytes, 0 at the end of the stream.
    pub(crate) fn poll_seal_from(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        session: &mut Session,
    ) -> Poll<Result<usize, StreamError>> {
        ready!(socket::poll_readable(source, cx)).map_err(StreamError::Local)?;
        session.renew_keys_if_due()?;
        let mut buffer = Buffer::take();
        let mut slots = slots(&mut buffer, session.stride());
        let room = RECORDS * PLAINTEXT_MAX;
        let read = socket::poll_read(source, cx, &mut slots, room);
        let count = ready!(read).map_err(StreamError::Local)?;
        self.seal(buffer, session, count)?;
        Poll::Ready(Ok(count))
    }

    /// Copies from `bytes` and seals; everything sealed before must be sent. Gives how many bytes
    /// were taken.
    pub(crate) fn seal_from(
        &mut self,
        bytes: &[u8],
        session: &mut Session,
    ) -> Result<usize, StreamError> {
        session.renew_keys_if_due()?;
        let mut buffer = Buffer::take();
        let mut count = 0;
        for (slot, bytes) in
            slots(&mut buffer, session.stride()).iter_mut().zip(bytes.chunks(PLAINTEXT_MAX))
        {
            if let Some(room) = slot.get_mut(..bytes.len()) {
                room.copy_from_slice(bytes);
                count += bytes.len();
            }
        }
        self.seal(buffer, session, count)?;
        Ok(count)
    }

    /// What is sealed and not sent, for a last word before closing.
    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Seals the `count` bytes that lie in the slots of `buffer`, front to back.
    fn seal(
        &mut self,
        mut buffer: Buffer,
        session: &mut Session,
        mut count: usize,
    ) -> Result<(), StreamError> {
        self.start = 0;
        self.end = 0;
        while count > 0 {
            let length = count.min(PLAINTEXT_MAX);
            let slot = buffer.get_mut(self.end..).unwrap_or_default();
            self.end += session.seal(slot, length)?;
            count -= length;
        }
        if self.end > 0 {
            self.buffer = Some(buffer);
        }
        Ok(())
    }

    fn release(&mut self) {
        self.buffer = None;
        self.start = 0;
        self.end = 0;
    }
}

/// The places of plaintext in a buffer whose records are `stride` apart.
fn slots(buffer: &mut [u8], stride: usize) -> [IoSliceMut<'_>; RECORDS] {
    let mut records = buffer.chunks_mut(stride);
    std::array::from_fn(|_| {
        let record = records.next().unwrap_or_default();
        IoSliceMut::new(record.get_mut(HEADER..HEADER + PLAINTEXT_MAX).unwrap_or_default())
    })
}

fn poll_send(
    cx: &mut Context<'_>,
    socket: &TcpStream,
    wire: &[u8],
) -> Poll<Result<usize, StreamError>> {
    let sent = ready!(socket::poll_write(socket, cx, &[IoSlice::new(wire)], wire.len()));
    match sent.map_err(StreamError::Peer)? {
        0 => Poll::Ready(Err(StreamError::Peer(io::ErrorKind::WriteZero.into()))),
        count => Poll::Ready(Ok(count)),
    }
}
