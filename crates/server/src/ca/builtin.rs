//! The built-in provider: a root whose key is part of the replicated state, so that any leader can
//! sign.

use lictor_pki::{IssueError, PrivateKey, Root, TrustDomain};
use lictor_types::ca::CaProviderState;

use super::ProviderSettings;

/// A root that signs.
#[derive(Clone, Debug)]
pub(crate) struct Builtin {
    root: Root,
    state_id: String,
    leaf_ttl: i64,
}

impl Builtin {
    /// Opens a provider from its stored state, or makes its root; then the state to store comes
    /// with it.
    pub(crate) fn open(
        settings: &ProviderSettings,
        stored: Option<&CaProviderState>,
        domain: &TrustDomain,
        serial: u64,
        now: i64,
    ) -> Result<(Self, Option<CaProviderState>), IssueError> {
        let (state_id, leaf_ttl) = (settings.state_id(), settings.leaf_ttl);
        if let Some(stored) = stored {
            let root = Root::from_pem(&stored.private_key, &stored.root_cert)?;
            return Ok((Self { root, state_id: stored.id.clone(), leaf_ttl }, None));
        }
        let root = if settings.private_key.is_empty() {
            Root::generate(domain, serial, now)?
        } else if settings.root_cert.is_empty() {
            let key = PrivateKey::from_pem(&settings.private_key)?;
            Root::with_key(key, domain, serial, now)?
        } else {
            Root::from_pem(&settings.private_key, &settings.root_cert)?
        };
        let state = CaProviderState {
            id: state_id.clone(),
            private_key: root.key_pem().to_string(),
            root_cert: root.cert_pem().to_owned(),
            create_index: 0,
            modify_index: 0,
        };
        Ok((Self { root, state_id, leaf_ttl }, Some(state)))
    }

    /// What signs.
    pub(crate) const fn root(&self) -> &Root {
        &self.root
    }

    /// Seconds that a leaf lives.
    pub(crate) const fn leaf_ttl(&self) -> i64 {
        self.leaf_ttl
    }

    /// Under which its state is stored.
    pub(crate) fn state_id(&self) -> &str {
        &self.state_id
    }
}
