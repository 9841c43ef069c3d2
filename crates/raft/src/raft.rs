//! A server's part in consensus: start, end, proposing, reading.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lictor_state::{Applied, Store};
use lictor_task::TaskSet;
use lictor_types::command::Command;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::rt::WatchReceiver as _;
use openraft::{Config, ReadPolicy, SnapshotPolicy, StepDownPolicy};
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::batch::Types;
use crate::config::{RaftConfig, Storage, Timing};
use crate::error::{ProposeError, StartError};
use crate::leadership::{Follower, Leadership};
use crate::lease::Lease;
use crate::log::Log;
use crate::machine::Machine;
use crate::membership::Peer;
use crate::meters::Meters;
use crate::network::Network;
use crate::proposer::{self, Limits, Proposal, QUEUE};
use crate::recovery;
use crate::service::Service;
use crate::snapshot::Snapshots;
use crate::succession::Succession;

/// Entries after which a snapshot is taken and the log shortened.
const SNAPSHOT_EVERY: u64 = 8192;
/// Entries that stay in the log after a snapshot, for those who are just a little behind.
const KEPT_AFTER_SNAPSHOT: u64 = 256;
/// How long the log may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// Time in which what is about to change does.
const MOMENT: Duration = Duration::from_millis(5);
/// Times between tries to send entries to a server that cannot be reached.
const BACKOFF: &str = "20ms 50ms 100ms 200ms ..500ms";

pub(crate) type Engine = openraft::Raft<Types, Machine>;

/// A server's part in consensus. Clones share it.
#[derive(Clone)]
pub struct Raft {
    pub(crate) engine: Engine,
    log: Log,
    proposals: mpsc::Sender<Proposal>,
    leadership: watch::Receiver<Leadership>,
    /// What uses the engine, and ends before it.
    callers: TaskSet,
    /// What the engine uses, and ends after it.
    tasks: TaskSet,
    pub(crate) config: Arc<Describe>,
    pub(crate) lease: Arc<Lease>,
    service: Arc<Service>,
    /// Held by whoever changes the cluster.
    pub(crate) changes: Arc<Mutex<()>>,
}

/// What does not change.
#[derive(Debug)]
pub(crate) struct Describe {
    pub(crate) node_id: Uuid,
    address: String,
    pub(crate) timing: Timing,
}

impl fmt::Debug for Raft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raft").field("node_id", &self.config.node_id).finish_non_exhaustive()
    }
}

impl Raft {
    /// Opens the log, brings `store` up to the newest snapshot, and takes part. Entries after the
    /// snapshot are applied once they are known to be agreed on; [`Leadership::is_self`] says when.
    ///
    /// # Errors
    /// When log or snapshot cannot be read, are in use or damaged.
    pub async fn start(config: RaftConfig, store: Store) -> Result<Self, StartError> {
        let tasks = TaskSet::new("raft");
        let meters = Arc::new(Meters::new(&config.metrics));
        let mut log = Log::open(&config.storage, &tasks, &meters).await?;
        let opened = {
            let (storage, store, own) = (config.storage.clone(), store.clone(), tasks.clone());
            let open = move || Snapshots::open(&storage, &store, own);
            crate::blocking(&tasks, "opening snapshots", open)
        };
        let interrupted = || StartError::Engine("opening snapshots was interrupted".into());
        let (snapshots, mut from) = opened.await.ok_or_else(interrupted)??;
        if let Storage::Disk(dir) = &config.storage {
            match recovery::read_and_apply(dir, &mut log, &snapshots, &store, from.clone()).await {
                Ok(recovered) => from = recovered.or(from),
                Err(error) => {
                    log.close().await;
                    tasks.shutdown(GRACE).await;
                    return Err(error.into());
                }
            }
        }
        let timing = timing(&config);
        let lease = Arc::new(Lease::new());
        let machine = Machine::new(store, snapshots.clone(), from, Arc::clone(&meters));
        let engine = |error: &dyn fmt::Display| StartError::Engine(error.to_string());
        let settings = settings(&config, timing).validate().map_err(|e| engine(&e))?;
        let network = {
            let patience = (timing.lease() * 4).max(Duration::from_secs(1));
            let (id, transport) = (config.node_id, config.transport.clone());
            let (lease, meters) = (Arc::clone(&lease), Arc::clone(&meters));
            Network::new(id, transport, lease, patience, meters, tasks.clone())
        };
        let raft: Engine = openraft::Raft::new(
            config.node_id,
            Arc::new(settings),
            network.clone(),
            log.clone(),
            machine,
        )
        .await
        .map_err(|e| engine(&e))?;
        let (proposals, queue) = mpsc::channel(QUEUE);
        let (leading, leadership) = watch::channel(Leadership::default());
        let callers = TaskSet::new("raft callers");
        let limits =
            Limits { full: log.full(), leadership: leadership.clone(), lonely: timing.lease() * 2 };
        let proposing = proposer::run(raft.clone(), queue, limits, callers.token().clone());
        callers.spawn("proposer", proposing);
        let known = raft.is_initialized().await.map_err(|e| engine(&e))?;
        let alone = known && is_alone(&raft, config.node_id);
        // Before it was restarted this server may have promised a leader not to vote.
        let votes_from = (known && !alone).then(|| Instant::now() + timing.lease());
        if let Some(from) = votes_from {
            raft.runtime_config().elect(false);
            let raft = raft.clone();
            callers.spawn_cut("promise", async move {
                tokio::time::sleep_until(from).await;
                raft.runtime_config().elect(true);
            });
        }
        let changes = Arc::new(Mutex::new(()));
        let follower = Follower {
            engine: raft.clone(),
            own: config.node_id,
            timing,
            lease: Arc::clone(&lease),
            network,
            leading,
            changes: Arc::clone(&changes),
            meters: Arc::clone(&meters),
            tasks: callers.clone(),
        };
        callers.spawn_cut("leadership", follower.run());
        let ended = Arc::new(Notify::new());
        let succession = Succession {
            engine: raft.clone(),
            own: config.node_id,
            timing,
            lease: Arc::clone(&lease),
            ended: Arc::clone(&ended),
        };
        callers.spawn_cut("succession", succession.run());
        let (id, own) = (config.node_id, Arc::clone(&lease));
        let service = Service::new(id, own, snapshots, tasks.clone(), votes_from, meters, ended);
        let service = Arc::new(service);
        let (node_id, address) = (config.node_id, config.address);
        let this = Self {
            engine: raft,
            log,
            proposals,
            leadership,
            callers,
            tasks,
            config: Arc::new(Describe { node_id, address: address.clone(), timing }),
            lease,
            service,
            changes,
        };
        if !known && config.bootstrap {
            let began = this.bootstrap(&[Peer { id: node_id, address }]).await;
            began.map_err(|e| engine(&e))?;
        } else if alone {
            // Nobody else can be leader: there is no reason to wait.
            this.engine.trigger().elect(false).await.map_err(|e| engine(&e))?;
        }
        Ok(this)
    }

    /// Answers a message of another server, see [`crate::Transport`]. `connection` tells the one
    /// on which it came from others, for [`Raft::connection_ended`].
    pub async fn handle(&self, connection: Option<SocketAddr>, message: Bytes) -> Bytes {
        self.service.answer(&self.engine, connection, message).await
    }

    /// A connection of another server has ended. If it was the leader's, this server stands for
    /// election as soon as the leader's lease allows it.
    pub fn connection_ended(&self, connection: SocketAddr) {
        self.service.connection_ended(connection);
    }

    /// Whether this server may answer reads as leader right now: it leads, has caught up, and no
    /// other server can have become leader yet. It costs an atomic load, and a look at the clock
    /// if there are other voters.
    #[inline]
    #[must_use]
    pub fn lease_valid(&self) -> bool {
        self.lease.valid()
    }

    /// Has a command agreed on and applied. Waits while too many others do.
    ///
    /// # Errors
    /// When there is no leader here. Dropped before it ends, the command may or may not be applied.
    pub async fn propose(&self, command: Command) -> Result<Applied, ProposeError> {
        let stopped = || ProposeError::Stopped("it is shutting down".into());
        let (answer, answered) = oneshot::channel();
        self.proposals.send(Proposal { command, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Waits until [`Raft::lease_valid`]. It never returns if this server does not come to lead.
    pub async fn until_leading(&self) {
        let mut leadership = self.leadership.clone();
        while !self.lease_valid() {
            if leadership.wait_for(|leadership| leadership.is_self).await.is_err() {
                return std::future::pending().await;
            }
            if !self.lease_valid() {
                // The lease has just ended, and soon either goes on or is known to have ended.
                let _ = tokio::time::timeout(MOMENT, leadership.changed()).await;
            }
        }
    }

    /// Who leads, now and later.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Returns once everything that was agreed on when it was called is applied here, for reads
    /// that must not be stale.
    ///
    /// # Errors
    /// When this server is not the leader, or cannot be sure of it.
    pub async fn barrier(&self) -> Result<(), ProposeError> {
        match self.engine.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(
                LinearizableReadError::ForwardToLeader(_)
                | LinearizableReadError::QuorumNotEnough(_),
            )) => Err(ProposeError::NoLeader),
            Err(error) => Err(ProposeError::Stopped(error.to_string())),
        }
    }

    /// Whether this is the same life of the same server.
    #[cfg(test)]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lease, &other.lease)
    }

    /// This server's own address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.config.address
    }

    /// Takes a snapshot now and shortens the log.
    ///
    /// # Errors
    /// When consensus has stopped.
    pub async fn take_snapshot(&self) -> Result<(), ProposeError> {
        let stopped = |e: &dyn fmt::Display| ProposeError::Stopped(e.to_string());
        self.engine.trigger().snapshot().await.map_err(|e| stopped(&e))
    }

    /// Ends this server's part. What was acknowledged is on disk.
    pub async fn shutdown(&self) {
        // A full disk must not keep anybody waiting now.
        self.tasks.token().cancel();
        self.log.give_up();
        self.callers.shutdown(GRACE).await;
        if let Err(error) = self.engine.shutdown().await {
            tracing::error!(%error, "consensus ended with an error");
        }
        self.log.close().await;
        self.tasks.shutdown(GRACE).await;
    }
}

/// Patience of a server that has no peers by nature.
const ALONE: Timing =
    Timing { heartbeat: Duration::from_millis(500), election: Duration::from_secs(1) };

fn timing(config: &RaftConfig) -> Timing {
    match config.transport {
        // Nobody else can ever join: signs of life would only cost wake-ups.
        None => ALONE,
        Some(_) => config.timing,
    }
}

fn settings(config: &RaftConfig, timing: Timing) -> Config {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let election = millis(timing.election).max(2);
    Config {
        cluster_name: "lictor".into(),
        heartbeat_interval: millis(timing.heartbeat).max(1),
        election_timeout_min: election,
        election_timeout_max: election * 2,
        snapshot_policy: match config.storage {
            #[cfg(test)]
            Storage::Simulated(_) => SnapshotPolicy::LogsSinceLast(12),
            _ => SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        },
        max_in_snapshot_log_to_keep: match (&config.storage, &config.transport) {
            // Nobody will ever ask for it.
            (Storage::Memory, None) => 0,
            #[cfg(test)]
            (Storage::Simulated(_), _) => 2,
            _ => KEPT_AFTER_SNAPSHOT,
        },
        purge_batch_size: match config.storage {
            #[cfg(test)]
            Storage::Simulated(_) => 1,
            _ => 256,
        },
        // A server that was cut off disturbs nobody when it comes back.
        enable_pre_vote: Some(true),
        // What a leader had agreed on is not written down, so it cannot go on after a restart.
        enable_leader_restore: Some(false),
        // A server whose disk was replaced gets everything again, as the original does it.
        allow_log_reversion: Some(true),
        removed_leader_step_down: StepDownPolicy::After(millis(timing.heartbeat * 2)),
        backoff: BACKOFF.into(),
        ..Config::default()
    }
}

fn is_alone(raft: &Engine, own: Uuid) -> bool {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let voters: Vec<_> = metrics.membership_config.membership().voter_ids().collect();
    voters == [own]
}

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod tests;
