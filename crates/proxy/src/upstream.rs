//! Connections from local applications to instances of another service.
//!
//! Each connection goes to an instance chosen at random among the healthy ones; when that one
//! cannot be reached, another is tried while there is time. What failed a moment ago is tried
//! last. An application that cannot be served sees its connection broken off.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lictor_connect::{
    DialError, Dialer, Endpoint, LocalIdentity, MeshStream, Traffic, random, relay,
};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::config::{MAX_CONNECTIONS, Upstream};
use crate::listener::{Carried, Serve, adopt};

/// Instances that one connection is tried with.
const TRIES: usize = 3;
/// Least time that an instance is given while there are others.
const TRY_MIN: Duration = Duration::from_secs(1);
/// How long an instance that failed is tried last.
const SHUNNED: Duration = Duration::from_secs(10);
/// Failed instances that are remembered.
const FAILED_MAX: usize = 1024;

/// Why an application's connection leads nowhere.
#[derive(Debug, thiserror::Error)]
enum ReachError {
    #[error("no healthy instances found")]
    NoInstance,
    #[error("instances are not known yet")]
    Unknown,
    #[error(transparent)]
    Dial(#[from] DialError),
}

pub(crate) type Endpoints = watch::Receiver<Option<Arc<[Endpoint]>>>;

/// Takes connections for one destination.
pub(crate) struct Leading {
    destination: String,
    dialer: Dialer,
    identity: watch::Receiver<Option<Arc<LocalIdentity>>>,
    endpoints: Endpoints,
    connect_timeout: Duration,
    limit: Arc<Semaphore>,
    traffic: Arc<Traffic>,
    /// Where dialling failed, and until when that counts.
    failed: Mutex<HashMap<(String, u16), Instant>>,
}

impl Leading {
    pub(crate) fn new(
        config: &Upstream,
        identity: watch::Receiver<Option<Arc<LocalIdentity>>>,
        endpoints: Endpoints,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self {
            destination: config.destination.to_string(),
            dialer: Dialer::new(identity.clone()),
            identity,
            endpoints,
            connect_timeout: config.connect_timeout,
            limit: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            traffic,
            failed: Mutex::default(),
        }
    }

    async fn carry(&self, socket: std::net::TcpStream, from: SocketAddr) {
        let Some(local) = adopt(socket) else { return };
        let destination = &self.destination;
        let mesh = match self.reach().await {
            Ok(mesh) => mesh,
            Err(error) => {
                tracing::error!(destination, %from, %error, "upstream connection failed");
                break_off(&local);
                return;
            }
        };
        let _ = local.set_nodelay(true);
        tracing::debug!(destination, %from, "upstream connection");
        match relay(mesh, local, &self.traffic).await {
            Ok(()) => tracing::debug!(destination, %from, "upstream connection ended"),
            Err(error) => tracing::debug!(destination, %from, %error, "upstream connection broke"),
        }
    }

    /// Calls instances until one answers or time is up.
    async fn reach(&self) -> Result<MeshStream, ReachError> {
        let deadline = Instant::now() + self.connect_timeout;
        let candidates = self.candidates(deadline).await?;
        let mut last = ReachError::NoInstance;
        for (tried, endpoint) in candidates.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let others = u32::try_from(candidates.len() - tried).unwrap_or(u32::MAX);
            let limit = (left / others).max(TRY_MIN).min(left);
            match self.dialer.dial_within(endpoint, limit).await {
                Ok(mesh) => {
                    self.note(endpoint, false);
                    return Ok(mesh);
                }
                Err(error) => {
                    tracing::debug!(destination = self.destination, %endpoint, %error, "no answer");
                    self.note(endpoint, true);
                    last = error.into();
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(last)
    }

    /// Instances in the order in which they are to be tried.
    async fn candidates(&self, deadline: Instant) -> Result<Vec<Endpoint>, ReachError> {
        // Right after the start neither may be there yet.
        if known(&self.identity, deadline).await.is_none() {
            return Err(DialError::NoIdentity.into());
        }
        let all = known(&self.endpoints, deadline).await.ok_or(ReachError::Unknown)?;
        Ok(self.order(&all))
    }

    /// A few of `all`: at random, those that failed lately last.
    fn order(&self, all: &[Endpoint]) -> Vec<Endpoint> {
        let now = Instant::now();
        let failed = self.failed.lock();
        let shunned = |e: &Endpoint| {
            !failed.is_empty()
                && failed.get(&(e.host.clone(), e.port)).is_some_and(|until| *until > now)
        };
        let start = usize::try_from(random::below(all.len() as u64)).unwrap_or(0);
        let (before, from) = all.split_at_checked(start).unwrap_or((all, &[]));
        let (bad, good): (Vec<_>, Vec<_>) = from.iter().chain(before).partition(|e| shunned(e));
        good.into_iter().chain(bad).take(TRIES).cloned().collect()
    }

    fn note(&self, endpoint: &Endpoint, is_failure: bool) {
        let mut failed = self.failed.lock();
        if !is_failure && failed.is_empty() {
            return;
        }
        let key = (endpoint.host.clone(), endpoint.port);
        if !is_failure {
            failed.remove(&key);
            return;
        }
        let now = Instant::now();
        if failed.len() >= FAILED_MAX {
            failed.retain(|_, until| *until > now);
        }
        if failed.len() < FAILED_MAX {
            failed.insert(key, now + SHUNNED);
        }
    }
}

impl Serve for Leading {
    fn limit(&self) -> &Arc<Semaphore> {
        &self.limit
    }

    fn serve(self: Arc<Self>, socket: std::net::TcpStream, from: SocketAddr) -> Carried {
        Box::pin(async move { self.carry(socket, from).await })
    }
}

/// The value of a channel, waited for if it is not there yet.
async fn known<T: Clone>(channel: &watch::Receiver<Option<T>>, deadline: Instant) -> Option<T> {
    if let Some(value) = &*channel.borrow() {
        return Some(value.clone());
    }
    let mut channel = channel.clone();
    let waiting = async { channel.wait_for(Option::is_some).await.ok().and_then(|v| v.clone()) };
    timeout_at(deadline, waiting).await.ok().flatten()
}

/// Makes closing an error that the application cannot take for a regular end.
fn break_off(local: &TcpStream) {
    let _ = socket2::SockRef::from(local).set_linger(Some(Duration::ZERO));
}
