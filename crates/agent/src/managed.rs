//! Managed proxies: sidecars that the agent defines, starts, watches over and ends together with
//! their service.
//!
//! [`Proxies`] knows which there are and what they are told; their processes are in `daemon`,
//! what must be remembered over an agent restart in `snapshot`, ports in `port`. Registering the
//! derived service is [`crate::service`]'s. Follows section 12 of the observed behaviour, except
//! that a proxy is told the agent's real HTTP address, is started without a pause, and listens on
//! the agent's bind address.

mod daemon;
mod digest;
mod port;
mod process;
mod snapshot;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lictor_types::catalog::{ManagedProxy, Service, ServiceKind};
use lictor_types::definition::{CheckDefinition, CheckKind};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) use self::daemon::Policy;
use self::daemon::{Daemons, Logs};
use self::process::Launch;
use self::snapshot::Book;
pub(crate) use self::snapshot::rewrite as rewrite_processes;
use crate::check::Eager;
use crate::config::{AgentConfig, ProxySettings};
use crate::error::AgentError;
use crate::persist::StoredProxy;

/// When the check of a new proxy is first tried, and then until it passes.
const EAGER: Eager = Eager {
    first: Duration::from_millis(1500),
    pause: Duration::from_secs(1),
    until: Duration::from_secs(60),
};
/// Interval of the check in nanoseconds.
const CHECK_INTERVAL: i64 = 10_000_000_000;

/// A service's managed proxy as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagedView {
    /// `daemon` or `script`.
    pub exec_mode: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Configuration as the service defined it; null when it has none.
    pub config: Value,
}

/// What a managed proxy is told, for `/v1/agent/connect/proxy/<id>`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyConfigReply {
    /// ID of the proxy's own service.
    pub proxy_service_id: String,
    /// ID of the service that it stands for.
    pub target_service_id: String,
    /// Name of that service.
    pub target_service_name: String,
    /// Changes when anything else here does.
    pub content_hash: String,
    /// `daemon` or `script`.
    pub exec_mode: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The effective configuration.
    pub config: Map<String, Value>,
}

/// Whom a proxy's token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyIdentity {
    /// ID of the proxy.
    pub(crate) proxy_id: Arc<str>,
    /// Name of its service.
    pub(crate) service: Arc<str>,
    /// The service's own token, which decides what may be done.
    pub(crate) service_token: String,
}

/// The service and check that a managed proxy adds to its service.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) service: Service,
    pub(crate) check: CheckDefinition,
    pub(crate) eager: Eager,
    /// What to keep over a restart.
    pub(crate) stored: StoredProxy,
}

/// A definition at some moment, or that there was none.
#[derive(Debug)]
pub(crate) struct Defined(Option<Managed>);

#[derive(Clone, Debug)]
struct Managed {
    proxy_id: Arc<str>,
    target_id: Arc<str>,
    target_name: Arc<str>,
    service_token: String,
    token: String,
    port: u16,
    definition: ManagedProxy,
    exec_mode: String,
    command: Vec<String>,
    config: Map<String, Value>,
    /// Digest of what was added to the first definition that this agent saw.
    first_additions: u64,
}

/// Every managed proxy of this agent.
#[derive(Debug)]
pub(crate) struct Proxies {
    settings: ProxySettings,
    bind_address: String,
    http_address: String,
    binary: PathBuf,
    log_level: String,
    inner: Mutex<BTreeMap<Arc<str>, Managed>>,
    /// Counts changes, for those who wait for one.
    changes: watch::Sender<u64>,
    daemons: Daemons,
}

impl Proxies {
    /// No proxies yet, but those that an earlier run left behind are found and can be adopted.
    /// Reads files: call it where blocking is allowed.
    pub(crate) fn new(config: &AgentConfig, policy: Policy) -> Self {
        let dir = config.data_dir.as_ref().map(|dir| dir.join("proxy"));
        let logs = dir.as_ref().map_or(Logs::Trace, |dir| Logs::Files(dir.join("logs")));
        Self {
            settings: config.proxy.clone(),
            bind_address: config.bind_address.clone(),
            http_address: config.http_address.clone(),
            binary: config.binary.clone(),
            log_level: config.log_level.clone(),
            inner: Mutex::new(BTreeMap::new()),
            changes: watch::Sender::new(0),
            daemons: Daemons::new(Book::open(dir), logs, policy, config.dev),
        }
    }

    /// Defines the managed proxy of `service`, or defines it anew: token and port stay, as far as
    /// the definition allows. Nothing is started before [`Proxies::start`].
    ///
    /// # Errors
    /// When its configuration makes no sense or no port is left.
    pub(crate) fn define(
        &self,
        service: &Service,
        service_token: &str,
        stored: Option<&StoredProxy>,
    ) -> Result<Derived, AgentError> {
        let definition = service.connect.proxy.clone().unwrap_or_default();
        let proxy_id: Arc<str> = format!("{}-proxy", service.id).into();
        let mut inner = self.inner.lock();
        let before = inner.get(&proxy_id);
        let kept = before.map(|proxy| (proxy.token.clone(), proxy.port));
        let kept = kept.or_else(|| stored.map(|s| (s.proxy_token.clone(), s.bind_port)));
        let (token, kept_port) = kept.unwrap_or_default();
        let token = if token.is_empty() { Uuid::new_v4().to_string() } else { token };
        let exec_mode = self.exec_mode(&definition);
        let command = self.command(&definition, &exec_mode);
        let mut config = self.config(service, &definition);
        let port = match configured_port(&config)? {
            Some(port) => port,
            None => {
                let used: Vec<u16> = inner
                    .iter()
                    .filter(|(id, _)| **id != proxy_id)
                    .map(|(_, proxy)| proxy.port)
                    .collect();
                let range = self.settings.min_port..=self.settings.max_port;
                port::choose(range, &used, kept_port, &probe_address(&config))
                    .map_err(|error| AgentError::refused(error.to_string()))?
            }
        };
        config.insert("bind_port".to_owned(), Value::from(port));
        let none = Map::new();
        let own = definition.config.as_object().unwrap_or(&none);
        let additions = digest::additions(&service.name, own, &config);
        let first_additions = before.map_or(additions, |proxy| proxy.first_additions);
        let managed = Managed {
            first_additions,
            proxy_id: Arc::clone(&proxy_id),
            target_id: Arc::clone(&service.id),
            target_name: Arc::clone(&service.name),
            service_token: service_token.to_owned(),
            token,
            port,
            definition,
            exec_mode,
            command,
            config,
        };
        let derived = managed.derived();
        inner.insert(proxy_id, managed);
        drop(inner);
        self.changes.send_modify(|count| *count += 1);
        Ok(derived)
    }

    /// How a service's managed proxy is defined now, for [`Proxies::define_as_before`].
    pub(crate) fn defined(&self, target: &str) -> Defined {
        Defined(self.of_target(target))
    }

    /// Takes a definition back that came to nothing.
    pub(crate) fn define_as_before(&self, target: &str, before: Defined) {
        let Some(now) = self.of_target(target) else { return };
        let mut inner = self.inner.lock();
        match before.0 {
            Some(managed) => inner.insert(now.proxy_id, managed),
            None => inner.remove(&now.proxy_id),
        };
        drop(inner);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Starts the proxy of a service, or replaces it if it has to be started differently now.
    pub(crate) fn start(&self, target: &str) {
        let Some(managed) = self.of_target(target) else { return };
        if managed.exec_mode != "daemon" {
            tracing::error!(
                proxy = %managed.proxy_id, mode = managed.exec_mode,
                "unsupported managed proxy type"
            );
            self.daemons.end(&managed.proxy_id);
            return;
        }
        if rustix::process::geteuid().is_root() && !self.settings.allow_managed_root {
            tracing::warn!(
                proxy = %managed.proxy_id, "running as root, will not start managed proxies"
            );
            return;
        }
        let Some((program, args)) = managed.command.split_first() else { return };
        let id = managed.proxy_id.to_string();
        let env = [
            ("CONNECT_PROXY_ID", &id),
            ("CONNECT_PROXY_TOKEN", &managed.token),
            ("CONSUL_PROXY_ID", &id),
            ("CONSUL_PROXY_TOKEN", &managed.token),
            ("CONSUL_HTTP_ADDR", &self.http_address),
        ];
        let launch = Launch {
            program: program.clone(),
            args: args.to_vec(),
            env: env.map(|(key, value)| (key.to_owned(), value.clone())).to_vec(),
        };
        self.daemons.run(&managed.proxy_id, launch);
    }

    /// Forgets and ends the proxy of a service; the ID that it had.
    pub(crate) fn remove(&self, target: &str) -> Option<Arc<str>> {
        let id = self.of_target(target)?.proxy_id;
        self.inner.lock().remove(&id);
        self.changes.send_modify(|count| *count += 1);
        self.daemons.end(&id);
        Some(id)
    }

    /// Ends processes of an earlier run that nobody asked for.
    pub(crate) fn end_leftovers(&self) {
        self.daemons.end_leftovers();
    }

    /// The managed proxy of a service.
    pub(crate) fn view(&self, target: &str) -> Option<ManagedView> {
        let managed = self.of_target(target)?;
        Some(ManagedView {
            exec_mode: managed.exec_mode,
            command: managed.command,
            config: managed.definition.config,
        })
    }

    /// Whether `id` is the service of a managed proxy.
    pub(crate) fn is_managed(&self, id: &str) -> bool {
        self.inner.lock().contains_key(id)
    }

    /// Whom a token speaks for, if it is a proxy's.
    pub(crate) fn identity(&self, token: &str) -> Option<ProxyIdentity> {
        if token.is_empty() {
            return None;
        }
        let inner = self.inner.lock();
        let managed = inner.values().find(|proxy| same_secret(&proxy.token, token))?;
        Some(ProxyIdentity {
            proxy_id: Arc::clone(&managed.proxy_id),
            service: Arc::clone(&managed.target_name),
            service_token: managed.service_token.clone(),
        })
    }

    /// What a proxy is told; telemetry only when it asks itself.
    pub(crate) fn reply(&self, id: &str, for_itself: bool) -> Option<ProxyConfigReply> {
        let managed = self.inner.lock().get(id).cloned()?;
        let mut config = managed.config.clone();
        if let Some(telemetry) = self.settings.telemetry.as_ref().filter(|_| for_itself) {
            let mut merged = telemetry.clone();
            let prefix = format!("consul.proxy.{}", managed.target_id);
            merged.insert("metrics_prefix".to_owned(), Value::from(prefix));
            if let Some(Value::Object(own)) = config.get("telemetry") {
                merged.extend(own.clone());
            }
            config.insert("telemetry".to_owned(), Value::Object(merged));
        }
        Some(managed.reply(config))
    }

    /// Follows changes of what proxies are told.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// In development mode ends every proxy, otherwise lets them run on without us.
    pub(crate) async fn shutdown(&self) {
        self.daemons.shutdown().await;
    }

    fn of_target(&self, target: &str) -> Option<Managed> {
        self.inner.lock().values().find(|proxy| &*proxy.target_id == target).cloned()
    }

    fn exec_mode(&self, definition: &ManagedProxy) -> String {
        let given = [&definition.exec_mode, &self.settings.default_exec_mode];
        given.into_iter().find(|mode| !mode.is_empty()).map_or("daemon", |mode| mode).to_owned()
    }

    fn command(&self, definition: &ManagedProxy, exec_mode: &str) -> Vec<String> {
        let default = if exec_mode == "script" {
            &self.settings.default_script_command
        } else {
            &self.settings.default_daemon_command
        };
        if let Some(command) = [&definition.command, default].into_iter().find(|c| !c.is_empty()) {
            return command.clone();
        }
        if exec_mode == "script" {
            return Vec::new();
        }
        let mut command = vec![self.binary.display().to_string()];
        command.extend(["connect", "proxy"].map(str::to_owned));
        if !self.log_level.is_empty() && !self.log_level.eq_ignore_ascii_case("INFO") {
            command.extend(["-log-level".to_owned(), self.log_level.clone()]);
        }
        command
    }

    /// The effective configuration but for the port.
    fn config(&self, service: &Service, definition: &ManagedProxy) -> Map<String, Value> {
        let mut config = self.settings.default_config.clone();
        if let Value::Object(own) = &definition.config {
            config.extend(own.clone());
        }
        let mut default = |key: &str, value: String| {
            config.entry(key).or_insert(Value::String(value));
        };
        default("bind_address", self.bind_address.clone());
        default("local_service_address", format!("127.0.0.1:{}", service.port));
        config
    }
}

impl Managed {
    fn derived(&self) -> Derived {
        let service = Service {
            kind: ServiceKind::ConnectProxy,
            id: Arc::clone(&self.proxy_id),
            name: Arc::clone(&self.proxy_id),
            port: self.port,
            proxy_destination: self.target_name.to_string(),
            ..Service::default()
        };
        let host = probe_address(&self.config);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let check = CheckDefinition {
            id: format!("service:{}", self.proxy_id),
            name: "Connect Proxy Listening".to_owned(),
            notes: String::new(),
            service_id: self.proxy_id.to_string(),
            token: self.service_token.clone(),
            status: None,
            kind: CheckKind::Tcp { address: format!("{host}:{}", self.port) },
            interval: CHECK_INTERVAL,
            timeout: 0,
            deregister_critical_service_after: 0,
            success_before_passing: 0,
            failures_before_critical: 0,
        };
        let stored = StoredProxy {
            proxy_token: self.token.clone(),
            target_service_id: self.target_id.to_string(),
            bind_port: self.port,
            definition: self.definition.clone(),
        };
        Derived { service, check, eager: EAGER, stored }
    }

    fn reply(&self, config: Map<String, Value>) -> ProxyConfigReply {
        ProxyConfigReply {
            proxy_service_id: self.proxy_id.to_string(),
            target_service_id: self.target_id.to_string(),
            target_service_name: self.target_name.to_string(),
            content_hash: format!("{:x}", self.digest()),
            exec_mode: self.exec_mode.clone(),
            command: self.command.clone(),
            config,
        }
    }

    /// Digest of what the proxy is told: the definition's own as long as nothing that the agent
    /// adds to it has changed.
    fn digest(&self) -> u64 {
        let none = Map::new();
        let own = self.definition.config.as_object().unwrap_or(&none);
        let additions = digest::additions(&self.target_name, own, &self.config);
        let own = digest::definition(&self.exec_mode, &self.command, own, &self.target_id);
        own ^ additions ^ self.first_additions
    }
}

/// Where the proxy can be reached from this host.
fn probe_address(config: &Map<String, Value>) -> String {
    let address = config.get("bind_address").and_then(Value::as_str).unwrap_or_default();
    match address.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => "::1".to_owned(),
        Ok(ip) => ip.to_string(),
        Err(_) if address.is_empty() => "127.0.0.1".to_owned(),
        Err(_) => address.to_owned(),
    }
}

/// The port that a configuration asks for; numbers may be written in any way JSON or HCL has.
fn configured_port(config: &Map<String, Value>) -> Result<Option<u16>, AgentError> {
    let Some(value) = config.get("bind_port") else { return Ok(None) };
    let number = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let port = number.filter(|n| n.fract() == 0.0 && (0.0..=65535.0).contains(n));
    match port {
        Some(0.0) => Ok(None),
        Some(port) => Ok(Some(port as u16)),
        None => Err(AgentError::Invalid(format!("invalid value for bind_port: {value}"))),
    }
}

/// Compares secrets in a time that does not depend on where they differ.
pub(crate) fn same_secret(a: &str, b: &str) -> bool {
    let differ = a.bytes().zip(b.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b));
    a.len() == b.len() && differ == 0
}

#[cfg(test)]
mod tests;
