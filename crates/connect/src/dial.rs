//! Calls an instance of a service and makes sure that it is one.
//!
//! Which instance, and what to do when it does not answer, is the caller's choice. Texts follow
//! connect.md sections 13 and 14.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lictor_pki::{HandshakeError, IdentityError, PeerIdentity, VerifyError, tls};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::endpoint::Endpoint;
use crate::handshake;
use crate::identity::LocalIdentity;
use crate::stream::MeshStream;

/// Time for connection and handshake together, unless configured otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an instance could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// There is no leaf, or no root, yet.
    #[error("tls: no certificates configured")]
    NoIdentity,
    /// Nothing listens there, or the name is unknown.
    #[error("dial tcp {endpoint}: {source}")]
    Connect {
        /// Where.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// It took too long.
    #[error("dial tcp {0}: i/o timeout")]
    Timeout(String),
    /// Somebody else answered.
    #[error("peer certificate mismatch got {got}, want {want}")]
    Mismatch {
        /// Who answered.
        got: String,
        /// Who was called.
        want: String,
    },
    /// The handshake failed.
    #[error(transparent)]
    Handshake(HandshakeError),
    /// Our own certificate is of no use for calling.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl From<HandshakeError> for DialError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Peer(VerifyError::OtherPeer { presented, expected }) => {
                Self::Mismatch { got: presented, want: expected }
            }
            other => Self::Handshake(other),
        }
    }
}

/// Calls others as one service. Clones share everything.
#[derive(Clone, Debug)]
pub struct Dialer {
    identity: watch::Receiver<Option<Arc<LocalIdentity>>>,
}

impl Dialer {
    /// A dialer that presents the identity of the moment.
    #[must_use]
    pub const fn new(identity: watch::Receiver<Option<Arc<LocalIdentity>>>) -> Self {
        Self { identity }
    }

    /// Calls `endpoint`, within [`CONNECT_TIMEOUT`].
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial(&self, endpoint: &Endpoint) -> Result<MeshStream, DialError> {
        self.dial_within(endpoint, CONNECT_TIMEOUT).await
    }

    /// Calls `endpoint`; connection and handshake may take `limit` together.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial_within(
        &self,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Result<MeshStream, DialError> {
        let identity = self.identity.borrow().clone().ok_or(DialError::NoIdentity)?;
        match timeout(limit, call(&identity, endpoint)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DialError::Timeout(endpoint.to_string())),
        }
    }
}

async fn call(identity: &LocalIdentity, endpoint: &Endpoint) -> Result<MeshStream, DialError> {
    let config = identity.client_config(&endpoint.expected)?;
    let failed = |source| DialError::Connect { endpoint: endpoint.to_string(), source };
    let address = (endpoint.host.as_str(), endpoint.port);
    let mut socket = TcpStream::connect(address).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    let finished = handshake::connect(&mut socket, config, tls::server_name())
        .await
        .map_err(HandshakeError::from)?;
    let peer = PeerIdentity::of_verified(&finished.certificates).map_err(HandshakeError::Peer)?;
    Ok(MeshStream::new(socket, finished, Arc::new(peer)))
}
