//! A blocking HTTP/1.1 client of one request per connection, enough for tests.
//!
//! It has no TLS, no redirects and no pooling.

use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, `Null` when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// One request with a deadline of 30 seconds.
///
/// # Errors
/// When the server cannot be reached or does not answer properly.
pub fn request(address: &str, method: &str, path: &str, body: &[u8]) -> Result<Reply, Error> {
    request_within(address, method, path, body, Duration::from_secs(30))
}

/// One request with a deadline for each read.
///
/// # Errors
/// When the server cannot be reached or does not answer properly.
pub fn request_within(
    address: &str,
    method: &str,
    path: &str,
    body: &[u8],
    limit: Duration,
) -> Result<Reply, Error> {
    let target = address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "no address"))?;
    let mut stream = TcpStream::connect_timeout(&target, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    // A server may answer and close before it has read all of a body that it refuses.
    let _ = stream.write_all(body);
    let mut raw = Vec::new();
    if let Err(error) = stream.read_to_end(&mut raw)
        && raw.is_empty()
    {
        return Err(error);
    }
    parse(&raw).ok_or_else(|| Error::new(ErrorKind::InvalidData, "no complete HTTP answer"))
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// There was no connection: the request has done nothing.
    NotSent(Error),
    /// It may have been done or not.
    Unanswered(Error),
}

/// One request that is over within `limit`, whatever the server does; a failure says whether the request
/// may have been done.
///
/// # Errors
/// When the server cannot be reached or does not answer properly in time.
pub fn attempt(
    address: &str,
    method: &str,
    path: &str,
    body: &[u8],
    limit: Duration,
) -> Result<Reply, Failure> {
    let end = Instant::now() + limit;
    let connect = || {
        let target = address.to_socket_addrs()?.next();
        let target = target.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "no address"))?;
        TcpStream::connect_timeout(&target, limit)
    };
    let mut stream = connect().map_err(Failure::NotSent)?;
    let mut exchange = || {
        let left = |end: Instant| {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() { Err(Error::from(ErrorKind::TimedOut)) } else { Ok(Some(left)) }
        };
        stream.set_write_timeout(left(end)?)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut raw = Vec::new();
        let mut buffer = [0; 16384];
        loop {
            stream.set_read_timeout(left(end)?)?;
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => raw.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let incomplete = || Error::new(ErrorKind::InvalidData, "no complete HTTP answer");
        let reply = parse(&raw).ok_or_else(incomplete)?;
        let length = reply.header("content-length").and_then(|text| text.parse().ok());
        if length.is_some_and(|length: usize| length != reply.body.len()) {
            return Err(incomplete());
        }
        Ok(reply)
    };
    exchange().map_err(Failure::Unanswered)
}

fn parse(raw: &[u8]) -> Option<Reply> {
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    let rest = &raw[end + 4..];
    let chunked = headers.iter().any(|(n, v)| n == "transfer-encoding" && v.contains("chunked"));
    let body = if chunked { unchunk(rest)? } else { rest.to_vec() };
    Some(Reply { status, headers, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
