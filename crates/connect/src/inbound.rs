//! The receiving direction: reads as many records as the socket gives, opens them in place, and
//! keeps track of the plaintext that is still to be taken.
//!
//! A buffer is held only while there are bytes in it. Where the plaintext goes is the caller's
//! affair; so is what to do after an error.

use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::buffer::Buffer;
use crate::error::StreamError;
use crate::record::{Opened, Session};
use crate::socket;

/// Pieces of plaintext that one buffer is seen as; more are moved together.
pub(crate) const PIECES: usize = 8;
/// Pieces up to this size are moved next to the one before, which is cheaper than one more slice.
const MOVED_MAX: usize = 2048;

/// State of the receiving direction of one connection.
#[derive(Default)]
pub(crate) struct Inbound {
    buffer: Option<Buffer>,
    /// Wire bytes in the buffer end here.
    filled: usize,
    /// Wire bytes before this are opened.
    opened: usize,
    pieces: Pieces,
    closed: bool,
}

/// What there is to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Plaintext.
    Data,
    /// Nothing, ever: the peer ended its side.
    Closed,
}

impl Inbound {
    /// A direction that starts with `leftover`: wire bytes that came right after the handshake.
    pub(crate) fn starting_with(leftover: &[u8]) -> Self {
        let mut inbound = Self::default();
        if !leftover.is_empty() {
            let mut buffer = Buffer::take();
            // The handshake never reads more than a buffer holds.
            let count = leftover.len().min(buffer.len());
            buffer[..count].copy_from_slice(&leftover[..count]);
            inbound.filled = count;
            inbound.buffer = Some(buffer);
        }
        inbound
    }

    /// Waits until there is plaintext to take or the peer's regular end.
    pub(crate) fn poll_flow(
        &mut self,
        cx: &mut Context<'_>,
        socket: &TcpStream,
        session: &mut Session,
    ) -> Poll<Result<Flow, StreamError>> {
        loop {
            if !self.pieces.is_empty() {
                return Poll::Ready(Ok(Flow::Data));
            }
            if self.closed {
                self.release();
                return Poll::Ready(Ok(Flow::Closed));
            }
            self.open(session)?;
            if self.pieces.is_empty() && !self.closed {
                ready!(self.poll_fill(cx, socket))?;
            }
        }
    }

    /// After the peer's regular end: reads and forgets, to notice when the socket breaks or ends.
    pub(crate) fn poll_gone(
        &mut self,
        cx: &mut Context<'_>,
        socket: &TcpStream,
    ) -> Poll<Result<(), StreamError>> {
        loop {
            ready!(socket::poll_readable(socket, cx)).map_err(StreamError::Peer)?;
            let mut buffer = Buffer::take();
            let room = buffer.len();
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let count = ready!(socket::poll_read(socket, cx, &mut slices, room));
            if count.map_err(StreamError::Peer)? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// The plaintext there is; `slices` is filled from its front. Gives how many were filled and
    /// the sum of their sizes.
    pub(crate) fn plain<'a>(&'a self, slices: &mut [IoSlice<'a>; PIECES]) -> (usize, usize) {
        let Some(buffer) = &self.buffer else { return (0, 0) };
        let (mut count, mut size) = (0, 0);
        for (slice, range) in slices.iter_mut().zip(self.pieces.iter()) {
            if let Some(bytes) = buffer.get(range) {
                *slice = IoSlice::new(bytes);
                count += 1;
                size += bytes.len();
            }
        }
        (count, size)
    }

    /// The first piece of the plaintext there is.
    pub(crate) fn first(&self) -> &[u8] {
        let piece = self.pieces.iter().next().unwrap_or_default();
        self.buffer.as_ref().and_then(|buffer| buffer.get(piece)).unwrap_or_default()
    }

    /// Says that the first `count` bytes of the plaintext were taken.
    pub(crate) fn taken(&mut self, count: usize) {
        self.pieces.advance(count);
        if self.pieces.is_empty() && self.opened == self.filled {
            self.release();
        }
    }

    /// Opens records until the buffer has no whole one, or plaintext is in enough pieces.
    fn open(&mut self, session: &mut Session) -> Result<(), StreamError> {
        let Some(buffer) = &mut self.buffer else { return Ok(()) };
        while !self.closed && !self.pieces.is_full() {
            let wire = buffer.get_mut(self.opened..self.filled).unwrap_or_default();
            match session.open(wire)? {
                Opened::Incomplete => break,
                Opened::Closed => self.closed = true,
                Opened::Record { consumed, plain } => {
                    if !plain.is_empty() {
                        let plain = self.opened + plain.start..self.opened + plain.end;
                        self.pieces.push(buffer, plain);
                    }
                    self.opened += consumed;
                }
            }
        }
        Ok(())
    }

    /// Reads once. All plaintext was taken, so what is left is the start of one record.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &TcpStream,
    ) -> Poll<Result<(), StreamError>> {
        if self.opened == self.filled {
            self.release();
            ready!(socket::poll_readable(socket, cx)).map_err(StreamError::Peer)?;
        }
        let buffer = self.buffer.get_or_insert_with(Buffer::take);
        if self.opened > 0 {
            buffer.copy_within(self.opened..self.filled, 0);
            self.filled -= self.opened;
            self.opened = 0;
        }
        let free = buffer.get_mut(self.filled..).unwrap_or_default();
        let room = free.len();
        let read = socket::poll_read(socket, cx, &mut [IoSliceMut::new(free)], room);
        let count = match read {
            Poll::Ready(count) => count.map_err(StreamError::Peer)?,
            Poll::Pending => {
                if self.filled == 0 {
                    self.release();
                }
                return Poll::Pending;
            }
        };
        if count == 0 {
            return Poll::Ready(Err(StreamError::Truncated));
        }
        self.filled += count;
        Poll::Ready(Ok(()))
    }

    fn release(&mut self) {
        self.buffer = None;
        self.filled = 0;
        self.opened = 0;
    }
}

/// Where plaintext lies in the buffer, in order; all of it before the records still to be opened.
#[derive(Default)]
struct Pieces {
    ranges: [(u32, u32); PIECES],
    first: usize,
    end: usize,
}

impl Pieces {
    const fn is_empty(&self) -> bool {
        self.first == self.end
    }

    const fn is_full(&self) -> bool {
        self.end == PIECES
    }

    fn iter(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.ranges
            .get(self.first..self.end)
            .unwrap_or_default()
            .iter()
            .map(|&(start, end)| start as usize..end as usize)
    }

    fn push(&mut self, buffer: &mut [u8], range: Range<usize>) {
        let last = self.end.checked_sub(1).filter(|last| *last >= self.first);
        if let Some((_, last_end)) = last.and_then(|last| self.ranges.get_mut(last))
            && range.len() <= MOVED_MAX
        {
            let target = *last_end as usize;
            *last_end += range.len() as u32;
            buffer.copy_within(range, target);
        } else if let Some(free) = self.ranges.get_mut(self.end) {
            *free = (range.start as u32, range.end as u32);
            self.end += 1;
        }
    }

    fn advance(&mut self, mut count: usize) {
        while let Some((start, end)) = self.ranges.get_mut(self.first)
            && self.first < self.end
        {
            let size = (*end - *start) as usize;
            if count < size {
                *start += count as u32;
                return;
            }
            count -= size;
            self.first += 1;
        }
        self.first = 0;
        self.end = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pieces: &Pieces) -> Vec<(usize, usize)> {
        pieces.iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn small_pieces_are_moved_together_and_large_ones_are_not() {
        let mut buffer: Vec<u8> = (0..=255).cycle().take(40_000).collect();
        let mut pieces = Pieces::default();
        pieces.push(&mut buffer, 5..6);
        pieces.push(&mut buffer, 100..102);
        assert_eq!(seen(&pieces), [(5, 8)]);
        assert_eq!(buffer[5..8], [5, 100, 101]);
        pieces.push(&mut buffer, 1000..9000);
        assert_eq!(seen(&pieces), [(5, 8), (1000, 9000)]);
        pieces.advance(4);
        assert_eq!(seen(&pieces), [(1001, 9000)]);
        pieces.advance(7999);
        assert!(pieces.is_empty() && !pieces.is_full());
    }

    #[test]
    fn a_small_piece_does_not_follow_one_that_is_taken() {
        let mut buffer = vec![7; 100];
        let mut pieces = Pieces::default();
        pieces.push(&mut buffer, 5..10);
        pieces.advance(5);
        pieces.push(&mut buffer, 30..33);
        assert_eq!(seen(&pieces), [(30, 33)]);
    }
}
