//! How a check is run, in the shape of the original's state files.
//!
//! Only the shape; reading and writing files is the parent's. Durations are nanoseconds.

use std::collections::BTreeMap;

use lictor_types::check::HealthCheck;
use lictor_types::definition::{CheckDefinition, CheckKind};
use serde::{Deserialize, Serialize};

/// All kinds in one struct: which fields are set tells the kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CheckType {
    #[serde(rename = "CheckID")]
    check_id: String,
    name: String,
    notes: String,
    #[serde(deserialize_with = "nullable")]
    script_args: Vec<String>,
    #[serde(rename = "HTTP")]
    http: String,
    #[serde(deserialize_with = "nullable")]
    header: BTreeMap<String, Vec<String>>,
    method: String,
    body: String,
    #[serde(rename = "TCP")]
    tcp: String,
    #[serde(rename = "UDP")]
    udp: String,
    #[serde(rename = "GRPC")]
    grpc: String,
    #[serde(rename = "GRPCUseTLS")]
    grpc_use_tls: bool,
    #[serde(rename = "H2PING")]
    h2ping: String,
    /// The original's version 1.10 knows nothing else.
    #[serde(rename = "H2PingUseTLS", default = "on")]
    h2ping_use_tls: bool,
    #[serde(rename = "TLSSkipVerify")]
    tls_skip_verify: bool,
    #[serde(rename = "DockerContainerID")]
    docker_container_id: String,
    shell: String,
    alias_node: String,
    alias_service: String,
    interval: i64,
    timeout: i64,
    #[serde(rename = "TTL")]
    ttl: i64,
    deregister_critical_service_after: i64,
    success_before_passing: u32,
    failures_before_critical: u32,
}

const fn on() -> bool {
    true
}

fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    lictor_types::codec::nullable(deserializer)
}

impl CheckType {
    pub(super) fn from_definition(definition: &CheckDefinition) -> Self {
        let mut kind = Self {
            check_id: definition.id.clone(),
            name: definition.name.clone(),
            notes: definition.notes.clone(),
            interval: definition.interval,
            timeout: definition.timeout,
            deregister_critical_service_after: definition.deregister_critical_service_after,
            success_before_passing: definition.success_before_passing,
            failures_before_critical: definition.failures_before_critical,
            ..Self::default()
        };
        match definition.kind.clone() {
            CheckKind::Ttl { ttl } => kind.ttl = ttl,
            CheckKind::Http { url, method, header, body, tls_skip_verify } => {
                kind.http = url;
                kind.method = method;
                kind.header = header;
                kind.body = body;
                kind.tls_skip_verify = tls_skip_verify;
            }
            CheckKind::Tcp { address } => kind.tcp = address,
            CheckKind::Udp { address } => kind.udp = address,
            CheckKind::Grpc { target, use_tls, tls_skip_verify } => {
                kind.grpc = target;
                kind.grpc_use_tls = use_tls;
                kind.tls_skip_verify = tls_skip_verify;
            }
            CheckKind::H2Ping { target, use_tls, tls_skip_verify } => {
                kind.h2ping = target;
                kind.h2ping_use_tls = use_tls;
                kind.tls_skip_verify = tls_skip_verify;
            }
            CheckKind::Docker { container, shell, args } => {
                kind.docker_container_id = container;
                kind.shell = shell;
                kind.script_args = args;
            }
            CheckKind::Script { args } => kind.script_args = args,
            CheckKind::Alias { node, service } => {
                kind.alias_node = node;
                kind.alias_service = service;
            }
        }
        kind
    }

    /// The definition that a stored check came from; its own state is in `check`.
    pub(super) fn definition(&self, check: &HealthCheck, token: &str) -> CheckDefinition {
        CheckDefinition {
            id: check.check_id.to_string(),
            name: check.name.clone(),
            notes: check.notes.clone(),
            service_id: check.service_id.to_string(),
            token: token.to_owned(),
            status: None,
            kind: self.kind(),
            interval: self.interval,
            timeout: self.timeout,
            deregister_critical_service_after: self.deregister_critical_service_after,
            success_before_passing: self.success_before_passing,
            failures_before_critical: self.failures_before_critical,
        }
    }

    fn kind(&self) -> CheckKind {
        let this = self.clone();
        if self.ttl > 0 {
            CheckKind::Ttl { ttl: self.ttl }
        } else if !self.http.is_empty() {
            CheckKind::Http {
                url: this.http,
                method: this.method,
                header: this.header,
                body: this.body,
                tls_skip_verify: self.tls_skip_verify,
            }
        } else if !self.tcp.is_empty() {
            CheckKind::Tcp { address: this.tcp }
        } else if !self.udp.is_empty() {
            CheckKind::Udp { address: this.udp }
        } else if !self.grpc.is_empty() {
            CheckKind::Grpc {
                target: this.grpc,
                use_tls: self.grpc_use_tls,
                tls_skip_verify: self.tls_skip_verify,
            }
        } else if !self.h2ping.is_empty() {
            CheckKind::H2Ping {
                target: this.h2ping,
                use_tls: self.h2ping_use_tls,
                tls_skip_verify: self.tls_skip_verify,
            }
        } else if !self.docker_container_id.is_empty() {
            CheckKind::Docker {
                container: this.docker_container_id,
                shell: this.shell,
                args: this.script_args,
            }
        } else if !self.script_args.is_empty() {
            CheckKind::Script { args: this.script_args }
        } else if !self.alias_node.is_empty() || !self.alias_service.is_empty() {
            CheckKind::Alias { node: this.alias_node, service: this.alias_service }
        } else {
            CheckKind::Ttl { ttl: 0 }
        }
    }
}
