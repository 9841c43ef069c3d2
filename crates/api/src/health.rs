//! `/v1/health`: checks, and instances with their checks.
//!
//! Defining checks is in [`crate::agent_check`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{Node, Service};
use crate::client::{Client, ClientError, ReadOptions, Request};
use crate::decode::{Fields, object, opaque, plain};
use crate::duration::GoDuration;
use crate::nullable;
use crate::url;

/// How a check is run, as far as the catalog was told; unset parts are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheckDefinition {
    /// URL of an HTTP check.
    #[serde(rename = "HTTP", skip_serializing_if = "String::is_empty")]
    pub http: String,
    /// Whether the certificate is not verified.
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "std::ops::Not::not")]
    pub tls_skip_verify: bool,
    /// Request headers.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable::deserialize"
    )]
    pub header: BTreeMap<String, Vec<String>>,
    /// Request method.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Address of a TCP check.
    #[serde(rename = "TCP", skip_serializing_if = "String::is_empty")]
    pub tcp: String,
    /// Address of a UDP check.
    #[serde(rename = "UDP", skip_serializing_if = "String::is_empty")]
    pub udp: String,
    /// Time between runs.
    #[serde(skip_serializing_if = "GoDuration::is_zero")]
    pub interval: GoDuration,
    /// Longest time of a run.
    #[serde(skip_serializing_if = "GoDuration::is_zero")]
    pub timeout: GoDuration,
    /// Time of critical state after which the service is removed.
    #[serde(skip_serializing_if = "GoDuration::is_zero")]
    pub deregister_critical_service_after: GoDuration,
}

/// A check with its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// Name of the node.
    pub node: String,
    /// Unique on its node.
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
    /// Tags of that service; never `null`.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub service_tags: Vec<String>,
    /// `http`, `ttl`, …; empty when unknown.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Time between runs, where it is told.
    pub interval: String,
    /// Longest time of a run, where it is told.
    pub timeout: String,
    /// Always 0: checks are not exposed through proxies.
    pub exposed_port: i64,
    /// How it is run.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub definition: HealthCheckDefinition,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// An instance with its node and every check that concerns it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceEntry {
    /// The node.
    pub node: Node,
    /// The instance.
    pub service: Service,
    /// The node's checks, then the instance's.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub checks: Vec<HealthCheck>,
}

/// Field names of a check inside a catalog registration.
pub(crate) const CHECK: &Fields = &Fields(&[
    plain("Node"),
    plain("CheckID"),
    plain("Name"),
    plain("Status"),
    plain("Notes"),
    plain("Output"),
    plain("ServiceID"),
    plain("ServiceName"),
    plain("ServiceTags"),
    plain("Type"),
    plain("Interval"),
    plain("Timeout"),
    plain("ModifyIndex"),
    object(
        "Definition",
        &Fields(&[
            plain("HTTP"),
            plain("TLSSkipVerify"),
            opaque("Header"),
            plain("Method"),
            plain("TCP"),
            plain("UDP"),
            plain("Interval"),
            plain("Timeout"),
            plain("DeregisterCriticalServiceAfter"),
        ]),
    ),
]);

impl Client {
    /// Instances of a service with their checks; `passing` leaves out the unhealthy.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn health_service(
        &self,
        name: &str,
        tag: &str,
        passing: bool,
        options: ReadOptions,
    ) -> Result<Vec<ServiceEntry>, ClientError> {
        let request = self.read(&url::path("/v1/health/service/", name), options);
        self.call_json(only_passing(request.pair_if("tag", tag), passing)).await
    }

    /// Instances through which a service is reached over mutual TLS, with their checks.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn health_connect(
        &self,
        name: &str,
        passing: bool,
        options: ReadOptions,
    ) -> Result<Vec<ServiceEntry>, ClientError> {
        let request = self.read(&url::path("/v1/health/connect/", name), options);
        self.call_json(only_passing(request, passing)).await
    }

    /// Checks of a node.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn health_node(
        &self,
        node: &str,
        options: ReadOptions,
    ) -> Result<Vec<HealthCheck>, ClientError> {
        self.call_json(self.read(&url::path("/v1/health/node/", node), options)).await
    }

    /// Checks of a service.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn health_checks(
        &self,
        service: &str,
        options: ReadOptions,
    ) -> Result<Vec<HealthCheck>, ClientError> {
        self.call_json(self.read(&url::path("/v1/health/checks/", service), options)).await
    }
}

fn only_passing(request: Request, passing: bool) -> Request {
    if passing { request.pair("passing", "1") } else { request }
}
