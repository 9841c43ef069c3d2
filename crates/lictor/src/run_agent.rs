//! `lictor agent`: puts the parts together, answers signals, and takes the parts apart again.
//!
//! What the parts do is in their crates; what they are told, in [`crate::config`]. Signals and
//! exit codes follow the original: 0 after leaving in order, 1 otherwise.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lictor_agent::{Agent, Ending};
use lictor_dns::{DnsServer, LiveSettings, ServerQueries};
use lictor_forward::{Routes, Servers};
use lictor_http::{Held, HttpServer};
use lictor_server::{Server, Storage};
use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{self, FlagError};
use crate::cluster::{Cluster, ClusterError};
use crate::config::{AGENT_FLAGS, Config, Sources};
use crate::followed::Followed;
use crate::log::{self, LevelHandle, LogLevel};
use crate::watches::Watches;

/// How long leaving may take before the agent ends anyway.
const LEAVE_TIME: Duration = Duration::from_secs(30);
/// How long writes that are being answered may take at the end.
const HTTP_GRACE: Duration = Duration::from_secs(3);
/// How long answers over DNS may take to leave at the end.
const DNS_GRACE: Duration = Duration::from_secs(1);

/// Why the agent could not be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot watch for signals: {0}")]
    Signals(#[source] io::Error),
    #[error("cannot write the PID file {path}: {source}")]
    PidFile { path: String, source: io::Error },
    #[error("invalid log level: {0}. Valid log levels are: trace, debug, info, warn, err")]
    LogLevel(String),
    #[error(transparent)]
    Log(#[from] log::LogError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("Error starting server: {0}")]
    Server(#[from] lictor_server::StartError),
    #[error("Error starting agent: {0}")]
    Agent(#[from] lictor_agent::StartError),
    #[error("Error starting HTTP server: {0}")]
    Http(#[from] lictor_http::StartError),
    #[error("Error starting HTTPS server: {0}")]
    Https(#[from] lictor_http::TlsError),
    #[error("Error starting DNS server: {0}")]
    Dns(#[from] lictor_dns::StartError),
}

/// Runs the agent that `words` describe until it ends.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let parsed = match cli::parse_flags(AGENT_FLAGS, words) {
        Ok(parsed) => parsed,
        Err(FlagError::Help) => {
            cli::out(cli::agent_usage(AGENT_FLAGS).trim_end());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            cli::err(&format!("{error}\n\n{}", cli::agent_usage(AGENT_FLAGS).trim_end()));
            return ExitCode::FAILURE;
        }
    };
    let loaded = Sources::from_flags(&parsed).and_then(|sources| Ok((sources.load()?, sources)));
    let (config, sources) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return failed(&error.to_string()),
    };
    match live(config, sources) {
        Ok(code) => code,
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(text: &str) -> ExitCode {
    cli::err(&format!("==> {text}"));
    ExitCode::FAILURE
}

fn live(config: Config, sources: Sources) -> Result<ExitCode, StartError> {
    let level = LogLevel::parse(&config.log_level)
        .ok_or_else(|| StartError::LogLevel(config.log_level.clone()))?;
    cli::out("==> Starting Lictor agent...");
    for warning in &config.warnings {
        cli::err(&format!("==> WARNING: {warning}"));
    }
    let level = log::start(level, &config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::Runtime)?;
    let code = runtime.block_on(async {
        let mut signals = Signals::new().map_err(StartError::Signals)?;
        signals.files = config.auto_reload.then(|| Followed::new(sources.clone(), &config));
        let cluster = Arc::new(Cluster::bind(&config.cluster).await?);
        let held = tokio::select! {
            held = cluster.until_certified(&config.agent.tokens) => held,
            () = signals.end() => return Ok(ExitCode::FAILURE),
        };
        let parts = Parts::start(&config, sources, level, cluster, held).await?;
        let pid_file = PidFile::write(config.pid_file.as_deref())?;
        cli::out("==> Lictor agent running!");
        cli::out(&config.banner.to_string());
        cli::out("\n==> Log data will now stream in as it occurs:\n");
        tell_service_manager();
        let code = parts.watch(&config, &mut signals).await;
        drop(pid_file);
        Ok::<_, StartError>(code)
    })?;
    // What a check's script still does must not hold the end up.
    runtime.shutdown_background();
    Ok(code)
}

/// What the agent stands on.
struct Foundation {
    cluster: Arc<Cluster>,
    server: Option<Server>,
    servers: Servers,
}

impl Foundation {
    async fn shutdown(&self) {
        self.servers.shutdown().await;
        // Consensus ends while there is still a way to its peers.
        if let Some(server) = &self.server {
            server.shutdown().await;
        }
        self.cluster.shutdown().await;
    }
}

/// Everything that runs.
struct Parts {
    foundation: Foundation,
    agent: Agent,
    dns: DnsServer,
    http: HttpServer,
    watches: Watches,
}

impl Parts {
    async fn start(
        config: &Config,
        sources: Sources,
        level: LevelHandle,
        cluster: Arc<Cluster>,
        held: Option<Held>,
    ) -> Result<Self, StartError> {
        let http = config.http.holding(held.unwrap_or_default());
        let http_settings = lictor_http::LiveSettings::load(&http)?;
        let server = match config.server.clone() {
            Some(mut settings) => {
                // In development mode the log is in memory, and nobody else can ever belong to it.
                if settings.storage != Storage::Memory {
                    settings.transport = Some(cluster.transport(&settings.datacenter));
                }
                Some(Server::start(settings).await?)
            }
            None => None,
        };
        let routes = Arc::new(Routes::new(&config.forward.datacenter));
        let servers =
            Servers::new(config.forward.clone(), server.clone(), routes, cluster.caller());
        servers.set_rate(config.cluster.calls_per_second, config.cluster.calls_at_once);
        cluster.open(servers.clone());
        let foundation = Foundation { cluster, server, servers };
        let agent = match Agent::start(config.agent.clone(), foundation.servers.clone()).await {
            Ok(agent) => agent,
            Err(error) => {
                foundation.shutdown().await;
                return Err(error.into());
            }
        };
        let dns_settings = LiveSettings::new(config.dns.settings.clone());
        let live = dns_settings.clone();
        let watches = Watches::new(&config.agent.http_address, &config.agent.tokens.default);
        let reloaded = watches.clone();
        let live_http = http_settings.clone();
        let current_http = Arc::new(Mutex::new(config.http.clone()));
        let reloaded_http = Arc::clone(&current_http);
        let (own, renewed_http) = (agent.clone(), http_settings.clone());
        let token = move || own.tokens().agent_token();
        foundation.cluster.renew(foundation.servers.clone(), token, move |held| {
            let http = current_http.lock().holding(held);
            if let Err(error) = renewed_http.reload(&http) {
                tracing::error!(%error, "HTTPS keeps its old certificate");
            }
        });
        let filter = config.agent.telemetry.filter.clone();
        let log = level.clone();
        let calls = Arc::clone(&foundation.cluster);
        let asked = foundation.servers.clone();
        agent.set_log_source(Arc::new(move |word, json| log.follow(word, json)));
        agent.set_configuration_source(Arc::new(move || {
            let fresh = sources.load().map_err(|error| error.to_string())?;
            let wanted = LogLevel::parse(&fresh.log_level)
                .ok_or_else(|| StartError::LogLevel(fresh.log_level.clone()).to_string())?;
            let http = fresh.http.holding(calls.held());
            live_http.reload(&http).map_err(|error| error.to_string())?;
            calls.reload(&fresh.cluster).map_err(|error| error.to_string())?;
            *reloaded_http.lock() = fresh.http.clone();
            asked.set_rate(fresh.cluster.calls_per_second, fresh.cluster.calls_at_once);
            level.set(wanted);
            filter.set(fresh.agent.telemetry.filter.get());
            live.set(fresh.dns.settings.clone());
            reloaded.set(&fresh.watches);
            Ok(fresh.reload())
        }));
        let doors = async {
            let dns = open_dns(config, dns_settings, &agent).await?;
            match HttpServer::start(&config.http, http_settings, agent.clone()).await {
                Ok(http) => Ok((dns, http)),
                Err(error) => {
                    dns.shutdown(DNS_GRACE).await;
                    Err(StartError::from(error))
                }
            }
        };
        match doors.await {
            Ok((dns, http)) => {
                watches.set(&config.watches);
                Ok(Self { foundation, agent, dns, http, watches })
            }
            Err(error) => {
                agent.shutdown().await;
                foundation.shutdown().await;
                Err(error)
            }
        }
    }

    /// Follows signals and requests until the end, then takes everything apart.
    async fn watch(self, config: &Config, signals: &mut Signals) -> ExitCode {
        let graceful = loop {
            let (name, leave) = tokio::select! {
                why = reload(&mut signals.hangup, &mut signals.files) => {
                    tracing::info!("{why}");
                    match self.agent.reload().await {
                        Ok(()) => tracing::info!("configuration reloaded"),
                        Err(error) => tracing::error!(%error, "configuration not reloaded"),
                    }
                    continue;
                }
                ending = self.agent.ended() => match ending {
                    Ending::Failed(text) => {
                        cli::err(&format!("==> {text}"));
                        break false;
                    }
                    Ending::Left | Ending::No => break true,
                },
                _ = signals.interrupt.recv() => ("interrupt", !config.skip_leave_on_interrupt),
                _ = signals.terminate.recv() => ("terminated", config.leave_on_terminate),
            };
            tracing::info!("caught signal: {name}");
            break leave;
        };
        if graceful {
            cli::out("==> Gracefully shutting down agent...");
        }
        tokio::select! {
            ended = tokio::time::timeout(config.agent.leave_drain + LEAVE_TIME, self.end(graceful)) => {
                if ended.is_err() {
                    tracing::error!("the end took too long");
                    return ExitCode::FAILURE;
                }
            }
            () = signals.end() => return ExitCode::FAILURE,
        }
        if graceful { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    async fn end(&self, graceful: bool) {
        if graceful {
            self.agent.leave_pools().await;
        }
        self.watches.shutdown().await;
        tokio::join!(self.http.shutdown(HTTP_GRACE), self.dns.shutdown(DNS_GRACE));
        self.agent.shutdown().await;
        self.foundation.shutdown().await;
    }
}

async fn open_dns(
    config: &Config,
    settings: LiveSettings,
    agent: &Agent,
) -> Result<DnsServer, lictor_dns::StartError> {
    let (places, limits) = (&config.dns.listeners, config.dns.limits);
    let queries = Arc::new(ServerQueries(agent.clone()));
    DnsServer::start(places, limits, settings, queries, agent.clone()).await
}

struct Signals {
    /// Files whose changes count as a signal to reload.
    files: Option<Followed>,
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            files: None,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Resolves at a signal to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Resolves when the configuration is to be read again; says why.
async fn reload(hangup: &mut Signal, files: &mut Option<Followed>) -> &'static str {
    let changed = async {
        match files {
            Some(files) => files.changed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = hangup.recv() => "caught signal: hangup",
        () = changed => "the configuration's files have changed",
    }
}

/// The file with our process ID, removed at the end.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: Option<&Path>) -> Result<Option<Self>, StartError> {
        let Some(path) = path else { return Ok(None) };
        let failed = |source| StartError::PidFile { path: path.display().to_string(), source };
        fs::write(path, std::process::id().to_string()).map_err(failed)?;
        Ok(Some(Self(path.to_owned())))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, "the PID file could not be removed");
        }
    }
}

/// Tells a service manager that waits for it that we are ready (`sd_notify`).
fn tell_service_manager() {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = std::os::unix::net::UnixDatagram::unbound()
        .and_then(|socket| socket.send_to(b"READY=1", &place));
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager could not be told that the agent is ready");
    }
}
