//! `/v1/agent/connect`: what a proxy or a native application asks of its agent.
//!
//! The state of the certificate authority itself is in [`crate::connect_ca`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client::{Client, ClientError};
use crate::connect_ca::CaRoots;
use crate::decode::{Body, Fields, plain};
use crate::nullable;
use crate::url;

/// A leaf certificate with its key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LeafCert {
    /// Hex with colons.
    pub serial_number: String,
    /// The certificate, then intermediate ones.
    #[serde(rename = "CertPEM")]
    pub cert_pem: String,
    /// The private key.
    #[serde(rename = "PrivateKeyPEM")]
    pub private_key_pem: String,
    /// Name of the service.
    pub service: String,
    /// SPIFFE ID.
    #[serde(rename = "ServiceURI")]
    pub service_uri: String,
    /// Start of validity, RFC 3339.
    pub valid_after: String,
    /// End of validity, RFC 3339.
    pub valid_before: String,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

impl std::fmt::Debug for LeafCert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeafCert")
            .field("serial_number", &self.serial_number)
            .field("service_uri", &self.service_uri)
            .field("valid_before", &self.valid_before)
            .finish_non_exhaustive()
    }
}

/// Body of `/v1/agent/connect/authorize`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthorizeRequest {
    /// Name of the service that is connected to.
    pub target: String,
    /// SPIFFE ID of the caller.
    #[serde(rename = "ClientCertURI")]
    pub client_cert_uri: String,
    /// Serial number of the caller's certificate.
    pub client_cert_serial: String,
}

impl Body for AuthorizeRequest {
    const FIELDS: &'static Fields =
        &Fields(&[plain("Target"), plain("ClientCertURI"), plain("ClientCertSerial")]);
}

/// Answer of `/v1/agent/connect/authorize`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Authorization {
    /// Whether the connection may be made.
    pub authorized: bool,
    /// Why, for people.
    pub reason: String,
}

/// Answer of `/v1/agent/connect/proxy/…`: the configuration of a managed proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManagedProxyConfig {
    /// ID of the proxy's own service.
    #[serde(rename = "ProxyServiceID")]
    pub proxy_service_id: String,
    /// ID of the service that it stands for.
    #[serde(rename = "TargetServiceID")]
    pub target_service_id: String,
    /// Name of the service that it stands for.
    pub target_service_name: String,
    /// Changes whenever anything else here does.
    pub content_hash: String,
    /// `daemon` or `script`.
    pub exec_mode: String,
    /// Program and arguments.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub command: Vec<String>,
    /// Everything that the proxy needs to know.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub config: Map<String, Value>,
}

impl Client {
    /// Trusted roots, from the agent's cache.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_ca_roots(&self) -> Result<CaRoots, ClientError> {
        self.call_json(self.get("/v1/agent/connect/ca/roots")).await
    }

    /// A leaf certificate for `service`, from the agent's cache.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_leaf(&self, service: &str) -> Result<LeafCert, ClientError> {
        self.call_json(self.get(&url::path("/v1/agent/connect/ca/leaf/", service))).await
    }

    /// Whether a connection may be made.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_authorize(
        &self,
        question: &AuthorizeRequest,
    ) -> Result<Authorization, ClientError> {
        let request = self.request(crate::client::Method::POST, "/v1/agent/connect/authorize");
        self.call_json(request.json(question)?).await
    }

    /// The configuration of a managed proxy.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_proxy_config(
        &self,
        proxy_id: &str,
    ) -> Result<ManagedProxyConfig, ClientError> {
        self.call_json(self.get(&url::path("/v1/agent/connect/proxy/", proxy_id))).await
    }
}
