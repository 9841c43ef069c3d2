//! The agent as its doors see it: start, end, and one method for each thing that can be asked.
//!
//! What happens inside is in the modules that the methods call.

mod cluster;
mod registrations;
mod rights;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lictor_acl::{DefaultPolicy, Rules};
use lictor_pool::PoolError;
use lictor_server::CaRoots;
use lictor_task::TaskSet;
use lictor_types::error::EndpointError;
use lictor_types::query::{QueryOptions, Reply};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::catalog::{CatalogClient, CheckReader};
use crate::check::CheckTls;
use crate::config::{AgentConfig, Reload};
use crate::connect::{
    Authorization, AuthorizeRequest, Authorizer, Cached, LeafCertificate, LeafIssuer, LeafLimits,
    Leaves, Roots, wait_time,
};
use crate::coordinates;
use crate::error::AgentError;
use crate::event::Events;
use crate::gossip::Gossip;
use crate::host::{Host, RestoreError};
use crate::info::{self, SelfInfo};
use crate::keyring::{Keyring, KeyringError};
use crate::machine::{self, Machine};
use crate::managed::{Policy, ProxyConfigReply};
use crate::metrics::Figures;
use crate::pools::AgentPools;
use crate::remote_exec::RemoteExec;
use crate::sync::{Rounds, SyncTiming, Syncer};
use crate::tokens::{TokenKind, Tokens};
use crate::upstream::Upstream;

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A definition in a configuration file is not in order.
    #[error(transparent)]
    Definition(#[from] RestoreError),
    /// The keys of gossip cannot be had.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A pool cannot be opened.
    #[error("Failed to start gossip: {0}")]
    Gossip(#[from] PoolError),
    /// Nobody was there of those who had to be joined.
    #[error("Failed to join: {0}")]
    Join(AgentError),
    /// The agent's certificates cannot be used for checks.
    #[error("enable_agent_tls_for_checks: {0}")]
    CheckTls(String),
    /// Reading the local state failed in a way that must not be ignored.
    #[error("cannot read the local state")]
    LocalState,
}

/// Why an agent is to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// It is not.
    #[default]
    No,
    /// It has left the cluster, since somebody asked it to.
    Left,
    /// It cannot go on, for this reason.
    Failed(String),
}

/// Reads the configuration files again, for a reload; the error is a text for people.
pub type ConfigurationSource = Arc<dyn Fn() -> Result<Reload, String> + Send + Sync>;

/// Gives the program's log, line by line from now on, up to a level; empty is the usual one. The
/// lines are text, or JSON if that is wanted.
pub type LogSource =
    Arc<dyn Fn(&str, bool) -> Result<mpsc::Receiver<io::Result<Bytes>>, AgentError> + Send + Sync>;

/// An agent; clones are the same one.
#[derive(Clone)]
pub struct Agent<U = lictor_forward::Servers> {
    inner: Arc<Inner<U>>,
}

struct Inner<U> {
    config: AgentConfig,
    upstream: U,
    host: Arc<Host>,
    tokens: Arc<Tokens>,
    roots: Arc<Roots<U>>,
    leaves: Arc<Leaves<LeafIssuer<U>>>,
    authorizer: Authorizer<U>,
    /// What the agent's own secret permits.
    recovery: Arc<lictor_acl::Authorizer>,
    everything: Arc<lictor_acl::Authorizer>,
    gossip: Arc<Gossip>,
    events: Events,
    pools: Arc<AgentPools>,
    remote_exec: Arc<RemoteExec<U>>,
    rounds: Arc<Rounds>,
    source: Mutex<Option<ConfigurationSource>>,
    log: Mutex<Option<LogSource>>,
    ending: watch::Sender<Ending>,
    tasks: TaskSet,
}

impl<U> fmt::Debug for Agent<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("node", &self.inner.config.node_name).finish_non_exhaustive()
    }
}

impl Agent<lictor_forward::Servers> {
    /// The servers' endpoints, for the doors.
    #[must_use]
    pub fn servers(&self) -> &lictor_forward::Servers {
        &self.inner.upstream
    }
}

impl<U: Upstream> Agent<U> {
    /// Starts an agent: opens its pools, brings back what was registered, then runs checks, proxies
    /// and anti-entropy, and joins what has to be joined. Does not wait for the servers.
    ///
    /// # Errors
    /// When a definition of the configuration files is not in order, gossip cannot listen, or
    /// nobody was there of those who had to be joined.
    pub async fn start(config: AgentConfig, upstream: U) -> Result<Self, StartError> {
        let tasks = TaskSet::new("agent");
        let remote = Arc::new(CheckReader(upstream.clone()));
        let made = {
            let config = config.clone();
            tasks.blocking("opening local state", move || {
                let tls = match &config.check_tls {
                    Some(files) => CheckTls::with_files(files).map_err(StartError::CheckTls)?,
                    None => CheckTls::default(),
                };
                let folder = config.data_dir.clone().filter(|_| config.keep_tokens);
                let tokens = Arc::new(Tokens::open(config.tokens.clone(), folder));
                let keyring = Keyring::open(&config)?;
                let policy = Policy::default();
                let host = Host::new(&config, Some(remote), tls, policy, Arc::clone(&tokens));
                Ok::<_, StartError>((Arc::new(host), tokens, keyring))
            })
        };
        let (host, tokens, keyring) = made.await.ok_or(StartError::LocalState)??;
        let gossip = match Gossip::start(&config, |wan| keyring.of(wan), &tasks).await {
            Ok(gossip) => Arc::new(gossip),
            Err(error) => {
                tasks.shutdown(Duration::from_secs(5)).await;
                return Err(error.into());
            }
        };
        let pools = Arc::new(AgentPools {
            datacenter: config.datacenter.clone(),
            gossip: Arc::clone(&gossip),
            keyring: Arc::new(keyring),
            tasks: tasks.clone(),
        });
        upstream.set_pools(Arc::clone(&pools) as Arc<dyn lictor_forward::Pools>);
        let node = Arc::clone(&config.node_name);
        let remote_exec = Arc::new(RemoteExec::new(upstream.clone(), node, Arc::clone(&tokens)));
        let roots = Arc::new(Roots::new(upstream.clone()));
        let issuer = LeafIssuer {
            upstream: upstream.clone(),
            roots: Arc::clone(&roots),
            datacenter: config.datacenter.clone(),
        };
        let inner = Inner {
            authorizer: Authorizer::new(upstream.clone(), Arc::clone(&roots)),
            everything: Arc::new(lictor_acl::Authorizer::manage_all()),
            recovery: Arc::new(lictor_acl::Authorizer::new(
                [&Rules::agent_recovery(&config.node_name)],
                DefaultPolicy::Deny,
            )),
            leaves: Arc::new(Leaves::new(issuer, LeafLimits::default())),
            roots,
            host,
            tokens,
            upstream,
            config,
            gossip,
            events: Events::default(),
            pools,
            remote_exec,
            rounds: Arc::default(),
            source: Mutex::new(None),
            log: Mutex::new(None),
            ending: watch::Sender::default(),
            tasks,
        };
        let agent = Self { inner: Arc::new(inner) };
        if let Err(error) = agent.inner.host.restore(&agent.inner.config.definitions).await {
            agent.shutdown().await;
            return Err(error.into());
        }
        agent.tell_replication_token();
        agent.spawn();
        if let Err(error) = agent.join_at_start().await {
            agent.shutdown().await;
            return Err(StartError::Join(error));
        }
        Ok(agent)
    }

    fn spawn(&self) {
        let inner = &self.inner;
        self.spawn_gossip();
        let syncer = Syncer::new(
            Arc::clone(&inner.host.local),
            CatalogClient(inner.upstream.clone()),
            Arc::clone(&inner.tokens),
            SyncTiming::default(),
            Arc::clone(&inner.host.pauses),
            Arc::clone(&inner.rounds),
        );
        let token = inner.tasks.token().clone();
        inner.tasks.spawn("anti-entropy", async move { syncer.run(token).await });
        let (roots, leaves) = (Arc::clone(&inner.roots), Arc::clone(&inner.leaves));
        inner.tasks.spawn_cut("roots", async move {
            roots.follow(|| leaves.roots_changed()).await;
        });
        let (leaves, token) = (Arc::clone(&inner.leaves), inner.tasks.token().clone());
        inner.tasks.spawn("leaves", async move { leaves.renew(token).await });
        if !inner.config.disable_coordinates {
            let (node, tokens) = (&inner.config.node_name, Arc::clone(&inner.tokens));
            let gossip = Arc::clone(&inner.gossip);
            let (upstream, node) = (inner.upstream.clone(), Arc::clone(node));
            let report = coordinates::report(upstream, gossip, node, tokens);
            inner.tasks.spawn_cut("coordinates", report);
        }
        let host = Arc::clone(&inner.host);
        inner.tasks.spawn_cut("reaper", async move { host.reap().await });
        let own = self.clone();
        let stats = move || own.self_info().stats;
        inner.config.telemetry.start_sending(&inner.tasks, stats);
    }

    /// The settings that it was started with.
    #[must_use]
    pub fn config(&self) -> &AgentConfig {
        &self.inner.config
    }

    /// Ends everything that the agent runs and waits for it. In development mode managed proxies
    /// end too, else they run on and are found again at the next start.
    pub async fn shutdown(&self) {
        self.inner.tasks.shutdown(Duration::from_secs(5)).await;
        self.inner.host.shutdown().await;
    }

    /// Sets where [`Agent::reload`] gets the configuration from.
    pub fn set_configuration_source(&self, source: ConfigurationSource) {
        *self.inner.source.lock() = Some(source);
    }

    /// Sets where [`Agent::monitor`] gets the log from.
    pub fn set_log_source(&self, source: LogSource) {
        *self.inner.log.lock() = Some(source);
    }

    /// The log from now on, in lines up to a level, which are JSON if that is wanted.
    ///
    /// # Errors
    /// When there is no such level, or too many read it.
    pub async fn monitor(
        &self,
        token: &str,
        level: &str,
        json: bool,
    ) -> Result<mpsc::Receiver<io::Result<Bytes>>, AgentError> {
        self.check_agent_read(token).await?;
        let source = self.inner.log.lock().clone();
        let source = source.ok_or_else(|| AgentError::refused("there is no log to read"))?;
        source(level, json)
    }

    /// Reads the configuration again and takes over what can change.
    ///
    /// # Errors
    /// When it cannot be read or is not in order; then nothing changed.
    pub async fn reload(&self) -> Result<(), AgentError> {
        let source = self.inner.source.lock().clone();
        let Some(source) = source else { return Ok(()) };
        let read = self.inner.tasks.blocking("reading the configuration", move || source()).await;
        match read {
            Some(Ok(reload)) => self.apply_reload(&reload).await,
            Some(Err(text)) => Err(AgentError::refused(text)),
            None => Err(AgentError::refused("reading the configuration failed")),
        }
    }

    /// Takes over a configuration that was read again.
    ///
    /// # Errors
    /// When a definition is not in order; then nothing changed.
    pub async fn apply_reload(&self, reload: &Reload) -> Result<(), AgentError> {
        self.inner.host.reload(reload).await?;
        self.inner.tokens.configure(reload.tokens.clone());
        self.tell_replication_token();
        Ok(())
    }

    /// Other datacenters are asked with this one from now on.
    fn tell_replication_token(&self) {
        self.inner.upstream.set_replication_token(&self.inner.tokens.replication_token());
    }

    /// The agent's own tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.inner.tokens
    }

    /// Replaces one of the agent's own tokens, by its name in the API. Services and checks that
    /// were refused are registered again.
    ///
    /// # Errors
    /// When there is no such token, the caller may not operate this agent, or it cannot be kept.
    pub async fn set_token(&self, token: &str, name: &str, secret: &str) -> Result<(), AgentError> {
        self.check_agent_write(token).await?;
        let Some(kind) = TokenKind::parse(name) else {
            return Err(AgentError::NotFound(format!("Token {name:?} is unknown")));
        };
        let (tokens, secret) = (Arc::clone(&self.inner.tokens), secret.to_owned());
        let set = move || tokens.set(kind, &secret);
        let set = self.inner.tasks.blocking("keeping a token", set).await;
        set.unwrap_or_else(|| Err(AgentError::refused("keeping the token was interrupted")))?;
        self.tell_replication_token();
        tracing::info!(token = name, "updated one of the agent's tokens");
        Ok(())
    }

    /// The trusted roots; may block.
    ///
    /// # Errors
    /// Those of the servers, when the agent knows none yet.
    pub async fn roots(
        &self,
        options: &QueryOptions,
    ) -> Result<Cached<Reply<CaRoots>>, AgentError> {
        Ok(self.inner.roots.get(options).await?)
    }

    /// The leaf certificate of a service (which need not be registered); may block. The token of
    /// a managed proxy is good for its own service only.
    ///
    /// # Errors
    /// When the token is a proxy's for another service, or the certificate is refused.
    pub async fn leaf(
        &self,
        options: &QueryOptions,
        service: &str,
    ) -> Result<Cached<Arc<LeafCertificate>>, AgentError> {
        if service.is_empty() {
            return Err(AgentError::refused("URI must be set: the name of a service is missing"));
        }
        let token = match self.inner.host.proxies.identity(&options.token) {
            Some(proxy) if &*proxy.service != service => {
                return Err(EndpointError::permission_denied().into());
            }
            Some(proxy) => self.or_default(proxy.service_token),
            None => options.token.clone(),
        };
        self.check_service_write(&token, service).await?;
        let wait = wait_time(options.max_wait);
        let leaf = self.inner.leaves.get(service, &token, options.min_index, wait).await?;
        if options.min_index > 0 {
            // The token may have changed while it waited.
            self.check_service_write(&token, service).await?;
        }
        Ok(leaf)
    }

    /// Decides about an incoming connection. The mark tells whether the intentions were known;
    /// it is `None` where none had to be looked at.
    ///
    /// # Errors
    /// Without a target, or when roots and intentions cannot be had. A refusal is no error.
    pub async fn authorize(
        &self,
        token: &str,
        request: &AuthorizeRequest<'_>,
    ) -> Result<(Authorization, Option<bool>), AgentError> {
        if !request.target.is_empty() {
            self.check_service_write(token, request.target).await?;
        }
        self.inner.authorizer.authorize(token, request).await
    }

    /// What a managed proxy is told. With `hash`, waits until it differs from that.
    ///
    /// # Errors
    /// When there is no such proxy, the token is another proxy's, or does not permit to write the
    /// service that it stands for.
    pub async fn proxy_config(
        &self,
        token: &str,
        id: &str,
        hash: &str,
        max_wait: Duration,
    ) -> Result<Arc<ProxyConfigReply>, AgentError> {
        let proxies = &self.inner.host.proxies;
        let deadline = tokio::time::Instant::now() + wait_time(max_wait);
        let mut changes = proxies.changes();
        loop {
            changes.mark_unchanged();
            let asker = proxies.identity(token);
            if asker.as_ref().is_some_and(|asker| &*asker.proxy_id != id) {
                return Err(EndpointError::permission_denied().into());
            }
            let Some(reply) = proxies.reply(id, asker.is_some()) else {
                return Err(AgentError::NotFound(format!("unknown proxy service ID: {id}")));
            };
            if asker.is_none() {
                self.check_service_write(token, &reply.target_service_name).await?;
            }
            if hash.is_empty() || reply.content_hash != hash {
                return Ok(Arc::new(reply));
            }
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                if asker.is_none() {
                    self.check_service_write(token, &reply.target_service_name).await?;
                }
                return Ok(Arc::new(reply));
            }
        }
    }

    /// The token that a managed proxy's token stands for; other tokens stand for themselves.
    #[must_use]
    pub fn actual_token(&self, token: &str) -> String {
        let proxy = self.inner.host.proxies.identity(token);
        proxy.map_or_else(|| token.to_owned(), |proxy| self.or_default(proxy.service_token))
    }

    /// A service without a token of its own is registered with the agent's.
    fn or_default(&self, service_token: String) -> String {
        if service_token.is_empty() {
            self.inner.tokens.default_token().to_string()
        } else {
            service_token
        }
    }

    /// The agent about itself.
    #[must_use]
    pub fn self_info(&self) -> SelfInfo {
        let inner = &self.inner;
        info::about(&inner.config, &inner.gossip, &inner.host, inner.upstream.stats())
    }

    /// The machine that it runs on.
    ///
    /// # Errors
    /// `Permission denied`, or when the agent ends.
    pub async fn machine(&self, token: &str) -> Result<Machine, AgentError> {
        self.check_operator_read(token).await?;
        let found = self.inner.tasks.blocking("looking at the machine", machine::look).await;
        found.ok_or_else(|| AgentError::refused("looking at the machine was interrupted"))
    }

    /// What was counted in the last whole interval, and what is measured now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.inner.config.telemetry.last_interval(&self.self_info().stats)
    }

    /// What was counted from the start on, and what is measured now; `None` when that is off.
    #[must_use]
    pub fn total_figures(&self) -> Option<Figures> {
        self.inner.config.telemetry.totals(&self.self_info().stats)
    }
}
