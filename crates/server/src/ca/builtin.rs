//! The built-in provider: a root whose key is part of the replicated state, so that any leader can
//! sign.

use lictor_pki::{IssueError, PrivateKey, Root, TrustDomain};
use lictor_types::ca::CaProviderState;

use super::settings::{Given, ProviderSettings};

/// A root that signs.
#[derive(Clone, Debug)]
pub(crate) struct Builtin {
    /// What signs: a root, or an authority below one.
    root: Root,
    /// PEM of the root above it; empty where it is a root itself.
    above: String,
    state_id: String,
    leaf_ttl: i64,
}

impl Builtin {
    /// Opens a provider from its stored state, or makes its root; then the state to store comes
    /// with it.
    pub(crate) fn open(
        given: &Given,
        settings: &ProviderSettings,
        stored: Option<&CaProviderState>,
        domain: &TrustDomain,
        serial: u64,
        now: i64,
    ) -> Result<(Self, Option<CaProviderState>), IssueError> {
        let (state_id, leaf_ttl) = (given.state_id(), settings.leaf_ttl);
        if let Some(stored) = stored {
            let root = Root::from_pem(&stored.private_key, &stored.root_cert)?;
            let state_id = stored.id.clone();
            return Ok((Self { root, above: String::new(), state_id, leaf_ttl }, None));
        }
        let root = if given.root_cert.is_empty() {
            let key = match given.private_key.as_str() {
                "" => PrivateKey::generate()?,
                given => PrivateKey::from_pem(given)?,
            };
            Root::with_key(key, domain, serial, now, settings.root_ttl)?
        } else {
            Root::from_pem(&given.private_key, &given.root_cert)?
        };
        let state = CaProviderState {
            id: state_id.clone(),
            private_key: root.key_pem().to_string(),
            root_cert: root.cert_pem().to_owned(),
            intermediate_cert: String::new(),
            create_index: 0,
            modify_index: 0,
        };
        Ok((Self { root, above: String::new(), state_id, leaf_ttl }, Some(state)))
    }

    /// Opens an authority below another datacenter's root from its stored state.
    pub(crate) fn below(state: &CaProviderState, leaf_ttl: i64) -> Result<Self, IssueError> {
        let root = Root::from_pem(&state.private_key, &state.intermediate_cert)?;
        let (above, state_id) = (state.root_cert.trim().to_owned(), state.id.clone());
        Ok(Self { root, above, state_id, leaf_ttl })
    }

    /// Whether it is below this root.
    pub(crate) fn is_below(&self, root_pem: &str) -> bool {
        !self.above.is_empty() && self.above == root_pem.trim()
    }

    /// Whether it is a root itself.
    pub(crate) fn is_root(&self) -> bool {
        self.above.is_empty()
    }

    /// The same for leaves of another life.
    pub(crate) fn with_leaf_ttl(&self, leaf_ttl: i64) -> Self {
        Self { leaf_ttl, ..self.clone() }
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
