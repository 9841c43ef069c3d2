//! An answer, and its head on the wire.
//!
//! What is in an answer is decided by the handlers; compression and transport come later.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use lictor_api::json;
use lictor_api::kv::write_number;
use lictor_types::query::{Evaluated, QueryMeta, Reply};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::date;
use crate::error::HttpError;
use crate::request::Request;

pub(crate) const JSON: &str = "application/json";
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// The index headers of a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    index: u64,
    known_leader: bool,
    last_contact: Duration,
    filtered: bool,
}

/// A body that comes piece by piece; an error, the last of them, cuts it off.
pub(crate) type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
    /// The body, where it is not known as a whole.
    pub(crate) pieces: Option<Pieces>,
    /// Whether other answers have the very same body, so that it pays to keep it compressed.
    pub(crate) shared: bool,
    /// Whether it is from an endpoint: gets the configured headers, may be compressed.
    pub(crate) from_endpoint: bool,
    meta: Option<Meta>,
    contact_only: bool,
    index_only: Option<u64>,
    consistency: Option<&'static str>,
    headers: Vec<(&'static str, Cow<'static, str>)>,
}

impl Answer {
    /// A status without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, from_endpoint: true, ..Self::default() }
    }

    /// 200 without a body.
    pub(crate) fn ok() -> Self {
        Self::empty(200)
    }

    /// 200 with a body.
    pub(crate) fn body(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { content_type: Some(content_type), body: body.into(), ..Self::ok() }
    }

    /// 200 with a body that is still being made.
    pub(crate) fn pieces(content_type: Option<&'static str>, pieces: Pieces) -> Self {
        Self { content_type, pieces: Some(pieces), ..Self::ok() }
    }

    /// A status with a text.
    pub(crate) fn text(status: u16, text: impl Into<Bytes>) -> Self {
        let body = text.into();
        let content_type = (!body.is_empty()).then_some(TEXT);
        Self { content_type, body, ..Self::empty(status) }
    }

    /// 200 with `value` as JSON.
    pub(crate) fn json<T: Serialize + ?Sized>(value: &T, pretty: bool) -> Self {
        match json::to_vec(value, pretty) {
            Ok(body) => Self::body(JSON, body),
            Err(error) => Self::text(500, error.to_string()),
        }
    }

    /// 200 with `true` or `false`.
    pub(crate) fn boolean(value: bool, pretty: bool) -> Self {
        Self::body(
            JSON,
            Bytes::from_static(match (value, pretty) {
                (true, false) => b"true",
                (true, true) => b"true\n",
                (false, false) => b"false",
                (false, true) => b"false\n",
            }),
        )
    }

    /// 200 with a shared result as JSON, encoded by the first who needs it.
    pub(crate) fn shared<T, B: Serialize>(
        result: &Evaluated<T>,
        pretty: bool,
        shape: impl FnOnce(&T) -> B,
    ) -> Self {
        Self::shared_bytes(result, pretty, |value| {
            json::to_vec(&shape(value), pretty).unwrap_or_default()
        })
    }

    /// 200 with a shared result, encoded by the first who needs it.
    pub(crate) fn shared_bytes<T>(
        result: &Evaluated<T>,
        pretty: bool,
        encode: impl FnOnce(&T) -> Vec<u8>,
    ) -> Self {
        let slot = &result.body[usize::from(pretty)];
        let body = slot.get_or_init(|| encode(&result.value).into()).clone();
        Self { shared: true, ..Self::body(JSON, body) }
    }

    /// The same without the headers that only endpoints give.
    #[must_use]
    pub(crate) fn without_common_headers(self) -> Self {
        Self { from_endpoint: false, ..self }
    }

    /// Adds the index headers of a read.
    #[must_use]
    pub(crate) fn with_meta(mut self, meta: &QueryMeta) -> Self {
        self.meta = Some(Meta {
            index: meta.index,
            known_leader: meta.known_leader,
            last_contact: meta.last_contact,
            filtered: meta.filtered,
        });
        self
    }

    /// Adds the headers about the leader, without an index.
    #[must_use]
    pub(crate) fn with_contact(self, meta: &QueryMeta) -> Self {
        let contact = Self { contact_only: true, ..self };
        contact.with_meta(meta)
    }

    /// Adds the index header alone.
    #[must_use]
    pub(crate) const fn with_index(mut self, index: u64) -> Self {
        self.index_only = Some(index);
        self
    }

    /// Adds the header that says how the read was served.
    #[must_use]
    pub(crate) const fn with_consistency(mut self, meta: &QueryMeta) -> Self {
        self.consistency = Some(meta.consistency.as_str());
        self
    }

    /// Adds what a reader is told who takes an answer from the agent's cache. A server's own copy
    /// is always up to date, so that this is a hit of no age, whatever age the reader would take.
    #[must_use]
    pub(crate) fn with_cache(self, request: &Request) -> Self {
        if self.status == 200 && request.query.has("cached") {
            return self.with_header("X-Cache", "HIT").with_header("Age", "0");
        }
        self
    }

    /// Adds a header. The value must not hold line ends.
    #[must_use]
    pub(crate) fn with_header(
        mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Appends the head to `out`. `common` are the encoded headers of every endpoint.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, common: &[u8], wire: &Wire) {
        out.extend_from_slice(status_line(self.status));
        if let Some(kind) = self.content_type {
            write_header(out, "Content-Type", kind);
        }
        if self.from_endpoint {
            out.extend_from_slice(common);
        }
        if let Some(meta) = &self.meta {
            if !self.contact_only {
                write_index(out, meta.index);
            }
            write_contact(out, meta);
            if !self.contact_only {
                out.extend_from_slice(b"X-Consul-Query-Backend: blocking-query\r\n");
            }
        }
        if let Some(index) = self.index_only {
            write_index(out, index);
        }
        if let Some(consistency) = self.consistency {
            write_header(out, "X-Consul-Effective-Consistency", consistency);
        }
        for (name, value) in &self.headers {
            write_header(out, name, value);
        }
        if wire.gzip {
            out.extend_from_slice(b"Content-Encoding: gzip\r\n");
        }
        out.extend_from_slice(b"Date: ");
        date::write(out);
        match (&self.pieces, wire.old) {
            (None, _) => {
                out.extend_from_slice(b"\r\nContent-Length: ");
                write_number(out, wire.length as u64);
            }
            (Some(_), false) => out.extend_from_slice(b"\r\nTransfer-Encoding: chunked"),
            // The end of the connection is the end of the body.
            (Some(_), true) => {}
        }
        out.extend_from_slice(match (wire.close, wire.old) {
            (true, _) => b"\r\nConnection: close\r\n\r\n",
            (false, true) => b"\r\nConnection: keep-alive\r\n\r\n",
            (false, false) => b"\r\n\r\n",
        });
    }
}

/// How an answer is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    /// Length of the body as sent.
    pub(crate) length: usize,
    /// Whether the body is compressed.
    pub(crate) gzip: bool,
    /// Whether the connection ends with it.
    pub(crate) close: bool,
    /// Whether the client speaks HTTP/1.0.
    pub(crate) old: bool,
}

impl From<HttpError> for Answer {
    fn from(error: HttpError) -> Self {
        let empty_meta = error.has_empty_meta();
        let status = error.status();
        let body = match error.into_text() {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        let answer = Self::text(status, body);
        if empty_meta { answer.with_meta(&QueryMeta::default()) } else { answer }
    }
}

/// The answer to a read with the index headers: `shape` makes the body of a success.
pub(crate) fn read<T, E: Into<HttpError>>(
    reply: Result<Reply<T>, E>,
    shape: impl FnOnce(&Evaluated<T>) -> Answer,
) -> Answer {
    match reply {
        Ok(reply) => shape(&reply.result).with_meta(&reply.meta),
        Err(error) => error.into().with_empty_meta().into(),
    }
}

/// [`read`] with the header of the catalog and health endpoints that says how it was served.
pub(crate) fn read_with_consistency<T, E: Into<HttpError>>(
    reply: Result<Reply<T>, E>,
    shape: impl FnOnce(&Evaluated<T>) -> Answer,
) -> Answer {
    let consistency = reply.as_ref().ok().map(|reply| reply.meta);
    let answer = read(reply, shape);
    match consistency {
        Some(meta) => answer.with_consistency(&meta),
        None => answer,
    }
}

/// Appends a header line.
pub(crate) fn write_header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_index(out: &mut Vec<u8>, index: u64) {
    out.extend_from_slice(b"X-Consul-Index: ");
    // Clients take 0 for «start again».
    write_number(out, index.max(1));
    out.extend_from_slice(b"\r\n");
}

fn write_contact(out: &mut Vec<u8>, meta: &Meta) {
    out.extend_from_slice(if meta.known_leader {
        b"X-Consul-Knownleader: true\r\nX-Consul-Lastcontact: "
    } else {
        b"X-Consul-Knownleader: false\r\nX-Consul-Lastcontact: "
    });
    let millis = u64::try_from(meta.last_contact.as_millis()).unwrap_or(u64::MAX);
    write_number(out, millis);
    out.extend_from_slice(b"\r\n");
    if meta.filtered {
        write_header(out, "X-Consul-Results-Filtered-By-ACLs", "true");
    }
}

fn status_line(status: u16) -> &'static [u8] {
    match status {
        200 => b"HTTP/1.1 200 OK\r\n",
        301 => b"HTTP/1.1 301 Moved Permanently\r\n",
        400 => b"HTTP/1.1 400 Bad Request\r\n",
        401 => b"HTTP/1.1 401 Unauthorized\r\n",
        403 => b"HTTP/1.1 403 Forbidden\r\n",
        404 => b"HTTP/1.1 404 Not Found\r\n",
        405 => b"HTTP/1.1 405 Method Not Allowed\r\n",
        408 => b"HTTP/1.1 408 Request Timeout\r\n",
        409 => b"HTTP/1.1 409 Conflict\r\n",
        413 => b"HTTP/1.1 413 Request Entity Too Large\r\n",
        415 => b"HTTP/1.1 415 Unsupported Media Type\r\n",
        429 => b"HTTP/1.1 429 Too Many Requests\r\n",
        431 => b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        501 => b"HTTP/1.1 501 Not Implemented\r\n",
        503 => b"HTTP/1.1 503 Service Unavailable\r\n",
        505 => b"HTTP/1.1 505 HTTP Version Not Supported\r\n",
        _ => b"HTTP/1.1 500 Internal Server Error\r\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_types::query::Consistency;

    const PLAIN: Wire = Wire { length: 0, gzip: false, close: false, old: false };

    fn head(answer: &Answer, wire: Wire) -> String {
        let mut out = Vec::new();
        answer.write_head(&mut out, b"Vary: Accept-Encoding\r\n", &wire);
        let text = String::from_utf8(out).unwrap();
        let date = text.find("Date: ").unwrap();
        let end = date + text[date..].find("\r\n").unwrap();
        format!("{}{}", &text[..date], &text[end + 2..])
    }

    #[test]
    fn the_headers_of_a_read() {
        let meta = QueryMeta {
            index: 12,
            filtered: false,
            last_contact: Duration::from_micros(7_900),
            known_leader: true,
            consistency: Consistency::Stale,
        };
        let reply = Reply { result: Evaluated::new(12, vec![1, 2]), meta };
        let answer = read_with_consistency::<_, HttpError>(Ok(reply), |result| {
            Answer::shared(result, false, Clone::clone)
        });
        assert_eq!(answer.body, "[1,2]");
        assert_eq!(
            head(&answer, Wire { length: 5, ..PLAIN }),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nVary: Accept-Encoding\r\n\
             X-Consul-Index: 12\r\nX-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 7\r\n\
             X-Consul-Query-Backend: blocking-query\r\n\
             X-Consul-Effective-Consistency: stale\r\nContent-Length: 5\r\n\r\n"
        );
    }

    #[test]
    fn a_failed_read_has_empty_headers() {
        let failed: Result<Reply<()>, _> = Err(HttpError::refused("No path to datacenter"));
        let answer = read_with_consistency(failed, |_| Answer::ok());
        assert_eq!(
            head(&answer, Wire { length: 21, close: true, ..PLAIN }),
            "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Vary: Accept-Encoding\r\nX-Consul-Index: 1\r\nX-Consul-Knownleader: false\r\n\
             X-Consul-Lastcontact: 0\r\nX-Consul-Query-Backend: blocking-query\r\n\
             Content-Length: 21\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn an_empty_answer_has_no_type() {
        assert_eq!(
            head(&Answer::ok(), Wire { old: true, ..PLAIN }),
            "HTTP/1.1 200 OK\r\nVary: Accept-Encoding\r\nContent-Length: 0\r\n\
             Connection: keep-alive\r\n\r\n"
        );
        assert_eq!(Answer::text(429, "").content_type, None);
    }

    #[test]
    fn equal_queries_share_one_body() {
        let result = Evaluated::new(1, "x");
        let first = Answer::shared(&result, true, |v| *v);
        let second = Answer::shared::<_, &str>(&result, true, |_| unreachable!("encoded before"));
        assert_eq!(first.body.as_ptr(), second.body.as_ptr());
        assert_eq!(Answer::shared(&result, false, |v| *v).body, "\"x\"");
    }
}
