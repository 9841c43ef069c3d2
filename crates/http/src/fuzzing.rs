//! The readers of requests by themselves, for fuzz targets and property tests.
//!
//! It is hidden and no part of the crate's promise; a program opens a server instead.

use std::sync::Arc;

use lictor_task::CancellationToken;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::answer::Answer;
use crate::config::HttpLimits;
use crate::connection::{self, Answering, Service, Shared};
use crate::encoding::Compressor;
use crate::query::Query;
use crate::request::Request;
use crate::socket::{Socket, Stream};
use crate::{head, path, query};

/// Largest body that [`connection`] takes.
pub const BODY_MAX: usize = 1000;

/// Reads the head of a request; the bytes that it takes.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<usize> {
    let (head, length) = head::parse(bytes).ok().flatten()?;
    let _ = (head.request.token(), head.request.read_options());
    Some(length)
}

/// A path as the router would see it, decoded and clean.
#[must_use]
pub fn path(text: &str) -> Option<String> {
    let decoded = path::decode(text)?;
    let cleaned = path::clean(&decoded);
    let path = cleaned.unwrap_or_else(|| decoded.into_owned());
    path::is_printable(&path).then_some(path)
}

/// The parameters of a query string, if it is well-formed.
#[must_use]
pub fn query(text: &str) -> Option<Vec<(String, String)>> {
    let query = Query::new(text);
    let _ = (query.node_meta(), query::read_options(&query, String::new()));
    let owned = query.pairs().map(|(name, value)| (name.into_owned(), value.into_owned()));
    query.is_well_formed().then(|| owned.collect())
}

/// Answers each request with its body.
struct Echo;

impl Service for Echo {
    fn body_limit(&self, _: &Request) -> (usize, Answer) {
        (BODY_MAX, Answer::text(413, "too large"))
    }

    fn prepare(&self, _: &mut Request) {}

    fn call<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        Box::pin(async move { Answer::text(200, request.body.clone()) })
    }

    fn common_headers(&self) -> &[u8] {
        b""
    }
}

/// Serves a client that sends `bytes` and nothing more; what it is answered. Every request is
/// answered with its own body.
///
/// # Errors
/// When the system has no sockets.
pub async fn connection(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let (server, client) = UnixStream::pair()?;
    let (limits, compressor) = (HttpLimits::default(), Compressor::default());
    let shared = Arc::new(Shared { service: Echo, limits, compressor });
    let serving =
        connection::serve(Socket::Plain(Stream::Unix(server)), shared, CancellationToken::new());
    let (mut read, mut write) = client.into_split();
    let sending = async move {
        // The server may close before it has read everything.
        let _ = write.write_all(bytes).await;
        drop(write);
    };
    let mut answers = Vec::new();
    let (_, (), _) = tokio::join!(read.read_to_end(&mut answers), sending, serving);
    Ok(answers)
}
