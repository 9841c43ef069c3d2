//! Figures about consensus.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use openraft::rt::WatchReceiver as _;
use openraft::{Instant as _, ServerState};
use uuid::Uuid;

use crate::raft::Raft;

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
    /// Whether this server has ever been part of a cluster: it cannot be bootstrapped then.
    pub has_log: bool,
    /// Last entry of the log.
    pub last_log_index: u64,
    /// Last entry that is agreed on.
    pub commit_index: u64,
    /// Last entry that is applied.
    pub applied_index: u64,
    /// Last entry that the newest snapshot stands for.
    pub snapshot_index: u64,
    /// Term of the entry that the newest snapshot ends with.
    pub snapshot_term: u64,
    /// Entry that last changed the group.
    pub group_index: u64,
    /// All voters with their addresses.
    pub voters: Vec<(Uuid, String)>,
    /// All servers that follow without a vote, with their addresses.
    pub nonvoters: Vec<(Uuid, String)>,
    /// Time since this server heard of the leader; zero for the leader, nothing if it never has.
    pub last_contact: Option<Duration>,
    /// How far the others are; empty unless this server leads.
    pub peers: Vec<PeerStatus>,
}

/// How far another server is, as its leader knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its id.
    pub id: Uuid,
    /// Its address.
    pub address: String,
    /// Whether it has a vote.
    pub voter: bool,
    /// Last entry that it is known to have.
    pub last_index: u64,
    /// Term of that entry.
    pub last_term: u64,
    /// Time since it last answered, if it ever has to this leader.
    pub contact: Option<Duration>,
}

impl Raft {
    /// Figures of this moment.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        let metrics = self.engine.metrics();
        let metrics = metrics.borrow_watched();
        let index = |id: &Option<crate::batch::LogId>| id.as_ref().map_or(0, |id| id.index);
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<Uuid> = membership.voter_ids().collect();
        let listed = |voting: bool| {
            let nodes = membership.nodes().filter(|(id, _)| voters.contains(id) == voting);
            nodes.map(|(id, node)| (*id, node.addr.clone())).collect::<Vec<_>>()
        };
        let role = match metrics.state {
            ServerState::Leader => Role::Leader,
            ServerState::Candidate => Role::Candidate,
            ServerState::Shutdown => Role::Shutdown,
            _ => Role::Follower,
        };
        let replication = metrics.replication.as_ref().filter(|_| role == Role::Leader);
        let peers = replication.into_iter().flatten().filter(|(id, _)| **id != self.config.node_id);
        let peers = peers.filter_map(|(id, matching)| {
            let address = membership.get_node(id)?.addr.clone();
            let contact = metrics.heartbeat.as_ref().and_then(|heartbeat| *heartbeat.get(id)?);
            Some(PeerStatus {
                id: *id,
                address,
                voter: voters.contains(id),
                last_index: index(matching),
                last_term: matching.as_ref().map_or(0, |id| id.leader_id.term),
                contact: contact.map(|at| at.elapsed()),
            })
        });
        RaftStatus {
            role,
            term: metrics.current_term,
            has_log: metrics.last_log_index.is_some() || metrics.current_term > 0,
            last_log_index: metrics.last_log_index.unwrap_or(0),
            commit_index: index(&metrics.local_committed),
            applied_index: index(&metrics.last_applied),
            snapshot_index: index(&metrics.snapshot),
            snapshot_term: metrics.snapshot.as_ref().map_or(0, |id| id.leader_id.term),
            group_index: index(metrics.membership_config.log_id()),
            voters: listed(true),
            nonvoters: listed(false),
            last_contact: self.last_contact(),
            peers: peers.collect(),
        }
    }

    /// Time since this server heard of the leader; zero while it leads itself, nothing if it never
    /// has. It costs little.
    #[must_use]
    pub fn last_contact(&self) -> Option<Duration> {
        if self.lease_valid() { Some(Duration::ZERO) } else { self.lease.silence() }
    }
}
