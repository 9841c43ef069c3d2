//! The server port: what a connection wants is its first byte.
//!
//! Methods, consensus and snapshots are others' to answer: see [`Service`].

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lictor_metrics::{Handle, Metrics};
use lictor_task::TaskSet;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;

mod refusals;

use refusals::Ended;
pub use refusals::Refusals;

use crate::message::{self, MessageError, NOTHING, RequestHead, ResponseHead, Splitter};
use crate::mux::{Io, Mux, MuxStream};
use crate::yamux;

/// One stream of calls, no others on the connection.
pub const SINGLE: u8 = 0;
/// Consensus.
pub const CONSENSUS: u8 = 1;
/// TLS; another first byte follows within.
pub const TLS: u8 = 3;
/// Several streams of calls.
pub const MULTIPLEXED: u8 = 4;
/// A snapshot.
pub const SNAPSHOT: u8 = 5;
/// TLS whose client need not have a certificate; calls of [`Service::open_call`] follow within.
pub const OPEN: u8 = 7;
/// Messages of consensus between servers of ours, several at a time: the original knows no such
/// byte and closes the connection.
pub const PEERS: u8 = b'L';
/// The only method on such a connection.
pub const PEER_METHOD: &str = "Raft.Message";

/// What is counted of the port, by the original's names.
#[derive(Clone, Debug)]
pub struct Meters {
    accepted: Handle,
    consensus: Handle,
    calls: Handle,
    broken: Handle,
}

impl Meters {
    /// Counts in this registry.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str| metrics.counter(&format!("rpc.{name}"));
        Self {
            accepted: counter("accept_conn"),
            consensus: counter("raft_handoff"),
            calls: counter("request"),
            broken: counter("request_error"),
        }
    }
}

/// Settings of the port.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// How long a connection may take to say what it wants.
    pub handshake_timeout: Duration,
    /// How long an answer may take to be sent.
    pub write_timeout: Duration,
    /// How long the next call may take to come, whole: callers drop what they do not use much
    /// earlier.
    pub idle_timeout: Duration,
    /// Most connections at a time.
    pub connections_max: usize,
    /// Most connections of one address at a time; 0 for any number.
    pub connections_per_client: usize,
    /// Most calls of one connection at a time.
    pub calls_max: usize,
    /// Where connections and calls are counted.
    pub meters: Meters,
    /// Whether connections without TLS are refused.
    pub tls_required: bool,
    /// The session's settings.
    pub session: yamux::Config,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(600),
            connections_max: 4096,
            connections_per_client: 0,
            calls_max: 1024,
            meters: Meters::new(&Metrics::default()),
            tls_required: false,
            session: yamux::Config::default(),
        }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// There is no such service.
    NoService,
    /// The service has no such method: callers of later versions fall back to another one.
    NoMethod,
    /// The call failed; the text is what the caller gets.
    Failed(String),
}

/// An answer in the making.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, CallError>> + Send + 'a>>;
/// An answer to a message of consensus in the making.
pub type AnsweringPeer<'a> = Pin<Box<dyn Future<Output = Result<Bytes, CallError>> + Send + 'a>>;
/// A connection that somebody else goes on with.
pub type Serving<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;

/// What answers on the port.
pub trait Service: Send + Sync + 'static {
    /// Answers a call: a body for a body.
    fn call<'a>(&'a self, from: SocketAddr, method: &'a str, body: Vec<u8>) -> Answering<'a>;
    /// Answers a call of somebody who has not proven to belong to the cluster.
    fn open_call<'a>(&'a self, from: SocketAddr, method: &'a str, body: Vec<u8>) -> Answering<'a> {
        let _ = (from, method, body);
        Box::pin(async { Err(CallError::NoService) })
    }
    /// Answers a message of consensus of a server of ours.
    fn peer<'a>(&'a self, from: SocketAddr, message: Bytes) -> AnsweringPeer<'a>;
    /// A connection of such messages has ended.
    fn peer_gone(&self, _from: SocketAddr) {}
    /// Goes on with a connection that wants consensus as the original speaks it.
    fn consensus(&self, from: SocketAddr, io: Box<dyn Connection>) -> Serving<'_>;
    /// Goes on with a connection that wants a snapshot.
    fn snapshot(&self, from: SocketAddr, io: Box<dyn Connection>) -> Serving<'_>;
}

/// Any connection.
pub trait Connection: Io {}

impl<T: Io> Connection for T {}

/// Gives the TLS settings of a new connection, which a reload may change; `None` without TLS. With
/// true, those that ask for no certificate, for [`OPEN`].
pub type Acceptors = Arc<dyn Fn(bool) -> Option<Acceptor> + Send + Sync>;

/// TLS settings of a connection.
#[derive(Clone)]
pub struct Acceptor {
    /// What the handshake is done with.
    pub tls: TlsAcceptor,
    /// Says who the other side is by the certificates that it presented; `Err` says why it is refused.
    /// `None` where none are demanded: then anybody may do everything.
    pub judge: Option<Arc<Judge>>,
}

/// See [`Acceptor::judge`].
pub type Judge = dyn Fn(&[CertificateDer<'static>]) -> Result<Standing, String> + Send + Sync;

/// What the other side of a connection may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything.
    Server,
    /// Everything but to take part in consensus; with why that is so.
    Agent(String),
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("judge", &self.judge.is_some()).finish_non_exhaustive()
    }
}

/// How long a refused `accept` is waited after: mostly there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until `tasks` end.
pub async fn accept(
    listener: TcpListener,
    tls: Acceptors,
    config: ServerConfig,
    service: Arc<dyn Service>,
    tasks: TaskSet,
) {
    let slots = Arc::new(Semaphore::new(config.connections_max));
    let clients = Clients::default();
    let refusals = Arc::new(Refusals::default());
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no RPC connection can be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(counted) = clients.count(from.ip(), config.connections_per_client) else {
            tracing::warn!(%from, "too many RPC connections of one address: one is refused");
            continue;
        };
        config.meters.accepted.count();
        let _ = stream.set_nodelay(true);
        let (config, service, tls) = (config.clone(), Arc::clone(&service), Arc::clone(&tls));
        let (connections, refusals) = (tasks.clone(), Arc::clone(&refusals));
        tasks.spawn_cut("rpc accept", async move {
            let door = Door { config, service, tls, kind: Kind::Calls, tasks: connections };
            match door.connection(Box::new(stream), from, None).await {
                Ok(()) => {}
                Err(Ended::Refused(reason)) => refusals.tell(from, &reason),
                Err(Ended::Lost(error)) => {
                    tracing::debug!(%from, %error, "RPC connection ended");
                }
            }
            drop((slot, counted));
        });
    }
}

/// Connections by address.
#[derive(Clone, Debug, Default)]
struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that counts as long as this lives.
struct Counted(Clients, IpAddr);

impl Clients {
    /// Counts a connection; `None` when its address has `most` already.
    fn count(&self, from: IpAddr, most: usize) -> Option<Counted> {
        let mut counts = self.0.lock();
        let count = counts.entry(from).or_default();
        if most > 0 && *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted(self.clone(), from))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock();
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

/// What is asked on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Calls,
    /// It is one of [`PEERS`].
    Peers,
    /// It is one of [`OPEN`].
    Open,
}

/// What connections have in common.
#[derive(Clone)]
struct Door {
    config: ServerConfig,
    service: Arc<dyn Service>,
    tls: Acceptors,
    kind: Kind,
    tasks: TaskSet,
}

impl Door {
    async fn connection(
        &self,
        mut io: Box<dyn Connection>,
        from: SocketAddr,
        standing: Option<Standing>,
    ) -> Result<(), Ended> {
        let limit = self.config.handshake_timeout;
        let kind = timeout(limit, io.read_u8()).await.map_err(timed_out)??;
        let secure = standing.is_some();
        if self.config.tls_required && !secure && kind != TLS && kind != OPEN {
            return Err(Ended::Refused("without TLS, which is demanded here".to_owned()));
        }
        if let Some(Standing::Agent(reason)) = standing
            && matches!(kind, PEERS | CONSENSUS)
        {
            return Err(Ended::Refused(format!("consensus with what is no server: {reason}")));
        }
        match kind {
            SINGLE => self.calls(&mut Whole(io), from).await?,
            MULTIPLEXED => self.multiplexed(io, from).await?,
            PEERS => {
                self.config.meters.consensus.count();
                Self { kind: Kind::Peers, ..self.clone() }.multiplexed(io, from).await?;
            }
            CONSENSUS => {
                self.config.meters.consensus.count();
                self.service.consensus(from, io).await?;
            }
            SNAPSHOT => self.service.snapshot(from, io).await?,
            TLS if !secure => {
                let (accepted, standing) = self.handshake(io, false).await?;
                Box::pin(self.connection(accepted, from, Some(standing))).await?;
            }
            OPEN if !secure => {
                let (accepted, _) = self.handshake(io, true).await?;
                let door = Self { kind: Kind::Open, ..self.clone() };
                door.calls(&mut Whole(accepted), from).await?;
            }
            other => return Err(Ended::Refused(format!("first byte {other} is not known"))),
        }
        Ok(())
    }

    async fn handshake(
        &self,
        io: Box<dyn Connection>,
        open: bool,
    ) -> Result<(Box<dyn Connection>, Standing), Ended> {
        let Some(acceptor) = (self.tls)(open) else {
            return Err(Ended::Refused("with TLS, which is not configured here".to_owned()));
        };
        let accepting = acceptor.tls.accept(io).into_fallible();
        match timeout(self.config.handshake_timeout, accepting).await.map_err(timed_out)? {
            Ok(accepted) => {
                let presented = accepted.get_ref().1.peer_certificates().unwrap_or_default();
                let judged = acceptor.judge.map_or(Ok(Standing::Server), |judge| judge(presented));
                let standing = judged.map_err(Ended::Refused)?;
                Ok((Box::new(accepted), standing))
            }
            Err((error, _)) if error.kind() != io::ErrorKind::InvalidData => Err(error.into()),
            Err((error, io)) => {
                refusals::linger(io).await;
                Err(Ended::Refused(format!("TLS handshake: {error}")))
            }
        }
    }

    async fn multiplexed(&self, io: Box<dyn Connection>, from: SocketAddr) -> io::Result<()> {
        let (mux, mut incoming) = Mux::start(io, false, self.config.session, &self.tasks);
        let calls = Arc::new(Semaphore::new(self.config.calls_max));
        while let Some(mut stream) = incoming.recv().await {
            let Ok(slot) = Arc::clone(&calls).try_acquire_owned() else {
                tracing::warn!(%from, "too many RPC streams: one is refused");
                continue;
            };
            let door = self.clone();
            self.tasks.spawn_cut("rpc stream", async move {
                if let Err(error) = door.calls(&mut stream, from).await {
                    tracing::debug!(%from, %error, "RPC stream ended");
                }
                drop(slot);
            });
        }
        if self.kind == Kind::Peers {
            self.service.peer_gone(from);
        }
        mux.close();
        Ok(())
    }

    /// Answers calls one after the other.
    async fn calls(&self, stream: &mut impl Calls, from: SocketAddr) -> io::Result<()> {
        let mut splitter = Splitter::default();
        let patience = match self.kind {
            // Of a stranger no more is waited for than of somebody who says nothing.
            Kind::Open => self.config.handshake_timeout,
            Kind::Calls | Kind::Peers => self.config.idle_timeout,
        };
        loop {
            let next = timeout(patience, next_call(&mut splitter, stream));
            let Some((head, body)) = self.counted(next.await.map_err(timed_out)?)? else {
                return stream.end().await;
            };
            let (answer, goes_on) = self.answer(from, head, body).await?;
            // Messages of consensus are counted there.
            if self.kind != Kind::Peers {
                let meters = &self.config.meters;
                if goes_on { &meters.calls } else { &meters.broken }.count();
            }
            let written = timeout(self.config.write_timeout, stream.write(&answer)).await;
            written.map_err(timed_out)??;
            if !goes_on {
                return stream.end().await;
            }
        }
    }

    /// Counts what cannot be read; that a connection ends is no mistake.
    fn counted<T>(&self, next: io::Result<T>) -> io::Result<T> {
        next.inspect_err(|error| {
            if error.kind() == io::ErrorKind::InvalidData {
                self.config.meters.broken.count();
            }
        })
    }

    async fn called(
        &self,
        from: SocketAddr,
        method: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        match self.kind {
            Kind::Calls => return self.service.call(from, method, body).await,
            Kind::Open => return self.service.open_call(from, method, body).await,
            Kind::Peers => {}
        }
        if method != PEER_METHOD {
            return Err(CallError::NoService);
        }
        let message = message::unwrap(body).map_err(|e| CallError::Failed(e.to_string()))?;
        Ok(message::wrap(&self.service.peer(from, message).await?))
    }

    /// Head and body of an answer, and whether the stream goes on after it.
    async fn answer(
        &self,
        from: SocketAddr,
        head: RequestHead,
        body: Vec<u8>,
    ) -> io::Result<(Vec<u8>, bool)> {
        let method = head.service_method;
        let (error, body, goes_on) = match method.rsplit_once('.') {
            None => (format!("rpc: service/method request ill-formed: {method}"), None, false),
            Some(_) => match self.called(from, &method, body).await {
                Ok(body) => (String::new(), Some(body), true),
                Err(CallError::NoService) => {
                    (format!("rpc: can't find service {method}"), None, false)
                }
                Err(CallError::NoMethod) => {
                    (format!("rpc: can't find method {method}"), None, false)
                }
                Err(CallError::Failed(text)) => (text, None, true),
            },
        };
        let head = ResponseHead { error, seq: head.seq, service_method: method };
        let body = body.as_deref().unwrap_or(NOTHING);
        let bytes = message::encode(&head, body).map_err(broken)?;
        Ok((bytes, goes_on))
    }
}

fn timed_out(_: tokio::time::error::Elapsed) -> io::Error {
    io::ErrorKind::TimedOut.into()
}

fn broken(error: MessageError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What calls come on: a whole connection, or a stream of one.
trait Calls: Send {
    /// Appends what has come; false at the end.
    fn read(&mut self, into: &mut Vec<u8>) -> impl Future<Output = io::Result<bool>> + Send;
    /// Sends all of it.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    /// Says that no more will be sent.
    fn end(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

struct Whole(Box<dyn Connection>);

impl Calls for Whole {
    async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        Ok(self.0.read_buf(into).await? > 0)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    async fn end(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

impl Calls for MuxStream {
    async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        Self::read(self, into).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await
    }

    async fn end(&mut self) -> io::Result<()> {
        Self::end(self);
        Ok(())
    }
}

/// The next call; `None` when the stream has ended, which it may between calls and nowhere else.
async fn next_call(
    splitter: &mut Splitter,
    stream: &mut impl Calls,
) -> io::Result<Option<(RequestHead, Vec<u8>)>> {
    let mut head = None;
    loop {
        while let Some(value) = splitter.next_value().map_err(broken)? {
            match head.take() {
                None => head = Some(message::decode(&value).map_err(broken)?),
                Some(head) => return Ok(Some((head, value))),
            }
        }
        if !stream.read(splitter.buffer()).await? {
            let between = splitter.is_empty() && head.is_none();
            return if between { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}
