//! Connections to the agent: opening, keeping a few, and one request–answer exchange on one.
//!
//! There are no background tasks: an idle connection is not driven, and found dead at its next
//! use. Meaning of paths, tokens and bodies is the caller's.

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::streaming::Streaming;
use super::tls::TlsDialer;
use super::{Address, ClientConfig, ConfigError, Response};

/// Idle connections that are kept.
const IDLE_MAX: usize = 4;
/// Longest time that a connection is kept idle.
const IDLE_TIME: Duration = Duration::from_secs(45);
/// Longest time for connecting, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of an answer.
const HEAD_MAX: usize = 64 * 1024;

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The agent cannot be reached.
    #[error("dial {network} {address}: {reason}")]
    Dial {
        /// `tcp` or `unix`.
        network: &'static str,
        /// Where.
        address: String,
        /// Why, such as `connect: connection refused`.
        reason: String,
    },
    /// The agent's port speaks without TLS.
    #[error("http: server gave HTTP response to HTTPS client")]
    NoTls,
    /// TLS could not be agreed on.
    #[error("tls: {0}")]
    Tls(io::Error),
    /// The connection broke, or what came is no HTTP.
    #[error("{0}")]
    Broken(#[from] hyper::Error),
    /// The agent closed the connection before it answered.
    #[error("EOF")]
    Closed,
    /// The answer did not come in time.
    #[error("net/http: request canceled (Client.Timeout exceeded while awaiting headers)")]
    Timeout,
    /// The answer is larger than allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(super) type Io = TokioIo<Box<dyn Stream>>;

/// Does a connection's reading and writing when polled; gone once the connection ended.
pub(super) type Driver = Option<Pin<Box<Connection<Io, Full<Bytes>>>>>;

pub(super) struct Transport {
    address: Address,
    tls: Option<TlsDialer>,
    base_url: String,
    host: String,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// A connection with its driver.
pub(super) struct Link {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) driver: Driver,
}

/// A failed exchange; `unsent` gives the request back if the agent cannot have seen it.
struct Failure {
    error: TransportError,
    unsent: Option<Box<Request<Full<Bytes>>>>,
    before_answer: bool,
}

impl Failure {
    fn timeout() -> Self {
        Self { error: TransportError::Timeout, unsent: None, before_answer: false }
    }
}

impl Transport {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        let tls = match (&config.tls, &config.address) {
            (Some(tls), Address::Tcp(address)) => Some(TlsDialer::new(tls, address)?),
            _ => None,
        };
        let (base_url, host) = match &config.address {
            Address::Tcp(address) => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                (format!("{scheme}://{address}"), address.clone())
            }
            Address::Unix(path) => {
                (format!("http://unix/{}", path.display()), "127.0.0.1".to_owned())
            }
        };
        Ok(Self {
            address: config.address.clone(),
            tls,
            base_url,
            host,
            idle: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// One request and its answer. A kept connection that turns out dead is replaced, if the
    /// agent cannot have seen the request, or seeing it twice does no harm.
    pub(super) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
        limit: usize,
    ) -> Result<Response, TransportError> {
        let deadline = Instant::now() + within;
        let mut request = request;
        if let Some(link) = self.take_idle() {
            let spare = (request.method() == Method::GET).then(|| request.clone());
            match self.run(link, request, deadline, limit).await {
                Ok(response) => return Ok(response),
                Err(Failure { unsent: Some(back), .. }) => request = *back,
                Err(Failure { error, before_answer, .. }) => match spare {
                    Some(back) if before_answer => request = back,
                    _ => return Err(error),
                },
            }
        }
        let by = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let link = timeout_at(by, self.connect()).await.map_err(|_| self.dial_timeout())??;
        self.run(link, request, deadline, limit).await.map_err(|failure| failure.error)
    }

    /// One request whose answer has no end of its own, on a connection of its own.
    pub(super) async fn open(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<Streaming, TransportError> {
        let deadline = Instant::now() + within;
        let by = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let link = timeout_at(by, self.connect()).await.map_err(|_| self.dial_timeout())??;
        let opened = timeout_at(deadline, Streaming::open(link, request)).await;
        opened.unwrap_or(Err(TransportError::Timeout))
    }

    async fn run(
        &self,
        mut link: Link,
        request: Request<Full<Bytes>>,
        deadline: Instant,
        limit: usize,
    ) -> Result<Response, Failure> {
        let exchange = timeout_at(deadline, link.exchange(request, limit)).await;
        let response = exchange.unwrap_or_else(|_| Err(Failure::timeout()))?;
        // A moment for the connection to get ready for the next request; usually none is needed.
        if timeout(Duration::from_millis(100), link.settle()).await == Ok(true) {
            self.keep(link);
        }
        Ok(response)
    }

    fn take_idle(&self) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| kept.since.elapsed() < IDLE_TIME);
        idle.pop().map(|kept| kept.link)
    }

    fn keep(&self, link: Link) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(Idle { link, since: Instant::now() });
        }
    }

    async fn connect(&self) -> Result<Link, TransportError> {
        let stream: Box<dyn Stream> = match &self.address {
            Address::Unix(path) => Box::new(dial_unix(path).await?),
            Address::Tcp(address) => {
                let tcp = dial_tcp(address).await?;
                match &self.tls {
                    None => Box::new(tcp),
                    Some(tls) => Box::new(tls.wrap(tcp).await.map_err(TransportError::of_tls)?),
                }
            }
        };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_MAX);
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
        Ok(Link { sender, driver: Some(Box::pin(driver)) })
    }

    fn dial_timeout(&self) -> TransportError {
        let (network, address) = match &self.address {
            Address::Tcp(address) => ("tcp", address.clone()),
            Address::Unix(path) => ("unix", path.display().to_string()),
        };
        TransportError::Dial { network, address, reason: "i/o timeout".to_owned() }
    }
}

impl TransportError {
    fn of_tls(error: io::Error) -> Self {
        use rustls::{Error, InvalidMessage};
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
        match cause {
            Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => Self::NoTls,
            _ => Self::Tls(error),
        }
    }
}

impl Link {
    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Response, Failure> {
        if !self.settle().await {
            return Err(Failure {
                error: TransportError::Closed,
                unsent: Some(Box::new(request)),
                before_answer: true,
            });
        }
        let Self { sender, driver } = self;
        let mut sending = std::pin::pin!(sender.try_send_request(request));
        let answer = poll_fn(|cx| {
            drive(driver, cx);
            sending.as_mut().poll(cx)
        })
        .await;
        let answer = answer.map_err(|mut failed| Failure {
            unsent: failed.take_message().map(Box::new),
            error: failed.into_error().into(),
            before_answer: true,
        })?;
        let (head, body) = answer.into_parts();
        let body = read_body(driver, body, limit).await.map_err(|error| Failure {
            error,
            unsent: None,
            before_answer: false,
        })?;
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Waits until the connection can take a request; `false` when it is closed.
    pub(super) async fn settle(&mut self) -> bool {
        let Self { sender, driver } = self;
        poll_fn(|cx| {
            drive(driver, cx);
            match sender.poll_ready(cx) {
                Poll::Ready(ready) => Poll::Ready(ready.is_ok() && driver.is_some()),
                Poll::Pending if driver.is_none() => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// Lets the connection do its work; an ended one is dropped. Its errors reach the request.
pub(super) fn drive(driver: &mut Driver, cx: &mut std::task::Context<'_>) {
    if let Some(running) = driver
        && running.as_mut().poll(cx).is_ready()
    {
        *driver = None;
    }
}

async fn read_body(
    driver: &mut Driver,
    mut body: hyper::body::Incoming,
    limit: usize,
) -> Result<Bytes, TransportError> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    loop {
        let mut next = std::pin::pin!(body.frame());
        let frame = poll_fn(|cx| {
            drive(driver, cx);
            next.as_mut().poll(cx)
        })
        .await;
        let Some(frame) = frame else { break };
        let Ok(data) = frame?.into_data() else { continue };
        if whole.len() + first.len() + data.len() > limit {
            return Err(TransportError::TooLarge(limit));
        }
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

async fn dial_tcp(address: &str) -> Result<TcpStream, TransportError> {
    let failed = |shown: String, reason: String| TransportError::Dial {
        network: "tcp",
        address: shown,
        reason,
    };
    let found = tokio::net::lookup_host(address).await.map_err(|e| {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        failed(String::new(), format!("lookup {host}: {e}"))
    })?;
    let mut last = failed(address.to_owned(), "no address was found".to_owned());
    for target in found {
        match TcpStream::connect(target).await {
            Ok(stream) => {
                // Requests are small; waiting for more to send would only delay them.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(e) => last = failed(target.to_string(), connect_reason(&e)),
        }
    }
    Err(last)
}

async fn dial_unix(path: &PathBuf) -> Result<UnixStream, TransportError> {
    UnixStream::connect(path).await.map_err(|e| TransportError::Dial {
        network: "unix",
        address: path.display().to_string(),
        reason: connect_reason(&e),
    })
}

/// The words of the original's run time for the usual reasons.
fn connect_reason(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    format!("connect: {text}")
}
