//! What consensus counts and times, by the original's names.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lictor_metrics::{Handle, Metrics};
use lictor_types::command::Command;
use openraft::ServerState;
use parking_lot::Mutex;
use uuid::Uuid;

/// Handles of everything that is counted here.
pub(crate) struct Meters {
    leader: Handle,
    candidate: Handle,
    follower: Handle,
    /// A follower heard of no leader for too long.
    timed_out: Handle,
    /// A leader was not confirmed any more.
    pub(crate) lease_lost: Handle,
    /// How long ago each follower last answered.
    pub(crate) last_contact: Handle,
    /// How long a leader, and a follower, took to write entries to the log.
    dispatch: Handle,
    store: Handle,
    /// Answering other servers.
    pub(crate) append: Handle,
    pub(crate) heartbeat: Handle,
    pub(crate) vote: Handle,
    pub(crate) install: Handle,
    /// Applying, and replacing the state.
    apply: Handle,
    pub(crate) restore: Handle,
    /// A snapshot: the state held fast, written, and both.
    pub(crate) freeze: Handle,
    pub(crate) persist: Handle,
    pub(crate) state_persist: Handle,
    pub(crate) take: Handle,
    /// Shortening the log.
    pub(crate) compact: Handle,
    by_operation: Mutex<BTreeMap<(&'static str, &'static str), Handle>>,
    leads: AtomicBool,
    metrics: Metrics,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

/// What a leader counts of one of its followers.
#[derive(Debug)]
pub(crate) struct PeerMeters {
    pub(crate) heartbeat: Handle,
    pub(crate) append: Handle,
    pub(crate) entries: Handle,
    pub(crate) install: Handle,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str| metrics.counter(&format!("raft.{name}"));
        let sample = |name: &str| metrics.sample(&format!("raft.{name}"));
        Self {
            leader: counter("state.leader"),
            candidate: counter("state.candidate"),
            follower: counter("state.follower"),
            timed_out: counter("transition.heartbeat_timeout"),
            lease_lost: counter("transition.leader_lease_timeout"),
            last_contact: sample("leader.lastContact"),
            dispatch: sample("leader.dispatchLog"),
            store: sample("rpc.appendEntries.storeLogs"),
            append: sample("rpc.appendEntries"),
            heartbeat: sample("rpc.processHeartbeat"),
            vote: sample("rpc.requestVote"),
            install: sample("rpc.installSnapshot"),
            apply: sample("fsm.apply"),
            restore: sample("fsm.restore"),
            freeze: sample("fsm.snapshot"),
            persist: sample("snapshot.persist"),
            state_persist: metrics.sample("fsm.persist"),
            take: sample("snapshot.takeSnapshot"),
            compact: sample("compactLogs"),
            by_operation: Mutex::default(),
            leads: AtomicBool::new(false),
            metrics: metrics.clone(),
        }
    }

    /// Those of a follower: there are as many as there are servers.
    pub(crate) fn of_peer(&self, id: Uuid) -> PeerMeters {
        let name = |what: &str| format!("raft.replication.{what}.{id}");
        PeerMeters {
            heartbeat: self.metrics.sample(&name("heartbeat")),
            append: self.metrics.sample(&name("appendEntries.rpc")),
            entries: self.metrics.counter(&name("appendEntries.logs")),
            install: self.metrics.sample(&name("installSnapshot")),
        }
    }

    /// What this server has become. Nobody leads without having been a candidate, however short.
    pub(crate) fn became(&self, before: Option<ServerState>, now: ServerState) {
        self.leads.store(now == ServerState::Leader, Ordering::Relaxed);
        if before == Some(now) {
            return;
        }
        let stood = before == Some(ServerState::Candidate);
        match now {
            ServerState::Leader | ServerState::Candidate if !stood => {
                if before.is_none() {
                    self.follower.count();
                }
                self.timed_out.count();
                self.candidate.count();
            }
            ServerState::Follower | ServerState::Learner => self.follower.count(),
            _ => {}
        }
        if now == ServerState::Leader {
            self.leader.count();
        }
    }

    /// Entries were written to the log.
    pub(crate) fn written(&self, took: Duration) {
        let leads = self.leads.load(Ordering::Relaxed);
        if leads { &self.dispatch } else { &self.store }.time(took);
    }

    /// Commands were applied together: each has its part of the time.
    pub(crate) fn applied(
        &self,
        operations: &[Option<(&'static str, &'static str)>],
        took: Duration,
    ) {
        self.apply.time(took);
        let each = took / u32::try_from(operations.len()).unwrap_or(u32::MAX).max(1);
        let mut handles = self.by_operation.lock();
        for operation in operations.iter().flatten() {
            let new = || {
                let (what, how) = *operation;
                let labels = if how.is_empty() { Vec::new() } else { vec![("op", how.to_owned())] };
                self.metrics.sample_of(&format!("fsm.{what}"), labels)
            };
            handles.entry(*operation).or_insert_with(new).time(each);
        }
    }
}

/// What commands do, for [`Meters::applied`].
pub(crate) fn operations(commands: &[Command]) -> Vec<Option<(&'static str, &'static str)>> {
    commands.iter().map(Command::operation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(metrics: &Metrics) -> Vec<String> {
        let figures = metrics.totals(Duration::from_secs(60));
        let label = |f: &lictor_metrics::Figure| f.labels.first().map(|l| l.1.clone());
        let shown = |f: &lictor_metrics::Figure| {
            format!("{} {} {}", f.name, label(f).unwrap_or_default(), f.values.count)
        };
        figures.iter().map(shown).collect()
    }

    #[test]
    fn a_leader_was_a_candidate() {
        let metrics = Metrics::default();
        let meters = Meters::new(&metrics);
        meters.became(None, ServerState::Leader);
        meters.became(Some(ServerState::Leader), ServerState::Leader);
        meters.written(Duration::from_millis(1));
        meters.became(Some(ServerState::Leader), ServerState::Follower);
        meters.written(Duration::from_millis(1));
        meters.became(Some(ServerState::Follower), ServerState::Candidate);
        meters.became(Some(ServerState::Candidate), ServerState::Leader);
        let expected = [
            "raft.state.candidate  2",
            "raft.state.follower  2",
            "raft.state.leader  2",
            "raft.transition.heartbeat_timeout  2",
            "raft.leader.dispatchLog  1",
            "raft.rpc.appendEntries.storeLogs  1",
        ];
        assert_eq!(counted(&metrics), expected);
    }

    #[test]
    fn commands_are_timed_by_what_they_do() {
        let metrics = Metrics::default();
        let meters = Meters::new(&metrics);
        let commands = [Command::ReapTombstones(1), Command::Txn(Vec::new()), Command::Noop];
        meters.applied(&operations(&commands), Duration::from_millis(3));
        assert_eq!(counted(&metrics), ["fsm.txn  1", "raft.fsm.apply  1", "fsm.tombstone reap 1"]);
    }
}
