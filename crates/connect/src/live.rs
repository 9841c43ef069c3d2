//! The table of live inbound connections: what a change of the rules is held against.
//!
//! A connection is entered before it is decided upon, so that no change can fall between decision
//! and entry. Cutting is a signal to the task that moves the connection's bytes; the table knows
//! no sockets.

use std::collections::HashMap;
use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use lictor_pki::{PeerIdentity, ServiceId};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::policy::{Action, Decision, Policy};

/// All inbound connections of one service. Clones share the table.
#[derive(Clone, Debug)]
pub struct LiveConnections {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    policy: Policy,
    rows: Mutex<HashMap<u64, Row>>,
    next: AtomicU64,
    /// Connections that a change of rules ended.
    cut: AtomicU64,
    /// Version of the rules that every connection in the table has been held against.
    enforced: AtomicU64,
}

#[derive(Debug)]
struct Row {
    peer: Arc<PeerIdentity>,
    since: Instant,
    version: u64,
    cut: oneshot::Sender<String>,
}

/// A row of the table, for listing.
#[derive(Clone, Debug)]
pub struct LiveConnection {
    /// Who is connected.
    pub peer: Arc<PeerIdentity>,
    /// Since when.
    pub since: Instant,
    /// Version of the rules that last allowed it.
    pub version: u64,
}

/// The right to go on, until it is withdrawn. Dropping it takes the connection off the table.
pub struct Permit {
    shared: Arc<Shared>,
    id: u64,
    /// Gone once it has spoken.
    cut: Option<oneshot::Receiver<String>>,
}

impl LiveConnections {
    /// An empty table under `policy`.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            shared: Arc::new(Shared {
                policy,
                rows: Mutex::default(),
                next: AtomicU64::new(0),
                cut: AtomicU64::new(0),
                enforced: AtomicU64::new(0),
            }),
        }
    }

    /// Enters a connection and decides about it.
    ///
    /// # Errors
    /// The decision, when it is to refuse.
    pub fn admit(&self, peer: Arc<PeerIdentity>) -> Result<Permit, Decision> {
        let (cut, withdrawn) = oneshot::channel();
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let row = Row { peer: Arc::clone(&peer), since: Instant::now(), version: 0, cut };
        self.shared.rows.lock().insert(id, row);
        let permit = Permit { shared: Arc::clone(&self.shared), id, cut: Some(withdrawn) };
        let decision = self.shared.policy.decide(&peer.id);
        if decision.action == Action::Deny {
            return Err(decision);
        }
        if let Some(row) = self.shared.rows.lock().get_mut(&id) {
            row.version = row.version.max(decision.version);
        }
        Ok(permit)
    }

    /// Holds every connection against the rules of this moment and withdraws the permits of those
    /// that are forbidden now. Gives how many.
    pub fn enforce(&self) -> usize {
        let mut verdicts: HashMap<ServiceId, Decision> = HashMap::new();
        let mut forbidden = Vec::new();
        let mut rows = self.shared.rows.lock();
        // Asked even when the table is empty: the version is what is enforced from now on.
        let version = self.shared.policy.version();
        for (id, row) in rows.iter_mut() {
            let decision = match verdicts.get(&row.peer.id) {
                Some(decision) => decision.clone(),
                None => {
                    let decision = self.shared.policy.decide(&row.peer.id);
                    verdicts.insert(row.peer.id.clone(), decision.clone());
                    decision
                }
            };
            row.version = decision.version;
            if decision.action == Action::Deny {
                forbidden.push((*id, decision.reason.to_string()));
            }
        }
        let cut = forbidden.len();
        for (id, reason) in forbidden {
            if let Some(row) = rows.remove(&id) {
                // The task may have ended by itself a moment ago.
                let _ = row.cut.send(reason);
            }
        }
        drop(rows);
        self.shared.cut.fetch_add(cut as u64, Ordering::Relaxed);
        self.shared.enforced.fetch_max(version, Ordering::Relaxed);
        cut
    }

    /// Follows the policy and enforces every change and the end of its lease; for ever, or until
    /// the policy's source is gone and its lease has ended.
    pub async fn follow_policy(&self) {
        let mut snapshots = self.shared.policy.subscribe();
        loop {
            let until = snapshots.borrow_and_update().as_ref().map(|s| s.valid_until);
            let cut = self.enforce();
            if cut > 0 {
                tracing::info!(connections = cut, "connections ended: no longer allowed");
            }
            let now = Instant::now();
            let gone = tokio::select! {
                changed = snapshots.changed() => changed.is_err(),
                () = wait_until(until.filter(|until| *until > now)) => false,
            };
            if gone {
                wait_until(until).await;
                self.enforce();
                return;
            }
        }
    }

    /// Number of live connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.rows.lock().len()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections that were ended because a change of the rules forbade them.
    #[must_use]
    pub fn cut_count(&self) -> u64 {
        self.shared.cut.load(Ordering::Relaxed)
    }

    /// Version of the rules that is in force for every connection.
    #[must_use]
    pub fn enforced_version(&self) -> u64 {
        self.shared.enforced.load(Ordering::Relaxed)
    }

    /// Every connection, in no particular order.
    #[must_use]
    pub fn list(&self) -> Vec<LiveConnection> {
        let rows = self.shared.rows.lock();
        rows.values()
            .map(|row| LiveConnection {
                peer: Arc::clone(&row.peer),
                since: row.since,
                version: row.version,
            })
            .collect()
    }
}

/// Waits for `instant`, or for ever.
async fn wait_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl Permit {
    /// Ready with the reason once the connection must end.
    pub(crate) fn poll_withdrawn(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        let Some(cut) = &mut self.cut else { return Poll::Pending };
        let outcome = ready!(Pin::new(cut).poll(cx));
        self.cut = None;
        // Only the table holds the sender, and a row goes with its permit or with a reason.
        outcome.map_or(Poll::Pending, Poll::Ready)
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.rows.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
