//! The servers as anybody in this process asks them.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lictor_metrics::Metrics;
use lictor_server::{AclSettings, Server, Stats, Waits};
use lictor_task::TaskSet;
use lictor_types::error::{EndpointError, ErrorKind};
use parking_lot::RwLock;

use crate::caller::{Caller, Nobody};
use crate::failure::NO_SERVERS;
use crate::followed::Followed;
use crate::meters::Meters;
use crate::pools::Pools;
use crate::rate::Rate;
use crate::rights::Known;
use crate::routes::{Routes, Target};
use crate::troubles::Troubles;

/// How long what servers say of a token is remembered, where nothing is set.
pub const TOKEN_TTL: Duration = Duration::from_secs(30);
/// How long tasks may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// What must be known to ask servers.
#[derive(Clone, Debug)]
pub struct ForwardConfig {
    /// The own datacenter.
    pub datacenter: String,
    /// Name of the own node.
    pub node_name: Arc<str>,
    /// How long a request waits for a leader before it fails.
    pub hold_timeout: Duration,
    /// How long blocking reads wait.
    pub waits: Waits,
    /// How long what servers say of a token is remembered.
    pub token_ttl: Duration,
    /// Access control, as this agent has it configured.
    pub acl: AclSettings,
    /// Where calls are counted.
    pub metrics: Metrics,
}

/// The servers; clones are the same ones. On a server they are itself first of all.
#[derive(Clone)]
pub struct Servers(Arc<Inner>);

struct Inner {
    config: ForwardConfig,
    /// This very server; `None` on a client agent.
    server: Option<Server>,
    routes: Arc<Routes>,
    caller: Arc<dyn Caller>,
    pools: OnceLock<Arc<dyn Pools>>,
    followed: Followed,
    known: Known,
    meters: Meters,
    /// The token that another datacenter is asked with for what is copied from there.
    replication_token: RwLock<Arc<str>>,
    /// Whether another datacenter is asked what tokens permit.
    borrows: bool,
    troubles: Troubles,
    rate: Rate,
    tasks: TaskSet,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { server, routes, .. } = &*self.0;
        f.debug_struct("Servers").field("here", server).field("routes", routes).finish()
    }
}

impl Servers {
    /// The servers that `routes` know, asked through `caller`, and `server` itself if this agent
    /// is one.
    #[must_use]
    pub fn new(
        config: ForwardConfig,
        server: Option<Server>,
        routes: Arc<Routes>,
        caller: Arc<dyn Caller>,
    ) -> Self {
        let tasks = TaskSet::new("forwarding");
        let meters = Meters::new(&config.metrics);
        let ruled = server.as_ref().is_some_and(|server| server.primary().is_some());
        let borrows = ruled && config.acl.enabled;
        let servers = Self(Arc::new(Inner {
            config,
            server,
            routes,
            caller,
            pools: OnceLock::new(),
            followed: Followed::default(),
            known: Known::default(),
            meters,
            replication_token: RwLock::default(),
            borrows,
            troubles: Troubles::default(),
            rate: Rate::default(),
            tasks,
        }));
        let own = servers.clone();
        servers.0.tasks.spawn_cut("rebalance", async move {
            loop {
                tokio::time::sleep(own.routes().rebalance_pause()).await;
                own.routes().shuffle();
            }
        });
        if servers.here().is_some() {
            let own = servers.clone();
            servers.0.tasks.spawn_cut("bootstrap", async move { own.bootstrap().await });
        }
        if ruled {
            let own = servers.clone();
            servers.0.tasks.spawn_cut("federation", async move { own.follow_primary().await });
        }
        servers
    }

    /// A server that is alone.
    #[must_use]
    pub fn alone(server: Server) -> Self {
        let config = ForwardConfig {
            datacenter: server.datacenter().to_owned(),
            node_name: Arc::clone(server.node_name()),
            hold_timeout: server.hold_timeout(),
            waits: server.waits(),
            token_ttl: TOKEN_TTL,
            acl: server.acl_settings().clone(),
            metrics: Metrics::default(),
        };
        let routes = Arc::new(Routes::new(&config.datacenter));
        Self::new(config, Some(server), routes, Arc::new(Nobody))
    }

    /// Ends what runs for them; the server in it is its starter's to end.
    pub async fn shutdown(&self) {
        self.0.tasks.shutdown(GRACE).await;
    }

    /// The servers by datacenter.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// This very server; `None` on a client agent.
    #[must_use]
    pub fn here(&self) -> Option<&Server> {
        self.0.server.as_ref()
    }

    /// The server in this process, for what only a server knows.
    ///
    /// # Errors
    /// On a client agent.
    pub(crate) fn only_here(&self) -> Result<&Server, EndpointError> {
        self.here().ok_or_else(|| EndpointError::new(ErrorKind::NoLeader, NO_SERVERS))
    }

    /// The settings of access control.
    #[must_use]
    pub fn acl_settings(&self) -> &AclSettings {
        &self.0.config.acl
    }

    /// Whether access control is on.
    #[must_use]
    pub fn acl_enabled(&self) -> bool {
        self.0.config.acl.enabled
    }

    /// Figures about the servers as far as this agent knows them: sections `consul` and `raft`.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let routes = self.routes();
        let mut stats = self.here().map(Server::stats).unwrap_or_default();
        let section = stats.entry("consul".to_owned()).or_default();
        if self.here().is_some() {
            let known = routes.datacenters().len().to_string();
            section.insert("known_datacenters".to_owned(), known);
        } else {
            let known = routes.count(routes.datacenter()).to_string();
            section.insert("known_servers".to_owned(), known);
            section.insert("server".to_owned(), "false".to_owned());
        }
        stats
    }

    /// Where everything is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.config.metrics
    }

    pub(crate) fn config(&self) -> &ForwardConfig {
        &self.0.config
    }

    pub(crate) fn pools_cell(&self) -> &OnceLock<Arc<dyn Pools>> {
        &self.0.pools
    }

    pub(crate) fn pools(&self) -> Option<&dyn Pools> {
        self.0.pools.get().map(|pools| &**pools)
    }

    pub(crate) fn followed(&self) -> &Followed {
        &self.0.followed
    }

    pub(crate) fn known(&self) -> &Known {
        &self.0.known
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.0.meters
    }

    pub(crate) fn replication_token(&self) -> &RwLock<Arc<str>> {
        &self.0.replication_token
    }

    /// Whether what a token permits may have to be asked for elsewhere before it is decided here.
    pub(crate) fn borrows(&self) -> bool {
        self.0.borrows
    }

    pub(crate) fn troubles(&self) -> &Troubles {
        &self.0.troubles
    }

    /// How many calls a client agent makes from now on: `rate` in a second, `burst` at once; a
    /// negative rate allows any number. A server sends on what it is asked, however much that is.
    pub fn set_rate(&self, rate: f64, burst: u32) {
        if self.here().is_none() {
            self.0.rate.set(rate, burst);
        }
    }

    pub(crate) fn rate(&self) -> &Rate {
        &self.0.rate
    }

    pub(crate) fn tasks(&self) -> &TaskSet {
        &self.0.tasks
    }

    pub(crate) fn caller(&self) -> &dyn Caller {
        &*self.0.caller
    }

    /// Resolves when they are told to stop.
    pub(crate) async fn ending(&self) {
        self.0.tasks.token().cancelled().await;
    }

    /// Resolves when there is another leader, or another server to ask.
    pub(crate) async fn changed(&self) {
        let mut routes = self.routes().changes();
        let routes = routes.changed();
        match self.here() {
            Some(server) => {
                let mut leadership = server.leadership();
                tokio::select! {
                    _ = routes => {}
                    _ = leadership.changed() => {}
                }
            }
            None => {
                let _ = routes.await;
            }
        }
    }

    /// How many servers could be asked in place of this one.
    pub(crate) fn others(&self, to: &Target) -> usize {
        // Of the own datacenter a server asks the leader alone.
        let leader_only = self.here().is_some() && to.datacenter == *self.routes().datacenter();
        if leader_only { 1 } else { self.routes().count(&to.datacenter) }
    }

    /// Whether an error of this very server means that another one is to be asked: it is for
    /// another datacenter, or somebody else leads.
    pub(crate) fn is_elsewhere(&self, error: &EndpointError) -> bool {
        match error.kind {
            ErrorKind::NoPathToDatacenter => true,
            ErrorKind::NoLeader => error.is_not_leader(),
            _ => false,
        }
    }

    /// Whether this very server is to write: it is one of that datacenter, and leads or hopes to.
    pub(crate) fn writes_here(&self, datacenter: &str) -> Option<&Server> {
        let own = datacenter.is_empty() || *datacenter == *self.0.config.datacenter;
        self.here().filter(|server| own && !server.follows())
    }
}
