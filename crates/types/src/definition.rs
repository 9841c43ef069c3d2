//! Services and checks as people define them: in configuration files and in agent requests.
//!
//! Reading the texts is done by the `lictor` (files) and `http` (requests) crates; running what
//! is defined here is the `agent`'s. Durations are nanoseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{
    Locality, ManagedProxy, ProxyConfig, ServiceAddress, ServiceKind, StringMap, Weights,
};
use crate::check::Status;

/// How a check is run; the first that applies is chosen in the order of the variants, where UDP
/// comes after TCP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CheckKind {
    /// The application reports; critical when it is silent for `ttl`.
    Ttl {
        /// Nanoseconds.
        ttl: i64,
    },
    /// A request to a URL.
    Http {
        /// The URL.
        url: String,
        /// Empty for GET.
        method: String,
        /// Request headers.
        header: BTreeMap<String, Vec<String>>,
        /// Request body.
        body: String,
        /// Whether the certificate is not verified.
        tls_skip_verify: bool,
    },
    /// A TCP connect.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// The gRPC health protocol.
    Grpc {
        /// `host:port[/service]`.
        target: String,
        /// Whether to use TLS.
        use_tls: bool,
        /// Whether the certificate is not verified.
        tls_skip_verify: bool,
    },
    /// A command inside a container.
    Docker {
        /// Container.
        container: String,
        /// Shell; empty for the default.
        shell: String,
        /// Command and arguments.
        args: Vec<String>,
    },
    /// A command.
    Script {
        /// Command and arguments.
        args: Vec<String>,
    },
    /// A ping by HTTP/2.
    H2Ping {
        /// `host:port`.
        target: String,
        /// Whether to use TLS.
        use_tls: bool,
        /// Whether the certificate is not verified.
        tls_skip_verify: bool,
    },
    /// The state of another node or service.
    Alias {
        /// Node; empty for the own one.
        node: String,
        /// Service ID; empty for the node's checks.
        service: String,
    },
    /// A datagram that is answered.
    Udp {
        /// `host:port`.
        address: String,
    },
}

/// A check as defined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckDefinition {
    /// ID; empty takes the name (or a derived one inside a service).
    pub id: String,
    /// Name.
    pub name: String,
    /// Free text.
    pub notes: String,
    /// Service it belongs to; empty for the node.
    pub service_id: String,
    /// Token for its catalog writes.
    pub token: String,
    /// State before the first run; `None` is critical.
    pub status: Option<Status>,
    /// How it is run.
    pub kind: CheckKind,
    /// Nanoseconds between runs; 0 for TTL checks.
    pub interval: i64,
    /// Nanoseconds a run may take; 0 for the default.
    pub timeout: i64,
    /// Nanoseconds of critical state after which the service is removed; 0 for never.
    pub deregister_critical_service_after: i64,
    /// Successes in a row before it passes; 0 or 1 for at once.
    pub success_before_passing: u32,
    /// Failures in a row before it is critical; 0 or 1 for at once.
    pub failures_before_critical: u32,
}

/// A service as defined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceDefinition {
    /// What it is.
    pub kind: ServiceKind,
    /// ID; empty takes the name.
    pub id: String,
    /// Name.
    pub name: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Own address; empty for the node's.
    pub address: String,
    /// Addresses by kind.
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    /// Metadata.
    pub meta: StringMap,
    /// Port; 0 for none.
    pub port: u16,
    /// Path of a unix socket instead.
    pub socket_path: String,
    /// Where it runs.
    pub locality: Option<Locality>,
    /// Weights; `None` for the default.
    pub weights: Option<Weights>,
    /// Token for its catalog writes.
    pub token: String,
    /// Whether others may change the tags in the catalog.
    pub enable_tag_override: bool,
    /// Its checks, in the order given.
    pub checks: Vec<CheckDefinition>,
    /// For a proxy in the 1.2 form.
    pub proxy_destination: String,
    /// For a proxy in the later form.
    pub proxy: Option<ProxyConfig>,
    /// Whether the application speaks mutual TLS itself.
    pub native: bool,
    /// The managed proxy, if it has one.
    pub managed_proxy: Option<ManagedProxy>,
    /// A sidecar registered together with the service.
    pub sidecar: Option<Box<Self>>,
}
