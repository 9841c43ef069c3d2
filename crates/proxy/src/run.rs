//! The proxy as a whole: what is told to it becomes listeners, and ends in order.
//!
//! How connections are carried is in `public` and `upstream`. A new configuration touches what
//! differs and nothing else: connections that are open stay, a listener whose address is the same
//! goes on listening.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use lictor_api::client::Client;
use lictor_connect::agent_source::{self, Target};
use lictor_connect::policy::{DEFAULT_LEASE, Policy};
use lictor_connect::{Acceptor, LiveConnections, LocalIdentity, Traffic};
use lictor_task::{CancellationToken, TaskSet};
use tokio::sync::watch;

use crate::config::{DestinationKind, ProxyConfig, PublicListener, Upstream, join};
use crate::listener::{Serve, listen};
use crate::managed;
use crate::public::Public;
use crate::register::{self, Registration};
use crate::upstream::{Endpoints, Leading};
use crate::workers::Workers;

/// Time that open connections have for ending by themselves. An agent that stops its proxy waits
/// for five seconds.
const DRAIN: Duration = Duration::from_secs(3);
/// Time that everything else has for ending.
const GRACE: Duration = Duration::from_secs(4);

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// From options or a file: it stays as it is.
    Fixed(ProxyConfig),
    /// From the agent, for the managed proxy of this ID; changes are put into effect.
    Agent {
        /// ID of the proxy.
        proxy_id: String,
    },
}

/// What a proxy is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the configuration comes from.
    pub source: Source,
    /// Entry to keep at the agent, if any.
    pub register: Option<Registration>,
    /// How long intentions are used after the agent was last heard.
    pub lease: Duration,
}

impl Settings {
    /// Settings without an entry at the agent.
    #[must_use]
    pub const fn new(source: Source) -> Self {
        Self { source, register: None, lease: DEFAULT_LEASE }
    }
}

/// Why a proxy ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No thread or runtime could be made.
    #[error("cannot start threads: {0}")]
    Threads(#[from] io::Error),
    /// The agent gives the proxy to another service; a new process must take that over.
    #[error("the proxy is now for service {now:?}, it was for {before:?}")]
    OtherService {
        /// The service until now.
        before: String,
        /// The service from now on.
        now: String,
    },
}

/// Runs a proxy until `stop`, or until its configuration makes that impossible.
///
/// # Errors
/// [`ProxyError`].
pub async fn run(
    settings: Settings,
    client: Client,
    stop: CancellationToken,
) -> Result<(), ProxyError> {
    let workers = Arc::new(Workers::start()?);
    let tasks = TaskSet::child_of("proxy", &stop);
    let (config, configs) = watch::channel(None);
    match settings.source {
        Source::Fixed(fixed) => {
            config.send_replace(Some(fixed));
            // Kept, so that waiting for a change never ends.
            tasks.spawn_cut("configuration", async move { config.closed().await });
        }
        Source::Agent { proxy_id } => {
            let client = client.clone();
            tasks.spawn_cut("configuration", async move {
                managed::follow(&client, &proxy_id, &config).await;
            });
        }
    }
    if let Some(registration) = settings.register {
        let (client, stop) = (client.clone(), tasks.token().clone());
        tasks.spawn("registration", async move {
            register::keep(&client, &registration, &stop).await;
        });
    }
    let serving = serve(&client, &tasks, &workers, configs, settings.lease);
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        outcome = serving => outcome,
    };
    // Listeners close and the entry is taken off while open connections come to their end.
    tracing::info!(connections = workers.len(), "stopping");
    let (ended, cut) = tokio::join!(tasks.shutdown(GRACE), workers.shutdown(DRAIN));
    if cut > 0 || ended.aborted > 0 {
        tracing::warn!(connections = cut, tasks = ended.aborted, "not everything ended in time");
    }
    outcome
}

/// Puts every configuration into effect.
async fn serve(
    client: &Client,
    tasks: &TaskSet,
    workers: &Arc<Workers>,
    mut configs: watch::Receiver<Option<ProxyConfig>>,
    lease: Duration,
) -> Result<(), ProxyError> {
    let mut proxy: Option<Proxy> = None;
    loop {
        let config = configs.borrow_and_update().clone();
        if let Some(config) = config {
            let proxy = proxy.get_or_insert_with(|| {
                Proxy::new(client.clone(), tasks.clone(), Arc::clone(workers), &config, lease)
            });
            if proxy.service != config.service {
                let (before, now) = (proxy.service.clone(), config.service);
                return Err(ProxyError::OtherService { before, now });
            }
            proxy.apply(&config).await;
        }
        if configs.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// What runs for the configuration of the moment.
struct Proxy {
    service: String,
    client: Client,
    tasks: TaskSet,
    workers: Arc<Workers>,
    identity: watch::Receiver<Option<Arc<LocalIdentity>>>,
    acceptor: Acceptor,
    traffic: Arc<Traffic>,
    public: Option<(PublicListener, Listening)>,
    /// By the address that they listen on.
    upstreams: HashMap<String, Led>,
}

/// An upstream that runs.
struct Led {
    config: Upstream,
    endpoints: Endpoints,
    listening: Listening,
}

/// A listener that runs.
struct Listening {
    handler: watch::Sender<Arc<dyn Serve>>,
    tasks: TaskSet,
}

impl Listening {
    async fn end(self) {
        let _ = self.tasks.shutdown(GRACE).await;
    }
}

impl Proxy {
    fn new(
        client: Client,
        tasks: TaskSet,
        workers: Arc<Workers>,
        config: &ProxyConfig,
        lease: Duration,
    ) -> Self {
        let service = config.service.clone();
        let (into, identity) = watch::channel(None);
        tasks.spawn_cut("identity", agent_source::identity(client.clone(), service.clone(), into));
        let (into, policy) = watch::channel(None);
        let following = agent_source::intentions(client.clone(), service.clone(), lease, into);
        tasks.spawn_cut("intentions", following);
        let live = LiveConnections::new(Policy::new(policy));
        let acceptor = Acceptor::new(identity.clone(), live.clone());
        tasks.spawn_cut("enforcement", async move { live.follow_policy().await });
        Self {
            service,
            client,
            tasks,
            workers,
            identity,
            acceptor,
            traffic: Arc::default(),
            public: None,
            upstreams: HashMap::new(),
        }
    }

    async fn apply(&mut self, config: &ProxyConfig) {
        self.apply_public(config.public.as_ref()).await;
        self.apply_upstreams(&config.upstreams).await;
    }

    async fn apply_public(&mut self, wanted: Option<&PublicListener>) {
        let is_kept = match (&self.public, wanted) {
            (Some((old, _)), Some(new)) => old.bind_addr() == new.bind_addr(),
            _ => false,
        };
        if !is_kept && let Some((_, listening)) = self.public.take() {
            listening.end().await;
        }
        let Some(wanted) = wanted else { return };
        let traffic = Arc::clone(&self.traffic);
        let handler = Arc::new(Public::new(self.acceptor.clone(), wanted, traffic));
        match &mut self.public {
            Some((held, listening)) => {
                if held != wanted {
                    listening.handler.send_replace(handler);
                    *held = wanted.clone();
                }
            }
            None => {
                let listening = self.listen("public", wanted.bind_addr(), handler, true);
                self.public = Some((wanted.clone(), listening));
            }
        }
    }

    async fn apply_upstreams(&mut self, list: &[Upstream]) {
        let mut wanted = HashMap::new();
        for upstream in list {
            if upstream.local_bind_port == 0 {
                let destination = upstream.destination.to_string();
                tracing::error!(destination, "upstream has no local_bind_port, left out");
                continue;
            }
            let address = join(upstream.bind_host(), upstream.local_bind_port);
            if wanted.insert(address.clone(), upstream.clone()).is_some() {
                tracing::error!(address, "several upstreams have this address, the last counts");
            }
        }
        // What goes away goes first, since its address may be wanted in another spelling.
        let gone = self.upstreams.extract_if(|address, led| {
            wanted.get(address).is_none_or(|new| new.destination != led.config.destination)
        });
        for (_, led) in gone.collect::<Vec<_>>() {
            led.listening.end().await;
        }
        for (address, config) in wanted {
            match self.upstreams.get_mut(&address) {
                Some(led) if led.config == config => {}
                Some(led) => {
                    let handler = Leading::new(
                        &config,
                        self.identity.clone(),
                        led.endpoints.clone(),
                        Arc::clone(&self.traffic),
                    );
                    led.listening.handler.send_replace(Arc::new(handler));
                    led.config = config;
                }
                None => {
                    let led = self.lead(&address, config);
                    self.upstreams.insert(address, led);
                }
            }
        }
    }

    fn lead(&self, address: &str, config: Upstream) -> Led {
        let (into, endpoints) = watch::channel(None);
        let target = target(&config);
        let name = target.to_string();
        let (identity, traffic) = (self.identity.clone(), Arc::clone(&self.traffic));
        let handler = Leading::new(&config, identity, endpoints.clone(), traffic);
        let listening = self.listen(&name, address.to_owned(), Arc::new(handler), false);
        let following = agent_source::endpoints(self.client.clone(), target, into);
        listening.tasks.spawn_cut("endpoints", following);
        Led { config, endpoints, listening }
    }

    /// Starts a listener; the one for the mesh begins once there is an identity.
    fn listen(
        &self,
        name: &str,
        address: String,
        handler: Arc<dyn Serve>,
        is_public: bool,
    ) -> Listening {
        let tasks = TaskSet::child_of("listener", self.tasks.token());
        let (handler, handlers) = watch::channel(handler);
        let (name, stop) = (name.to_owned(), tasks.token().clone());
        let workers = Arc::clone(&self.workers);
        let mut identity = self.identity.clone();
        tasks.spawn_cut("listener", async move {
            if is_public && identity.wait_for(Option::is_some).await.is_err() {
                return;
            }
            listen(&name, &address, handlers, &workers, &stop).await;
        });
        Listening { handler, tasks }
    }
}

fn target(upstream: &Upstream) -> Target {
    let destination = &upstream.destination;
    let (name, datacenter) = (destination.name.clone(), destination.datacenter.clone());
    match destination.kind {
        DestinationKind::Service => Target::Service { name, datacenter },
        DestinationKind::PreparedQuery => Target::Query { name, datacenter },
    }
}
