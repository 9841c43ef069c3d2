//! The agent's configuration: from files and flags to what each part is told.
//!
//! One table of keys ([`settings`]) says what may be written; values are read with their places
//! ([`decode`]), joined in the original's order ([`sources`]) and then decided ([`decide`]).
//! Starting anything with them is the caller's matter. Keys, defaults and texts follow the
//! original's version 1.2.

mod access;
mod address;
mod cluster;
mod debug;
mod decide;
mod decode;
mod dns;
mod error;
mod gossip;
mod http;
mod identity;
mod interfaces;
mod log;
mod mesh;
mod raw;
mod rules;
mod schema;
mod service;
mod settings;
mod sources;
mod telemetry;
mod template;

use std::fmt;
use std::path::{Path, PathBuf};

use lictor_agent::AgentConfig;
use lictor_dns::DnsConfig;
use lictor_forward::ForwardConfig;
use lictor_http::HttpConfig;
use lictor_server::ServerConfig;
use lictor_types::definition::ServiceDefinition;

pub(crate) use decode::free_json;
pub(crate) use error::ConfigError;
pub(crate) use sources::{AGENT_FLAGS, Sources};

use crate::cluster::ClusterSettings;
use crate::log::LogSettings;
use crate::watches::Watch;
use decide::{DEV, DEV_DEFAULTS, Purpose, decide};
use interfaces::Network;
use raw::Raw;
use sources::Format;

/// Everything that an agent is told.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The agent itself.
    pub(crate) agent: AgentConfig,
    /// The server inside; `None` in client mode.
    pub(crate) server: Option<ServerConfig>,
    /// What must be known to ask servers.
    pub(crate) forward: ForwardConfig,
    /// The calls between agents.
    pub(crate) cluster: ClusterSettings,
    /// The HTTP interface.
    pub(crate) http: HttpConfig,
    /// The DNS interface.
    pub(crate) dns: DnsConfig,
    /// TRACE, DEBUG, INFO, WARN or ERR.
    pub(crate) log_level: String,
    /// What is watched, and what is done about it.
    pub(crate) watches: Vec<Watch>,
    /// Form of the log, and where it goes besides standard output.
    pub(crate) log: LogSettings,
    /// File for the process number.
    pub(crate) pid_file: Option<PathBuf>,
    /// Whether a change of the files is followed without being told.
    pub(crate) auto_reload: bool,
    /// SIGINT ends the agent without leaving.
    pub(crate) skip_leave_on_interrupt: bool,
    /// SIGTERM leaves before the end.
    pub(crate) leave_on_terminate: bool,
    /// What should be told to whoever starts it.
    pub(crate) warnings: Vec<String>,
    /// What the start prints.
    pub(crate) banner: Banner,
}

impl Config {
    /// The part that a running agent takes over.
    pub(crate) fn reload(&self) -> lictor_agent::Reload {
        lictor_agent::Reload {
            definitions: self.agent.definitions.clone(),
            node_meta: self.agent.node_meta.clone(),
            discard_check_output: self.agent.discard_check_output,
            tokens: self.agent.tokens.clone(),
        }
    }
}

/// The block of facts that the start prints. Ports that are off are -1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Banner {
    pub(crate) version: String,
    pub(crate) node_id: String,
    pub(crate) node_name: String,
    pub(crate) datacenter: String,
    pub(crate) segment: &'static str,
    pub(crate) server: bool,
    pub(crate) bootstrap: bool,
    pub(crate) client_addresses: Vec<String>,
    pub(crate) http_port: i32,
    pub(crate) https_port: i32,
    pub(crate) dns_port: i32,
    pub(crate) cluster_address: String,
    pub(crate) lan_port: i32,
    pub(crate) wan_port: i32,
    pub(crate) encrypt_gossip: bool,
    pub(crate) encrypt_outgoing: bool,
    pub(crate) encrypt_incoming: bool,
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.client_addresses.join(" ");
        writeln!(f, "           Version: '{}'", self.version)?;
        writeln!(f, "           Node ID: '{}'", self.node_id)?;
        writeln!(f, "         Node name: '{}'", self.node_name)?;
        writeln!(f, "        Datacenter: '{}' (Segment: '{}')", self.datacenter, self.segment)?;
        writeln!(f, "            Server: {} (Bootstrap: {})", self.server, self.bootstrap)?;
        writeln!(
            f,
            "       Client Addr: [{clients}] (HTTP: {}, HTTPS: {}, DNS: {})",
            self.http_port, self.https_port, self.dns_port
        )?;
        writeln!(
            f,
            "      Cluster Addr: {} (LAN: {}, WAN: {})",
            self.cluster_address, self.lan_port, self.wan_port
        )?;
        write!(
            f,
            "           Encrypt: Gossip: {}, TLS-Outgoing: {}, TLS-Incoming: {}",
            self.encrypt_gossip, self.encrypt_outgoing, self.encrypt_incoming
        )
    }
}

impl Sources {
    /// Reads all files again and decides.
    ///
    /// # Errors
    /// When a file cannot be read, is not in order, or its values do not fit together.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        self.decided(Purpose::Run, &Network::default())
    }

    fn decided(&self, purpose: Purpose, network: &Network) -> Result<Config, ConfigError> {
        let mut raw = Raw::default();
        if self.dev {
            raw = sources::read_text(DEV_DEFAULTS, Format::Hcl, DEV)?;
        }
        raw.merge(self.read()?);
        decide(&raw, self.dev, purpose, network)
    }
}

/// Checks files and folders for `lictor validate` and gives warnings; nothing is written.
///
/// # Errors
/// As loading them would.
pub(crate) fn validate(paths: &[String], format: Option<&str>) -> Result<Vec<String>, ConfigError> {
    let sources = Sources {
        paths: paths.iter().map(|path| Path::new(path).to_owned()).collect(),
        format: Format::named(format)?,
        ..Sources::default()
    };
    sources.decided(Purpose::Check, &Network::default()).map(|config| config.warnings)
}

/// The services that files define, for commands that register them.
///
/// # Errors
/// When a file cannot be read or is not in order.
pub(crate) fn services_of(files: &[String]) -> Result<Vec<ServiceDefinition>, ConfigError> {
    let mut raw = Raw::default();
    for file in files {
        for path in sources::files(Path::new(file), None)? {
            raw.merge(sources::read_file(&path, None)?);
        }
    }
    decide::services(&raw)
}

/// Every setting with its flag, what a reload does and what it does here, for `docs/coverage.md`.
#[cfg(test)]
pub(crate) fn coverage() -> Vec<Vec<String>> {
    let row = |title: &str, key: &schema::Key| {
        let flag = if key.flag.is_empty() { String::new() } else { format!("`-{}`", key.flag) };
        let reload = if key.reloadable { "yes" } else { "" };
        let name = format!("`{}`", key.name);
        vec![title.to_owned(), name, flag, reload.to_owned(), state(key.effect)]
    };
    let sections = settings::SECTIONS.iter().map(|section| (section.title, section.keys));
    let inner = [("In a service", service::SERVICE), ("In a check", service::CHECK)];
    let rows = sections.chain(inner);
    rows.flat_map(|(title, keys)| keys.iter().map(move |key| row(title, key))).collect()
}

/// What an agent's flag does here, for `docs/coverage.md`.
#[cfg(test)]
pub(crate) fn flag_state(name: &str) -> String {
    let key = settings::SETTINGS.iter().find(|key| key.flag == name);
    key.map_or_else(|| "yes".to_owned(), |key| state(key.effect))
}

#[cfg(test)]
fn state(effect: schema::Effect) -> String {
    match effect {
        schema::Effect::Honoured => "yes".to_owned(),
        schema::Effect::Nothing(why) => format!("no effect: {why}"),
        schema::Effect::Refused(why) => format!("refused: {why}"),
        schema::Effect::NotYet(why) => format!("not yet, with a warning: {why}"),
    }
}

#[cfg(test)]
mod tests;
