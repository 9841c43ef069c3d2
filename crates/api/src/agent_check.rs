//! `/v1/agent/check…`: checks of the local agent.
//!
//! How a registered check is shown is [`crate::health::HealthCheck`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::{Client, ClientError};
use crate::decode::{Body, Fields, aliased, opaque, plain};
use crate::duration::GoDuration;
use crate::health::HealthCheck;
use crate::nullable;
use crate::url;

/// Body of `/v1/agent/check/register`, and a check inside a service's registration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckRegistration {
    /// ID of a check that is registered by itself; the name when empty.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// ID of a check inside a service; derived from the service when empty.
    #[serde(rename = "CheckID", skip_serializing_if = "String::is_empty")]
    pub check_id: String,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Service that it belongs to.
    #[serde(rename = "ServiceID", skip_serializing_if = "String::is_empty")]
    pub service_id: String,
    /// Token for its catalog writes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// State before the first run; critical when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Command and arguments.
    #[serde(rename = "Args", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// URL.
    #[serde(rename = "HTTP", skip_serializing_if = "String::is_empty")]
    pub http: String,
    /// Request headers.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable::deserialize"
    )]
    pub header: BTreeMap<String, Vec<String>>,
    /// Request method.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Request body.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// `host:port`.
    #[serde(rename = "TCP", skip_serializing_if = "String::is_empty")]
    pub tcp: String,
    /// `host:port` of a server that answers datagrams.
    #[serde(rename = "UDP", skip_serializing_if = "String::is_empty")]
    pub udp: String,
    /// `host:port[/service]`.
    #[serde(rename = "GRPC", skip_serializing_if = "String::is_empty")]
    pub grpc: String,
    /// Whether the gRPC check uses TLS.
    #[serde(rename = "GRPCUseTLS", skip_serializing_if = "std::ops::Not::not")]
    pub grpc_use_tls: bool,
    /// `host:port` to ping by HTTP/2.
    #[serde(rename = "H2PING", skip_serializing_if = "String::is_empty")]
    pub h2ping: String,
    /// Whether that uses TLS; it does unless it is switched off.
    #[serde(rename = "H2PingUseTLS", skip_serializing_if = "Option::is_none")]
    pub h2ping_use_tls: Option<bool>,
    /// Node whose state is taken over; with a service its own node when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias_node: String,
    /// ID of the service whose state is taken over.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias_service: String,
    /// Successes in a row before it passes.
    #[serde(skip_serializing_if = "is_zero")]
    pub success_before_passing: u32,
    /// Failures in a row before it is critical.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_before_critical: u32,
    /// Container to run the command in.
    #[serde(rename = "DockerContainerID", skip_serializing_if = "String::is_empty")]
    pub docker_container_id: String,
    /// Shell in the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub shell: String,
    /// Whether certificates are not verified.
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "std::ops::Not::not")]
    pub tls_skip_verify: bool,
    /// Time between runs.
    #[serde(skip_serializing_if = "GoDuration::is_zero")]
    pub interval: GoDuration,
    /// Longest time of a run.
    #[serde(skip_serializing_if = "GoDuration::is_zero")]
    pub timeout: GoDuration,
    /// Longest silence of the application.
    #[serde(rename = "TTL", skip_serializing_if = "GoDuration::is_zero")]
    pub ttl: GoDuration,
    /// Time of critical state after which the service is removed.
    #[serde(skip_serializing_if = "GoDuration::is_zero")]
    pub deregister_critical_service_after: GoDuration,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl CheckRegistration {
    /// Whether nothing but perhaps an ID was given: such a check inside a service is ignored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Body for CheckRegistration {
    const FIELDS: &'static Fields = &Fields(&[
        plain("ID"),
        plain("Name"),
        plain("Notes"),
        aliased("ServiceID", &["service_id"]),
        plain("Token"),
        plain("Status"),
        aliased("Args", &["ScriptArgs", "script_args"]),
        plain("HTTP"),
        opaque("Header"),
        plain("Method"),
        plain("Body"),
        aliased("AliasNode", &["alias_node"]),
        aliased("AliasService", &["alias_service"]),
        aliased("SuccessBeforePassing", &["success_before_passing"]),
        aliased("FailuresBeforeCritical", &["failures_before_critical"]),
        plain("TCP"),
        plain("UDP"),
        plain("GRPC"),
        aliased("GRPCUseTLS", &["grpc_use_tls"]),
        aliased("H2PING", &["h2_ping"]),
        aliased("H2PingUseTLS", &["h2ping_use_tls"]),
        aliased("DockerContainerID", &["docker_container_id"]),
        plain("Shell"),
        aliased("TLSSkipVerify", &["tls_skip_verify"]),
        plain("Interval"),
        plain("Timeout"),
        plain("TTL"),
        aliased("DeregisterCriticalServiceAfter", &["deregister_critical_service_after"]),
    ]);
}

/// Field names of a check inside a service's registration.
pub(crate) const SERVICE_CHECK: &Fields = &Fields(&[
    aliased("CheckID", &["check_id"]),
    plain("Name"),
    plain("Notes"),
    plain("Status"),
    aliased("Args", &["ScriptArgs", "script_args"]),
    plain("HTTP"),
    opaque("Header"),
    plain("Method"),
    plain("Body"),
    aliased("AliasNode", &["alias_node"]),
    aliased("AliasService", &["alias_service"]),
    aliased("SuccessBeforePassing", &["success_before_passing"]),
    aliased("FailuresBeforeCritical", &["failures_before_critical"]),
    plain("TCP"),
    plain("UDP"),
    plain("GRPC"),
    aliased("GRPCUseTLS", &["grpc_use_tls"]),
    aliased("H2PING", &["h2_ping"]),
    aliased("H2PingUseTLS", &["h2ping_use_tls"]),
    aliased("DockerContainerID", &["docker_container_id"]),
    plain("Shell"),
    aliased("TLSSkipVerify", &["tls_skip_verify"]),
    plain("Interval"),
    plain("Timeout"),
    plain("TTL"),
    aliased("DeregisterCriticalServiceAfter", &["deregister_critical_service_after"]),
]);

/// A check as the health of a local service shows it. How it is run is not told: that part has
/// its fields, as clients expect, and they are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentServiceCheck {
    /// Name of the node.
    pub node: String,
    /// ID.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// For people.
    pub name: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    /// Free text of the definition.
    pub notes: String,
    /// Output of the last run.
    pub output: String,
    /// Service it belongs to; empty for the node's.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    /// Name of that service.
    pub service_name: String,
    /// Tags of that service; none is `null`.
    #[serde(with = "nullable")]
    pub service_tags: Vec<String>,
    /// Always empty.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Without content.
    pub definition: UntoldDefinition,
    /// Always 0.
    pub create_index: u64,
    /// Always 0.
    pub modify_index: u64,
}

/// The definition of a check that is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UntoldDefinition {
    interval: GoDuration,
    timeout: GoDuration,
    deregister_critical_service_after: GoDuration,
    #[serde(rename = "HTTP")]
    http: String,
    header: Option<BTreeMap<String, Vec<String>>>,
    method: String,
    body: String,
    #[serde(rename = "TLSServerName")]
    tls_server_name: String,
    #[serde(rename = "TLSSkipVerify")]
    tls_skip_verify: bool,
    #[serde(rename = "TCP")]
    tcp: String,
    #[serde(rename = "GRPC")]
    grpc: String,
    #[serde(rename = "GRPCUseTLS")]
    grpc_use_tls: bool,
}

/// Body of `/v1/agent/check/update/…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckUpdate {
    /// The new state.
    pub status: String,
    /// Why.
    pub output: String,
}

impl Body for CheckUpdate {
    const FIELDS: &'static Fields = &Fields(&[plain("Status"), plain("Output")]);
}

impl Client {
    /// Checks of the agent by ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_checks(&self) -> Result<BTreeMap<String, HealthCheck>, ClientError> {
        self.call_json(self.get("/v1/agent/checks")).await
    }

    /// Registers a check with the agent.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_check_register(&self, check: &CheckRegistration) -> Result<(), ClientError> {
        let request = self.put("/v1/agent/check/register").json(check)?;
        self.call(request).await.map(drop)
    }

    /// Removes a check from the agent.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_check_deregister(&self, check_id: &str) -> Result<(), ClientError> {
        let request = self.put(&url::path("/v1/agent/check/deregister/", check_id));
        self.call(request).await.map(drop)
    }

    /// Reports the state of a TTL check.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_check_update(
        &self,
        check_id: &str,
        update: &CheckUpdate,
    ) -> Result<(), ClientError> {
        let request = self.put(&url::path("/v1/agent/check/update/", check_id)).json(update)?;
        self.call(request).await.map(drop)
    }
}
