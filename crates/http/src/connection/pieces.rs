//! Sending a body that is still being made: in chunks, or up to the end of the connection for
//! clients of HTTP/1.0.
//!
//! While the next piece is waited for, the connection ends when the client goes away or the server
//! stops.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;

use super::{Connection, End, INLINE_BODY, Service};
use crate::answer::{Answer, Pieces, Wire};

impl<S: Service> Connection<S> {
    pub(super) async fn send_pieces(
        &mut self,
        answer: &Answer,
        pieces: &mut Pieces,
        headless: bool,
        close: bool,
        old: bool,
    ) -> Result<(), End> {
        let wire = Wire { length: 0, gzip: false, close: close || old, old };
        let mut out = Vec::with_capacity(512);
        answer.write_head(&mut out, self.shared.service.common_headers(), &wire);
        self.write(&out, b"").await?;
        if headless {
            return Ok(());
        }
        while let Some(piece) = self.next_piece(pieces).await? {
            // A chunk without content would be the last.
            if piece.is_empty() {
                continue;
            }
            if old {
                self.write(b"", &piece).await?;
                continue;
            }
            out.clear();
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            if piece.len() <= INLINE_BODY {
                out.extend_from_slice(&piece);
                out.extend_from_slice(b"\r\n");
                self.write(&out, b"").await?;
            } else {
                self.write(&out, &piece).await?;
                self.write(b"\r\n", b"").await?;
            }
        }
        if old { Err(End::Quiet) } else { self.write(b"0\r\n\r\n", b"").await }
    }

    async fn next_piece(&mut self, pieces: &mut Pieces) -> Result<Option<Bytes>, End> {
        let mut watching = self.input.is_empty();
        poll_fn(|cx| {
            if let Poll::Ready(next) = pieces.poll_recv(cx) {
                return Poll::Ready(next.transpose().map_err(|_| End::Quiet));
            }
            if watching {
                match self.socket.poll_read(cx, &mut self.input) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(End::Quiet)),
                    // The next request came early; it has to wait, and so has its end.
                    Poll::Ready(Ok(_)) => watching = false,
                    Poll::Pending => {}
                }
            }
            match self.stop.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(End::Quiet)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}
