//! The agent's place among others: the server port, and the way to the ports of other servers.
//!
//! What travels is known by `lictor_rpc`, what is asked by `lictor_forward`, what consensus says by
//! `lictor_raft`; this file and those below it only bring them together.

mod line;
mod port;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lictor_forward::{Caller, Servers};
use lictor_rpc::client::{ClientTls, Pool};
use lictor_rpc::server::{self, ServerConfig};
use lictor_rpc::yamux;
use lictor_server::Transport;
use lictor_task::TaskSet;
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use line::{Line, PeerLine};
use port::Port;
pub(crate) use tls::RpcTls;

/// How long connections may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// Settings of the calls between agents.
#[derive(Clone, Debug)]
pub(crate) struct ClusterSettings {
    /// Where a server listens; `None` on a client agent.
    pub(crate) listen: Option<SocketAddr>,
    /// TLS, both ways.
    pub(crate) tls: RpcTls,
    /// How long a connection may take to say what it wants.
    pub(crate) handshake: Duration,
    /// Most connections of one address; 0 for any number.
    pub(crate) connections_per_client: usize,
    /// Calls that a client agent makes in a second; any number if negative.
    pub(crate) calls_per_second: f64,
    /// Calls that it makes at once.
    pub(crate) calls_at_once: u32,
}

/// Why there are no calls between agents.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// The port is taken, or the address not ours.
    #[error("failed to listen on {0} for RPC: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The certificates.
    #[error("TLS for RPC: {0}")]
    Tls(#[from] lictor_http::TlsError),
}

/// The calls between agents.
#[derive(Debug)]
pub(crate) struct Cluster {
    settings: ClusterSettings,
    listener: Mutex<Option<TcpListener>>,
    acceptor: Acceptor,
    pool: Pool,
    /// Whether calls go out with TLS.
    secure: bool,
    tasks: TaskSet,
}

/// What the listener accepts TLS with; a reload replaces it.
#[derive(Clone, Default)]
struct Acceptor(Arc<RwLock<Option<TlsAcceptor>>>);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Acceptor").field(&self.0.read().is_some()).finish()
    }
}

impl Cluster {
    /// Reads certificates and binds the port; nobody is answered yet.
    ///
    /// # Errors
    /// When a certificate cannot be used, or the port not be had.
    pub(crate) async fn bind(settings: &ClusterSettings) -> Result<Self, ClusterError> {
        let (acceptor, client) = loaded(settings)?;
        let listener = match settings.listen {
            None => None,
            Some(place) => {
                let bound = TcpListener::bind(place).await;
                Some(bound.map_err(|error| ClusterError::Listen(place, error))?)
            }
        };
        let tasks = TaskSet::new("calls");
        Ok(Self {
            settings: settings.clone(),
            listener: Mutex::new(listener),
            acceptor: Acceptor(Arc::new(RwLock::new(acceptor))),
            secure: settings.tls.verify_outgoing,
            pool: Pool::new(client, yamux::Config::default(), tasks.clone()),
            tasks,
        })
    }

    /// The way to other servers.
    pub(crate) fn caller(&self) -> Arc<dyn Caller> {
        Arc::new(self.line())
    }

    /// The way to the peers of consensus, which are of this datacenter.
    pub(crate) fn transport(&self, datacenter: &str) -> Arc<dyn Transport> {
        Arc::new(PeerLine { line: self.line(), datacenter: datacenter.to_owned() })
    }

    fn line(&self) -> Line {
        Line { pool: self.pool.clone(), secure: self.secure }
    }

    /// Answers on the port from now on. A client agent has none.
    pub(crate) fn open(&self, servers: Servers) {
        let Some(listener) = self.listener.lock().take() else { return };
        let acceptor = self.acceptor.clone();
        let config = ServerConfig {
            handshake_timeout: self.settings.handshake,
            tls_required: self.settings.tls.verify_incoming,
            connections_per_client: self.settings.connections_per_client,
            meters: server::Meters::new(servers.metrics()),
            ..ServerConfig::default()
        };
        let acceptors = Arc::new(move || acceptor.0.read().clone());
        let port = Arc::new(Port { servers });
        let serving = server::accept(listener, acceptors, config, port, self.tasks.clone());
        self.tasks.spawn_cut("server port", serving);
    }

    /// Reads certificates again; connections that there are stay. Whether TLS is demanded does not
    /// change.
    ///
    /// # Errors
    /// When one cannot be used; then nothing changed.
    pub(crate) fn reload(&self, settings: &ClusterSettings) -> Result<(), ClusterError> {
        let tls = RpcTls {
            verify_incoming: self.settings.tls.verify_incoming,
            verify_outgoing: self.settings.tls.verify_outgoing,
            ..settings.tls.clone()
        };
        let (acceptor, client) = loaded(&ClusterSettings { tls, ..settings.clone() })?;
        *self.acceptor.0.write() = acceptor;
        self.pool.set_tls(client);
        Ok(())
    }

    /// Ends all connections.
    pub(crate) async fn shutdown(&self) {
        self.tasks.shutdown(GRACE).await;
    }
}

type Loaded = (Option<TlsAcceptor>, Option<ClientTls>);

fn loaded(settings: &ClusterSettings) -> Result<Loaded, ClusterError> {
    let acceptor = match settings.listen {
        Some(_) => settings.tls.acceptor()?,
        None => None,
    };
    Ok((acceptor, settings.tls.client()?))
}
