//! Connections from the mesh to the local service.
//!
//! Who may come in is decided by the acceptor; here it is told to the log. A caller whose service
//! does not answer sees a broken connection, never a regular end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lictor_connect::{AcceptError, Acceptor, MeshStream, Traffic, relay};
use lictor_pki::HandshakeError;
use lictor_task::Places;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::PublicListener;
use crate::listener::{Carried, Serve, adopt};

/// Handshakes that are not finished yet, where as many connections are allowed twice.
const HANDSHAKES: usize = 1024;

/// Takes connections for the local service.
pub(crate) struct Public {
    acceptor: Acceptor,
    local_address: String,
    local_timeout: Duration,
    limit: Arc<Semaphore>,
    handshakes: Places,
    traffic: Arc<Traffic>,
}

impl Public {
    pub(crate) fn new(acceptor: Acceptor, config: &PublicListener, traffic: Arc<Traffic>) -> Self {
        Self {
            acceptor: acceptor.with_handshake_timeout(config.handshake_timeout),
            local_address: config.local_service_address.clone(),
            local_timeout: config.local_connect_timeout,
            limit: Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS))),
            // So that those who say nothing never hold all connections.
            handshakes: Places::new((config.max_connections / 2).clamp(1, HANDSHAKES)),
            traffic,
        }
    }

    async fn carry(&self, socket: std::net::TcpStream, from: SocketAddr) {
        let Some(mesh) = self.admit(socket, from).await else { return };
        let source = Arc::clone(mesh.peer());
        let Some(local) = self.reach().await else { return };
        match relay(mesh, local, &self.traffic).await {
            Ok(()) => tracing::debug!(source = source.uri, %from, "inbound connection ended"),
            Err(error) => {
                tracing::debug!(source = source.uri, %from, %error, "inbound connection broke");
            }
        }
    }

    async fn admit(&self, socket: std::net::TcpStream, from: SocketAddr) -> Option<MeshStream> {
        let place = self.handshakes.take();
        let accepted = tokio::select! {
            accepted = self.acceptor.accept(adopt(socket)?) => accepted,
            () = place.pushed_out() => {
                tracing::warn!(%from, "too many unfinished handshakes: the oldest was given up");
                return None;
            }
        };
        drop(place);
        match accepted {
            Ok(mesh) => {
                tracing::debug!(source = mesh.peer().uri, %from, "inbound connection");
                Some(mesh)
            }
            Err(AcceptError::Denied { peer, reason }) => {
                let (source, serial) = (&peer.uri, &peer.serial_number);
                tracing::warn!(source, serial, %from, reason, "inbound connection refused");
                None
            }
            // Checks of the port come every few seconds and leave without a word.
            Err(AcceptError::Handshake(error @ HandshakeError::Io { .. })) => {
                tracing::debug!(%from, %error, "inbound connection ended early");
                None
            }
            Err(error) => {
                tracing::warn!(%from, %error, "inbound connection failed");
                None
            }
        }
    }

    async fn reach(&self) -> Option<TcpStream> {
        let address = &self.local_address;
        let outcome = match timeout(self.local_timeout, TcpStream::connect(address)).await {
            Ok(outcome) => outcome.and_then(|local| local.set_nodelay(true).map(|()| local)),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        outcome
            .inspect_err(|error| tracing::error!(address, %error, "local service unreachable"))
            .ok()
    }
}

impl Serve for Public {
    fn limit(&self) -> &Arc<Semaphore> {
        &self.limit
    }

    fn serve(self: Arc<Self>, socket: std::net::TcpStream, from: SocketAddr) -> Carried {
        Box::pin(async move { self.carry(socket, from).await })
    }
}
