//! The client of the HTTP API: requests over kept-alive connections to one agent.
//!
//! It knows how to ask and how errors are worded; what is asked, call by call, is in the file of
//! each resource (`kv`, `catalog`, …). It starts no tasks: a connection is driven by the request
//! that uses it. Error texts are those of the original's client.

mod acl;
mod config;
mod streaming;
mod tls;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;

pub use acl::TokenQuery;
pub use config::{Address, ClientConfig, ConfigError, Overrides, TlsConfig};
pub use hyper::Method;
pub use streaming::Streaming;
pub use transport::TransportError;

use transport::Transport;

use crate::url;

/// Largest answer that is accepted unless a request says otherwise.
pub const RESPONSE_MAX: usize = 64 * 1024 * 1024;
/// Longest time that a request which does not block may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Time given to a blocking query on top of its wait.
pub const BLOCKING_MARGIN: Duration = Duration::from_secs(15);

/// What is read of a refusal where a stream was expected.
const REFUSAL_MAX: usize = 64 * 1024;

const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-consul-token");

/// A client of one agent. Clones share connections.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
    token: Option<HeaderValue>,
    basic_auth: Option<HeaderValue>,
    datacenter: Option<Arc<str>>,
}

/// What to ask; made by [`Client::get`] and its kin.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    target: String,
    has_query: bool,
    body: Bytes,
    timeout: Duration,
    limit: usize,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why a call gave no result. The texts are those that users of the original's command line know.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer came.
    #[error("{method} {url}: {source}")]
    Transport {
        /// `Get`, `Put`, …
        method: String,
        /// What was asked.
        url: String,
        /// What went wrong.
        source: TransportError,
    },
    /// The agent refused, or failed.
    #[error("Unexpected response code: {status} ({body})")]
    Status {
        /// HTTP status.
        status: u16,
        /// Text of the answer.
        body: String,
    },
    /// The answer is not what was expected.
    #[error("Failed to decode the response: {0}")]
    Decode(#[from] serde_json::Error),
    /// A request or its token cannot be expressed in HTTP.
    #[error("invalid {0}")]
    Invalid(&'static str),
}

impl ClientError {
    /// HTTP status of a refusal.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Transport { .. } | Self::Decode(_) | Self::Invalid(_) => None,
        }
    }

    /// Whether the same call may succeed later: nothing answered, or the agent had a problem.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Transport { source, .. } => !matches!(source, TransportError::TooLarge(_)),
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            Self::Decode(_) | Self::Invalid(_) => false,
        }
    }
}

/// Options of reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Let any server answer.
    pub stale: bool,
    /// Make the leader confirm its leadership first.
    pub consistent: bool,
}

impl Client {
    /// A client for `config`. Nothing is connected yet; certificate files are read.
    ///
    /// # Errors
    /// When certificates cannot be read, or the token cannot be sent.
    pub fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        let token = match config.token.as_str() {
            "" => None,
            token => Some(secret(token).ok_or(ConfigError::Token)?),
        };
        let basic_auth = match &config.basic_auth {
            None => None,
            Some(pair) => {
                use base64::Engine as _;
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                Some(secret(&format!("Basic {encoded}")).ok_or(ConfigError::BasicAuth)?)
            }
        };
        Ok(Self {
            transport: Arc::new(Transport::new(config)?),
            token,
            basic_auth,
            datacenter: config.datacenter.as_deref().filter(|dc| !dc.is_empty()).map(Arc::from),
        })
    }

    /// The same client acting with another token; empty for none.
    ///
    /// # Errors
    /// When the token holds characters that a header cannot.
    pub fn with_token(&self, token: &str) -> Result<Self, ClientError> {
        let token = match token {
            "" => None,
            token => Some(secret(token).ok_or(ClientError::Invalid("token"))?),
        };
        Ok(Self { token, ..self.clone() })
    }

    /// The same client asking another datacenter.
    #[must_use]
    pub fn with_datacenter(&self, datacenter: &str) -> Self {
        let datacenter = Some(datacenter).filter(|dc| !dc.is_empty()).map(Arc::from);
        Self { datacenter, ..self.clone() }
    }

    /// A read of `path` (encoded, starting with `/`).
    #[must_use]
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// A read of `path` with the usual options.
    #[must_use]
    pub fn read(&self, path: &str, options: ReadOptions) -> Request {
        let mut request = self.get(path);
        if options.stale {
            request = request.flag("stale");
        }
        if options.consistent {
            request = request.flag("consistent");
        }
        request
    }

    /// A write to `path`.
    #[must_use]
    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    /// A request with any method.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> Request {
        let request = Request {
            method,
            target: path.to_owned(),
            has_query: path.contains('?'),
            body: Bytes::new(),
            timeout: REQUEST_TIMEOUT,
            limit: RESPONSE_MAX,
            headers: Vec::new(),
        };
        match &self.datacenter {
            Some(datacenter) => request.pair("dc", datacenter),
            None => request,
        }
    }

    /// Sends `request` and reads the answer, whatever its status.
    ///
    /// # Errors
    /// When no complete answer came in time.
    pub async fn send(&self, request: Request) -> Result<Response, ClientError> {
        let built = self.build(&request)?;
        let answer = self.transport.exchange(built, request.timeout, request.limit).await;
        answer.map_err(|source| self.no_answer(&request, source))
    }

    /// Sends `request` and expects a successful answer that has no end of its own. The request's
    /// time is that up to its beginning.
    ///
    /// # Errors
    /// When no answer came in time, or one with a status other than 200.
    pub async fn stream(&self, request: Request) -> Result<Streaming, ClientError> {
        let built = self.build(&request)?;
        let opened = self.transport.open(built, request.timeout).await;
        let mut stream = opened.map_err(|source| self.no_answer(&request, source))?;
        if stream.status() == 200 {
            return Ok(stream);
        }
        let mut body = Vec::new();
        while body.len() < REFUSAL_MAX
            && let Ok(Ok(Some(piece))) = tokio::time::timeout(request.timeout, stream.next()).await
        {
            body.extend_from_slice(&piece);
        }
        let body = String::from_utf8_lossy(&body).trim_end_matches('\n').to_owned();
        Err(ClientError::Status { status: stream.status(), body })
    }

    fn no_answer(&self, request: &Request, source: TransportError) -> ClientError {
        ClientError::Transport {
            method: capitalised(request.method.as_str()),
            url: format!("{}{}", self.transport.base_url(), request.target),
            source,
        }
    }

    fn build(
        &self,
        request: &Request,
    ) -> Result<hyper::Request<http_body_util::Full<Bytes>>, ClientError> {
        let mut builder = hyper::Request::builder()
            .method(request.method.clone())
            .uri(request.target.as_str())
            .header(hyper::header::HOST, self.transport.host())
            .header(hyper::header::USER_AGENT, "lictor");
        if let Some(token) = &self.token {
            builder = builder.header(TOKEN_HEADER, token.clone());
        }
        if let Some(basic) = &self.basic_auth {
            builder = builder.header(AUTHORIZATION, basic.clone());
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        builder
            .body(http_body_util::Full::new(request.body.clone()))
            .map_err(|_| ClientError::Invalid("request path"))
    }

    /// Sends `request` and expects success.
    ///
    /// # Errors
    /// When no answer came, or one with a status other than 200.
    pub async fn call(&self, request: Request) -> Result<Response, ClientError> {
        self.send(request).await?.expect_ok()
    }

    /// Sends `request` and reads the JSON of a successful answer.
    ///
    /// # Errors
    /// Those of [`Client::call`], or when the body is not a `T`.
    pub async fn call_json<T: DeserializeOwned>(&self, request: Request) -> Result<T, ClientError> {
        self.call(request).await?.json()
    }

    /// A blocking read: `path` with `index` and `wait` appended; returns when the index passed
    /// `index` or the wait is over, whatever the status. An `index` of 0 does not block.
    ///
    /// # Errors
    /// When no complete answer came in the time of the wait plus a margin.
    pub async fn get_blocking(
        &self,
        path: &str,
        index: u64,
        wait: Duration,
    ) -> Result<Response, ClientError> {
        let mut request = self.get(path);
        if index > 0 {
            request = request.pair("index", &index.to_string()).blocking(wait);
        }
        self.send(request).await
    }

    /// A blocking read by content hash; an empty `hash` does not block.
    ///
    /// # Errors
    /// Those of [`Client::get_blocking`].
    pub async fn get_blocking_hash(
        &self,
        path: &str,
        hash: &str,
        wait: Duration,
    ) -> Result<Response, ClientError> {
        let mut request = self.get(path);
        if !hash.is_empty() {
            request = request.pair("hash", hash).blocking(wait);
        }
        self.send(request).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.transport.base_url()).finish_non_exhaustive()
    }
}

impl Request {
    /// Adds a query parameter; the value is encoded here.
    #[must_use]
    pub fn pair(mut self, name: &str, value: &str) -> Self {
        self.separate();
        self.target.push_str(name);
        self.target.push('=');
        url::escape_query(&mut self.target, value);
        self
    }

    /// Adds a query parameter unless its value is empty.
    #[must_use]
    pub fn pair_if(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.pair(name, value) }
    }

    /// Adds a query parameter without a value.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.separate();
        self.target.push_str(name);
        self
    }

    /// The request's body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// A JSON body.
    ///
    /// # Errors
    /// When `value` cannot be expressed in JSON.
    pub fn json<T: serde::Serialize + ?Sized>(self, value: &T) -> Result<Self, ClientError> {
        Ok(self.body(serde_json::to_vec(value)?))
    }

    /// Adds a header.
    ///
    /// # Errors
    /// When name or value hold characters that a header cannot.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ClientError> {
        let name = HeaderName::try_from(name).map_err(|_| ClientError::Invalid("header name"))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| ClientError::Invalid("header"))?;
        value.set_sensitive(name.as_str().contains("token"));
        self.headers.push((name, value));
        Ok(self)
    }

    /// How long the whole exchange may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Largest body of the answer, in bytes.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Adds `wait` and makes the time-out follow from it: the server may add a sixteenth.
    fn blocking(self, wait: Duration) -> Self {
        let text = format!("{}ms", wait.as_millis());
        self.pair("wait", &text).timeout(wait + wait / 16 + BLOCKING_MARGIN)
    }

    fn separate(&mut self) {
        self.target.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
    }
}

impl Response {
    /// This answer if its status is 200.
    ///
    /// # Errors
    /// With status and text otherwise.
    pub fn expect_ok(self) -> Result<Self, ClientError> {
        if self.status == 200 {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(&self.body).trim_end_matches('\n').to_owned();
        Err(ClientError::Status { status: self.status, body })
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `X-Consul-Index`; 0 when there is none.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.header("x-consul-index").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// `X-Consul-ContentHash`; empty when there is none.
    #[must_use]
    pub fn content_hash(&self) -> &str {
        self.header("x-consul-contenthash").unwrap_or("")
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn capitalised(method: &str) -> String {
    let mut text = method.to_ascii_lowercase();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

#[cfg(test)]
mod tests;
