//! The life of one connection: requests in, answers out, one after the other.
//!
//! It knows HTTP/1.1 but no path: what to do with a request is the [`Service`]'s. A connection
//! holds no buffer while it waits for a request or for the answer to a blocking one, so that tens
//! of thousands of watchers cost little more than their sockets.

mod pieces;

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use lictor_task::CancellationToken;

use crate::answer::{Answer, Wire};
use crate::config::{BYTES_PER_SECOND, DISCARD_MAX, HttpLimits};
use crate::deadline::Deadline;
use crate::encoding::Compressor;
use crate::head::{self, Framing, Head, HeadError};
use crate::request::{Method, Request};
use crate::socket::Socket;

/// Bodies up to this size are copied behind the head, so that one buffer is written.
const INLINE_BODY: usize = 4 * 1024;
/// Room that is made at once for a body whose length is only claimed.
const READ_AHEAD: usize = 64 * 1024;
/// Longest line of the chunked encoding, and most bytes of trailers.
const CHUNK_LINE_MAX: usize = 256;
const TRAILERS_MAX: usize = 8 * 1024;

/// A future of an answer.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// What is done with requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// Largest body that a request may have, known before it is read, and what to say otherwise.
    fn body_limit(&self, request: &Request) -> (usize, Answer);

    /// Fills in what a request does not say itself.
    fn prepare(&self, request: &mut Request);

    /// Answers a request.
    fn call<'a>(&'a self, request: &'a Request) -> Answering<'a>;

    /// Encoded headers of every endpoint's answer.
    fn common_headers(&self) -> &[u8];
}

/// What all connections share.
pub(crate) struct Shared<S> {
    pub(crate) service: S,
    pub(crate) limits: HttpLimits,
    pub(crate) compressor: Compressor,
}

/// Why a connection ends.
enum End {
    /// Nobody is there any more, the time is up, or the server stops.
    Quiet,
    /// What came is no request; this is said before closing.
    Refused(HeadError),
    /// The body is too large or broken; this is said before closing.
    Answered(Box<Answer>),
}

struct Connection<S> {
    socket: Socket,
    peer: Option<IpAddr>,
    shared: Arc<Shared<S>>,
    /// What arrived and was not used yet.
    input: Vec<u8>,
    deadline: Deadline,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Serves a connection until it ends, or `stop` is called while no write is being answered.
pub(crate) async fn serve<S: Service>(
    socket: Socket,
    shared: Arc<Shared<S>>,
    stop: CancellationToken,
) {
    let deadline = Deadline::after(shared.limits.idle);
    let stop = Box::pin(async move { stop.cancelled().await });
    let peer = socket.peer();
    let mut connection = Connection { socket, peer, shared, input: Vec::new(), deadline, stop };
    let answer = match connection.run().await {
        End::Quiet => return connection.part().await,
        End::Answered(answer) => *answer,
        End::Refused(error) => {
            let (status, text) = error.answer();
            Answer::text(status, text)
        }
    };
    if connection.send(answer, false, false, true, false).await.is_ok() {
        connection.linger().await;
    }
}

/// Tells a client that there is no room for it.
pub(crate) async fn turn_away<S: Service>(
    socket: Socket,
    shared: Arc<Shared<S>>,
    stop: CancellationToken,
    answer: Answer,
) {
    let deadline = Deadline::after(shared.limits.head);
    let stop = Box::pin(async move { stop.cancelled().await });
    let peer = socket.peer();
    let mut connection = Connection { socket, peer, shared, input: Vec::new(), deadline, stop };
    if connection.send(answer, false, false, true, false).await.is_ok() {
        connection.linger().await;
    }
}

impl<S: Service> Connection<S> {
    async fn run(&mut self) -> End {
        loop {
            match self.turn().await {
                Ok(true) => {}
                Ok(false) => return End::Quiet,
                Err(end) => return end,
            }
        }
    }

    /// One request and its answer; whether the connection goes on.
    async fn turn(&mut self) -> Result<bool, End> {
        let Head { mut request, framing, keep_alive, old, expects_continue } =
            self.read_head().await?;
        request.peer = self.peer;
        self.shared.service.prepare(&mut request);
        let (limit, too_large) = self.shared.service.body_limit(&request);
        if framing != Framing::Length(0) {
            if matches!(framing, Framing::Length(length) if length > limit as u64) {
                return Err(End::Answered(Box::new(too_large)));
            }
            if expects_continue && self.input.is_empty() {
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n", b"").await?;
            }
            request.body = match framing {
                Framing::Length(length) => self.read_sized(length).await?,
                Framing::Chunked => self.read_chunked(limit, too_large).await?,
            };
        }
        if self.input.is_empty() {
            // The answer may be a long time coming.
            self.input = Vec::new();
        }
        let answer = self.answer(&request).await?;
        let headless = request.method == Method::Head;
        self.send(answer, request.gzip, headless, !keep_alive, old).await?;
        self.deadline.set(self.shared.limits.idle);
        Ok(keep_alive)
    }

    async fn read_head(&mut self) -> Result<Head, End> {
        let head_max = self.shared.limits.head_bytes;
        let mut searched = 0;
        let mut begun = false;
        loop {
            if head::end(&self.input, searched).is_some() {
                match head::parse(&self.input).map_err(End::Refused)? {
                    Some((_, length)) if length > head_max => {
                        return Err(End::Refused(HeadError::TooLarge));
                    }
                    Some((head, length)) => {
                        self.consume(length);
                        return Ok(head);
                    }
                    // Empty lines before a request are allowed, but not without end.
                    None => searched = 0,
                }
            } else if head::may_begin(&self.input) {
                searched = self.input.len();
            } else {
                return Err(End::Refused(HeadError::Malformed));
            }
            if self.input.len() > head_max {
                return Err(End::Refused(HeadError::TooLarge));
            }
            if !begun && !self.input.is_empty() {
                begun = true;
                self.deadline.set(self.shared.limits.head);
            }
            if self.fill(true).await? == 0 {
                return Err(End::Quiet);
            }
        }
    }

    /// A body of known length, which is within its limit.
    async fn read_sized(&mut self, length: u64) -> Result<Bytes, End> {
        let length = usize::try_from(length).map_err(|_| End::Quiet)?;
        if self.input.len() < length {
            self.deadline.set(self.transfer_time(length));
            self.input.reserve(length.min(READ_AHEAD));
        }
        while self.input.len() < length {
            if self.fill(false).await? == 0 {
                return Err(End::Quiet);
            }
        }
        let rest = self.input.split_off(length);
        Ok(Bytes::from(std::mem::replace(&mut self.input, rest)))
    }

    /// A body in chunks, each a line with its size in hexadecimal digits and the data.
    async fn read_chunked(&mut self, limit: usize, too_large: Answer) -> Result<Bytes, End> {
        self.deadline.set(self.transfer_time(limit));
        let malformed = || End::Refused(HeadError::Malformed);
        let mut body = Vec::new();
        loop {
            let line = self.read_line(CHUNK_LINE_MAX).await?;
            let digits = line.split(';').next().unwrap_or("").trim();
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(malformed());
            }
            let size = usize::from_str_radix(digits, 16).map_err(|_| malformed())?;
            if size > limit - body.len() {
                return Err(End::Answered(Box::new(too_large)));
            }
            if size == 0 {
                break;
            }
            while self.input.len() < size + 2 {
                if self.fill(false).await? == 0 {
                    return Err(End::Quiet);
                }
            }
            if &self.input[size..size + 2] != b"\r\n" {
                return Err(malformed());
            }
            body.extend_from_slice(&self.input[..size]);
            self.consume(size + 2);
        }
        let mut trailers = 0;
        loop {
            let line = self.read_line(TRAILERS_MAX).await?;
            trailers += line.len();
            if line.is_empty() {
                return Ok(Bytes::from(body));
            }
            if trailers > TRAILERS_MAX {
                return Err(malformed());
            }
        }
    }

    async fn read_line(&mut self, limit: usize) -> Result<String, End> {
        let malformed = || End::Refused(HeadError::Malformed);
        let mut searched = 0;
        let end = loop {
            if let Some(found) = self.input[searched..].iter().position(|&b| b == b'\n') {
                break searched + found;
            }
            searched = self.input.len();
            if searched > limit {
                return Err(malformed());
            }
            if self.fill(false).await? == 0 {
                return Err(End::Quiet);
            }
        };
        let line = self.input[..end].strip_suffix(b"\r").ok_or_else(malformed)?;
        let line = String::from_utf8(line.to_vec()).map_err(|_| malformed())?;
        self.consume(end + 1);
        Ok(line)
    }

    fn consume(&mut self, length: usize) {
        if length == self.input.len() {
            self.input.clear();
        } else {
            self.input.drain(..length);
        }
    }

    /// Reads more; gives the number of bytes, 0 at the end. An `idle` connection ends when the
    /// server stops.
    async fn fill(&mut self, idle: bool) -> Result<usize, End> {
        if idle && self.input.is_empty() && self.input.capacity() > 0 {
            self.input = Vec::new();
        }
        poll_fn(|cx| {
            if let Poll::Ready(read) = self.socket.poll_read(cx, &mut self.input) {
                return Poll::Ready(read.map_err(|_| End::Quiet));
            }
            if self.deadline.poll(cx).is_ready() || (idle && self.stop.as_mut().poll(cx).is_ready())
            {
                return Poll::Ready(Err(End::Quiet));
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for the service. A read is given up when the client goes away or the server stops;
    /// a write is brought to its end.
    async fn answer(&mut self, request: &Request) -> Result<Answer, End> {
        let Self { socket, shared, input, stop, .. } = self;
        let mut answering = shared.service.call(request);
        let mut watching = request.method == Method::Get && input.is_empty();
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answering.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            if watching {
                match socket.poll_read(cx, input) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(End::Quiet)),
                    // The next request came early; it has to wait, and so has its end.
                    Poll::Ready(Ok(_)) => watching = false,
                    Poll::Pending => {}
                }
            }
            if request.method == Method::Get && stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(End::Quiet));
            }
            Poll::Pending
        })
        .await
    }

    async fn send(
        &mut self,
        mut answer: Answer,
        gzip: bool,
        headless: bool,
        close: bool,
        old: bool,
    ) -> Result<(), End> {
        if let Some(pieces) = &mut answer.pieces {
            let mut pieces = std::mem::replace(pieces, tokio::sync::mpsc::channel(1).1);
            return self.send_pieces(&answer, &mut pieces, headless, close, old).await;
        }
        let compressed = if gzip && answer.from_endpoint {
            self.shared.compressor.compress(&answer.body, answer.shared)
        } else {
            None
        };
        let gzip = compressed.is_some();
        let body = compressed.unwrap_or_else(|| answer.body.clone());
        let wire = Wire { length: body.len(), gzip, close, old };
        let body = if headless { Bytes::new() } else { body };
        let inline = body.len() <= INLINE_BODY;
        let mut out = Vec::with_capacity(512 + if inline { body.len() } else { 0 });
        answer.write_head(&mut out, self.shared.service.common_headers(), &wire);
        if inline {
            out.extend_from_slice(&body);
            self.write(&out, b"").await
        } else {
            self.write(&out, &body).await
        }
    }

    async fn write(&mut self, mut head: &[u8], mut body: &[u8]) -> Result<(), End> {
        let time = self.transfer_time(head.len() + body.len());
        let mut waiting = false;
        poll_fn(|cx| {
            loop {
                let written = if head.is_empty() && body.is_empty() {
                    self.socket.poll_flush(cx).map_ok(|()| None)
                } else {
                    self.socket.poll_write(cx, head, body).map_ok(Some)
                };
                match written {
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(Some(0)) | Err(_)) => return Poll::Ready(Err(End::Quiet)),
                    Poll::Ready(Ok(Some(written))) => {
                        let of_head = written.min(head.len());
                        head = &head[of_head..];
                        body = &body[written - of_head..];
                    }
                    Poll::Pending => {
                        if !waiting {
                            waiting = true;
                            self.deadline.set(time);
                        }
                        ready!(self.deadline.poll(cx));
                        return Poll::Ready(Err(End::Quiet));
                    }
                }
            }
        })
        .await
    }

    /// The end of a connection: without TLS's own farewell the client would not know whether the
    /// last answer was cut off.
    async fn part(&mut self) {
        if !self.socket.needs_farewell() {
            return;
        }
        self.deadline.set(self.shared.limits.head);
        poll_fn(|cx| match self.socket.poll_shutdown(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.deadline.poll(cx),
        })
        .await;
    }

    /// After a refusal: reads on for a while, since a client that is still sending would otherwise
    /// get a reset in place of the answer.
    async fn linger(&mut self) {
        if poll_fn(|cx| self.socket.poll_shutdown(cx)).await.is_err() {
            return;
        }
        self.deadline.set(self.shared.limits.head);
        let mut discarded = 0;
        while discarded < DISCARD_MAX {
            self.input.clear();
            match self.fill(true).await {
                Ok(0) | Err(_) => return,
                Ok(read) => discarded += read as u64,
            }
        }
    }

    fn transfer_time(&self, bytes: usize) -> Duration {
        self.shared.limits.transfer + Duration::from_secs(bytes as u64 / BYTES_PER_SECOND)
    }
}

#[cfg(test)]
mod tests;
