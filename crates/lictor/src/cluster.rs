//! The agent's place among others: the server port, and the way to the ports of other servers.
//!
//! What travels is known by `lictor_rpc`, what is asked by `lictor_forward`, what consensus says by
//! `lictor_raft`; this file and those below it only bring them together.

mod auto;
mod line;
mod port;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lictor_agent::TokenSet;
use lictor_forward::{Caller, JoinOffer, Servers};
use lictor_http::Held;
use lictor_rpc::client::{ClientTls, Pool};
use lictor_rpc::server::{self, Acceptor, Refusals, ServerConfig};
use lictor_rpc::yamux;
use lictor_server::Transport;
use lictor_task::TaskSet;
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;

pub(crate) use auto::AutoSettings;
use auto::{Granted, Roots};
use line::{Line, PeerLine};
use port::Port;
pub(crate) use tls::RpcTls;

/// How long connections may take to end.
const GRACE: Duration = Duration::from_secs(2);
/// Pause after a certificate that cannot be used.
const UNUSABLE: Duration = Duration::from_secs(5);

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
    /// How servers are asked for a certificate, where they are to make it.
    pub(crate) auto: AutoSettings,
    /// Whether this server makes certificates for client agents.
    pub(crate) makes_certificates: bool,
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
    acceptors: Acceptors,
    pool: Pool,
    /// Whether calls go out with TLS.
    secure: bool,
    /// What a reload changed of the settings, with what is held in memory.
    tls: Mutex<RpcTls>,
    /// What agents that want to join are told; `None` where none may.
    offer: Option<JoinOffer>,
    /// The certificate that servers made last.
    granted: Mutex<Option<Granted>>,
    tasks: TaskSet,
}

/// What the listener accepts TLS with, from those who belong to the cluster and from anybody; a
/// reload replaces it.
#[derive(Clone, Default)]
struct Acceptors(Arc<RwLock<Accepting>>);

#[derive(Default)]
struct Accepting {
    checked: Option<Acceptor>,
    open: Option<Acceptor>,
}

impl std::fmt::Debug for Acceptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Acceptors").field(&self.0.read().checked.is_some()).finish()
    }
}

impl Cluster {
    /// Reads certificates and binds the port; nobody is answered yet.
    ///
    /// # Errors
    /// When a certificate cannot be used, or the port not be had.
    pub(crate) async fn bind(settings: &ClusterSettings) -> Result<Self, ClusterError> {
        let (accepting, client) = loaded(settings, &settings.tls)?;
        let tls = &settings.tls;
        let offer = match settings.makes_certificates {
            false => None,
            true => Some(JoinOffer {
                authorities: tls.authorities()?,
                verify_server_hostname: tls.verify_server_hostname,
            }),
        };
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
            acceptors: Acceptors(Arc::new(RwLock::new(accepting))),
            secure: settings.tls.is_secure(),
            tls: Mutex::new(settings.tls.clone()),
            offer,
            granted: Mutex::new(None),
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
    pub(crate) fn open(self: &Arc<Self>, servers: Servers) {
        let Some(listener) = self.listener.lock().take() else { return };
        let offer = self.offer.clone();
        let acceptors = self.acceptors.clone();
        let config = ServerConfig {
            handshake_timeout: self.settings.handshake,
            tls_required: self.settings.tls.verify_incoming,
            connections_per_client: self.settings.connections_per_client,
            meters: server::Meters::new(servers.metrics()),
            ..ServerConfig::default()
        };
        let acceptors = Arc::new(move |open: bool| {
            let accepting = acceptors.0.read();
            if open { accepting.open.clone() } else { accepting.checked.clone() }
        });
        if offer.is_some() {
            self.tasks.spawn_cut("mesh roots", Arc::clone(self).trust_mesh(servers.clone()));
        }
        let port = Arc::new(Port { servers, offer, refusals: Refusals::default() });
        let serving = server::accept(listener, acceptors, config, port, self.tasks.clone());
        self.tasks.spawn_cut("server port", serving);
    }

    /// Agents whose certificates are of the mesh's authority belong to the cluster.
    async fn trust_mesh(self: Arc<Self>, servers: Servers) {
        let mut roots = Roots::new(&servers);
        loop {
            let reply = roots.next().await;
            let all = reply.result.value.roots.iter().map(|root| root.root_cert.clone());
            let held = Held { authorities: all.collect(), ..Held::default() };
            let tls = RpcTls { held, ..self.tls.lock().clone() };
            if let Err(error) = self.use_tls(tls) {
                tracing::error!(%error, "the roots of the mesh cannot be trusted");
            }
        }
    }

    /// Waits until a server has made this agent's certificate, if they are to make it.
    pub(crate) async fn until_certified(&self, tokens: &TokenSet) -> Option<Held> {
        if !self.settings.tls.auto {
            return None;
        }
        let token = if tokens.agent.is_empty() { &tokens.default } else { &tokens.agent };
        Some(self.certified(None, || token.as_str().into()).await.held)
    }

    async fn certified(&self, servers: Option<&Servers>, token: impl Fn() -> Arc<str>) -> Granted {
        let asking = || {
            let mut tls = self.tls.lock().clone();
            // Who asks has nothing to show, and may trust what it was told before.
            tls.held.chain.clear();
            (tls.cert_file, tls.key_file) = (None, None);
            tls.client()
        };
        loop {
            let granted = self.settings.auto.ask_until_granted(asking, servers, &token).await;
            let mut tls = self.tls.lock().clone();
            tls.held = granted.held.clone();
            tls.verify_server_hostname |= granted.verify_server_hostname;
            match self.use_tls(tls) {
                Ok(()) => {
                    *self.granted.lock() = Some(granted.clone());
                    return granted;
                }
                Err(error) => {
                    tracing::error!(%error, "the certificate that a server made cannot be used");
                    tokio::time::sleep(UNUSABLE).await;
                }
            }
        }
    }

    /// Has another certificate made whenever that is due; `use_it` gets each.
    pub(crate) fn renew(
        self: &Arc<Self>,
        servers: Servers,
        token: impl Fn() -> Arc<str> + Send + Sync + 'static,
        use_it: impl Fn(Held) + Send + Sync + 'static,
    ) {
        let Some(first) = self.granted.lock().clone() else { return };
        let cluster = Arc::clone(self);
        self.tasks.spawn_cut("certificate", async move {
            let mut granted = first;
            loop {
                granted.is_due(&servers).await;
                granted = cluster.certified(Some(&servers), &token).await;
                use_it(granted.held.clone());
            }
        });
    }

    /// What is held in memory, for another interface.
    pub(crate) fn held(&self) -> Held {
        if self.settings.tls.auto { self.tls.lock().held.clone() } else { Held::default() }
    }

    fn use_tls(&self, tls: RpcTls) -> Result<(), ClusterError> {
        let (accepting, client) = loaded(&self.settings, &tls)?;
        *self.acceptors.0.write() = accepting;
        self.pool.set_tls(client);
        *self.tls.lock() = tls;
        Ok(())
    }

    /// Reads certificates again; connections that there are stay. Whether TLS is demanded does not
    /// change.
    ///
    /// # Errors
    /// When one cannot be used; then nothing changed.
    pub(crate) fn reload(&self, settings: &ClusterSettings) -> Result<(), ClusterError> {
        let told = self.granted.lock().as_ref().is_some_and(|told| told.verify_server_hostname);
        let tls = RpcTls {
            verify_incoming: self.settings.tls.verify_incoming,
            verify_outgoing: self.settings.tls.verify_outgoing,
            verify_server_hostname: settings.tls.verify_server_hostname || told,
            auto: self.settings.tls.auto,
            held: self.tls.lock().held.clone(),
            ..settings.tls.clone()
        };
        self.use_tls(tls)
    }

    /// Ends all connections.
    pub(crate) async fn shutdown(&self) {
        self.tasks.shutdown(GRACE).await;
    }
}

fn loaded(
    settings: &ClusterSettings,
    tls: &RpcTls,
) -> Result<(Accepting, Option<ClientTls>), ClusterError> {
    let accepting = match settings.listen {
        Some(_) => Accepting {
            checked: tls.acceptor(&settings.auto.datacenter, false)?,
            open: tls.acceptor(&settings.auto.datacenter, true)?,
        },
        None => Accepting::default(),
    };
    // Servers have certificates of files alone: nobody else is to be taken for one.
    let called = match tls.auto {
        true => tls.client()?,
        false => RpcTls { held: Held::default(), ..tls.clone() }.client()?,
    };
    Ok((accepting, called))
}
