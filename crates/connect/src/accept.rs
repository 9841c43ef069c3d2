//! Answers callers from the mesh: handshake, identity, decision.
//!
//! Listening and limits on the number of connections are the caller's. Without an identity or
//! without rules nobody gets in. Texts follow connect.md section 14.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lictor_pki::{HandshakeError, PeerIdentity};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::handshake;
use crate::identity::LocalIdentity;
use crate::live::LiveConnections;
use crate::socket;
use crate::stream::MeshStream;

/// Time that a caller has for its handshake, unless configured otherwise.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a refused caller has for taking in why.
const LAST_WORD: Duration = Duration::from_millis(500);
/// Bytes of a refused caller that are read and forgotten meanwhile.
const FORGOTTEN_MAX: usize = 256 * 1024;

/// Why a caller did not get in.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// There is no leaf, or no root, yet.
    #[error("tls: no certificates configured")]
    NoIdentity,
    /// The handshake took too long.
    #[error("tls: handshake timed out")]
    Timeout,
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The rules refuse this caller.
    #[error("authz denied: {reason}")]
    Denied {
        /// Who called.
        peer: Arc<PeerIdentity>,
        /// Why not.
        reason: String,
    },
    /// The socket broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Answers callers as one service. Clones share everything.
#[derive(Clone, Debug)]
pub struct Acceptor {
    identity: watch::Receiver<Option<Arc<LocalIdentity>>>,
    live: LiveConnections,
    handshake_timeout: Duration,
}

impl Acceptor {
    /// An acceptor that presents the identity of the moment and lets in whom `live` admits.
    #[must_use]
    pub const fn new(
        identity: watch::Receiver<Option<Arc<LocalIdentity>>>,
        live: LiveConnections,
    ) -> Self {
        Self { identity, live, handshake_timeout: HANDSHAKE_TIMEOUT }
    }

    /// The same with another time for handshakes.
    #[must_use]
    pub fn with_handshake_timeout(self, handshake_timeout: Duration) -> Self {
        Self { handshake_timeout, ..self }
    }

    /// The connections that are open.
    #[must_use]
    pub const fn live(&self) -> &LiveConnections {
        &self.live
    }

    /// Makes a mesh connection of a socket on which someone called.
    ///
    /// # Errors
    /// [`AcceptError`]; the socket is closed then, after the caller was told why if possible.
    pub async fn accept(&self, mut socket: TcpStream) -> Result<MeshStream, AcceptError> {
        let identity = self.identity.borrow().clone().ok_or(AcceptError::NoIdentity)?;
        socket.set_nodelay(true)?;
        let config = identity.server_config();
        let finished = timeout(self.handshake_timeout, handshake::accept(&mut socket, config))
            .await
            .map_err(|_| AcceptError::Timeout)?
            .map_err(HandshakeError::from)?;
        let peer = PeerIdentity::of_verified(&finished.certificates);
        let peer = Arc::new(peer.map_err(HandshakeError::Peer)?);
        let mut stream = MeshStream::new(socket, finished, Arc::clone(&peer));
        match self.live.admit(Arc::clone(&peer)) {
            Ok(permit) => Ok(stream.under(permit)),
            Err(decision) => {
                let reason = decision.reason.to_string();
                stream.refuse();
                let _ = timeout(LAST_WORD, forget(&stream.socket)).await;
                Err(AcceptError::Denied { peer, reason })
            }
        }
    }
}

/// Reads and forgets until the peer is gone: closing with unread bytes would make the peer's
/// system throw the alert away.
async fn forget(socket: &TcpStream) {
    let _ = socket::end_sending(socket);
    let mut bytes = [0; 512];
    let mut forgotten = 0;
    while forgotten < FORGOTTEN_MAX && socket.readable().await.is_ok() {
        match socket.try_read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => forgotten += count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
