//! Checks that ask a server by the gRPC health protocol (`grpc.health.v1.Health/Check`).
//!
//! Not a gRPC library: one call on one connection, written as the few HTTP/2 frames (RFC 9113)
//! that it takes. Header blocks of the answer are not decoded, since the message alone tells the
//! state; so the server's own words for a refused call are not shown.

use std::time::Duration;

use lictor_types::check::Status;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::dial;
use super::http2::{
    self, ACK, DATA, END_HEADERS, END_STREAM, FRAMES_MAX, Frame, GOAWAY, HEADERS, NoFrame, PADDED,
    PING, PREFACE, RST_STREAM, SETTINGS,
};
use super::runner::Outcome;
use super::tls::ProbeTls;

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// Asks for the health of a service.
#[derive(Debug)]
pub(super) struct GrpcProbe {
    target: String,
    use_tls: bool,
    tls: ProbeTls,
    timeout: Duration,
}

impl GrpcProbe {
    /// `target` is `host:port[/service]`.
    pub(super) fn new(target: &str, use_tls: bool, tls: ProbeTls, timeout: Duration) -> Self {
        Self { target: target.to_owned(), use_tls, tls, timeout }
    }

    pub(super) async fn run(&self) -> Outcome {
        let target = &self.target;
        match tokio::time::timeout(self.timeout, self.ask()).await {
            Ok(Ok(SERVING)) => {
                Outcome::new(Status::Passing, format!("gRPC check {target}: success"))
            }
            Ok(Ok(_)) => Outcome::critical("gRPC application didn't report service healthy"),
            Ok(Err(text)) => Outcome::critical(text),
            Err(_) => Outcome::critical("rpc error: code = DeadlineExceeded"),
        }
    }

    async fn ask(&self) -> Result<u64, String> {
        let (address, service) = self.target.split_once('/').unwrap_or((&self.target, ""));
        let (host, port) = dial::split_host_port(address)?;
        let stream = dial::connect(host, port).await?;
        if self.use_tls {
            let stream = self.tls.connect(stream, host, b"h2").await?;
            call(stream, "https", address, service).await
        } else {
            call(stream, "http", address, service).await
        }
    }
}

/// Makes the call; the serving status.
async fn call<T>(mut io: T, scheme: &str, host: &str, service: &str) -> Result<u64, String>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let lost = |error: std::io::Error| format!("rpc error: code = Unavailable desc = {error}");
    io.write_all(&request(scheme, host, service)?).await.map_err(lost)?;
    let mut message = Vec::new();
    for _ in 0..FRAMES_MAX {
        let Frame { kind, flags, stream, payload } = match http2::read(&mut io).await {
            Ok(frame) => frame,
            Err(NoFrame::Lost(error)) => return Err(lost(error)),
            Err(NoFrame::TooLarge) => {
                return Err("rpc error: the server does not speak HTTP/2".to_owned());
            }
        };
        match (kind, stream) {
            (SETTINGS, _) if flags & ACK == 0 => {
                io.write_all(&frame(SETTINGS, ACK, 0, &[])?).await.map_err(lost)?;
            }
            (PING, _) if flags & ACK == 0 => {
                io.write_all(&frame(PING, ACK, 0, &payload)?).await.map_err(lost)?;
            }
            (DATA, 1) => message.extend_from_slice(unpadded(flags, &payload)),
            (RST_STREAM, 1) | (GOAWAY, _) => {
                return Err("rpc error: the server refused the call".to_owned());
            }
            _ => {}
        }
        if let Some(status) = serving_status(&message) {
            return Ok(status);
        }
        if matches!(kind, DATA | HEADERS) && stream == 1 && flags & END_STREAM != 0 {
            return Err("rpc error: the server does not offer this health check".to_owned());
        }
    }
    Err("rpc error: too many frames without an answer".to_owned())
}

/// Everything that the client has to say.
fn request(scheme: &str, host: &str, service: &str) -> Result<Vec<u8>, String> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", host),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        // A literal without indexing, plain text, as HPACK (RFC 7541, 6.2.2) has it.
        block.push(0);
        for text in [name, value] {
            let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
            block.push(length.ok_or("gRPC target is too long")?);
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut message = Vec::new();
    if !service.is_empty() {
        let length = u8::try_from(service.len()).ok().filter(|length| *length < 128);
        message.extend([0x0a, length.ok_or("gRPC service name is too long")?]);
        message.extend_from_slice(service.as_bytes());
    }
    let mut data = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap_or(0)];
    data.append(&mut message);
    let mut out = PREFACE.to_vec();
    out.extend(frame(SETTINGS, 0, 0, &[])?);
    out.extend(frame(HEADERS, END_HEADERS, 1, &block)?);
    out.extend(frame(DATA, END_STREAM, 1, &data)?);
    Ok(out)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<Vec<u8>, String> {
    http2::frame(kind, flags, stream, payload).ok_or_else(|| "gRPC target is too long".to_owned())
}

fn unpadded(flags: u8, payload: &[u8]) -> &[u8] {
    match payload {
        [padding, rest @ ..] if flags & PADDED != 0 => {
            &rest[..rest.len().saturating_sub(usize::from(*padding))]
        }
        whole => whole,
    }
}

/// The status in a length-prefixed message, once all of it is there.
fn serving_status(message: &[u8]) -> Option<u64> {
    let [compressed, a, b, c, d, body @ ..] = message else { return None };
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    let body = body.get(..length)?;
    if *compressed != 0 {
        return Some(0);
    }
    match body {
        [] => Some(0),
        [0x08, status, ..] => Some(u64::from(*status)),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[test]
    fn statuses_are_read() {
        assert_eq!(serving_status(&[0, 0, 0, 0]), None);
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8]), None);
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 2]), Some(2));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(unpadded(PADDED, &[2, 7, 0, 0]), [7]);
        assert_eq!(unpadded(PADDED, &[9, 7]), [0_u8; 0]);
    }

    #[tokio::test]
    async fn a_call_over_a_pipe() {
        for (status, expected) in [(1, Ok(SERVING)), (2, Ok(2))] {
            let (client, mut server) = tokio::io::duplex(4096);
            let answer = async move {
                let expected = request("http", "h:1", "web").unwrap();
                let mut got = vec![0; expected.len()];
                server.read_exact(&mut got).await.unwrap();
                assert_eq!(got, expected);
                let mut out = frame(SETTINGS, 0, 0, &[]).unwrap();
                out.extend(frame(PING, 0, 0, &[7; 8]).unwrap());
                out.extend(frame(HEADERS, END_HEADERS, 1, &[0x88]).unwrap());
                out.extend(frame(DATA, 0, 1, &[0, 0, 0, 0, 2, 8, status]).unwrap());
                server.write_all(&out).await.unwrap();
                let mut acks = vec![0; 9 + 17];
                server.read_exact(&mut acks).await.unwrap();
                assert_eq!(acks[..9], frame(SETTINGS, ACK, 0, &[]).unwrap());
                assert_eq!(acks[9..], frame(PING, ACK, 0, &[7; 8]).unwrap());
            };
            let (result, ()) = tokio::join!(call(client, "http", "h:1", "web"), answer);
            assert_eq!(result, expected);
        }
    }

    #[tokio::test]
    async fn refusals_and_garbage_are_errors() {
        for reply in [
            frame(RST_STREAM, 0, 1, &[0; 4]).unwrap(),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88]).unwrap(),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            Vec::new(),
        ] {
            let (client, mut server) = tokio::io::duplex(4096);
            server.write_all(&reply).await.unwrap();
            server.shutdown().await.unwrap();
            assert!(call(client, "http", "h:1", "").await.is_err());
        }
    }
}
