//! Who belongs to the cluster: its birth, and its changes.
//!
//! A server gets a vote once it has everything; changes come one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use openraft::errors::{ClientWriteError, InitializeError, RaftError};
use openraft::rt::WatchReceiver as _;
use openraft::{BasicNode, ChangeMembers};
use uuid::Uuid;

use crate::batch::Types;
use crate::error::ProposeError;
use crate::raft::Raft;
use crate::status::{RaftStatus, Role};

/// Entries that a server may lack and still be given a vote.
const NEARLY: u64 = 64;
/// How long a server may take to catch up before it is given a vote.
const CATCHING_UP: Duration = Duration::from_secs(60);
/// Time between looks at how far a server is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A server of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: Uuid,
    /// Its address for other servers.
    pub address: String,
}

impl Raft {
    /// Begins a cluster of `voters`, of which this server must be one. Each of them may be told
    /// so, with the same list. False if this server has a log already; then nothing happens.
    ///
    /// # Errors
    /// When this server is not among them, or consensus has stopped.
    pub async fn bootstrap(&self, voters: &[Peer]) -> Result<bool, ProposeError> {
        let members: BTreeMap<Uuid, BasicNode> =
            voters.iter().map(|peer| (peer.id, node(&peer.address))).collect();
        match self.engine.initialize(members).await {
            Ok(()) => Ok(true),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(false),
            Err(RaftError::APIError(error)) => Err(ProposeError::Membership(error.to_string())),
            Err(error) => Err(ProposeError::Stopped(error.to_string())),
        }
    }

    /// Gives a server a vote, after it has caught up. One that is known gets the new address.
    ///
    /// # Errors
    /// When this server does not lead, or the other does not catch up; then it stays in the
    /// cluster without a vote.
    pub async fn add_voter(&self, peer: Peer) -> Result<(), ProposeError> {
        let _one_at_a_time = self.changes.lock().await;
        self.place(&peer).await?;
        if self.status().voters.iter().any(|(id, _)| *id == peer.id) {
            return Ok(());
        }
        let caught_up = self.caught_up(peer.id);
        match tokio::time::timeout(CATCHING_UP, caught_up).await {
            Ok(caught_up) => caught_up?,
            Err(_) => {
                let text = format!("server {} at {} does not catch up", peer.id, peer.address);
                return Err(ProposeError::Membership(text));
            }
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([peer.id]))).await
    }

    /// Lets a server follow without a vote. One that is known gets the new address; one that has
    /// a vote loses it.
    ///
    /// # Errors
    /// When this server does not lead, or it is itself the one: a leader needs its vote.
    pub async fn add_nonvoter(&self, peer: Peer) -> Result<(), ProposeError> {
        let _one_at_a_time = self.changes.lock().await;
        if peer.id == self.config.node_id {
            self.leading()?;
            let text = "the leader keeps its vote; make another server leader first";
            return Err(ProposeError::Membership(text.into()));
        }
        self.place(&peer).await?;
        if self.status().voters.iter().any(|(id, _)| *id == peer.id) {
            let change = ChangeMembers::RemoveVoters(BTreeSet::from([peer.id]));
            return self.change_keeping(change, true).await;
        }
        Ok(())
    }

    /// Removes a server, which need not be there. A leader that removes itself makes another one
    /// leader.
    ///
    /// # Errors
    /// When this server does not lead, or no voter would be left.
    pub async fn remove_peer(&self, id: Uuid) -> Result<(), ProposeError> {
        let _one_at_a_time = self.changes.lock().await;
        let status = self.leading()?;
        let ids = BTreeSet::from([id]);
        if status.voters.iter().any(|(voter, _)| *voter == id) {
            if id == self.config.node_id {
                return self.change(ChangeMembers::RemoveVoters(ids)).await;
            }
            // Nobody tells a server anything once it is removed. One that leaves waits to hear that it does
            // not count any more, so it is kept without a vote until it has.
            self.change_keeping(ChangeMembers::RemoveVoters(ids.clone()), true).await?;
            // One that is away hears nothing.
            let _ = tokio::time::timeout(self.config.timing.lease(), self.told(id)).await;
            self.change(ChangeMembers::RemoveNodes(ids)).await
        } else if status.nonvoters.iter().any(|(nonvoter, _)| *nonvoter == id) {
            self.change(ChangeMembers::RemoveNodes(ids)).await
        } else {
            Ok(())
        }
    }

    /// Makes another voter leader: `to`, or the one that has most of the log. Returns once another
    /// leads.
    ///
    /// # Errors
    /// When this server does not lead, there is nobody else who could, or nobody takes over in
    /// time.
    pub async fn transfer_leadership(&self, to: Option<Uuid>) -> Result<(), ProposeError> {
        let status = self.leading()?;
        let mut others: Vec<_> = status.peers.iter().filter(|peer| peer.voter).collect();
        // The one that was heard of lately and has most comes first.
        let lease = self.config.timing.lease();
        others.sort_by_key(|peer| {
            let lost = peer.contact.is_none_or(|contact| contact > lease);
            (lost, std::cmp::Reverse(peer.last_index))
        });
        if let Some(to) = to {
            others.retain(|peer| peer.id == to);
        }
        if others.is_empty() {
            let text = match to {
                Some(to) => format!("server {to} is no other voter"),
                None => "there is no other voter".into(),
            };
            return Err(ProposeError::Membership(text));
        }
        let mut changes = self.engine.server_metrics();
        for peer in others {
            let stopped = |e: &dyn fmt::Display| ProposeError::Stopped(e.to_string());
            self.engine.trigger().transfer_leader(peer.id).await.map_err(|e| stopped(&e))?;
            let taken_over = async {
                while changes.borrow_and_update().current_leader == Some(self.config.node_id) {
                    if changes.changed().await.is_err() {
                        break;
                    }
                }
            };
            // Enough for an election with all its writing to disk.
            if tokio::time::timeout(lease * 4, taken_over).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(id = %peer.id, address = peer.address, "a server did not take over");
        }
        Err(ProposeError::Membership("no other server took over the leadership".into()))
    }

    /// The status of a leader. One that has removed itself leads on for a moment, so that all hear of
    /// it; whoever leads next makes any other change.
    fn leading(&self) -> Result<RaftStatus, ProposeError> {
        let status = self.status();
        let mut all = status.voters.iter().chain(&status.nonvoters);
        let belongs = all.any(|(id, _)| *id == self.config.node_id);
        if status.role == Role::Leader && belongs {
            Ok(status)
        } else {
            Err(ProposeError::NoLeader)
        }
    }

    /// Makes sure that a server is in the configuration with the right address.
    async fn place(&self, peer: &Peer) -> Result<(), ProposeError> {
        let status = self.leading()?;
        let mut known = status.voters.iter().chain(&status.nonvoters);
        let nodes = BTreeMap::from([(peer.id, node(&peer.address))]);
        match known.find(|(id, _)| *id == peer.id) {
            Some((_, address)) if *address == peer.address => Ok(()),
            Some(_) => self.change_keeping(ChangeMembers::SetNodes(nodes), true).await,
            None => self.change_keeping(ChangeMembers::AddNodes(nodes), true).await,
        }
    }

    /// Waits until a server has the present configuration.
    async fn told(&self, id: Uuid) {
        let wanted = self.status().group_index;
        let has_it = |status: &RaftStatus| {
            status.peers.iter().any(|peer| peer.id == id && peer.last_index >= wanted)
        };
        while !has_it(&self.status()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until a server has nearly everything.
    async fn caught_up(&self, id: Uuid) -> Result<(), ProposeError> {
        loop {
            let status = self.leading()?;
            let peer = status.peers.iter().find(|peer| peer.id == id);
            let near = |index: u64| index > 0 && index + NEARLY >= status.last_log_index;
            if peer.is_some_and(|peer| near(peer.last_index)) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn change(&self, change: ChangeMembers<Uuid, BasicNode>) -> Result<(), ProposeError> {
        self.change_keeping(change, false).await
    }

    /// Changes the configuration; voters that are removed stay without a vote if they are kept.
    async fn change_keeping(
        &self,
        change: ChangeMembers<Uuid, BasicNode>,
        keep: bool,
    ) -> Result<(), ProposeError> {
        // Also between two steps of one change: somebody may have dropped another one half-way.
        self.leading()?;
        let changed = self.engine.change_membership(change, keep).await;
        changed.map(drop).map_err(refusal)
    }
}

fn node(address: &str) -> BasicNode {
    BasicNode { addr: address.to_owned() }
}

/// What the engine's refusal means.
pub(crate) fn refusal(error: RaftError<Types, ClientWriteError<Types>>) -> ProposeError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => ProposeError::NoLeader,
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => ProposeError::LeadershipLost,
        RaftError::APIError(error) => ProposeError::Membership(error.to_string()),
        error @ RaftError::Fatal(_) => ProposeError::Stopped(error.to_string()),
    }
}
