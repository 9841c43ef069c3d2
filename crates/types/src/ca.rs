//! Replicated state of the certificate authority.
//!
//! Making and reading certificates is the `pki` crate's; this is only what is stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Index;
use crate::codec::nullable;
use crate::timestamp::Timestamp;

/// A root that is or was trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CaRoot {
    /// SHA-1 fingerprint of the DER, hex with colons.
    #[serde(rename = "ID")]
    pub id: String,
    /// For people.
    pub name: String,
    /// Serial number of the certificate.
    pub serial_number: u64,
    /// Key id of the signing key, hex with colons.
    #[serde(rename = "SigningKeyID")]
    pub signing_key_id: String,
    /// ID of the cluster whose trust domain the root was made for; older rows have the domain.
    #[serde(default)]
    pub external_trust_domain: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// The certificate.
    pub root_cert: String,
    /// Certificates sent with each leaf: a cross-signed one during a rotation.
    #[serde(default, deserialize_with = "nullable")]
    pub intermediate_certs: Vec<String>,
    /// Whether it signs now.
    pub active: bool,
    /// When it stopped signing; zero while active. Old roots are pruned some time after it.
    #[serde(default)]
    pub rotated_out_at: Timestamp,
    /// Index of its creation.
    #[serde(default)]
    pub create_index: Index,
    /// Index of its last change.
    #[serde(default)]
    pub modify_index: Index,
}

/// The configuration of the CA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CaConfig {
    /// UUID of the trust domain.
    #[serde(rename = "ClusterID")]
    pub cluster_id: String,
    /// Name of the provider.
    pub provider: String,
    /// Its settings.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Index of its creation.
    #[serde(default)]
    pub create_index: Index,
    /// Index of its last change.
    #[serde(default)]
    pub modify_index: Index,
}

/// A wish for another configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaChange {
    /// Name of the provider.
    pub provider: String,
    /// Its settings.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Whether another root may come without being signed by the present one: then nobody who knows
    /// that one alone accepts certificates of the new one.
    pub force_without_cross_signing: bool,
}

impl CaChange {
    /// Settings of a provider; a root is to be signed by the one before.
    #[must_use]
    pub fn new(provider: &str, config: serde_json::Map<String, serde_json::Value>) -> Self {
        Self { provider: provider.to_owned(), config, force_without_cross_signing: false }
    }
}

/// Key and certificate of the built-in provider, replicated so that any leader can sign.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CaProviderState {
    /// Derived from the provider's configuration.
    #[serde(rename = "ID")]
    pub id: String,
    /// PEM.
    pub private_key: String,
    /// PEM.
    pub root_cert: String,
    /// PEM of the certificate that the key belongs to, where that is below another datacenter's root;
    /// else empty.
    #[serde(default)]
    pub intermediate_cert: String,
    /// Index of its creation.
    #[serde(default)]
    pub create_index: Index,
    /// Index of its last change.
    #[serde(default)]
    pub modify_index: Index,
}

impl std::fmt::Debug for CaProviderState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaProviderState").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A write to the CA's state; each is applied as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CaWrite {
    /// Replaces the configuration; `expect` is the ModifyIndex it must have now (0: none yet).
    SetConfig {
        /// The new configuration.
        config: CaConfig,
        /// Compare-and-set index; `None` writes unconditionally.
        expect: Option<Index>,
    },
    /// Replaces the list of roots if the roots table is at index `expect`.
    SetRoots {
        /// The whole new list.
        roots: Vec<CaRoot>,
        /// Index of the roots table that must hold now.
        expect: Index,
    },
    /// Both at once: a rotation.
    SetRootsAndConfig {
        /// The whole new list.
        roots: Vec<CaRoot>,
        /// Index of the roots table that must hold now.
        expect: Index,
        /// The new configuration.
        config: CaConfig,
        /// Provider state to store in the same step.
        provider: Option<CaProviderState>,
    },
    /// Stores a provider's key and certificate.
    SetProviderState(CaProviderState),
    /// Forgets a provider's key and certificate.
    DeleteProviderState {
        /// Its ID.
        id: String,
    },
}

/// The roots that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaRoots {
    /// The one that signs.
    pub active_root_id: String,
    /// The domain that they all sign for, without scheme.
    pub trust_domain: String,
    /// All of them.
    pub roots: Vec<Arc<CaRoot>>,
}

/// A certificate as it was signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedLeaf {
    /// Serial number, hex with colons.
    pub serial_number: String,
    /// The certificate, then those between it and a root.
    pub cert_pem: String,
    /// Start of validity.
    pub valid_after: Timestamp,
    /// End of validity.
    pub valid_before: Timestamp,
    /// Name of the service that it is for; empty for an agent's.
    pub service: String,
    /// The service's identity as a URI.
    pub service_uri: String,
    /// Name of the agent that it is for; empty for a service's.
    pub agent: String,
    /// The agent's identity as a URI.
    pub agent_uri: String,
    /// Index of the authority's state.
    pub index: Index,
}
