//! The head of a request: from bytes to a [`Request`] without its body, and how the body is framed.
//!
//! Strict where looseness lets two programs disagree about where a request ends (RFC 9112, 6.3):
//! both a length and an encoding, two lengths, or an unknown encoding are refused.

use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::config::HEADERS_MAX;
use crate::path;
use crate::query::Query;
use crate::request::{Method, Request};

/// How the body follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What was read of a request before its body.
#[derive(Debug)]
pub(crate) struct Head {
    /// The request; its body is still empty.
    pub(crate) request: Request,
    /// How the body follows.
    pub(crate) framing: Framing,
    /// Whether the connection may be used again.
    pub(crate) keep_alive: bool,
    /// Whether the client must be told that its connection is kept.
    pub(crate) old: bool,
    /// Whether the client waits for a go-ahead before it sends the body.
    pub(crate) expects_continue: bool,
}

/// Why a head is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// Not HTTP, or not to be understood without doubt.
    Malformed,
    /// More headers, or larger ones, than allowed.
    TooLarge,
    /// A version other than 1.0 or 1.1.
    Version,
    /// An encoding of the body other than chunks.
    Encoding,
}

impl HeadError {
    /// Status and text of the answer.
    pub(crate) const fn answer(self) -> (u16, &'static str) {
        match self {
            Self::Malformed => (400, "400 Bad Request"),
            Self::TooLarge => (431, "431 Request Header Fields Too Large"),
            Self::Version => (505, "505 HTTP Version Not Supported"),
            Self::Encoding => (501, "Unsupported transfer encoding"),
        }
    }
}

/// Position after the empty line that ends a head, searched from `from` on.
pub(crate) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    // The end may have begun in what was searched before.
    let mut at = from.saturating_sub(3);
    while let Some(found) = bytes.get(at..)?.iter().position(|&b| b == b'\n') {
        at += found + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Whether what has come so far can be the beginning of a request. A greeting of TLS cannot, and
/// who sends it waits for an answer, not for the end of a head.
pub(crate) fn may_begin(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !matches!(byte, b'\r' | b'\n'));
    first.is_none_or(|byte| byte.is_ascii_graphic())
}

/// Reads a head from `bytes`, which holds at least one empty line. Gives the head and its length;
/// `None` when there were only empty lines so far.
///
/// # Errors
/// When it is no request.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, HeadError> {
    let mut room = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(bytes, &mut room) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
        Err(httparse::Error::Version) => return Err(HeadError::Version),
        Err(_) => return Err(HeadError::Malformed),
    };
    let old = parsed.version == Some(0);
    let fields = Fields::read(parsed.headers, old)?;
    if !old && !fields.host {
        return Err(HeadError::Malformed);
    }
    let method = Method::parse(parsed.method.ok_or(HeadError::Malformed)?);
    let (path, query) = target(parsed.path.ok_or(HeadError::Malformed)?)?;
    let request = Request {
        method,
        path,
        query: Query::new(query),
        header_token: fields.token,
        own_token: String::new(),
        discovery_max_stale: Duration::ZERO,
        stands_for: None,
        forwarded: fields.forwarded,
        peer: None,
        gzip: fields.gzip,
        body: Bytes::new(),
    };
    let head = Head {
        request,
        framing: fields.framing,
        keep_alive: fields.keep_alive,
        old,
        expects_continue: fields.expects_continue && !old,
    };
    Ok(Some((head, length)))
}

/// Decoded path and raw query of a request target, which may also be a whole URL.
fn target(target: &str) -> Result<(String, &str), HeadError> {
    let local = match target.as_bytes().first() {
        Some(b'/') => target,
        Some(b'*') if target == "*" => target,
        _ => {
            let (_, rest) = target.split_once("://").ok_or(HeadError::Malformed)?;
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
    };
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    let path = path::decode(path).ok_or(HeadError::Malformed)?;
    Ok((path.into_owned(), query))
}

/// The headers that matter.
struct Fields {
    host: bool,
    token: String,
    forwarded: Option<IpAddr>,
    gzip: bool,
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>], old: bool) -> Result<Self, HeadError> {
        let mut fields = Self {
            host: false,
            token: String::new(),
            forwarded: None,
            gzip: false,
            framing: Framing::Length(0),
            keep_alive: !old,
            expects_continue: false,
        };
        let (mut length, mut encoded, mut bearer) = (None, false, "");
        for header in headers {
            let name = header.name;
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            // By length first: most headers are none of these.
            match name.len() {
                4 if is("host") => {
                    if fields.host {
                        return Err(HeadError::Malformed);
                    }
                    fields.host = true;
                }
                14 if is("x-consul-token") => text(header)?.clone_into(&mut fields.token),
                14 if is("content-length") => set_once(&mut length, number(header)?)?,
                17 if is("transfer-encoding") => {
                    if encoded || old || !text(header)?.trim().eq_ignore_ascii_case("chunked") {
                        return Err(HeadError::Encoding);
                    }
                    encoded = true;
                }
                15 if is("accept-encoding") => fields.gzip = accepts_gzip(text(header)?),
                15 if is("x-forwarded-for") => {
                    fields.forwarded = fields.forwarded.or_else(|| first_address(header));
                }
                10 if is("connection") => {
                    if has_token(text(header)?, "close") {
                        fields.keep_alive = false;
                    } else if old && has_token(text(header)?, "keep-alive") {
                        fields.keep_alive = true;
                    }
                }
                13 if is("authorization") => {
                    bearer = text(header)?.strip_prefix("Bearer ").unwrap_or("").trim();
                }
                6 if is("expect") => {
                    fields.expects_continue = text(header)?.eq_ignore_ascii_case("100-continue");
                }
                _ => {}
            }
        }
        if fields.token.is_empty() {
            bearer.clone_into(&mut fields.token);
        }
        fields.framing = match (length, encoded) {
            (Some(_), true) => return Err(HeadError::Malformed),
            (_, true) => Framing::Chunked,
            (length, false) => Framing::Length(length.unwrap_or(0)),
        };
        Ok(fields)
    }
}

/// The first of a list of addresses, which is the client's.
fn first_address(header: &httparse::Header<'_>) -> Option<IpAddr> {
    let first = text(header).ok()?.split(',').next()?;
    first.trim().parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn text<'a>(header: &httparse::Header<'a>) -> Result<&'a str, HeadError> {
    std::str::from_utf8(header.value).map_err(|_| HeadError::Malformed)
}

/// Two lengths, even equal ones, are refused.
fn set_once(length: &mut Option<u64>, given: u64) -> Result<(), HeadError> {
    if length.replace(given).is_some() { Err(HeadError::Malformed) } else { Ok(()) }
}

fn number(header: &httparse::Header<'_>) -> Result<u64, HeadError> {
    let text = text(header)?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HeadError::Malformed);
    }
    text.parse().map_err(|_| HeadError::Malformed)
}

fn has_token(list: &str, token: &str) -> bool {
    list.split(',').any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Whether an `Accept-Encoding` list names gzip with a weight above zero.
fn accepts_gzip(list: &str) -> bool {
    list.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts.any(|part| {
            part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(text: &str) -> Result<Head, HeadError> {
        let bytes = text.as_bytes();
        let length = end(bytes, 0).unwrap();
        let (head, parsed) = parse(bytes)?.unwrap();
        assert_eq!(parsed, length);
        Ok(head)
    }

    fn with(headers: &str) -> Result<Head, HeadError> {
        head(&format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n"))
    }

    #[test]
    fn finds_the_end_however_it_arrives() {
        let text = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nbody";
        for from in 0..text.len() - 4 {
            let first = end(&text[..from], 0);
            assert_eq!(first, None, "{from}");
            assert_eq!(end(text, from), Some(text.len() - 4), "{from}");
        }
        assert_eq!(end(b"a\n\nb", 0), Some(3));
        assert_eq!(end(b"", 0), None);
    }

    #[test]
    fn reads_targets() {
        for (target, path, query) in [
            ("/v1/kv/a%20b?x=%20", "/v1/kv/a b", "x=%20"),
            ("/", "/", ""),
            ("http://host:1/v1/x?y", "/v1/x", "y"),
            ("http://host", "/", ""),
            ("http://host?q", "", "q"),
            ("*", "*", ""),
        ] {
            let head = head(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
            assert_eq!((head.request.path.as_str(), head.request.query.raw()), (path, query));
        }
        for bad in ["/%zz", "host:1", "/%2"] {
            assert!(head(&format!("GET {bad} HTTP/1.1\r\nHost: h\r\n\r\n")).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_forwarded_address_is_the_client() {
        let forwarded = |headers: &str| with(headers).unwrap().request.forwarded;
        let address = "10.0.0.1".parse().ok();
        assert_eq!(forwarded("X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n"), address);
        assert_eq!(forwarded("x-forwarded-for: ::ffff:10.0.0.1\r\n"), address);
        assert_eq!(forwarded("X-Forwarded-For: nobody\r\n"), None);
        assert_eq!(forwarded(""), None);
    }

    #[test]
    fn tokens_and_their_order() {
        let token = |headers: &str| with(headers).unwrap().request.header_token;
        assert_eq!(token("X-Consul-Token: a\r\nAuthorization: Bearer b\r\n"), "a");
        assert_eq!(token("authorization: Bearer  b \r\n"), "b");
        assert_eq!(token("X-Consul-Token: \r\n"), "");
        assert_eq!(token("Authorization: Basic x\r\n"), "");
    }

    #[test]
    fn framing_without_doubt_or_not_at_all() {
        assert_eq!(with("Content-Length: 5\r\n").unwrap().framing, Framing::Length(5));
        assert_eq!(with("Transfer-Encoding: Chunked\r\n").unwrap().framing, Framing::Chunked);
        assert_eq!(with("").unwrap().framing, Framing::Length(0));
        for bad in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Host: again\r\n",
            "Bad Header: x\r\n",
            "X-Consul-Token: \u{1}\r\n",
        ] {
            assert_eq!(with(bad).unwrap_err(), HeadError::Malformed, "{bad}");
        }
        assert_eq!(with("Transfer-Encoding: gzip\r\n").unwrap_err(), HeadError::Encoding);
        let old = head("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old.unwrap_err(), HeadError::Encoding);
    }

    #[test]
    fn keeping_the_connection() {
        assert!(with("").unwrap().keep_alive);
        assert!(!with("Connection: foo, Close\r\n").unwrap().keep_alive);
        assert!(!head("GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive);
        let old = head("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").unwrap();
        assert!(old.keep_alive && old.old);
    }

    #[test]
    fn compression_is_asked_for() {
        let gzip =
            |value: &str| with(&format!("Accept-Encoding: {value}\r\n")).unwrap().request.gzip;
        assert!(gzip("gzip") && gzip("deflate, GZIP;q=0.5"));
        assert!(!gzip("identity") && !gzip("gzip;q=0") && !gzip("*"));
    }

    #[test]
    fn refuses_what_is_no_request() {
        assert_eq!(head("GET / HTTP/1.1\r\n\r\n").unwrap_err(), HeadError::Malformed);
        assert_eq!(head("GET / HTTP/2.0\r\nHost: h\r\n\r\n").unwrap_err(), HeadError::Version);
        assert_eq!(head("\u{16}\u{3}\u{1}\r\n\r\n").unwrap_err(), HeadError::Malformed);
        let many = "A: b\r\n".repeat(HEADERS_MAX);
        assert_eq!(with(&many).unwrap_err(), HeadError::TooLarge);
        assert!(parse(b"\r\n\r\n").unwrap().is_none());
        assert!(may_begin(b"") && may_begin(b"\r\n") && may_begin(b"\nG"));
        assert!(!may_begin(b"\x16\x03\x01") && !may_begin(b"\r\n\0"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_head_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn almost_a_head(text in "(GET|PUT) /[%a-f0-9?=]{0,8} HTTP/1\\.[01]\r\n([A-Z-]{1,4}: [ -~]{0,4}\r\n){0,3}\r\n") {
            let _ = parse(text.as_bytes());
        }
    }
}
