//! An answer that has no end of its own, read piece by piece.
//!
//! It has a connection to itself, which is closed when it is dropped.

use std::fmt;
use std::future::poll_fn;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;

use super::transport::{Link, TransportError, drive};

/// An answer under way.
pub struct Streaming {
    link: Link,
    status: u16,
    body: Incoming,
}

impl fmt::Debug for Streaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Streaming {
    pub(super) async fn open(
        mut link: Link,
        request: Request<Full<Bytes>>,
    ) -> Result<Self, TransportError> {
        if !link.settle().await {
            return Err(TransportError::Closed);
        }
        let Link { sender, driver } = &mut link;
        let mut sending = std::pin::pin!(sender.send_request(request));
        let answer = poll_fn(|cx| {
            drive(driver, cx);
            sending.as_mut().poll(cx)
        })
        .await?;
        let (head, body) = answer.into_parts();
        Ok(Self { link, status: head.status.as_u16(), body })
    }

    /// HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>, TransportError> {
        loop {
            let mut frame = std::pin::pin!(self.body.frame());
            let driver = &mut self.link.driver;
            let next = poll_fn(|cx| {
                drive(driver, cx);
                frame.as_mut().poll(cx)
            })
            .await;
            match next.transpose()?.map(hyper::body::Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                // Trailers say nothing.
                Some(Err(_)) => {}
            }
        }
    }
}
