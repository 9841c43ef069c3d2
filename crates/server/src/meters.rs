//! What a server counts and times, by the original's names.

use lictor_metrics::{Handle, Metrics};
use lictor_types::command::Command;
use lictor_types::query::Evaluated;

/// Handles of everything that is counted here.
#[derive(Debug)]
pub(crate) struct Meters {
    /// Commands that were proposed.
    pub(crate) raft_apply: Handle,
    /// How long they took to be agreed on and applied.
    pub(crate) commit_time: Handle,
    /// Reads.
    pub(crate) query: Handle,
    /// How long leadership took to be confirmed for a read that wants that.
    pub(crate) consistent_read: Handle,
    /// How long prepared queries took.
    pub(crate) execute: Handle,
    pub(crate) execute_remote: Handle,
    pub(crate) explain: Handle,
    /// How long it took to renew a session.
    pub(crate) renew: Handle,
    /// How long it took to end a session whose time was over.
    pub(crate) invalidate: Handle,
    /// How long all members took to be compared with the catalog, and one to be taken over.
    pub(crate) reconcile: Handle,
    pub(crate) reconcile_member: Handle,
    /// How long the leader waited until all that was agreed on was applied, and how often.
    pub(crate) leader_barrier: Handle,
    pub(crate) barrier: Handle,
    /// Confirmations of leadership that reads wanted.
    pub(crate) verify: Handle,
    /// How long it took to forget traces of deleted keys.
    pub(crate) reap_tombstones: Handle,
    /// How long transactions took that only read.
    pub(crate) txn_read: Handle,
    /// Archives that replaced the state, and how long that took.
    pub(crate) restores: Handle,
    pub(crate) restore: Handle,
    /// How many servers may fail, whether all are well, how many sessions have a limit.
    pub(crate) failure_tolerance: Handle,
    pub(crate) healthy: Handle,
    pub(crate) sessions: Handle,
    register: Handle,
    deregister: Handle,
    kvs: Handle,
    session: Handle,
    txn: Handle,
    intention: Handle,
    prepared_query: Handle,
    acl: Handle,
    config_entry: Handle,
    metrics: Metrics,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            raft_apply: metrics.counter("raft.apply"),
            commit_time: metrics.sample("raft.commitTime"),
            query: metrics.counter("rpc.query"),
            consistent_read: metrics.sample("rpc.consistentRead"),
            execute: metrics.sample("prepared-query.execute"),
            execute_remote: metrics.sample("prepared-query.execute_remote"),
            explain: metrics.sample("prepared-query.explain"),
            renew: metrics.sample("session.renew"),
            invalidate: metrics.sample("session_ttl.invalidate"),
            reconcile: metrics.sample("leader.reconcile"),
            reconcile_member: metrics.sample("leader.reconcileMember"),
            leader_barrier: metrics.sample("leader.barrier"),
            barrier: metrics.counter("raft.barrier"),
            verify: metrics.counter("raft.verify_leader"),
            reap_tombstones: metrics.sample("leader.reapTombstones"),
            txn_read: metrics.sample("txn.read"),
            restores: metrics.counter("raft.restore"),
            restore: metrics.sample("raft.restoreUserSnapshot"),
            failure_tolerance: metrics.gauge("autopilot.failure_tolerance"),
            healthy: metrics.gauge("autopilot.healthy"),
            sessions: metrics.gauge("session_ttl.active"),
            register: metrics.sample("catalog.register"),
            deregister: metrics.sample("catalog.deregister"),
            kvs: metrics.sample("kvs.apply"),
            session: metrics.sample("session.apply"),
            txn: metrics.sample("txn.apply"),
            intention: metrics.sample("intention.apply"),
            prepared_query: metrics.sample("prepared-query.apply"),
            acl: metrics.sample("acl.apply"),
            config_entry: metrics.sample("config_entry.apply"),
            metrics: metrics.clone(),
        }
    }

    /// Counts a search for instances of a service in `place`, `catalog` or `health`. The counters
    /// are found once for each result, and kept with it.
    pub(crate) fn looked_up<T>(
        &self,
        place: &str,
        connect: bool,
        service: &str,
        tags: &[String],
        result: &Evaluated<Vec<T>>,
    ) {
        let find = || self.counters_of(place, connect, service, tags, !result.value.is_empty());
        let kept = result.kept.get_or_init(|| Box::new(find()));
        for counter in kept.downcast_ref::<Vec<Handle>>().into_iter().flatten() {
            counter.count();
        }
    }

    fn counters_of(
        &self,
        place: &str,
        connect: bool,
        service: &str,
        tags: &[String],
        found: bool,
    ) -> Vec<Handle> {
        let kind = if connect { "connect" } else { "service" };
        let counter = |what: &str, tag: Option<(&'static str, String)>| {
            let labels = [("service", service.to_owned())].into_iter().chain(tag).collect();
            self.metrics.counter_of(&format!("{place}.{kind}.{what}"), labels)
        };
        let mut counters = vec![counter("query", None)];
        match tags {
            [] => {}
            [tag] => counters.push(counter("query-tag", Some(("tag", tag.clone())))),
            several => {
                let mut sorted = several.to_vec();
                sorted.sort();
                counters.push(counter("query-tags", Some(("tags", sorted.join(",")))));
            }
        }
        if !found {
            counters.push(counter("not-found", None));
        }
        counters
    }

    /// Where writes of this kind are timed.
    pub(crate) const fn of(&self, command: &Command) -> Option<&Handle> {
        Some(match command {
            Command::Register(_) => &self.register,
            Command::Deregister(_) => &self.deregister,
            Command::Kv(_) => &self.kvs,
            Command::Session(_) => &self.session,
            Command::Txn(_) | Command::CatalogTxn(_) => &self.txn,
            Command::Intention(_) => &self.intention,
            Command::PreparedQuery(_) => &self.prepared_query,
            Command::Acl(_) => &self.acl,
            Command::ConfigEntry(_) => &self.config_entry,
            Command::Ca(_)
            | Command::Coordinates(_)
            | Command::Autopilot(_)
            | Command::ReapTombstones(_)
            | Command::Restore(_)
            | Command::Noop => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn searches_are_counted_by_what_was_searched_for() {
        let metrics = Metrics::default();
        let meters = Meters::new(&metrics);
        let (some, none) = (Evaluated::new(1, vec![1]), Evaluated::new(1, Vec::<u8>::new()));
        let tags = ["b".to_owned(), "a".to_owned()];
        for _ in 0..3 {
            meters.looked_up("health", false, "web", &tags, &some);
        }
        meters.looked_up("health", false, "web", &tags, &Evaluated::new(2, vec![1]));
        meters.looked_up("catalog", true, "db", &tags[..1], &none);
        let figures = metrics.totals(Duration::from_secs(60));
        let shown = |figure: &lictor_metrics::Figure| {
            let last = figure.labels.last().map(|(_, value)| value.clone()).unwrap_or_default();
            format!("{} {last} {}", figure.name, figure.values.sum)
        };
        let shown: Vec<_> = figures.iter().map(shown).collect();
        let expected = [
            "catalog.connect.not-found db 1",
            "catalog.connect.query db 1",
            "catalog.connect.query-tag b 1",
            "health.service.query web 4",
            "health.service.query-tags a,b 4",
        ];
        assert_eq!(shown, expected);
    }
}
