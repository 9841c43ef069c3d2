//! What an agent must be told: all decided, nothing left to default.
//!
//! Where the values come from (files, flags, defaults) is the binary's matter; the definitions of
//! services and checks may be replaced later by a reload.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::gossip::GossipSettings;
use crate::metrics::Telemetry;
use crate::tokens::TokenSet;
use lictor_types::catalog::StringMap;
use lictor_types::definition::{CheckDefinition, ServiceDefinition};

/// Settings of an agent.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Name of the node.
    pub node_name: Arc<str>,
    /// UUID of the node.
    pub node_id: String,
    /// Datacenter of the node.
    pub datacenter: String,
    /// Address that others use for the node.
    pub advertise_address: String,
    /// Address that the agent binds to; managed proxies bind to it as well.
    pub bind_address: String,
    /// Addresses of the node by kind: `lan`, `wan`.
    pub tagged_addresses: StringMap,
    /// Metadata of the node, the agent's own pairs included.
    pub node_meta: StringMap,
    /// Ports shown to other members.
    pub ports: MemberPorts,
    /// The pools that it is in.
    pub gossip: GossipSettings,
    /// Whether this agent is a server.
    pub server: bool,
    /// Whether it was told to be the first server.
    pub bootstrap: bool,
    /// How long a server that has left goes on answering.
    pub leave_drain: Duration,
    /// Where local state is kept; `None` keeps nothing over a restart.
    pub data_dir: Option<PathBuf>,
    /// Development mode: managed proxies end with the agent.
    pub dev: bool,
    /// Whether checks may run commands.
    pub enable_script_checks: bool,
    /// Whether the agent keeps its network coordinate to itself.
    pub disable_coordinates: bool,
    /// Whether commands that others want to have run here are refused.
    pub disable_remote_exec: bool,
    /// First key of gossip, base64; empty for none.
    pub encrypt: String,
    /// Whether the keys of gossip are in memory only.
    pub disable_keyring_file: bool,
    /// Whether checks of configuration files may, even if others may not.
    pub enable_local_script_checks: bool,
    /// Certificates and authorities for checks that speak TLS; `None` for the system's authorities.
    pub check_tls: Option<CheckTlsFiles>,
    /// How long a change of a check's output alone may wait; zero for not at all.
    pub check_update_interval: Duration,
    /// Whether the outputs of checks are thrown away.
    pub discard_check_output: bool,
    /// The agent's own tokens.
    pub tokens: TokenSet,
    /// Whether tokens that are set over the API are kept over a restart.
    pub keep_tokens: bool,
    /// Managed proxies.
    pub proxy: ProxySettings,
    /// Ports for sidecars that are registered with their service and name none; `None` gives out
    /// none.
    pub sidecar_ports: Option<RangeInclusive<u16>>,
    /// The agent's own HTTP listener as `CONSUL_HTTP_ADDR` would name it: `127.0.0.1:8500`,
    /// `unix:///path`. Handed to managed proxies.
    pub http_address: String,
    /// This program, which is also the built-in proxy.
    pub binary: PathBuf,
    /// The agent's log level as configured (`INFO`, `DEBUG`, …).
    pub log_level: String,
    /// How what is counted is named and kept.
    pub telemetry: Telemetry,
    /// What is running.
    pub build: Build,
    /// The whole configuration with secrets blanked, for `/v1/agent/self`.
    pub debug_config: serde_json::Value,
    /// Services and checks of the configuration files.
    pub definitions: Definitions,
}

/// What checks present and trust; PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckTlsFiles {
    /// The certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// Authorities.
    pub ca_file: Option<PathBuf>,
    /// A folder of authorities.
    pub ca_path: Option<PathBuf>,
}

/// Ports that a member tells others.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberPorts {
    /// RPC and consensus.
    pub server: u16,
    /// LAN gossip.
    pub serf_lan: u16,
    /// WAN gossip; 0 when off.
    pub serf_wan: u16,
}

/// Version of the program.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// Version number, `1.2.0`.
    pub version: String,
    /// Pre-release mark; empty for a release.
    pub prerelease: String,
    /// Revision of the source.
    pub revision: String,
}

/// Settings of managed proxies.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// Start them even when running as root.
    pub allow_managed_root: bool,
    /// Accept them from the API, not only from files.
    pub allow_managed_api_registration: bool,
    /// Lowest port handed out; 0 with `max_port` 0 hands out none.
    pub min_port: u16,
    /// Highest port handed out.
    pub max_port: u16,
    /// `exec_mode` of proxies that name none; empty is `daemon`.
    pub default_exec_mode: String,
    /// Command of daemons that name none; empty is the built-in proxy.
    pub default_daemon_command: Vec<String>,
    /// Command of scripts that name none.
    pub default_script_command: Vec<String>,
    /// Configuration under each proxy's own.
    pub default_config: serde_json::Map<String, serde_json::Value>,
    /// Telemetry settings passed on to proxies; `None` passes nothing.
    pub telemetry: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Services and checks as configuration files define them.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// Services, with their checks.
    pub services: Vec<ServiceDefinition>,
    /// Checks of the node, or of a service by its ID.
    pub checks: Vec<CheckDefinition>,
}

/// What a reload may change.
#[derive(Clone, Debug, Default)]
pub struct Reload {
    /// The services and checks that files define now.
    pub definitions: Definitions,
    /// Metadata of the node, the agent's own pairs included.
    pub node_meta: StringMap,
    /// Whether the outputs of checks are thrown away.
    pub discard_check_output: bool,
    /// The agent's own tokens.
    pub tokens: TokenSet,
}
