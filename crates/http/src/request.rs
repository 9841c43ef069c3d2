//! A request as the handlers see it.
//!
//! How it came over the wire is in [`crate::head`].

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use lictor_forward::WriteOptions;
use lictor_types::query::{Consistency, QueryOptions};

use crate::error::HttpError;
use crate::query::{self, Query};

/// A request method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Put,
    Post,
    Delete,
    Head,
    Options,
    /// Any other; no endpoint has one.
    Other(Box<str>),
}

impl Method {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "GET" => Self::Get,
            "PUT" => Self::Put,
            "POST" => Self::Post,
            "DELETE" => Self::Delete,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            other => Self::Other(other.into()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Other(text) => text,
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method.
    pub(crate) method: Method,
    /// Path, decoded.
    pub(crate) path: String,
    /// Query.
    pub(crate) query: Query,
    /// Token of the headers; see [`Request::token`].
    pub(crate) header_token: String,
    /// The agent's own token, for those who bring none; see [`Request::token`].
    pub(crate) own_token: String,
    /// See [`Request::read_options`].
    pub(crate) discovery_max_stale: Duration,
    /// What the bearer's token stands for, if it is a managed proxy's.
    pub(crate) stands_for: Option<String>,
    /// Client that a proxy in front of us names; see [`Request::source`].
    pub(crate) forwarded: Option<IpAddr>,
    /// Who is at the other end of the connection; nobody on a local socket.
    pub(crate) peer: Option<IpAddr>,
    /// Whether the client takes gzip.
    pub(crate) gzip: bool,
    /// Body.
    pub(crate) body: Bytes,
}

impl Request {
    /// The token that the caller acts with: the query's wins over the headers', and those over the
    /// agent's own; a managed proxy acts with its service's. Empty for none.
    pub(crate) fn token(&self) -> String {
        self.stands_for.clone().unwrap_or_else(|| self.bearer())
    }

    /// The token as it came, or else the agent's own.
    pub(crate) fn bearer(&self) -> String {
        match self.query.get("token") {
            Some(token) if !token.is_empty() => token.into_owned(),
            _ if self.header_token.is_empty() => self.own_token.clone(),
            _ => self.header_token.clone(),
        }
    }

    /// Where the request came from, as far as anybody says so. It is no proof of anything.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        self.forwarded.or(self.peer)
    }

    /// Where a write goes, and who writes.
    pub(crate) fn write_options(&self) -> WriteOptions {
        WriteOptions { datacenter: self.query.text("dc").into_owned(), token: self.token() }
    }

    /// The options of a read.
    ///
    /// # Errors
    /// 400 when an option cannot be understood.
    pub(crate) fn read_options(&self) -> Result<QueryOptions, HttpError> {
        let mut options = query::read_options(&self.query, self.token())?;
        let bound = self.discovery_max_stale;
        let about = |prefix: &str| self.path.starts_with(prefix);
        if !bound.is_zero()
            && options.consistency == Consistency::Leader
            && (about("/v1/catalog") || about("/v1/health"))
        {
            (options.consistency, options.max_stale) = (Consistency::Stale, bound);
        }
        Ok(options)
    }
}
