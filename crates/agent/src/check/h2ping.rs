//! Checks that ping a server by HTTP/2: it is healthy if it answers on a connection of its own.
//!
//! Frames are in [`super::http2`]. Texts follow the original's version 1.10.

use std::time::Duration;

use lictor_types::check::Status;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::dial;
use super::http2::{self, ACK, FRAMES_MAX, GOAWAY, NoFrame, PING, PREFACE, SETTINGS};
use super::runner::Outcome;
use super::tls::ProbeTls;

/// What a ping carries; the answer carries the same.
const PAYLOAD: [u8; 8] = *b"lictor\0\0";

/// Pings a server.
#[derive(Debug)]
pub(super) struct H2PingProbe {
    target: String,
    use_tls: bool,
    tls: ProbeTls,
    timeout: Duration,
}

impl H2PingProbe {
    /// `target` is `host:port`.
    pub(super) fn new(target: &str, use_tls: bool, tls: ProbeTls, timeout: Duration) -> Self {
        Self { target: target.to_owned(), use_tls, tls, timeout }
    }

    pub(super) async fn run(&self) -> Outcome {
        match tokio::time::timeout(self.timeout, self.ask()).await {
            Ok(Ok(())) => Outcome::new(Status::Passing, "HTTP2 ping was successful"),
            Ok(Err(text)) => Outcome::critical(text),
            Err(_) => Outcome::critical("HTTP2 ping failed: no answer in time"),
        }
    }

    async fn ask(&self) -> Result<(), String> {
        let failed = |error: String| format!("Failed to dial to {}: {error}", self.target);
        let (host, port) = dial::split_host_port(&self.target).map_err(failed)?;
        let stream = dial::connect(host, port).await.map_err(failed)?;
        if self.use_tls {
            let stream = self.tls.connect(stream, host, b"h2").await;
            ping(stream.map_err(failed)?).await
        } else {
            ping(stream).await
        }
    }
}

async fn ping<T: AsyncRead + AsyncWrite + Unpin>(mut io: T) -> Result<(), String> {
    let lost = |error: std::io::Error| format!("HTTP2 ping failed: {error}");
    let small = |kind, flags, payload: &[u8]| http2::frame(kind, flags, 0, payload);
    let hello = [small(SETTINGS, 0, &[]), small(PING, 0, &PAYLOAD)];
    let mut out = PREFACE.to_vec();
    out.extend(hello.into_iter().flatten().flatten());
    io.write_all(&out).await.map_err(lost)?;
    for _ in 0..FRAMES_MAX {
        let frame = match http2::read(&mut io).await {
            Ok(frame) => frame,
            Err(NoFrame::Lost(error)) => return Err(lost(error)),
            Err(NoFrame::TooLarge) => {
                return Err("HTTP2 ping failed: the server does not speak HTTP/2".to_owned());
            }
        };
        let answer = match (frame.kind, frame.flags & ACK != 0) {
            (PING, true) if frame.payload == PAYLOAD => return Ok(()),
            (PING, false) => small(PING, ACK, &frame.payload),
            (SETTINGS, false) => small(SETTINGS, ACK, &[]),
            (GOAWAY, _) => return Err("HTTP2 ping failed: the server went away".to_owned()),
            _ => None,
        };
        io.write_all(&answer.unwrap_or_default()).await.map_err(lost)?;
    }
    Err("HTTP2 ping failed: too many frames without an answer".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    async fn against(reply: Vec<u8>) -> Result<(), String> {
        let (client, mut server) = tokio::io::duplex(4096);
        let answering = async move {
            let mut hello = vec![0; PREFACE.len() + 9 + 17];
            server.read_exact(&mut hello).await.unwrap();
            assert!(hello.starts_with(PREFACE) && hello.ends_with(&PAYLOAD));
            server.write_all(&reply).await.unwrap();
            server.shutdown().await.unwrap();
            // It listens on until the client has gone.
            let _ = server.read_to_end(&mut Vec::new()).await;
        };
        tokio::join!(ping(client), answering).0
    }

    #[tokio::test]
    async fn an_answer_with_the_same_content_counts() {
        let settings = http2::frame(SETTINGS, 0, 0, &[]).unwrap();
        let answer = http2::frame(PING, ACK, 0, &PAYLOAD).unwrap();
        assert_eq!(against([settings.clone(), answer].concat()).await, Ok(()));
        let other = http2::frame(PING, ACK, 0, &[0; 8]).unwrap();
        assert!(against([settings, other].concat()).await.is_err());
        assert!(against(http2::frame(GOAWAY, 0, 0, &[0; 8]).unwrap()).await.is_err());
        assert!(against(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await.is_err());
        assert!(against(Vec::new()).await.is_err());
    }
}
