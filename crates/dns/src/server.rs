//! The DNS interface from start to end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lictor_agent::Agent;
use lictor_task::TaskSet;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::config::{Limits, LiveSettings};
use crate::engine::Engine;
use crate::meters::Meters;
use crate::prepared::PreparedQueries;
use crate::reverse::Reverse;
use crate::waiting::{Counts, Shared};
use crate::{tcp, udp};

/// Why the interface cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened at.
    #[error("failed to listen at {address} over {transport}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// The open interface. Dropping it does not close it: call [`DnsServer::shutdown`].
#[derive(Debug)]
pub struct DnsServer {
    tasks: TaskSet,
    addresses: Vec<SocketAddr>,
}

impl DnsServer {
    /// Binds all addresses, then answers from the catalog of `agent`'s server.
    ///
    /// # Errors
    /// When an address cannot be listened at.
    pub async fn start(
        listeners: &[SocketAddr],
        limits: Limits,
        settings: LiveSettings,
        queries: Arc<dyn PreparedQueries>,
        agent: Agent,
    ) -> Result<Self, StartError> {
        let mut sockets = Vec::new();
        let mut acceptors = Vec::new();
        let mut addresses = Vec::new();
        for address in listeners {
            let failed =
                |transport| move |source| StartError::Bind { address: *address, transport, source };
            let bound = udp::bind(*address, limits.sockets.max(1)).map_err(failed("UDP"))?;
            let mut place = *address;
            if let Some(first) = bound.first() {
                place = first.local_addr().map_err(failed("UDP"))?;
            }
            sockets.extend(bound);
            acceptors.push(TcpListener::bind(place).await.map_err(failed("TCP"))?);
            addresses.push(place);
        }
        let meters = Meters::new(&agent.config().telemetry.metrics, &agent.config().node_name);
        let shared = Arc::new(Shared {
            meters,
            agent,
            settings,
            queries,
            limits,
            reverse: Reverse::default(),
            counts: Counts::default(),
            waiting: Arc::new(Semaphore::new(limits.waiting)),
            connections: Arc::new(Semaphore::new(limits.connections)),
            engine: Mutex::new(Engine::default()),
        });
        let tasks = TaskSet::new("dns");
        for socket in sockets {
            let (shared, stop) = (Arc::clone(&shared), tasks.token().clone());
            tasks.spawn("udp", udp::serve(Arc::new(socket), shared, tasks.clone(), stop));
        }
        for acceptor in acceptors {
            let (shared, stop) = (Arc::clone(&shared), tasks.token().clone());
            tasks.spawn("tcp", tcp::serve(acceptor, shared, tasks.clone(), stop));
        }
        Ok(Self { tasks, addresses })
    }

    /// Where it listens, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops listening and drops what waits.
    pub async fn shutdown(&self, grace: Duration) {
        let ended = self.tasks.shutdown(grace).await;
        if ended.aborted > 0 {
            tracing::warn!(tasks = ended.aborted, "dns: tasks were cut at the end");
        }
    }
}
