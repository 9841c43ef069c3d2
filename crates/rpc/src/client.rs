//! Calls to another agent: one connection for each, with a stream for each call at a time.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lictor_task::TaskSet;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::message::{self, MessageError, RequestHead, ResponseHead, Splitter};
use crate::mux::{Mux, MuxStream};
use crate::server::{MULTIPLEXED, TLS};
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
    /// The other side cannot be reached, or was lost on the way.
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
        matches!(self, Self::Io(..))
    }
}

/// TLS towards other agents.
#[derive(Clone)]
pub struct ClientTls {
    /// The configuration.
    pub connector: TlsConnector,
    /// The name that certificates have to have; any, when the configuration checks none.
    pub name: ServerName<'static>,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Connection {
    mux: Mux,
    idle: Mutex<Vec<(MuxStream, Splitter)>>,
    used: Mutex<Instant>,
}

/// Connections to other agents; clones are the same one.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections: Mutex<BTreeMap<(SocketAddr, bool), Arc<Connection>>>,
    tls: Option<ClientTls>,
    session: yamux::Config,
    seq: AtomicU64,
    tasks: TaskSet,
}

impl Pool {
    /// No connections yet. They end with `tasks`.
    #[must_use]
    pub fn new(tls: Option<ClientTls>, session: yamux::Config, tasks: TaskSet) -> Self {
        let connections = Mutex::new(BTreeMap::new());
        Self(Arc::new(Inner { connections, tls, session, seq: AtomicU64::new(0), tasks }))
    }

    /// Calls a method of the agent at `to`, with TLS if `secure`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call(
        &self,
        to: SocketAddr,
        secure: bool,
        method: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, ClientError> {
        let lost = |error| ClientError::Io(to, error);
        let connection = self.connection(to, secure).await.map_err(lost)?;
        *connection.used.lock() = Instant::now();
        let idle = connection.idle.lock().pop();
        let (mut stream, mut splitter) = match idle {
            Some(idle) => idle,
            None => (connection.mux.open().map_err(lost)?, Splitter::default()),
        };
        let seq = self.0.seq.fetch_add(1, Ordering::Relaxed) + 1;
        let head = RequestHead { seq, service_method: method.to_owned() };
        let broken = |error| ClientError::Message(to, error);
        let request = message::encode(&head, body).map_err(broken)?;
        stream.write_all(&request).await.map_err(lost)?;
        let head = value(&mut stream, &mut splitter, to).await?;
        let head: ResponseHead = message::decode(&head).map_err(broken)?;
        let body = value(&mut stream, &mut splitter, to).await?;
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
        *connection.used.lock() = Instant::now();
        Ok(body)
    }

    async fn connection(&self, to: SocketAddr, secure: bool) -> io::Result<Arc<Connection>> {
        if let Some(open) = self.open(to, secure) {
            return Ok(open);
        }
        let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
        let new = timeout(CONNECT_TIMEOUT, self.connect(to, secure)).await.map_err(timed_out)??;
        let new = Arc::new(new);
        let mut connections = self.0.connections.lock();
        // Another call may have been quicker: one connection is enough.
        let kept = connections.get(&(to, secure)).filter(|open| !open.mux.is_over());
        if let Some(kept) = kept {
            new.mux.close();
            return Ok(Arc::clone(kept));
        }
        connections.insert((to, secure), Arc::clone(&new));
        Ok(new)
    }

    fn open(&self, to: SocketAddr, secure: bool) -> Option<Arc<Connection>> {
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
        connections.get(&(to, secure)).cloned()
    }

    async fn connect(&self, to: SocketAddr, secure: bool) -> io::Result<Connection> {
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let mux = if secure {
            let Some(tls) = &self.0.tls else {
                return Err(io::Error::other("TLS is not configured"));
            };
            stream.write_u8(TLS).await?;
            let mut stream = tls.connector.connect(tls.name.clone(), stream).await?;
            stream.write_u8(MULTIPLEXED).await?;
            Mux::start(stream, true, self.0.session, &self.0.tasks).0
        } else {
            stream.write_u8(MULTIPLEXED).await?;
            Mux::start(stream, true, self.0.session, &self.0.tasks).0
        };
        let (idle, used) = (Mutex::new(Vec::new()), Mutex::new(Instant::now()));
        Ok(Connection { mux, idle, used })
    }
}

async fn value(
    stream: &mut MuxStream,
    splitter: &mut Splitter,
    from: SocketAddr,
) -> Result<Vec<u8>, ClientError> {
    loop {
        if let Some(value) = splitter.next_value().map_err(|e| ClientError::Message(from, e))? {
            return Ok(value);
        }
        match stream.read(splitter.buffer()).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(ClientError::Io(from, io::ErrorKind::UnexpectedEof.into()));
            }
            Err(error) => return Err(ClientError::Io(from, error)),
        }
    }
}
