//! A network that loses, delays and doubles, and whose links can be cut one way.

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lictor_task::TaskSet;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::raft::Raft;
use crate::transport::{Answering, Transport, TransportError};

/// Tells connections of a life of a server from others.
fn connection(address: &str, life: u64) -> SocketAddr {
    let server = address.trim_start_matches('s').parse().unwrap_or_default();
    SocketAddr::from((Ipv4Addr::new(10, 0, (life >> 16) as u8, server), life as u16))
}

/// How long a connection lasts on which nothing is heard: real ones are found out by pings, however long
/// the answer may take.
const SILENT: Duration = Duration::from_secs(20);

/// The network of a run.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) state: Mutex<State>,
    pub(super) chance: Mutex<fastrand::Rng>,
    pub(super) tasks: TaskSet,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Who lives at an address, and in which life.
    pub(super) servers: BTreeMap<String, (u64, Raft)>,
    /// Ways that are cut.
    pub(super) cut: HashSet<(String, String)>,
    /// Of a hundred messages, so many are lost.
    pub(super) lost: u32,
    /// Longest way of a message, in microseconds.
    pub(super) delay: u64,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        let state = State { delay: 2_000, ..State::default() };
        Self {
            state: Mutex::new(state),
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            tasks: TaskSet::new("simulated network"),
        }
    }

    fn lives(&self, address: &str, life: u64) -> bool {
        self.state.lock().servers.get(address).is_some_and(|(now, _)| *now == life)
    }

    /// Connections of a life of a server end, which the others are told in their own time.
    pub(super) fn hang_up(self: &Arc<Self>, own: &str, life: u64) {
        let servers: Vec<String> = self.state.lock().servers.keys().cloned().collect();
        for other in servers.into_iter().filter(|other| other != own) {
            let (network, own) = (Arc::clone(self), own.to_owned());
            self.tasks.spawn("hanging up", async move {
                if !network.carry(&own, &other).await {
                    return;
                }
                let server = network.state.lock().servers.get(&other).cloned();
                if let Some((_, server)) = server {
                    server.connection_ended(connection(&own, life));
                }
            });
        }
    }

    /// Carries something one way; false if it does not arrive.
    async fn carry(&self, from: &str, to: &str) -> bool {
        let pause = {
            let (state, mut chance) = (self.state.lock(), self.chance.lock());
            let lost = chance.u32(..100) < state.lost;
            let longest = if chance.u32(..50) == 0 { state.delay * 20 } else { state.delay };
            (!lost).then(|| Duration::from_micros(chance.u64(50..longest.max(51))))
        };
        let Some(pause) = pause else { return false };
        tokio::time::sleep(pause).await;
        !self.state.lock().cut.contains(&(from.to_owned(), to.to_owned()))
    }

    async fn exchange(
        self: Arc<Self>,
        plug: (String, u64),
        address: String,
        message: Bytes,
    ) -> Result<Bytes, TransportError> {
        let (own, life) = plug;
        let silence = std::future::pending::<Result<Bytes, TransportError>>;
        if !self.lives(&own, life) || !self.carry(&own, &address).await {
            return silence().await;
        }
        let Some((other, server)) = self.state.lock().servers.get(&address).cloned() else {
            return Err(TransportError::Unreachable("nobody listens".into()));
        };
        let (answer, answered) = oneshot::channel();
        let twice = self.chance.lock().u32(..40) == 0;
        let late = Duration::from_millis(self.chance.lock().u64(1..300));
        let (first, second) = (server.clone(), message.clone());
        let connection = connection(&own, life);
        // Whoever asks may stop waiting; who is asked does not know.
        self.tasks.spawn("asked", async move {
            let _ = answer.send(first.handle(Some(connection), message).await);
        });
        if twice {
            self.tasks.spawn("asked twice", async move {
                tokio::time::sleep(late).await;
                let _ = server.handle(Some(connection), second).await;
            });
        }
        let Ok(answer) = answered.await else { return silence().await };
        // A dead server says nothing, whatever it was about to.
        if !self.lives(&address, other) || !self.carry(&address, &own).await {
            return silence().await;
        }
        if self.lives(&own, life) { Ok(answer) } else { silence().await }
    }
}

/// The network as one life of a server sees it.
#[derive(Debug)]
pub(super) struct Plug {
    pub(super) own: String,
    pub(super) life: u64,
    pub(super) network: Arc<Network>,
}

impl Transport for Plug {
    fn call<'a>(&'a self, address: &'a str, message: Bytes, patience: Duration) -> Answering<'a> {
        let (network, plug) = (Arc::clone(&self.network), (self.own.clone(), self.life));
        let exchange = network.exchange(plug, address.to_owned(), message);
        Box::pin(async move {
            let answer = tokio::time::timeout(patience.min(SILENT), exchange).await;
            answer.unwrap_or_else(|_| {
                let lost = || TransportError::Unreachable("the connection has ended".into());
                Err(if patience > SILENT { lost() } else { TransportError::Timeout })
            })
        })
    }
}
