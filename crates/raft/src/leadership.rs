//! Who leads, as far as this server may act on it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use lictor_task::TaskSet;
use openraft::rt::WatchReceiver as _;
use openraft::{ChangeMembers, Instant as _, ReadPolicy, ServerState};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::Timing;
use crate::lease::Lease;
use crate::meters::Meters;
use crate::network::Network;
use crate::raft::Engine;

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known. A follower that has not heard of it for so long that it would
    /// like to lead itself knows none, nor does a leader that others do not confirm.
    pub leader: Option<LeaderInfo>,
    /// Whether it is this server, *and* it has applied everything that was agreed on before, *and*
    /// a quorum has confirmed it lately: only then may it act as leader. For single requests
    /// [`crate::Raft::lease_valid`] says it more exactly and at less cost.
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

/// Shortest time between two looks at how far the lease goes, so that a busy leader does not look
/// at every entry.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How often it is noted how long ago followers answered.
const CONTACTS_EVERY: Duration = Duration::from_millis(500);

/// What follows the engine's view of who leads.
pub(crate) struct Follower {
    pub(crate) engine: Engine,
    pub(crate) own: Uuid,
    pub(crate) timing: Timing,
    pub(crate) lease: Arc<Lease>,
    pub(crate) network: Network,
    pub(crate) leading: watch::Sender<Leadership>,
    /// Held by whoever changes the cluster.
    pub(crate) changes: Arc<Mutex<()>>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) tasks: TaskSet,
}

/// What the engine says at a moment.
struct Look {
    state: ServerState,
    leader: Option<LeaderInfo>,
    term: u64,
    leads: bool,
    /// There is no other voter.
    alone: bool,
    /// A change of the cluster is under way, or was when its leader died.
    changing: bool,
    /// This server leads without a vote, which a leader before it took away.
    unwanted: bool,
}

impl Follower {
    /// Publishes who leads until the engine ends; this server only once it has caught up with what
    /// was agreed on before.
    pub(crate) async fn run(self) {
        let mut changes = self.engine.server_metrics();
        let mut acknowledged = self.engine.data_metrics();
        // The term in which this server has caught up.
        let mut caught_up = None;
        let (mut state, mut confirmed, mut contacts_at) = (None, None, Instant::now());
        let (mut last_try, mut tries): (Option<Instant>, usize) = (None, 0);
        loop {
            let started = Instant::now();
            let look = self.look(&changes.borrow_and_update());
            let until = if look.leads && !self.lease.is_given_up(look.term) {
                if caught_up != Some(look.term) {
                    // It may take a while, and should: there is nothing to publish meanwhile.
                    let sure = self.engine.ensure_linearizable(ReadPolicy::ReadIndex);
                    if sure.await.is_ok() {
                        caught_up = Some(look.term);
                    }
                }
                let ready = caught_up == Some(look.term);
                self.lease_end(&look, ready, &mut acknowledged)
            } else {
                None
            };
            self.meters.became(state.replace(look.state), look.state);
            let term = until.as_ref().map(|_| look.term);
            if look.leads && term.is_none() && confirmed == Some(look.term) {
                self.meters.lease_lost.count();
            }
            confirmed = term;
            if look.leads && !look.alone && started >= contacts_at {
                contacts_at = started + CONTACTS_EVERY;
                self.note_contacts();
            }
            match until {
                Some(Until::Always) => self.lease.extend(look.term, None),
                Some(Until::Time(until)) => self.lease.extend(look.term, Some(until)),
                None => self.lease.end(),
            }
            self.publish(&look);
            if look.changing && until.is_some() {
                self.finish_change();
            }
            if look.unwanted && last_try.is_none_or(|at| at.elapsed() > self.timing.lease() * 2) {
                last_try = Some(started);
                self.give_way(tries).await;
                tries += 1;
            }
            let ended = if look.leads && look.alone && until.is_some() {
                changes.changed().await.is_err()
            } else {
                let next = match until {
                    Some(Until::Time(until)) => until,
                    // Not sure of itself yet: asked again soon, or when something changes.
                    _ if look.leads => started + LOOK_EVERY,
                    _ => started + self.timing.lease() / 2,
                };
                tokio::select! {
                    biased;
                    changed = changes.changed() => changed.is_err(),
                    changed = acknowledged.changed(), if look.leads => {
                        if changed.is_ok() {
                            tokio::time::sleep_until(started + LOOK_EVERY).await;
                        }
                        changed.is_err()
                    }
                    () = tokio::time::sleep_until(next) => false,
                }
            };
            if ended {
                break;
            }
        }
        // By its disk, if not by us: nobody leads here any more.
        self.lease.end();
        self.leading
            .send_modify(|held| *held = Leadership { term: held.term, ..Leadership::default() });
    }

    /// Notes how long ago the others answered.
    fn note_contacts(&self) {
        let metrics = self.engine.metrics();
        let metrics = metrics.borrow_watched();
        for (id, answered) in metrics.heartbeat.iter().flatten() {
            if let Some(at) = answered.filter(|_| *id != self.own) {
                self.meters.last_contact.time(at.elapsed());
            }
        }
    }

    /// Finishes what a leader before this one has begun: the engine leaves it as it is.
    fn finish_change(&self) {
        let Ok(held) = Arc::clone(&self.changes).try_lock_owned() else { return };
        // What was looked at may be over by now, and this server no longer one of them.
        if !self.look(&self.engine.server_metrics().borrow_watched()).changing {
            return;
        }
        let engine = self.engine.clone();
        self.tasks.spawn_cut("finishing a change", async move {
            let nothing_more = ChangeMembers::AddVoterIds(BTreeSet::new());
            if let Err(error) = engine.change_membership(nothing_more, true).await {
                tracing::debug!(%error, "a change of the cluster could not be finished");
            }
            drop(held);
        });
    }

    /// Makes the voter leader that has most of the log, or if that was tried, the next.
    async fn give_way(&self, tries: usize) {
        let best = {
            let metrics = self.engine.metrics();
            let metrics = metrics.borrow_watched();
            let voters: Vec<Uuid> = metrics.membership_config.membership().voter_ids().collect();
            let known = metrics.replication.iter().flatten();
            let mut voting: Vec<_> = known.filter(|(id, _)| voters.contains(id)).collect();
            voting.sort_by_key(|(_, matching)| Reverse(**matching));
            tries.checked_rem(voting.len()).and_then(|nth| Some(*voting.get(nth)?.0))
        };
        if let Some(best) = best {
            // An error means that the engine has ended.
            let _ = self.engine.trigger().transfer_leader(best).await;
        }
    }

    fn look(&self, metrics: &openraft::metrics::RaftServerMetrics<crate::batch::Types>) -> Look {
        let membership = metrics.membership_config.membership();
        let address = |id: &Uuid| membership.get_node(id).map(|node| node.addr.clone());
        let addresses: HashMap<Uuid, String> =
            membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect();
        self.network.locate(addresses);
        let voters: Vec<Uuid> = membership.voter_ids().collect();
        Look {
            state: metrics.state,
            leader: metrics
                .current_leader
                .map(|id| LeaderInfo { id, address: address(&id).unwrap_or_default() }),
            term: metrics.vote.leader_id.term,
            // One that was removed leads on for a moment, but nobody owes it anything.
            leads: metrics.state == ServerState::Leader && voters.contains(&self.own),
            alone: voters == [self.own],
            changing: membership.get_joint_config().len() > 1,
            unwanted: metrics.state == ServerState::Leader
                && membership.get_node(&self.own).is_some()
                && !voters.contains(&self.own),
        }
    }

    /// Until when a leader that has caught up may answer.
    fn lease_end(
        &self,
        look: &Look,
        ready: bool,
        acknowledged: &mut openraft::type_config::alias::WatchReceiverOf<
            crate::batch::Types,
            openraft::metrics::RaftDataMetrics<crate::batch::Types>,
        >,
    ) -> Option<Until> {
        let last = acknowledged.borrow_and_update().last_quorum_acked;
        if !ready {
            return None;
        }
        if look.alone {
            return Some(Until::Always);
        }
        let acked = Instant::now().checked_sub(last?.elapsed())?;
        // Clocks do not run alike to the last bit.
        let until = acked + self.timing.lease() * 9 / 10;
        (until > Instant::now()).then_some(Until::Time(until))
    }

    fn publish(&self, look: &Look) {
        let is_self = look.leads && self.lease.valid();
        let known = match &look.leader {
            Some(leader) if leader.id == self.own => {
                is_self || self.leading.borrow().leader.is_none()
            }
            Some(_) => {
                self.lease.silence().is_some_and(|silence| silence < self.timing.lease() * 2)
            }
            None => false,
        };
        let next =
            Leadership { leader: look.leader.clone().filter(|_| known), is_self, term: look.term };
        self.leading.send_if_modified(|held| {
            let changed = *held != next;
            held.clone_from(&next);
            changed
        });
    }
}

/// The end of a lease.
#[derive(Clone, Copy)]
enum Until {
    Always,
    Time(Instant),
}
