//! A server from start to end, and what all its endpoints share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_raft::{Leadership, ProposeError, Raft, RaftConfig, RaftStatus, Role};
use lictor_state::{Applied, Store, View};
use lictor_task::TaskSet;
use lictor_types::Index;
use lictor_types::acl::AclReplication;
use lictor_types::command::{Command, Outcome};
use lictor_types::duration;
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::member::Members;
use tokio::sync::{Mutex, Notify, mpsc, watch};

use crate::acl::resolver::Resolver;
use crate::ca::Authority;
use crate::cache::Cache;
use crate::config::{Primary, ServerConfig, Waits};
use crate::endpoint::autopilot::HealthView;
use crate::endpoint::coordinate::{self, PendingCoordinates};
use crate::leader::{self, LockDelays, SessionTimers};
use crate::meters::Meters;

/// Clients take index 1 for «nothing has happened yet», so no command has it.
const NOTHING_YET: Index = 1;
/// Members that wait to be made to leave; more are found again.
const EXPELLED_MAX: usize = 16;
/// How long a server that left waits until others have removed it.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);
/// How long tasks may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Figures by section.
pub type Stats = BTreeMap<String, BTreeMap<String, String>>;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Consensus does not start.
    #[error(transparent)]
    Raft(#[from] lictor_raft::StartError),
    /// The node has no proper id.
    #[error("node ID {0:?} is not a UUID")]
    NodeId(String),
}

/// A server; clones are the same one.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    config: ServerConfig,
    /// The node's id as consensus has it.
    id: uuid::Uuid,
    store: Store,
    raft: Raft,
    leadership: watch::Receiver<Leadership>,
    cache: Cache,
    authority: Authority,
    resolver: Resolver,
    sessions: SessionTimers,
    lock_delays: LockDelays,
    coordinates: PendingCoordinates,
    health: HealthView,
    /// How far what the primary datacenter decides has arrived; kept by the leader.
    replication: parking_lot::Mutex<AclReplication>,
    /// Who is in the pool of the datacenter, and in that of all datacenters' servers.
    members: [watch::Sender<Members>; 2],
    /// Failed members that the agent is to make leave.
    expelled: mpsc::Sender<Arc<str>>,
    expelling: Mutex<mpsc::Receiver<Arc<str>>>,
    meters: Meters,
    /// Told when the state was replaced: the leader's duties begin anew.
    restored: Notify,
    /// Held by whoever replaces the state, so that one archive at a time is in memory.
    restoring: Mutex<()>,
    tasks: TaskSet,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("node", &self.inner.config.node_name).finish_non_exhaustive()
    }
}

impl Server {
    /// Starts a server. It answers at once; what needs a leader waits for one.
    ///
    /// # Errors
    /// When the log or a snapshot cannot be read.
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        let node_id = uuid::Uuid::try_parse(&config.node_id)
            .map_err(|_| StartError::NodeId(config.node_id.clone()))?;
        let host = if config.advertise_address.contains(':') {
            format!("[{}]", config.advertise_address)
        } else {
            config.advertise_address.clone()
        };
        let store = Store::after(NOTHING_YET);
        let raft = Raft::start(
            RaftConfig {
                node_id,
                address: format!("{host}:{}", config.server_port),
                storage: config.storage.clone(),
                bootstrap: config.bootstrap,
                timing: config.timing,
                transport: config.transport.clone(),
                metrics: config.metrics.clone(),
            },
            store.clone(),
        )
        .await?;
        let (expelled, expelling) = mpsc::channel(EXPELLED_MAX);
        let inner = Inner {
            leadership: raft.leadership(),
            store,
            raft,
            cache: Cache::default(),
            authority: Authority::default(),
            resolver: Resolver::new(&config.datacenter, &config.acl, &config.metrics),
            sessions: SessionTimers::default(),
            lock_delays: LockDelays::default(),
            coordinates: PendingCoordinates::default(),
            health: HealthView::default(),
            replication: parking_lot::Mutex::default(),
            members: Default::default(),
            expelled,
            expelling: Mutex::new(expelling),
            meters: Meters::new(&config.metrics),
            restored: Notify::new(),
            restoring: Mutex::new(()),
            tasks: TaskSet::new("server"),
            id: node_id,
            config,
        };
        let server = Self { inner: Arc::new(inner) };
        let token = server.inner.tasks.token().clone();
        server.inner.tasks.spawn("leader", leader::run(server.clone(), token.clone()));
        let writing = coordinate::write_pending(server.clone(), token);
        server.inner.tasks.spawn("coordinates", writing);
        Ok(server)
    }

    /// Ends the server. Blocked reads return what they have.
    pub async fn shutdown(&self) {
        self.inner.tasks.shutdown(GRACE).await;
        self.inner.raft.shutdown().await;
    }

    /// The members of the datacenter's pool, or of that of all datacenters' servers, are these now.
    pub fn set_members(&self, wan: bool, members: &Members) {
        self.inner.members[usize::from(wan)].send_replace(Members::clone(members));
    }

    /// The members of the datacenter's pool, or of that of all datacenters' servers, as they are
    /// and as they change. Before the agent has told any there are none, not even this server.
    #[must_use]
    pub fn watch_members(&self, wan: bool) -> watch::Receiver<Members> {
        self.inner.members[usize::from(wan)].subscribe()
    }

    /// The next failed member that the agent is to make leave, since others have taken its place.
    pub async fn next_expelled(&self) -> Option<Arc<str>> {
        self.inner.expelling.lock().await.recv().await
    }

    pub(crate) fn expel(&self, name: &str) {
        // Who does not fit in is found again.
        let _ = self.inner.expelled.try_send(name.into());
    }

    /// The agent is about to leave the pools: a leader with others hands over and goes, so that
    /// they need not count it.
    pub async fn leave(&self) {
        let status = self.inner.raft.status();
        if status.role != Role::Leader || status.voters.len() < 2 {
            return;
        }
        let Some(id) = self.own_id() else { return };
        // Nobody has to wait for an election then, and whoever leads removes this one.
        match self.inner.raft.transfer_leadership(None).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "nobody takes over the leadership"),
        }
        if let Err(error) = self.inner.raft.remove_peer(id).await {
            tracing::error!(%error, "failed to remove this server from consensus");
        }
    }

    /// The agent has left the pools: waits until others have removed this server, since its sudden
    /// end could cost them their majority.
    pub async fn left(&self) {
        let Some(id) = self.own_id() else { return };
        let counted = || {
            let status = self.inner.raft.status();
            status.voters.len() > 1 && status.voters.iter().any(|(one, _)| *one == id)
        };
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let removed = async {
            while counted() {
                looks.tick().await;
            }
        };
        if tokio::time::timeout(REMOVED_WITHIN, removed).await.is_err() {
            tracing::warn!("failed to leave consensus gracefully: nobody removed this server");
        }
    }

    fn own_id(&self) -> Option<uuid::Uuid> {
        uuid::Uuid::try_parse(&self.inner.config.node_id).ok()
    }

    /// Figures about the server and its consensus: sections `consul` and `raft`.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let status = self.inner.raft.status();
        let leadership = self.inner.leadership.borrow().clone();
        let section = |pairs: &[(&str, String)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let leader = leadership.leader.as_ref().map(|l| l.address.clone()).unwrap_or_default();
        let server = section(&[
            ("server", "true".into()),
            ("leader", leadership.is_self.to_string()),
            ("leader_addr", leader),
            ("bootstrap", self.inner.config.bootstrap.to_string()),
            ("known_datacenters", "1".into()),
        ]);
        let raft = section(&[
            ("state", status.role.to_string()),
            ("term", status.term.to_string()),
            ("last_log_index", status.last_log_index.to_string()),
            ("commit_index", status.commit_index.to_string()),
            ("applied_index", status.applied_index.to_string()),
            ("last_snapshot_index", status.snapshot_index.to_string()),
            ("fsm_pending", "0".into()),
            ("last_log_term", status.term.to_string()),
            ("last_snapshot_term", status.snapshot_term.to_string()),
            ("latest_configuration", group(&status)),
            ("latest_configuration_index", status.group_index.to_string()),
            ("protocol_version", "3".into()),
            ("protocol_version_max", "3".into()),
            ("protocol_version_min", "0".into()),
            ("snapshot_version_max", "1".into()),
            ("snapshot_version_min", "0".into()),
            ("num_peers", (status.voters.len().saturating_sub(1)).to_string()),
            ("last_contact", last_contact(&status)),
        ]);
        BTreeMap::from([("consul".to_owned(), server), ("raft".to_owned(), raft)])
    }

    pub(crate) fn config(&self) -> &ServerConfig {
        &self.inner.config
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.inner.store.view()
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.inner.raft
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.inner.cache
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.inner.authority
    }

    pub(crate) fn resolver(&self) -> &Resolver {
        &self.inner.resolver
    }

    pub(crate) fn sessions(&self) -> &SessionTimers {
        &self.inner.sessions
    }

    pub(crate) fn lock_delays(&self) -> &LockDelays {
        &self.inner.lock_delays
    }

    pub(crate) fn pending_coordinates(&self) -> &PendingCoordinates {
        &self.inner.coordinates
    }

    pub(crate) fn health_view(&self) -> &HealthView {
        &self.inner.health
    }

    pub(crate) fn replication(&self) -> &parking_lot::Mutex<AclReplication> {
        &self.inner.replication
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.inner.meters
    }

    pub(crate) fn restored(&self) -> &Notify {
        &self.inner.restored
    }

    pub(crate) fn restoring(&self) -> &Mutex<()> {
        &self.inner.restoring
    }

    pub(crate) fn tasks(&self) -> &TaskSet {
        &self.inner.tasks
    }

    /// Who leads, to be followed.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Whether this server leads: then its state is the latest there is.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.inner.raft.lease_valid()
    }

    /// Whether another server is known to lead.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.is_led_by_another(&self.inner.leadership.borrow())
    }

    /// Whether somebody else leads.
    #[must_use]
    pub fn is_led_by_another(&self, leadership: &Leadership) -> bool {
        !leadership.is_self && leadership.leader.as_ref().is_some_and(|l| l.id != self.inner.id)
    }

    /// Name of the node.
    #[must_use]
    pub fn node_name(&self) -> &Arc<str> {
        &self.inner.config.node_name
    }

    /// Datacenter of the node.
    #[must_use]
    pub fn datacenter(&self) -> &str {
        &self.inner.config.datacenter
    }

    /// The datacenter that rules this one, if it is another.
    #[must_use]
    pub fn primary(&self) -> Option<&Primary> {
        self.inner.config.primary.as_ref()
    }

    /// How long a request waits for a leader before it fails.
    #[must_use]
    pub fn hold_timeout(&self) -> Duration {
        self.inner.config.hold_timeout
    }

    /// How long blocking reads wait.
    #[must_use]
    pub fn waits(&self) -> Waits {
        self.inner.config.waits
    }

    /// The server's part in consensus, for the messages of its peers.
    #[must_use]
    pub fn consensus(&self) -> &Raft {
        &self.inner.raft
    }

    pub(crate) fn knows_leader(&self) -> bool {
        self.inner.leadership.borrow().leader.is_some()
    }

    /// Resolves when the server is told to stop.
    pub(crate) async fn ending(&self) {
        self.inner.tasks.token().cancelled().await;
    }

    /// Refuses datacenters that nobody knows.
    pub(crate) fn check_datacenter(&self, datacenter: &str) -> Result<(), EndpointError> {
        if datacenter.is_empty() || datacenter == self.inner.config.datacenter {
            Ok(())
        } else {
            Err(EndpointError::no_path_to_datacenter())
        }
    }

    /// Waits until this server leads, up to the hold time; not while another one does.
    pub(crate) async fn wait_for_leadership(&self) -> Result<(), EndpointError> {
        if self.inner.raft.lease_valid() {
            return Ok(());
        }
        let mut leadership = self.leadership();
        let other = leadership.wait_for(|now| self.is_led_by_another(now));
        tokio::select! {
            biased;
            () = self.inner.raft.until_leading() => Ok(()),
            other = other => Err(match other {
                Ok(_) => EndpointError::not_leader(),
                Err(_) => EndpointError::no_leader(),
            }),
            () = tokio::time::sleep(self.inner.config.hold_timeout) => {
                Err(EndpointError::no_leader())
            }
        }
    }

    /// Has a command agreed on and applied. Refusals are errors.
    pub(crate) async fn propose(&self, command: Command) -> Result<Applied, EndpointError> {
        self.wait_for_leadership().await?;
        let meters = &self.inner.meters;
        let (started, own) = (Instant::now(), meters.of(&command));
        meters.raft_apply.count();
        let applied = self.inner.raft.propose(command).await.map_err(propose_error)?;
        let time = started.elapsed();
        meters.commit_time.time(time);
        if let Some(own) = own {
            own.time(time);
        }
        if !applied.released.is_empty() {
            self.inner.lock_delays.add(&applied.released);
        }
        match applied.outcome {
            Outcome::Refused(refusal) => Err(refusal.into()),
            _ => Ok(applied),
        }
    }
}

pub(crate) fn propose_error(error: ProposeError) -> EndpointError {
    match error {
        // Nothing was done: whoever leads may be asked.
        ProposeError::NoLeader => EndpointError::not_leader(),
        ProposeError::LeadershipLost
        | ProposeError::Membership(_)
        | ProposeError::Full(_)
        | ProposeError::Stopped(_) => EndpointError::new(ErrorKind::Internal, error.to_string()),
    }
}

/// Time since the leader was heard of, as the original shows it.
fn last_contact(status: &RaftStatus) -> String {
    match status.last_contact {
        None => "never".into(),
        Some(Duration::ZERO) => "0".into(),
        Some(time) => duration::format(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)),
    }
}

/// The voters as the original shows its configuration.
fn group(status: &RaftStatus) -> String {
    let voters = status.voters.iter();
    let voters: Vec<String> = voters
        .map(|(id, address)| format!("{{Suffrage:Voter ID:{id} Address:{address}}}"))
        .collect();
    format!("[{}]", voters.join(" "))
}
