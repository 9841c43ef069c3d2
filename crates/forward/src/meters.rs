//! What is counted of asking others, by the original's names.

use std::collections::HashMap;
use std::sync::Arc;

use lictor_metrics::{Handle, Metrics};
use lictor_types::error::EndpointError;
use parking_lot::Mutex;

use crate::caller::CallFailure;
use crate::routes::Target;

/// Servers and datacenters that are told apart; what is of others is counted as one.
const PLACES_MAX: usize = 128;
const OTHERS: &str = "others";

/// Handles of everything that is counted here.
#[derive(Debug)]
pub(crate) struct Meters {
    /// Calls of a client agent, and those that servers refused since there were too many.
    client: Handle,
    exceeded: Handle,
    /// Tokens that were known here, and those that were not.
    pub(crate) known: Handle,
    pub(crate) unknown: Handle,
    /// How long it took to find out about a token.
    pub(crate) resolve: Handle,
    /// How long it took, or was waited, to be told what the primary decides about access; to copy
    /// it then; and of that, to write it.
    pub(crate) fetch_access: Handle,
    pub(crate) copy_access: Handle,
    pub(crate) write_access: Handle,
    failed: Mutex<HashMap<String, Handle>>,
    cross_dc: Mutex<HashMap<Arc<str>, Handle>>,
    metrics: Metrics,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            client: metrics.counter("client.rpc"),
            exceeded: metrics.counter("client.rpc.exceeded"),
            known: metrics.counter("acl.cache_hit"),
            unknown: metrics.counter("acl.cache_miss"),
            resolve: metrics.sample("acl.resolveToken"),
            fetch_access: metrics.sample("leader.fetchRemoteACLs"),
            copy_access: metrics.sample("leader.replicateACLs"),
            write_access: metrics.sample("leader.updateLocalACLs"),
            failed: Mutex::default(),
            cross_dc: Mutex::default(),
            metrics: metrics.clone(),
        }
    }

    /// A call goes to a server, from an agent of that datacenter; `server` says whether it is one
    /// itself.
    pub(crate) fn called(&self, to: &Target, own: &str, server: bool) {
        if !server {
            self.client.count();
        }
        if *to.datacenter != *own && server {
            let mut places = self.cross_dc.lock();
            let name = if places.len() < PLACES_MAX || places.contains_key(&to.datacenter) {
                Arc::clone(&to.datacenter)
            } else {
                OTHERS.into()
            };
            let labels = |name: &str| vec![("datacenter", name.to_owned())];
            let new = |name: &Arc<str>| self.metrics.counter_of("rpc.cross-dc", labels(name));
            places.entry(name).or_insert_with_key(new).count();
        }
    }

    /// A call of a client agent was not made: there were too many.
    pub(crate) fn exceeded(&self) {
        self.exceeded.count();
    }

    /// A call of a client agent failed.
    pub(crate) fn failed(&self, to: &Target, failure: &CallFailure, error: &EndpointError) {
        if error.text.contains("rate limit exceeded") {
            self.exceeded.count();
        }
        if matches!(failure, CallFailure::Remote(_)) {
            return;
        }
        let mut places = self.failed.lock();
        let mut name = to.address.to_string();
        if places.len() >= PLACES_MAX && !places.contains_key(&name) {
            OTHERS.clone_into(&mut name);
        }
        let labels = |name: &str| vec![("server", name.to_owned())];
        let new = |name: &String| self.metrics.counter_of("client.rpc.failed", labels(name));
        places.entry(name).or_insert_with_key(new).count();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn calls_are_counted_by_where_they_go_within_bounds() {
        let metrics = Metrics::default();
        let meters = Meters::new(&metrics);
        let to = |datacenter: &str, port| Target {
            datacenter: datacenter.into(),
            address: ([127, 0, 0, 1], port).into(),
        };
        meters.called(&to("dc1", 1), "dc1", false);
        meters.called(&to("dc1", 1), "dc1", true);
        meters.called(&to("dc2", 1), "dc1", true);
        let lost = CallFailure::Lost("gone".to_owned());
        for port in 0..200 {
            meters.failed(&to("dc1", port), &lost, &EndpointError::no_leader());
        }
        let remote = CallFailure::Remote("rpc: rate limit exceeded".to_owned());
        let refused = EndpointError::refused("rpc: rate limit exceeded");
        meters.failed(&to("dc1", 1), &remote, &refused);
        let figures = metrics.totals(Duration::from_secs(60));
        let of = |name: &str, label: &str| {
            let is = |f: &&lictor_metrics::Figure| {
                f.name == name && f.labels.first().is_none_or(|l| l.1 == label)
            };
            figures.iter().find(is).map(|f| f.values.count)
        };
        assert_eq!(of("client.rpc", ""), Some(1));
        assert_eq!(of("client.rpc.exceeded", ""), Some(1));
        assert_eq!(of("rpc.cross-dc", "dc2"), Some(1));
        assert_eq!(of("client.rpc.failed", OTHERS), Some(72));
        assert_eq!(of("client.rpc.failed", "127.0.0.1:5"), Some(1));
    }
}
