//! A pool of agents: the gossip of a datacenter's agents, or of all datacenters' servers.
//!
//! What is said is decided by the crate `gossip`, which knows no socket; here are its sockets, its
//! clock and its file. One task owns it: others ask it with a closure, and hear what happens by
//! subscription. Whoever does not keep up with what happens is told so and asks for the members.
//!
//! | file | subject |
//! | --- | --- |
//! | `driver` | the task |
//! | `stream` | connections |
//! | `snapshot` | what is remembered over a restart |
//! | `keys` | asking all members about keys |
//! | `figures` | what there is at the moment |
//! | `meters` | what is counted and timed |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod driver;
mod figures;
mod keys;
mod meters;
mod snapshot;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lictor_gossip::keyring::Keyring;
use lictor_gossip::serf::{self, Event, Member, Serf};
use lictor_gossip::swim;
use lictor_metrics::Metrics;
use lictor_task::TaskSet;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{OnceCell, broadcast, mpsc, oneshot, watch};

use driver::{Driver, Ways};
pub use figures::Figures;
pub use keys::KeyReport;
use meters::Meters;
use snapshot::SnapshotFile;

/// Requests that wait for the task.
const REQUESTS: usize = 1024;
/// Events that a subscriber may be behind. The places for them are held from the start on.
const EVENTS: usize = 1024;
/// How long joining one address may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long leaving may take: telling it, twice, and others passing it on.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(15);

/// A pool's settings.
#[derive(Debug)]
pub struct PoolConfig {
    /// The name in log lines.
    pub name: &'static str,
    /// Where it listens: UDP and TCP.
    pub bind: SocketAddr,
    /// The membership layer's settings.
    pub swim: swim::Config,
    /// The event layer's settings.
    pub serf: serf::Config,
    /// The keys; empty: nothing is encrypted.
    pub keyring: Keyring,
    /// Where members and clocks are remembered.
    pub snapshot: Option<PathBuf>,
    /// Whether members of a pool that was left are tried again.
    pub rejoin_after_leave: bool,
    /// Where it is counted what happens.
    pub metrics: Metrics,
}

/// Why a pool does not start.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// It cannot listen.
    #[error("cannot listen for gossip at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Its file cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(io::Error),
}

/// What is asked of the task.
type Request = Box<dyn FnOnce(&mut Serf, Duration) + Send>;

/// A pool; clones are the same one.
#[derive(Clone, Debug)]
pub struct Pool {
    requests: mpsc::Sender<Request>,
    events: broadcast::Sender<Arc<Event>>,
    figures: watch::Receiver<Figures>,
    address: SocketAddr,
    left: Arc<OnceCell<()>>,
}

impl Pool {
    /// Opens a pool. Its tasks end with `tasks`. Members that are remembered are joined again.
    ///
    /// # Errors
    /// When it cannot listen, or its file cannot be used.
    pub async fn start(mut config: PoolConfig, tasks: &TaskSet) -> Result<Self, PoolError> {
        let listen = |source| PoolError::Listen { address: config.bind, source };
        let tcp = TcpListener::bind(config.bind).await.map_err(listen)?;
        let address = tcp.local_addr().map_err(listen)?;
        let udp = UdpSocket::bind(address).await.map_err(listen)?;
        // Before that is known, nothing can be sent without waiting.
        udp.writable().await.map_err(listen)?;
        // An advertised port of 0 is the one that the system chose.
        if config.swim.advertise.port() == 0 {
            config.swim.advertise.set_port(address.port());
        }
        let meters = Meters::new(&config.metrics);
        let wire = Arc::clone(&meters.wire);
        let opened = match &config.snapshot {
            None => None,
            Some(path) => {
                let open = SnapshotFile::open(path, config.rejoin_after_leave, &wire);
                let wrap = |source| PoolError::Snapshot { path: path.clone(), source };
                Some(open.map_err(wrap)?)
            }
        };
        let (requests, waiting) = mpsc::channel(REQUESTS);
        let (events, _) = broadcast::channel(EVENTS);
        let (counted, figures) = watch::channel(Figures::default());
        let to_itself = requests.clone();
        let ways = Ways { events: events.clone(), figures: counted, requests: to_itself, meters };
        let driver = Driver::new(config, udp, opened, ways, tasks.clone())?;
        tasks.spawn("gossip", driver.run(waiting));
        let accepting = driver::accept(tcp, requests.clone(), wire, tasks.clone());
        tasks.spawn_cut("gossip streams", accepting);
        Ok(Self { requests, events, figures, address, left: Arc::default() })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// What was counted, as of half a second ago at most.
    #[must_use]
    pub fn figures(&self) -> Figures {
        *self.figures.borrow()
    }

    /// Has the task do something; `None` when it has ended.
    pub async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Serf, Duration) -> T + Send + 'static,
    ) -> Option<T> {
        driver::ask(&self.requests, act).await
    }

    /// All members, also those that left or failed.
    pub async fn members(&self) -> Vec<Member> {
        self.with(|serf, _| serf.members()).await.unwrap_or_default()
    }

    /// Joins the pool of the agent at `address`.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn join(&self, address: SocketAddr) -> Result<(), String> {
        let mut events = self.subscribe();
        self.with(move |serf, _| serf.join(address)).await;
        let tried = async {
            loop {
                match events.recv().await {
                    Ok(event) => {
                        if let Event::JoinTried { address: of, result } = &*event
                            && *of == address
                        {
                            return result.clone();
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Err("gossip ended".into()),
                }
            }
        };
        let failed = |_| Err(format!("no answer from {address} in {JOIN_TIMEOUT:?}"));
        tokio::time::timeout(JOIN_TIMEOUT, tried).await.unwrap_or_else(failed)
    }

    /// Leaves the pool, and returns when the others know, or should. Who leaves a second time
    /// waits for the end of the first.
    pub async fn leave(&self) {
        self.left.get_or_init(|| self.leave_once()).await;
    }

    async fn leave_once(&self) {
        let mut events = self.subscribe();
        self.with(Serf::leave).await;
        let done = async {
            loop {
                match events.recv().await {
                    Ok(event) if *event == Event::LeaveDone => return,
                    Err(broadcast::error::RecvError::Closed) => return,
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                }
            }
        };
        if tokio::time::timeout(LEAVE_TIMEOUT, done).await.is_err() {
            tracing::warn!("leaving took too long: others may take this agent for failed");
        }
    }
}

/// What the task has been asked, and the way back.
fn request<T: Send + 'static>(
    act: impl FnOnce(&mut Serf, Duration) -> T + Send + 'static,
) -> (Request, oneshot::Receiver<T>) {
    let (send, receive) = oneshot::channel();
    let run = move |serf: &mut Serf, now: Duration| {
        let _ = send.send(act(serf, now));
    };
    (Box::new(run), receive)
}

#[cfg(test)]
mod tests;
