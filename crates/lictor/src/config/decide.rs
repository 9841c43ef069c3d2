//! Makes a configuration of what files and flags say: defaults, rules between keys, warnings.
//!
//! What a single file may hold is [`super::decode`]'s. Rules and texts follow the original; what
//! this program cannot do yet is refused where going on would do harm, and warned of elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lictor_agent::{AgentConfig, Build, Definitions, GossipSettings, MemberPorts};
use lictor_server::{ServerConfig, Storage, Timing, Waits};
use lictor_types::autopilot::AutopilotConfig;
use lictor_types::config_entry::ConfigEntry;
use lictor_types::definition::ServiceDefinition;

use super::access;
use super::address::{self, Addresses};
use super::cluster;
use super::error::ConfigError;
use super::interfaces::Network;
use super::raw::{Item, Raw};
use super::schema::Effect;
use super::settings::setting;
use super::{
    Banner, Config, debug, dns, gossip, http, identity, log, mesh, rules, service, telemetry,
};
use crate::cli::COMPATIBLE_VERSION;
use crate::cluster::ClusterSettings;

/// Name of the development mode where values come from it.
pub(super) const DEV: &str = "-dev";
/// What development mode sets before files and flags are looked at.
pub(super) const DEV_DEFAULTS: &str = r#"
server = true
bind_addr = "127.0.0.1"
ui = true
log_level = "DEBUG"
enable_debug = true
disable_keyring_file = true
connect { enabled = true }
performance { raft_multiplier = 1 }
"#;
const DEV_TIMING: Timing =
    Timing { heartbeat: Duration::from_millis(35), election: Duration::from_millis(52) };

/// What the configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An agent starts or reloads: what must be kept is stored.
    Run,
    /// Somebody wants to know whether it is in order: nothing is written.
    Check,
}

/// Decides everything.
pub(super) fn decide(
    raw: &Raw,
    dev: bool,
    purpose: Purpose,
    network: &Network,
) -> Result<Config, ConfigError> {
    let mut warnings = Vec::new();
    rules::check(raw, dev, &mut warnings)?;
    without_effect(raw, &mut warnings);
    let server = raw.bool("server").unwrap_or(false);
    let data_dir = identity::data_dir(raw, dev)?;
    let addresses = address::addresses(raw, purpose, network)?;
    let keep = purpose == Purpose::Run;
    let node = Node {
        name: identity::node_name(raw, &mut warnings)?.into(),
        datacenter: identity::datacenter(raw)?,
        meta: identity::node_meta(raw)?,
        id: identity::node_id(raw, data_dir.as_deref(), keep)?,
    };
    let pools = gossip::settings(raw, &addresses, network, dev)?;
    let mut agent = agent(raw, &node, &addresses, pools, dev, &mut warnings)?;
    agent.data_dir.clone_from(&data_dir);
    let authority = mesh::authority(raw)?;
    let server_config = match server {
        true => Some(ServerConfig { ca: authority, ..server_config(raw, &agent, data_dir, dev)? }),
        false => None,
    };
    let http = http::http(raw, &addresses, dev, &mut warnings)?;
    let dns = dns::dns(raw, &addresses, network)?;
    let forward = cluster::forward(raw, &agent)?;
    let cluster = cluster::cluster(raw, &addresses, &agent, &mut warnings)?;
    agent.debug_config = debug::json(raw, &agent, server_config.as_ref(), &http, &addresses);
    Ok(Config {
        banner: banner(&agent, &addresses, &cluster),
        forward,
        cluster,
        log_level: agent.log_level.clone(),
        watches: rules::watches(raw)?,
        log: log::log(raw)?,
        pid_file: raw.text("pid_file").filter(|path| !path.is_empty()).map(PathBuf::from),
        auto_reload: raw.bool("auto_reload_config").unwrap_or(false),
        skip_leave_on_interrupt: raw.bool("skip_leave_on_interrupt").unwrap_or(server),
        leave_on_terminate: raw.bool("leave_on_terminate").unwrap_or(!server),
        server: server_config,
        agent,
        http,
        dns,
        warnings,
    })
}

/// Who the node is.
struct Node {
    name: Arc<str>,
    id: String,
    datacenter: String,
    meta: lictor_types::catalog::StringMap,
}

/// A warning for each setting that was given and does nothing yet.
fn without_effect(raw: &Raw, warnings: &mut Vec<String>) {
    for (name, item, origin) in raw.iter() {
        let off = match item {
            Item::Bool(value) => !value,
            Item::Text(value) => value.is_empty(),
            Item::Int(value) => name.starts_with("ports.") && *value <= 0,
            Item::List(values) => values.is_empty(),
            _ => false,
        };
        let effect = setting(name).map(|key| key.effect);
        if let Some(Effect::NotYet(why)) = effect
            && !off
            && &*origin.source != DEV
        {
            warnings.push(format!("{name} has no effect: {why} ({origin})"));
        }
    }
}

/// A duration of a setting that cannot be negative.
pub(super) fn time(raw: &Raw, key: &str, usual: Duration) -> Result<Duration, ConfigError> {
    let Some(nanos) = raw.nanos(key) else { return Ok(usual) };
    match u64::try_from(nanos) {
        Ok(nanos) => Ok(Duration::from_nanos(nanos)),
        Err(_) => Err(ConfigError::at(raw.origin(key), format!("{key} cannot be negative"))),
    }
}

fn agent(
    raw: &Raw,
    node: &Node,
    addresses: &Addresses,
    gossip: GossipSettings,
    dev: bool,
    warnings: &mut Vec<String>,
) -> Result<AgentConfig, ConfigError> {
    let on = |key: &str| raw.bool(key).unwrap_or(false);
    let ports = addresses.ports;
    let mut tagged = raw.map("tagged_addresses");
    for (kind, ip) in [("lan", addresses.advertise), ("wan", addresses.advertise_wan)] {
        let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
        tagged.insert(kind.to_owned(), ip.to_string());
        tagged.insert(format!("{kind}_{family}"), ip.to_string());
    }
    let binary = std::env::current_exe()
        .map_err(|source| ConfigError::Read { path: "this program".to_owned(), source })?;
    let level = raw.text("log_level").filter(|level| !level.is_empty()).unwrap_or("INFO");
    Ok(AgentConfig {
        node_name: Arc::clone(&node.name),
        node_id: node.id.clone(),
        datacenter: node.datacenter.clone(),
        advertise_address: addresses.advertise.to_string(),
        bind_address: addresses.bind.to_string(),
        tagged_addresses: tagged,
        node_meta: node.meta.clone(),
        ports: MemberPorts {
            server: ports.server,
            serf_lan: ports.serf_lan,
            serf_wan: ports.serf_wan,
        },
        gossip,
        server: on("server"),
        bootstrap: on("bootstrap") || raw.int("bootstrap_expect") == Some(1),
        leave_drain: time(raw, "performance.leave_drain_time", Duration::from_secs(5))?,
        data_dir: None,
        dev,
        enable_script_checks: on("enable_script_checks"),
        disable_coordinates: on("disable_coordinates"),
        disable_remote_exec: raw.bool("disable_remote_exec").unwrap_or(true),
        encrypt: raw.string("encrypt"),
        disable_keyring_file: on("disable_keyring_file"),
        enable_local_script_checks: on("enable_local_script_checks"),
        check_tls: on("enable_agent_tls_for_checks").then(|| http::check_tls(raw)),
        check_update_interval: time(raw, "check_update_interval", Duration::from_secs(300))?,
        discard_check_output: on("discard_check_output"),
        tokens: access::tokens(raw),
        keep_tokens: on("acl.enable_token_persistence"),
        proxy: mesh::proxies(raw, ports)?,
        sidecar_ports: (ports.sidecar_min > 0).then_some(ports.sidecar_min..=ports.sidecar_max),
        http_address: address::local_http(&addresses.http),
        binary,
        log_level: level.to_owned(),
        telemetry: telemetry::telemetry(raw, warnings)?,
        build: Build {
            version: COMPATIBLE_VERSION.to_owned(),
            prerelease: String::new(),
            revision: String::new(),
        },
        debug_config: serde_json::Value::Null,
        definitions: definitions(raw)?,
    })
}

fn definitions(raw: &Raw) -> Result<Definitions, ConfigError> {
    let checks = raw.objects("checks");
    let checks = checks.iter().map(service::check).collect::<Result<Vec<_>, _>>()?;
    Ok(Definitions { services: services(raw)?, checks })
}

/// The services of files.
pub(super) fn services(raw: &Raw) -> Result<Vec<ServiceDefinition>, ConfigError> {
    raw.objects("services").iter().map(checked_service).collect()
}

fn checked_service(raw: &Raw) -> Result<ServiceDefinition, ConfigError> {
    let read = service::service(raw)?;
    match lictor_agent::definition_problem(&read) {
        None => Ok(read),
        Some(problem) => {
            let text = format!("service {:?}: {problem}", read.name);
            Err(ConfigError::at(raw.iter().next().map(|(_, _, origin)| origin), text))
        }
    }
}

fn server_config(
    raw: &Raw,
    agent: &AgentConfig,
    data_dir: Option<PathBuf>,
    dev: bool,
) -> Result<ServerConfig, ConfigError> {
    let multiplier = raw.int("performance.raft_multiplier").unwrap_or(5);
    let multiplier = u32::try_from(multiplier).unwrap_or(5);
    Ok(ServerConfig {
        node_name: Arc::clone(&agent.node_name),
        node_id: agent.node_id.clone(),
        datacenter: agent.datacenter.clone(),
        advertise_address: agent.advertise_address.clone(),
        server_port: agent.ports.server,
        tagged_addresses: agent.tagged_addresses.clone(),
        node_meta: agent.node_meta.clone(),
        storage: data_dir.map_or(Storage::Memory, |dir| Storage::Disk(dir.join("raft"))),
        bootstrap: agent.bootstrap || dev,
        expect: agent.gossip.expect,
        timing: if dev { DEV_TIMING } else { Timing::multiplied(multiplier) },
        transport: None,
        hold_timeout: time(raw, "performance.rpc_hold_timeout", Duration::from_secs(7))?,
        session_ttl_min: time(raw, "session_ttl_min", Duration::from_secs(10))?,
        waits: waits(raw)?,
        acl: access::settings(raw),
        primary: access::primary(raw, &agent.datacenter),
        version: agent.build.version.clone(),
        config_entries: config_entries(raw)?,
        autopilot: autopilot(raw)?,
        metrics: agent.telemetry.metrics.clone(),
        ca: None,
    })
}

/// The configuration entries that a cluster begins with.
fn config_entries(raw: &Raw) -> Result<Vec<ConfigEntry>, ConfigError> {
    let key = "config_entries.bootstrap";
    let entries = raw.opaque_list(key).iter().enumerate().map(|(at, given)| {
        ConfigEntry::from_json(given).map_err(|error| {
            let text = format!("{key}[{at}]: {error}");
            ConfigError::at(raw.origin(key), text)
        })
    });
    entries.collect()
}

/// What autopilot begins with.
fn autopilot(raw: &Raw) -> Result<AutopilotConfig, ConfigError> {
    let usual = AutopilotConfig::default();
    let on = |key: &str, usual| raw.bool(key).unwrap_or(usual);
    let nanos = |key: &str, usual| raw.nanos(key).unwrap_or(usual);
    let count = |key: &str, usual: u64| match raw.int(key) {
        None => Ok(usual),
        Some(given) => u64::try_from(given)
            .map_err(|_| ConfigError::at(raw.origin(key), format!("{key} cannot be negative"))),
    };
    Ok(AutopilotConfig {
        cleanup_dead_servers: on("autopilot.cleanup_dead_servers", usual.cleanup_dead_servers),
        last_contact_threshold: nanos(
            "autopilot.last_contact_threshold",
            usual.last_contact_threshold,
        ),
        max_trailing_logs: count("autopilot.max_trailing_logs", usual.max_trailing_logs)?,
        min_quorum: count("autopilot.min_quorum", usual.min_quorum)?,
        server_stabilization_time: nanos(
            "autopilot.server_stabilization_time",
            usual.server_stabilization_time,
        ),
        redundancy_zone_tag: raw.string("autopilot.redundancy_zone_tag"),
        disable_upgrade_migration: on("autopilot.disable_upgrade_migration", false),
        upgrade_version_tag: raw.string("autopilot.upgrade_version_tag"),
        ..usual
    })
}

pub(super) fn waits(raw: &Raw) -> Result<Waits, ConfigError> {
    let usual = Waits::default();
    let waits = Waits {
        usual: time(raw, "default_query_time", usual.usual)?,
        most: time(raw, "max_query_time", usual.most)?,
    };
    for (key, given) in [("default_query_time", waits.usual), ("max_query_time", waits.most)] {
        if given.is_zero() {
            return Err(ConfigError::at(raw.origin(key), format!("{key} cannot be 0")));
        }
    }
    Ok(waits)
}

fn banner(agent: &AgentConfig, addresses: &Addresses, cluster: &ClusterSettings) -> Banner {
    let port = |port: u16| if port == 0 { -1 } else { i32::from(port) };
    Banner {
        version: format!("v{COMPATIBLE_VERSION} (Lictor v{})", env!("CARGO_PKG_VERSION")),
        node_id: agent.node_id.clone(),
        node_name: agent.node_name.to_string(),
        datacenter: agent.datacenter.clone(),
        segment: if agent.server { "<all>" } else { "" },
        server: agent.server,
        bootstrap: agent.bootstrap,
        client_addresses: addresses.client.iter().map(ToString::to_string).collect(),
        http_port: port(addresses.ports.http),
        https_port: port(addresses.ports.https),
        dns_port: port(addresses.ports.dns),
        cluster_address: agent.advertise_address.clone(),
        lan_port: port(addresses.ports.serf_lan),
        wan_port: port(addresses.ports.serf_wan),
        encrypt_gossip: !agent.encrypt.is_empty(),
        encrypt_outgoing: cluster.tls.is_secure(),
        encrypt_incoming: cluster.tls.verify_incoming,
    }
}
