//! A server's part in consensus: start, end, proposing, leadership, status.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lictor_state::{Applied, Store};
use lictor_task::TaskSet;
use lictor_types::command::Command;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::rt::WatchReceiver as _;
use openraft::{BasicNode, Config, ReadPolicy, ServerState, SnapshotPolicy};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::batch::Types;
use crate::config::{RaftConfig, Storage, Timing};
use crate::error::{ProposeError, StartError};
use crate::log::Log;
use crate::machine::Machine;
use crate::network::Alone;
use crate::proposer::{self, Proposal, QUEUE};
use crate::snapshot::Snapshots;

/// Entries after which a snapshot is taken and the log shortened.
const SNAPSHOT_EVERY: u64 = 8192;
/// Entries that stay in the log after a snapshot, for those who are just a little behind.
const KEPT_AFTER_SNAPSHOT: u64 = 256;
/// How long the log may take to end.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) type Engine = openraft::Raft<Types, Machine>;

/// A server's part in consensus. Clones share it.
#[derive(Clone)]
pub struct Raft {
    engine: Engine,
    log: Log,
    proposals: mpsc::Sender<Proposal>,
    leadership: watch::Receiver<Leadership>,
    /// What uses the engine, and ends before it.
    callers: TaskSet,
    /// What the engine uses, and ends after it.
    tasks: TaskSet,
    status: Arc<Describe>,
}

#[derive(Debug)]
struct Describe {
    node_id: Uuid,
    address: String,
}

impl fmt::Debug for Raft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raft").field("node_id", &self.status.node_id).finish_non_exhaustive()
    }
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known.
    pub leader: Option<LeaderInfo>,
    /// Whether it is this server *and* it has applied everything that was agreed on before: only
    /// then may it act as leader.
    pub is_self: bool,
    /// The term that this is about.
    pub term: u64,
}

/// A leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderInfo {
    /// Its id.
    pub id: Uuid,
    /// Its address for other servers.
    pub address: String,
}

/// What a server is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It decides.
    Leader,
    /// It stands for election.
    Candidate,
    /// It follows, or does not vote.
    Follower,
    /// It ends.
    Shutdown,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Figures about consensus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftStatus {
    /// What this server is.
    pub role: Role,
    /// The present term.
    pub term: u64,
    /// Last entry of the log.
    pub last_log_index: u64,
    /// Last entry that is agreed on.
    pub commit_index: u64,
    /// Last entry that is applied.
    pub applied_index: u64,
    /// Last entry that the newest snapshot stands for.
    pub snapshot_index: u64,
    /// Entry that last changed the group.
    pub group_index: u64,
    /// All voters with their addresses.
    pub voters: Vec<(Uuid, String)>,
}

impl Raft {
    /// Opens the log, brings `store` up to the newest snapshot, and takes part. Entries after the
    /// snapshot are applied once they are known to be agreed on; [`Leadership::is_self`] says when.
    ///
    /// # Errors
    /// When log or snapshot cannot be read, are in use or damaged.
    pub async fn start(config: RaftConfig, store: Store) -> Result<Self, StartError> {
        let tasks = TaskSet::new("raft");
        let log = Log::open(&config.storage, &tasks).await?;
        let opened = {
            let (storage, store, own) = (config.storage.clone(), store.clone(), tasks.clone());
            let open = move || Snapshots::open(&storage, &store, own);
            tasks.blocking("opening snapshots", open)
        };
        let interrupted = || StartError::Engine("opening snapshots was interrupted".into());
        let (snapshots, from) = opened.await.ok_or_else(interrupted)??;
        let machine = Machine::new(store, snapshots, from);
        let engine = |error: &dyn fmt::Display| StartError::Engine(error.to_string());
        let settings = settings(&config).validate().map_err(|e| engine(&e))?;
        let raft: Engine =
            openraft::Raft::new(config.node_id, Arc::new(settings), Alone, log.clone(), machine)
                .await
                .map_err(|e| engine(&e))?;
        let (proposals, queue) = mpsc::channel(QUEUE);
        let (leading, leadership) = watch::channel(Leadership::default());
        let callers = TaskSet::new("raft callers");
        let proposing = proposer::run(raft.clone(), queue, log.full(), callers.token().clone());
        callers.spawn("proposer", proposing);
        callers.spawn_cut("leadership", follow_leadership(raft.clone(), leading));
        let known = raft.is_initialized().await.map_err(|e| engine(&e))?;
        if !known && config.bootstrap {
            let own = BasicNode { addr: config.address.clone() };
            let members = BTreeMap::from([(config.node_id, own)]);
            raft.initialize(members).await.map_err(|e| engine(&e))?;
        } else if known && is_alone(&raft, config.node_id) {
            // Nobody else can be leader: there is no reason to wait.
            raft.trigger().elect(false).await.map_err(|e| engine(&e))?;
        }
        let status = Arc::new(Describe { node_id: config.node_id, address: config.address });
        Ok(Self { engine: raft, log, proposals, leadership, callers, tasks, status })
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

    /// Figures of this moment.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        let metrics = self.engine.metrics();
        let metrics = metrics.borrow_watched();
        let index = |id: &Option<crate::batch::LogId>| id.as_ref().map_or(0, |id| id.index);
        let membership = metrics.membership_config.membership();
        let address =
            |id: &Uuid| membership.get_node(id).map(|node| node.addr.clone()).unwrap_or_default();
        RaftStatus {
            role: match metrics.state {
                ServerState::Leader => Role::Leader,
                ServerState::Candidate => Role::Candidate,
                ServerState::Shutdown => Role::Shutdown,
                _ => Role::Follower,
            },
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or(0),
            commit_index: index(&metrics.local_committed),
            applied_index: index(&metrics.last_applied),
            snapshot_index: index(&metrics.snapshot),
            group_index: index(metrics.membership_config.log_id()),
            voters: membership.voter_ids().map(|id| (id, address(&id))).collect(),
        }
    }

    /// This server's own address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.status.address
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

fn settings(config: &RaftConfig) -> Config {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let timing = match config.storage {
        // Nobody else can ever join: signs of life would only cost wake-ups.
        Storage::Memory => ALONE,
        Storage::Disk(_) => config.timing,
    };
    let election = millis(timing.election).max(2);
    Config {
        cluster_name: "lictor".into(),
        heartbeat_interval: millis(timing.heartbeat).max(1),
        election_timeout_min: election,
        election_timeout_max: election * 2,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        max_in_snapshot_log_to_keep: match config.storage {
            // Nobody will ever ask for it.
            Storage::Memory => 0,
            Storage::Disk(_) => KEPT_AFTER_SNAPSHOT,
        },
        purge_batch_size: 256,
        enable_pre_vote: Some(true),
        ..Config::default()
    }
}

fn is_alone(raft: &Engine, own: Uuid) -> bool {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let voters: Vec<_> = metrics.membership_config.membership().voter_ids().collect();
    voters == [own]
}

/// Publishes who leads; this server only once it has caught up with what was agreed on before.
async fn follow_leadership(raft: Engine, leading: watch::Sender<Leadership>) {
    let mut changes = raft.server_metrics();
    loop {
        let (leadership, leads) = {
            let metrics = changes.borrow_watched();
            let membership = metrics.membership_config.membership();
            let leader = metrics.current_leader.map(|id| LeaderInfo {
                id,
                address: membership.get_node(&id).map(|n| n.addr.clone()).unwrap_or_default(),
            });
            let leads = metrics.state == ServerState::Leader;
            (Leadership { leader, is_self: false, term: metrics.vote.leader_id.term }, leads)
        };
        let mut ready = leadership.clone();
        if leads {
            ready.is_self = raft.ensure_linearizable(ReadPolicy::ReadIndex).await.is_ok();
        }
        leading.send_if_modified(|held| {
            let changed = *held != ready;
            held.clone_from(&ready);
            changed
        });
        let gone = if leads && !ready.is_self {
            // Not sure of itself yet: asked again soon, or when something changes.
            let soon = tokio::time::timeout(Duration::from_millis(10), changes.changed());
            matches!(soon.await, Ok(Err(_)))
        } else {
            changes.changed().await.is_err()
        };
        if gone {
            // The engine has ended, by its disk if not by us: nobody leads here any more.
            leading.send_modify(|held| {
                *held = Leadership { term: held.term, ..Leadership::default() }
            });
            return;
        }
    }
}

#[cfg(test)]
mod tests;
