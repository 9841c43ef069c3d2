//! What the authority needs of a provider: the root that peers trust, and signatures.
//!
//! The built-in one has its key in the replicated state and signs here and at once. Vault's keeps
//! its keys to itself: it is asked, and what it answers is checked before anybody sees it.

use lictor_pki::{AgentId, Certificate, Csr, Leaf, ServiceId, TrustDomain};
use lictor_types::error::EndpointError;

use super::settings::{Kind, ProviderSettings};
use super::{Builtin, VaultAuthority};
use crate::clock;

/// What signs. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) enum Provider {
    Builtin(Builtin),
    Vault(VaultAuthority),
}

/// A request as it was read, and as it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) csr: &'a Csr,
    pub(crate) pem: &'a str,
}

fn refused(error: impl std::fmt::Display) -> EndpointError {
    EndpointError::refused(error.to_string())
}

impl Provider {
    /// The root that it signs below, or that signs itself.
    pub(crate) fn root(&self) -> &Certificate {
        match self {
            Self::Builtin(builtin) => builtin.root().certificate(),
            Self::Vault(vault) => vault.root(),
        }
    }

    /// What signs leaves.
    pub(crate) fn certificate(&self) -> &Certificate {
        match self {
            Self::Builtin(builtin) => builtin.root().certificate(),
            Self::Vault(vault) => vault.certificate(),
        }
    }

    /// Whether the root is its own, not another datacenter's.
    pub(crate) fn is_root(&self) -> bool {
        match self {
            Self::Builtin(builtin) => builtin.is_root(),
            Self::Vault(vault) => vault.has_root(),
        }
    }

    /// Whether it is below this root (PEM) of another datacenter.
    pub(crate) fn is_below(&self, root_pem: &str) -> bool {
        match self {
            Self::Builtin(builtin) => builtin.is_below(root_pem),
            Self::Vault(vault) => vault.is_below(root_pem),
        }
    }

    /// Whether it is the one that the settings mean.
    pub(crate) fn is_of(&self, settings: &ProviderSettings) -> bool {
        match (self, &settings.kind) {
            (Self::Builtin(_), Kind::Builtin(_)) => true,
            (Self::Vault(vault), Kind::Vault(given)) => vault.is_of(given),
            _ => false,
        }
    }

    /// Seconds that a leaf lives.
    pub(crate) const fn leaf_ttl(&self) -> i64 {
        match self {
            Self::Builtin(builtin) => builtin.leaf_ttl(),
            Self::Vault(vault) => vault.leaf_ttl(),
        }
    }

    /// The same for leaves of another life.
    pub(crate) fn with_leaf_ttl(&self, leaf_ttl: i64) -> Self {
        match self {
            Self::Builtin(builtin) => Self::Builtin(builtin.with_leaf_ttl(leaf_ttl)),
            Self::Vault(vault) => Self::Vault(vault.with_leaf_ttl(leaf_ttl)),
        }
    }

    /// Under which its key is stored, if it is.
    pub(crate) fn state_id(&self) -> Option<&str> {
        match self {
            Self::Builtin(builtin) => Some(builtin.state_id()),
            Self::Vault(_) => None,
        }
    }

    /// Signs a leaf of a service.
    pub(crate) async fn sign_service(
        &self,
        request: Request<'_>,
        id: &ServiceId,
    ) -> Result<Leaf, EndpointError> {
        match self {
            Self::Builtin(builtin) => {
                let (root, ttl) = (builtin.root(), builtin.leaf_ttl());
                root.sign_leaf(request.csr, id, ttl, clock::now_seconds()).map_err(refused)
            }
            // Apart, so that the other's way stays small.
            Self::Vault(vault) => Box::pin(vault.sign_service(request, id)).await,
        }
    }

    /// Signs a leaf of an agent.
    pub(crate) async fn sign_agent(
        &self,
        request: Request<'_>,
        id: &AgentId,
    ) -> Result<Leaf, EndpointError> {
        match self {
            Self::Builtin(builtin) => {
                let (root, ttl) = (builtin.root(), builtin.leaf_ttl());
                root.sign_agent(request.csr, id, ttl, clock::now_seconds()).map_err(refused)
            }
            Self::Vault(vault) => Box::pin(vault.sign_agent(request, id)).await,
        }
    }

    /// Signs the authority of another datacenter with the root, for `ttl` seconds, as PEM.
    pub(crate) async fn sign_intermediate(
        &self,
        request: Request<'_>,
        domain: &TrustDomain,
        ttl: i64,
    ) -> Result<String, EndpointError> {
        match self {
            Self::Builtin(builtin) => builtin
                .root()
                .sign_intermediate(request.csr, domain, ttl, clock::now_seconds())
                .map_err(refused),
            Self::Vault(vault) => vault.sign_intermediate(request, domain, ttl).await,
        }
    }

    /// Signs another root with this one, so that whoever knows only this one trusts that one.
    pub(crate) async fn cross_sign(&self, new: &Certificate) -> Result<String, EndpointError> {
        let failed = |error: &dyn std::fmt::Display| {
            EndpointError::refused(format!("cannot cross-sign the root: {error}"))
        };
        match self {
            Self::Builtin(builtin) => {
                builtin.root().cross_sign(new, clock::now_seconds()).map_err(|e| failed(&e))
            }
            Self::Vault(vault) => vault.cross_sign(new).await.map_err(|e| failed(&e)),
        }
    }

    /// Takes away what only this one needed elsewhere, now that `next` signs. Failures are told and
    /// change nothing.
    pub(crate) async fn clean_up(&self, next: &Self) {
        let Self::Vault(vault) = self else { return };
        match next {
            Self::Vault(next) if vault.shares_engine(next) => {}
            _ => vault.unmount().await,
        }
    }
}
