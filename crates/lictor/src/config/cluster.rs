//! The calls between agents: where a server listens, TLS both ways, limits, and what every agent
//! must know to ask servers.
//!
//! Keys and rules follow the original, with the block `tls` of later versions; what stands in
//! `tls.internal_rpc` counts before `tls.defaults`, and that before the keys of 1.2.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lictor_agent::AgentConfig;
use lictor_forward::{ForwardConfig, TOKEN_TTL};

use super::access;
use super::address::Addresses;
use super::decide::{time, waits};
use super::error::ConfigError;
use super::http;
use super::raw::Raw;
use crate::cluster::{AutoSettings, ClusterSettings, RpcTls};
use lictor_http::Held;

/// How long a connection may take to say what it wants, and how many one address may have, where
/// nothing is said.
const HANDSHAKE: Duration = Duration::from_secs(5);
const PER_CLIENT: i64 = 100;
/// Calls that a client agent makes at once, where its rate is limited.
const BURST: i64 = 1000;

/// Decides about the calls between agents.
pub(super) fn cluster(
    raw: &Raw,
    addresses: &Addresses,
    agent: &AgentConfig,
    warnings: &mut Vec<String>,
) -> Result<ClusterSettings, ConfigError> {
    let server = agent.server;
    let key = "limits.rpc_max_conns_per_client";
    let per_client = raw.int(key).unwrap_or(PER_CLIENT);
    let connections_per_client = usize::try_from(per_client).map_err(|_| {
        let text = format!("{key} must be 0, for any number, or greater");
        ConfigError::at(raw.origin(key), text)
    })?;
    let key = "limits.rpc_max_burst";
    let calls_at_once = u32::try_from(raw.int(key).unwrap_or(BURST))
        .map_err(|_| ConfigError::at(raw.origin(key), format!("{key} must be 0 or greater")))?;
    let port = addresses.ports.server;
    let tls = tls(raw, server, warnings)?;
    Ok(ClusterSettings {
        auto: auto(raw, agent, port)?,
        makes_certificates: allows_auto(raw, &tls, server, warnings)?,
        calls_per_second: raw.float("limits.rpc_rate").unwrap_or(-1.0),
        calls_at_once,
        listen: (server && port != 0).then(|| SocketAddr::new(addresses.bind, port)),
        tls,
        handshake: time(raw, "limits.rpc_handshake_timeout", HANDSHAKE)?,
        connections_per_client,
    })
}

/// How servers are asked for a certificate.
fn auto(raw: &Raw, agent: &AgentConfig, port: u16) -> Result<AutoSettings, ConfigError> {
    let key = "auto_encrypt.ip_san";
    let address = |text: &String| {
        let wrong = |_| ConfigError::at(raw.origin(key), format!("{key}: {text:?} is no address"));
        text.parse().map_err(wrong)
    };
    let lan = &agent.gossip.lan;
    Ok(AutoSettings {
        node: agent.node_name.to_string(),
        datacenter: agent.datacenter.clone(),
        dns_names: raw.list("auto_encrypt.dns_san"),
        addresses: raw.list(key).iter().map(address).collect::<Result<_, _>>()?,
        join: lan.join.iter().chain(&lan.retry.addresses).cloned().collect(),
        port,
    })
}

/// Whether this server makes certificates for client agents.
fn allows_auto(
    raw: &Raw,
    tls: &RpcTls,
    server: bool,
    warnings: &mut Vec<String>,
) -> Result<bool, ConfigError> {
    let key = "auto_encrypt.allow_tls";
    if raw.bool(key) != Some(true) {
        return Ok(false);
    }
    let refused = |text: &str| Err(ConfigError::at(raw.origin(key), text.to_owned()));
    if !server {
        return refused("auto_encrypt.allow_tls can only be used on a server.");
    }
    if tls.cert_file.is_none() || tls.key_file.is_none() {
        return refused("auto_encrypt.allow_tls needs a certificate: set cert_file and key_file");
    }
    if !tls.verify_incoming {
        warnings.push(
            "if auto_encrypt.allow_tls is turned on, either verify_incoming or \
             verify_incoming_rpc should be enabled. It is necessary to turn it off during a \
             migration to TLS, but it should definitely be turned on afterwards."
                .to_owned(),
        );
    }
    Ok(true)
}

/// What every agent must know to ask servers.
pub(super) fn forward(raw: &Raw, agent: &AgentConfig) -> Result<ForwardConfig, ConfigError> {
    Ok(ForwardConfig {
        datacenter: agent.datacenter.clone(),
        node_name: Arc::clone(&agent.node_name),
        hold_timeout: time(raw, "performance.rpc_hold_timeout", Duration::from_secs(7))?,
        waits: waits(raw)?,
        token_ttl: match raw.nanos("acl.token_ttl") {
            Some(_) => time(raw, "acl.token_ttl", TOKEN_TTL)?,
            None => time(raw, "acl_ttl", TOKEN_TTL)?,
        },
        acl: access::settings(raw),
        metrics: agent.telemetry.metrics.clone(),
    })
}

/// The first of a setting's places that says something.
fn given(raw: &Raw, name: &str) -> Option<bool> {
    let places = [format!("tls.internal_rpc.{name}"), format!("tls.defaults.{name}"), name.into()];
    places.iter().find_map(|key| raw.bool(key))
}

fn tls(raw: &Raw, server: bool, warnings: &mut Vec<String>) -> Result<RpcTls, ConfigError> {
    let text = |name: &str| http::text(raw, "internal_rpc", name);
    let path = |name: &str| Some(text(name).0).filter(|p| !p.is_empty()).map(PathBuf::from);
    let on = |name: &str| given(raw, name).unwrap_or(false);
    let verify_server_hostname = on("verify_server_hostname");
    let tls = RpcTls {
        cert_file: path("cert_file"),
        key_file: path("key_file"),
        ca_file: path("ca_file"),
        ca_path: path("ca_path"),
        verify_incoming: on("verify_incoming") || raw.bool("verify_incoming_rpc") == Some(true),
        // A name can only be looked at where there is a certificate to look at.
        verify_outgoing: on("verify_outgoing") || verify_server_hostname,
        verify_server_hostname,
        server_name: raw.string("server_name"),
        domain: domain(raw),
        min_version: http::min_version(raw, "internal_rpc")?,
        suites: http::suites(raw, "internal_rpc", warnings)?,
        prefer_own_suites: raw.bool("tls_prefer_server_cipher_suites").unwrap_or(false),
        auto: raw.bool("auto_encrypt.tls") == Some(true),
        held: Held::default(),
    };
    let refused = |key: &str, text: &str| Err(ConfigError::at(raw.origin(key), text.to_owned()));
    let authorities = tls.ca_file.is_some() || tls.ca_path.is_some();
    let pair = tls.cert_file.is_some() && tls.key_file.is_some();
    if tls.auto && server {
        return refused("auto_encrypt.tls", "auto_encrypt.tls can only be used on a client.");
    }
    if tls.auto && !authorities {
        let text = "auto_encrypt.tls needs the servers' CA certificate: set ca_file or ca_path";
        return refused("auto_encrypt.tls", text);
    }
    if tls.verify_outgoing && !authorities {
        let text = "VerifyOutgoing set, and no CA certificate provided: set ca_file or ca_path";
        return refused("verify_outgoing", text);
    }
    if server && tls.verify_incoming && !authorities {
        let text = "VerifyIncoming set, and no CA certificate provided: set ca_file or ca_path";
        return refused("verify_incoming", text);
    }
    if server && tls.verify_incoming && !pair {
        let text = "VerifyIncoming set, and no Cert/Key pair provided: set cert_file and key_file";
        return refused("verify_incoming", text);
    }
    Ok(tls)
}

fn domain(raw: &Raw) -> String {
    let given = raw.string("domain");
    let domain = given.trim_matches('.').to_lowercase();
    if domain.is_empty() { "consul".to_owned() } else { domain }
}
