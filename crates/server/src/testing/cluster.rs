//! Servers that agree with each other over a network in memory.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lictor_raft::{Answering, Peer, Raft, Transport, TransportError};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::config::ServerConfig;
use crate::server::Server;

/// Connects servers by address.
#[derive(Debug, Default)]
struct Wire {
    servers: Mutex<BTreeMap<String, Raft>>,
    /// Who hears nothing and is not heard.
    cut: Mutex<HashSet<String>>,
}

#[derive(Debug)]
struct Plug {
    own: String,
    wire: Arc<Wire>,
}

impl Transport for Plug {
    fn call<'a>(&'a self, address: &'a str, message: Bytes, patience: Duration) -> Answering<'a> {
        Box::pin(async move {
            let cut = || {
                let cut = self.wire.cut.lock();
                cut.contains(&self.own) || cut.contains(address)
            };
            if cut() {
                tokio::time::sleep(patience).await;
                return Err(TransportError::Timeout);
            }
            let found = self.wire.servers.lock().get(address).cloned();
            let nobody = || TransportError::Unreachable("nobody is there".into());
            let asked = found.ok_or_else(nobody)?;
            let answer = tokio::time::timeout(patience, asked.handle(None, message)).await;
            let answer = answer.map_err(|_| TransportError::Timeout)?;
            if cut() { Err(TransportError::Timeout) } else { Ok(answer) }
        })
    }
}

/// Three servers in memory.
pub(crate) struct Cluster {
    wire: Arc<Wire>,
    pub(crate) servers: Vec<Server>,
}

const PATIENCE: Duration = Duration::from_secs(30);

impl Cluster {
    pub(crate) async fn start(setting: impl Fn(ServerConfig) -> ServerConfig) -> Self {
        let wire = Arc::<Wire>::default();
        let mut servers = Vec::new();
        for n in 1..=3_u16 {
            let config = super::config();
            let config = setting(ServerConfig {
                node_name: format!("n{n}").into(),
                node_id: Uuid::from_u128(n.into()).to_string(),
                server_port: n,
                bootstrap: false,
                ..config
            });
            let own = address(&config);
            let plug = Plug { own: own.clone(), wire: Arc::clone(&wire) };
            let transport: Option<Arc<dyn Transport>> = Some(Arc::new(plug));
            let server = Server::start(ServerConfig { transport, ..config }).await.unwrap();
            wire.servers.lock().insert(own, server.consensus().clone());
            servers.push(server);
        }
        let peer = |server: &Server| {
            let (id, address) = (&server.config().node_id, address(server.config()));
            Peer { id: Uuid::try_parse(id).unwrap(), address }
        };
        let peers: Vec<Peer> = servers.iter().map(peer).collect();
        assert!(servers[0].consensus().bootstrap(&peers).await.unwrap());
        Self { wire, servers }
    }

    /// The server that leads, once one does.
    pub(crate) async fn leader(&self) -> Server {
        let mut leads = None;
        until("an election", || {
            leads = self.servers.iter().find(|server| server.leads()).cloned();
            leads.is_some()
        })
        .await;
        leads.unwrap()
    }

    /// From now on a server hears nothing and is not heard.
    pub(crate) fn cut(&self, server: &Server) {
        self.wire.cut.lock().insert(address(server.config()));
    }

    pub(crate) async fn shutdown(self) {
        futures_util::future::join_all(self.servers.iter().map(Server::shutdown)).await;
    }
}

fn address(config: &ServerConfig) -> String {
    format!("{}:{}", config.advertise_address, config.server_port)
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let met = tokio::time::timeout(PATIENCE, met).await;
    met.unwrap_or_else(|_| panic!("{what} takes too long"));
}
