//! Who this process is in the mesh, and whom it believes: ready for handshakes.
//!
//! A value never changes; a new leaf or new roots make a new value. Where they come from is in
//! `agent_source`.

use std::sync::Arc;

use lictor_pki::{ExpectedPeer, Identity, IdentityError, ServiceId, TrustBundle, TrustDomain, tls};
use rustls::{ClientConfig, ServerConfig};

use crate::endpoint::ExpectedService;

/// Why leaf and roots make no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalIdentityError {
    /// The TLS library refuses them.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The leaf is not that of one service.
    #[error("the certificate is not that of a service")]
    NotAService,
    /// Leaf and roots are of two clusters.
    #[error("the certificate is of trust domain {leaf}, the roots are of {roots}")]
    TrustDomain {
        /// The leaf's domain.
        leaf: String,
        /// The roots' domain.
        roots: String,
    },
}

/// A leaf with its key, and the trusted roots.
#[derive(Debug)]
pub struct LocalIdentity {
    id: ServiceId,
    identity: Identity,
    bundle: TrustBundle,
    server: Arc<ServerConfig>,
}

impl LocalIdentity {
    /// Puts a leaf and the roots of its cluster together.
    ///
    /// # Errors
    /// [`LocalIdentityError`] if they do not fit.
    pub fn new(identity: Identity, bundle: TrustBundle) -> Result<Self, LocalIdentityError> {
        let id = identity.id().cloned().ok_or(LocalIdentityError::NotAService)?;
        if id.trust_domain != *bundle.trust_domain() {
            return Err(LocalIdentityError::TrustDomain {
                leaf: id.trust_domain.as_str().to_owned(),
                roots: bundle.trust_domain().as_str().to_owned(),
            });
        }
        let server = tls::server_config(&identity, &bundle)?;
        Ok(Self { id, identity, bundle, server })
    }

    /// Who we are.
    #[must_use]
    pub const fn id(&self) -> &ServiceId {
        &self.id
    }

    /// The trust domain of all whom we believe.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        self.bundle.trust_domain()
    }

    /// The last second of the leaf's life, since 1970 UTC.
    #[must_use]
    pub const fn not_after(&self) -> i64 {
        self.identity.not_after()
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    pub(crate) fn client_config(
        &self,
        expected: &ExpectedService,
    ) -> Result<Arc<ClientConfig>, IdentityError> {
        let expected = ExpectedPeer(expected.within(self.trust_domain()));
        tls::client_config(&self.identity, &self.bundle, expected)
    }
}
