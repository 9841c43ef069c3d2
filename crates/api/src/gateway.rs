//! Bodies of `/v1/catalog/gateway-services/`.

use serde::{Deserialize, Serialize};

/// A name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Named {
    /// It.
    pub name: String,
}

/// A service that a gateway leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GatewayService {
    /// The gateway.
    pub gateway: Named,
    /// The service.
    pub service: Named,
    /// Kind of the gateway.
    pub gateway_kind: String,
    /// Port where the gateway listens for it.
    #[serde(skip_serializing_if = "is_zero")]
    pub port: i64,
    /// What is spoken there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// Names of hosts that lead to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// PEM file of the authority that its certificate is of.
    #[serde(rename = "CAFile", skip_serializing_if = "String::is_empty")]
    pub ca_file: String,
    /// PEM file of the certificate that is shown to it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_file: String,
    /// PEM file with the key of that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key_file: String,
    /// Name that is asked for.
    #[serde(rename = "SNI", skip_serializing_if = "String::is_empty")]
    pub sni: String,
    /// Whether it is there since the gateway leads to all services.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub from_wildcard: bool,
    /// Index of the creation of the gateway's entry.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}
