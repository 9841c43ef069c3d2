//! Calls to another agent: one connection for each, with a stream for each call at a time.
//!
//! Whether a call that failed may have been carried out is told exactly: see [`ClientError`].

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lictor_task::TaskSet;
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::message::{self, MessageError, RequestHead, ResponseHead, Splitter};
use crate::mux::{Mux, MuxStream};
use crate::refusal::Refusals;
use crate::server::{Connection as Connectable, MULTIPLEXED, OPEN, PEER_METHOD, PEERS, TLS};
use crate::yamux;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams that are kept open between calls.
const IDLE_STREAMS: usize = 32;
/// How long a connection is kept that nobody uses.
const IDLE_CONNECTION: Duration = Duration::from_secs(127);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There was no connection and none could be made: nothing of the call has left.
    #[error("{0}: {1}")]
    Unreached(SocketAddr, io::Error),
    /// The other side was lost on the way: the call may have been carried out.
    #[error("{0}: {1}")]
    Io(SocketAddr, io::Error),
    /// What it answered cannot be read.
    #[error("{0}: {1}")]
    Message(SocketAddr, MessageError),
    /// It says that the call failed.
    #[error("rpc error making call: {0}")]
    Remote(String),
}

impl ClientError {
    /// Whether the call may be made again, to the same or another one, when it is only a read.
    #[must_use]
    pub const fn was_lost(&self) -> bool {
        matches!(self, Self::Unreached(..) | Self::Io(..))
    }
}

/// Names that certificates have to have, by what a [`Destination`] asks for.
pub type ServerNames = Arc<dyn Fn(&str) -> Option<ServerName<'static>> + Send + Sync>;

/// How long a peer may be silent before another connection to it is tried.
const DOUBTFUL: Duration = Duration::from_millis(300);

/// TLS towards other agents.
#[derive(Clone)]
pub struct ClientTls {
    /// The configuration.
    pub connector: TlsConnector,
    /// Gives the name for a destination's realm; where the configuration checks none, any will do.
    pub names: ServerNames,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

/// Who is called.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// Where.
    pub address: SocketAddr,
    /// Whether with TLS.
    pub secure: bool,
    /// What the other side's certificate is for: its datacenter.
    pub realm: &'a str,
}

/// Connections of different first bytes are different ones.
type Key = (SocketAddr, bool, u8);

#[derive(Debug)]
struct Connection {
    mux: Mux,
    idle: Mutex<Vec<(MuxStream, Splitter)>>,
    used: Mutex<Instant>,
    /// When the other side has shown that it is there.
    heard: Mutex<Instant>,
    /// It is encrypted, and nothing was answered on it yet: by the rules of TLS 1.3 the other side tells
    /// only now that it does not accept our certificate.
    unproven: AtomicBool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.mux.close();
    }
}

/// Connections to other agents; clones are the same one.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections: Mutex<BTreeMap<Key, Arc<Connection>>>,
    refusals: Mutex<Refusals>,
    tls: RwLock<Option<ClientTls>>,
    session: yamux::Config,
    seq: AtomicU64,
    tasks: TaskSet,
}

impl Pool {
    /// No connections yet. They end with `tasks`.
    #[must_use]
    pub fn new(tls: Option<ClientTls>, session: yamux::Config, tasks: TaskSet) -> Self {
        let connections = Mutex::new(BTreeMap::new());
        let refusals = Mutex::new(Refusals::default());
        let (tls, seq) = (RwLock::new(tls), AtomicU64::new(0));
        Self(Arc::new(Inner { connections, refusals, tls, session, seq, tasks }))
    }

    /// What runs for them.
    #[must_use]
    pub fn tasks(&self) -> &TaskSet {
        &self.0.tasks
    }

    /// Takes over another TLS configuration. Connections that there are stay, and whoever refused the
    /// old certificate is asked with the new one at once.
    pub fn set_tls(&self, tls: Option<ClientTls>) {
        *self.0.tls.write() = tls;
        self.0.refusals.lock().clear();
    }

    /// Calls a method of another agent.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call(
        &self,
        to: Destination<'_>,
        method: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, ClientError> {
        self.call_on(MULTIPLEXED, to, method, body).await
    }

    /// Has a message of consensus answered by a peer, on a connection that carries nothing else:
    /// signs of life must not wait for large answers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn peer(&self, to: Destination<'_>, message: &[u8]) -> Result<Bytes, ClientError> {
        let answer = self.call_on(PEERS, to, PEER_METHOD, &message::wrap(message)).await?;
        message::unwrap(answer).map_err(|error| ClientError::Message(to.address, error))
    }

    /// A message to a peer was not answered in time. If nothing has been for a while, those that follow go
    /// on another connection: after a cut of the network the system tries an old one again only after as
    /// long a time as the cut took. What is under way on it stays there.
    pub fn doubt_peer(&self, to: Destination<'_>) {
        let key = (to.address, to.secure, PEERS);
        let mut connections = self.0.connections.lock();
        let silent = |connection: &Arc<Connection>| connection.heard.lock().elapsed() > DOUBTFUL;
        let doubtful = connections.get(&key).is_some_and(silent);
        let removed = if doubtful { connections.remove(&key) } else { None };
        drop(connections);
        drop(removed);
    }

    /// A connection of its own with this first byte, for others to go on with.
    ///
    /// # Errors
    /// When it cannot be made in time.
    pub async fn raw(&self, to: Destination<'_>, first: u8) -> io::Result<Box<dyn Connectable>> {
        let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(CONNECT_TIMEOUT, self.dial(to, first)).await.map_err(timed_out)?
    }

    async fn call_on(
        &self,
        first: u8,
        to: Destination<'_>,
        method: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, ClientError> {
        let address = to.address;
        let unreached = |error| ClientError::Unreached(address, error);
        let connection = self.connection(to, first).await.map_err(unreached)?;
        let to = address;
        let told = |error: io::Error| {
            if connection.unproven.load(Ordering::Relaxed) && connection.mux.is_over() {
                self.refused((to, first), &error);
            }
            error
        };
        let lost = |error| ClientError::Io(to, told(error));
        *connection.used.lock() = Instant::now();
        let idle = loop {
            let idle = connection.idle.lock().pop();
            // The other side may have ended it.
            match idle {
                Some((stream, _)) if !stream.is_usable() => {}
                idle => break idle,
            }
        };
        let (mut stream, mut splitter) = match idle {
            Some(idle) => idle,
            None => {
                let opened = connection.mux.open();
                (opened.map_err(|error| unreached(told(error)))?, Splitter::default())
            }
        };
        let seq = self.0.seq.fetch_add(1, Ordering::Relaxed) + 1;
        let head = RequestHead { seq, service_method: method.to_owned() };
        let broken = |error| ClientError::Message(to, error);
        let request = message::encode(&head, body).map_err(broken)?;
        stream.write_all(&request).await.map_err(lost)?;
        let answer = value(&mut stream, &mut splitter).await.map_err(lost)?;
        if connection.unproven.swap(false, Ordering::Relaxed) {
            self.0.refusals.lock().answered((to, first));
        }
        let head: ResponseHead = message::decode(&answer.map_err(broken)?).map_err(broken)?;
        let body = value(&mut stream, &mut splitter).await.map_err(lost)?.map_err(broken)?;
        if head.seq != seq {
            let text = format!("an answer to call {} in place of {seq}", head.seq);
            return Err(lost(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        // After an error the other side may have ended the stream.
        if !head.error.is_empty() {
            stream.end();
            return Err(ClientError::Remote(head.error));
        }
        let mut idle = connection.idle.lock();
        if idle.len() < IDLE_STREAMS {
            idle.push((stream, splitter));
            drop(idle);
        } else {
            drop(idle);
            // Not cut off, which the other side would log as an error.
            stream.end();
        }
        let now = Instant::now();
        (*connection.used.lock(), *connection.heard.lock()) = (now, now);
        Ok(body)
    }

    async fn connection(&self, to: Destination<'_>, first: u8) -> io::Result<Arc<Connection>> {
        let key = (to.address, to.secure, first);
        if let Some(open) = self.open(&key) {
            return Ok(open);
        }
        let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
        let io = timeout(CONNECT_TIMEOUT, self.dial(to, first)).await.map_err(timed_out)??;
        let mux = Mux::start(io, true, self.0.session, &self.0.tasks).0;
        let (idle, now) = (Mutex::new(Vec::new()), Instant::now());
        let (used, heard) = (Mutex::new(now), Mutex::new(now));
        let unproven = AtomicBool::new(to.secure);
        let new = Arc::new(Connection { mux, idle, used, heard, unproven });
        let mut connections = self.0.connections.lock();
        // Another call may have been quicker: one connection is enough.
        let kept = connections.get(&key).filter(|open| !open.mux.is_over());
        if let Some(kept) = kept {
            new.mux.close();
            return Ok(Arc::clone(kept));
        }
        connections.insert(key, Arc::clone(&new));
        Ok(new)
    }

    fn open(&self, key: &Key) -> Option<Arc<Connection>> {
        let mut connections = self.0.connections.lock();
        let now = Instant::now();
        connections.retain(|_, connection| {
            // An idle stream in the list is open too: what is beyond it is a call.
            let idle = connection.idle.lock().len();
            let busy = connection.mux.streams() > idle;
            let kept = busy || now - *connection.used.lock() < IDLE_CONNECTION;
            if !kept {
                connection.mux.close();
            }
            kept && !connection.mux.is_over()
        });
        connections.get(key).cloned()
    }

    /// Notes that an encrypted connection was ended before anything was answered on it.
    fn refused(&self, asked: (SocketAddr, u8), why: &io::Error) {
        let share = fastrand::f64();
        self.0.refusals.lock().refused(asked, why.to_string(), share, Instant::now());
    }

    async fn dial(&self, to: Destination<'_>, first: u8) -> io::Result<Box<dyn Connectable>> {
        let asked = (to.address, first);
        if to.secure
            && let Some(why) = self.0.refusals.lock().pausing(asked, Instant::now())
        {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, why));
        }
        let mut stream = TcpStream::connect(to.address).await?;
        stream.set_nodelay(true)?;
        if !to.secure {
            stream.write_u8(first).await?;
            return Ok(Box::new(stream));
        }
        let tls = self.0.tls.read().clone();
        let Some(tls) = tls else { return Err(io::Error::other("TLS is not configured")) };
        let Some(name) = (tls.names)(to.realm) else {
            let text = format!("no certificate can be for {:?}", to.realm);
            return Err(io::Error::other(text));
        };
        stream.write_u8(TLS).await?;
        let shaken = tls.connector.connect(name, stream).await;
        let mut stream = shaken.inspect_err(|error| self.refused(asked, error))?;
        stream.write_u8(first).await?;
        Ok(Box::new(stream))
    }
}

/// Makes one call to a server that does not know the caller: of those only few are answered.
///
/// # Errors
/// See [`ClientError`]. How long it may take is the caller's to say.
pub async fn open_call(
    tls: &ClientTls,
    address: SocketAddr,
    realm: &str,
    method: &str,
    body: &[u8],
) -> Result<Vec<u8>, ClientError> {
    let unreached = |error| ClientError::Unreached(address, error);
    let lost = |error| ClientError::Io(address, error);
    let broken = |error| ClientError::Message(address, error);
    let dialled = async {
        let text = || io::Error::other(format!("no certificate can be for {realm:?}"));
        let name = (tls.names)(realm).ok_or_else(text)?;
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_u8(OPEN).await?;
        tls.connector.connect(name, stream).await
    };
    let mut stream = dialled.await.map_err(unreached)?;
    let head = RequestHead { seq: 1, service_method: method.to_owned() };
    let request = message::encode(&head, body).map_err(broken)?;
    stream.write_all(&request).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut splitter = Splitter::default();
    let mut values = Vec::new();
    while values.len() < 2 {
        match splitter.next_value().map_err(broken)? {
            Some(value) => values.push(value),
            None if stream.read_buf(splitter.buffer()).await.map_err(lost)? == 0 => {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
            None => {}
        }
    }
    let (body, head) = (values.pop().unwrap_or_default(), values.pop().unwrap_or_default());
    let head: ResponseHead = message::decode(&head).map_err(broken)?;
    if head.error.is_empty() { Ok(body) } else { Err(ClientError::Remote(head.error)) }
}

/// The next value of a stream.
///
/// # Errors
/// The outer one when the connection or the stream has ended, the inner one when what came is no value.
async fn value(
    stream: &mut MuxStream,
    splitter: &mut Splitter,
) -> io::Result<Result<Vec<u8>, MessageError>> {
    loop {
        match splitter.next_value() {
            Ok(Some(value)) => return Ok(Ok(value)),
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
        if !stream.read(splitter.buffer()).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
