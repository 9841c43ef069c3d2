//! `/v1/connect/ca`: roots and configuration of the certificate authority.
//!
//! Leaf certificates are asked of the agent: [`crate::agent_connect`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client::{Client, ClientError, ReadOptions};
use crate::decode::{Body, Fields, aliased, opaque, plain};
use crate::nullable;

/// A trusted root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CaRoot {
    /// SHA-1 fingerprint, hex with colons.
    #[serde(rename = "ID")]
    pub id: String,
    /// For people.
    pub name: String,
    /// Serial number.
    pub serial_number: u64,
    /// ID of the signing key, hex with colons.
    #[serde(rename = "SigningKeyID")]
    pub signing_key_id: String,
    /// Start of validity, RFC 3339.
    pub not_before: String,
    /// End of validity, RFC 3339.
    pub not_after: String,
    /// The certificate, PEM.
    pub root_cert: String,
    /// Certificates sent with leaves; none is `null`.
    #[serde(with = "nullable")]
    pub intermediate_certs: Vec<String>,
    /// Whether it signs now.
    pub active: bool,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// Answer of `/v1/connect/ca/roots` and of the agent's copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CaRoots {
    /// The root that signs now.
    #[serde(rename = "ActiveRootID")]
    pub active_root_id: String,
    /// Trust domain without scheme.
    pub trust_domain: String,
    /// All trusted roots.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub roots: Vec<CaRoot>,
}

/// Configuration of the authority, as it is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CaConfig {
    /// Name of the provider.
    pub provider: String,
    /// Its settings.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub config: Map<String, Value>,
    /// What the provider remembers; the built-in one has nothing to tell.
    pub state: Option<Map<String, Value>>,
    /// Whether a new root may come that the old one cannot sign; the built-in one always can.
    pub force_without_cross_signing: bool,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

impl Body for CaConfig {
    const FIELDS: &'static Fields = &Fields(&[
        plain("Provider"),
        opaque("Config"),
        opaque("State"),
        aliased("ForceWithoutCrossSigning", &["force_without_cross_signing"]),
        plain("CreateIndex"),
        plain("ModifyIndex"),
    ]);
}

impl Client {
    /// Trusted roots.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn ca_roots(&self, options: ReadOptions) -> Result<CaRoots, ClientError> {
        self.call_json(self.read("/v1/connect/ca/roots", options)).await
    }

    /// Configuration of the authority.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn ca_config(&self, options: ReadOptions) -> Result<CaConfig, ClientError> {
        self.call_json(self.read("/v1/connect/ca/configuration", options)).await
    }

    /// Changes the configuration of the authority: rotates the root where needed.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn ca_set_config(&self, config: &CaConfig) -> Result<(), ClientError> {
        let request = self.put("/v1/connect/ca/configuration").json(config)?;
        self.call(request).await.map(drop)
    }
}
