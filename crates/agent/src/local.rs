//! What this agent says about its own node: services and checks, and which of them the catalog
//! does not know yet.
//!
//! No I/O here: running checks is in [`crate::check`], pushing to the catalog in [`crate::sync`],
//! which takes its work from [`LocalState::pending`]. Rules: sections 7 to 11 of the observed
//! behaviour of health checks and anti-entropy.

mod compare;
mod entry;
mod push;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lictor_types::catalog::{Service, StringMap};
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::RegisterRequest;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub(crate) use self::compare::Remote;
pub(crate) use self::entry::{CheckEntry, Origin, ServiceEntry};
pub(crate) use self::push::{Push, Settled};
use crate::jitter;
use crate::tokens::Tokens;

/// Facts about the node that go with every registration.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFacts {
    pub(crate) id: String,
    pub(crate) name: Arc<str>,
    pub(crate) address: String,
    pub(crate) datacenter: String,
    pub(crate) tagged_addresses: StringMap,
    pub(crate) meta: StringMap,
}

/// Services and checks of this agent; shared by everything in the crate.
#[derive(Debug)]
pub(crate) struct LocalState {
    update_interval: Duration,
    discard_output: AtomicBool,
    /// Of entries that have no token of their own.
    tokens: Arc<Tokens>,
    inner: Mutex<Inner>,
    /// Wakes the synchroniser; remembers one wake-up.
    wake: Notify,
    /// Counts changes, for whoever follows this state.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    node: NodeFacts,
    services: BTreeMap<Arc<str>, ServiceEntry>,
    checks: BTreeMap<Arc<str>, CheckEntry>,
    /// Entries that the catalog must be told about.
    dirty_services: BTreeSet<Arc<str>>,
    dirty_checks: BTreeSet<Arc<str>>,
    node_dirty: bool,
    /// Removed here, perhaps still in the catalog; with the token to remove them with.
    gone_services: BTreeMap<Arc<str>, String>,
    gone_checks: BTreeMap<Arc<str>, String>,
    /// Outputs that changed alone: when to tell the catalog at the latest.
    deferred: BTreeMap<Arc<str>, Instant>,
    /// Distinguishes states of an entry, so that a push that was overtaken does not count.
    revision: u64,
}

impl LocalState {
    /// An empty state for the node.
    pub(crate) fn new(
        node: NodeFacts,
        tokens: Arc<Tokens>,
        update_interval: Duration,
        discard_output: bool,
    ) -> Self {
        Self {
            update_interval,
            discard_output: AtomicBool::new(discard_output),
            tokens,
            inner: Mutex::new(Inner { node, node_dirty: true, ..Inner::default() }),
            wake: Notify::new(),
            changes: watch::Sender::new(0),
        }
    }

    /// Resolves when there may be something to push; a call that came before is not lost.
    pub(crate) async fn dirty(&self) {
        self.wake.notified().await;
    }

    /// Whether something is to be pushed.
    pub(crate) fn is_dirty(&self) -> bool {
        self.inner.lock().is_dirty()
    }

    /// Follows every change of services and checks.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Replaces the node's metadata.
    pub(crate) fn set_node_meta(&self, meta: StringMap) {
        let mut inner = self.inner.lock();
        if inner.node.meta != meta {
            inner.node.meta = meta;
            inner.node_dirty = true;
            self.changed();
        }
    }

    /// The node's facts as of now.
    pub(crate) fn node(&self) -> NodeFacts {
        self.inner.lock().node.clone()
    }

    /// Turns the keeping of outputs on or off; what is kept now stays until the next change.
    pub(crate) fn set_discard_output(&self, discard: bool) {
        self.discard_output.store(discard, Ordering::Relaxed);
    }

    /// Adds a service or replaces the one with its ID. Its checks stay.
    pub(crate) fn set_service(&self, service: Service, token: String, origin: Origin) {
        let mut inner = self.inner.lock();
        if let Some(old) = inner.services.get_mut(&service.id)
            && old.service.same_as(&service)
            && old.token == token
        {
            old.origin = origin;
            return;
        }
        let revision = inner.next_revision();
        let id = Arc::clone(&service.id);
        inner.gone_services.remove(&id);
        let renamed = |check: &HealthCheck| {
            check.service_name != service.name || check.service_tags != service.tags
        };
        let mut touched = Vec::new();
        for (check_id, entry) in &mut inner.checks {
            if entry.check.service_id == id && renamed(&entry.check) {
                let check = Arc::make_mut(&mut entry.check);
                check.service_name = Arc::clone(&service.name);
                check.service_tags.clone_from(&service.tags);
                entry.revision = revision;
                touched.push(Arc::clone(check_id));
            }
        }
        inner.dirty_checks.extend(touched);
        inner.dirty_services.insert(Arc::clone(&id));
        let service = Arc::new(service);
        inner.services.insert(id, ServiceEntry { service, token, origin, revision });
        self.changed();
    }

    /// Removes a service with its checks; the IDs of those, or `None` when it is not here.
    pub(crate) fn remove_service(&self, id: &str) -> Option<Vec<Arc<str>>> {
        let mut inner = self.inner.lock();
        let (id, entry) = inner.services.remove_entry(id)?;
        inner.dirty_services.remove(&id);
        inner.gone_services.insert(Arc::clone(&id), self.token(&entry.token, entry.origin));
        let checks: Vec<_> = inner
            .checks
            .iter()
            .filter(|(_, entry)| entry.check.service_id == id)
            .map(|(id, _)| Arc::clone(id))
            .collect();
        for check in &checks {
            // The catalog drops them together with the service.
            inner.forget_check(check);
        }
        self.changed();
        Some(checks)
    }

    /// Adds a check or replaces the one with its ID, whose status and output are then kept.
    /// The service's name and tags are filled in. False when its service is not here.
    pub(crate) fn set_check(&self, mut entry: CheckEntry) -> bool {
        let mut inner = self.inner.lock();
        let check = Arc::make_mut(&mut entry.check);
        check.node = Arc::clone(&inner.node.name);
        if !check.service_id.is_empty() {
            let Some(service) = inner.services.get(&check.service_id) else { return false };
            check.service_name = Arc::clone(&service.service.name);
            check.service_tags.clone_from(&service.service.tags);
        }
        let id = Arc::clone(&check.check_id);
        if let Some(old) = inner.checks.get_mut(&id) {
            check.status = old.check.status;
            check.output.clone_from(&old.check.output);
            entry.critical_since = old.critical_since;
            if *check == *old.check && entry.token == old.token {
                entry.revision = old.revision;
                *old = entry;
                return true;
            }
        } else if check.status == Status::Critical {
            entry.critical_since = Some(Instant::now());
        }
        entry.revision = inner.next_revision();
        inner.gone_checks.remove(&id);
        inner.deferred.remove(&id);
        inner.dirty_checks.insert(Arc::clone(&id));
        inner.checks.insert(id, entry);
        self.changed();
        true
    }

    /// Removes a check; false when it is not here.
    pub(crate) fn remove_check(&self, id: &str) -> bool {
        let mut inner = self.inner.lock();
        let Some((id, entry)) = inner.checks.remove_entry(id) else { return false };
        inner.forget_check(&id);
        inner.gone_checks.insert(id, self.token(&entry.token, entry.origin));
        self.changed();
        true
    }

    /// Takes the result of a run. A new status is pushed at once, a new output alone after a
    /// random part of the update interval. Unknown checks are ignored: a run may end after its
    /// check was removed.
    pub(crate) fn update_check(&self, id: &str, status: Status, output: String) {
        let discard = self.discard_output.load(Ordering::Relaxed);
        let output = if discard { String::new() } else { output };
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let Some(entry) = inner.checks.get_mut(id) else { return };
        if entry.check.status == status && entry.check.output == output {
            return;
        }
        let now = Instant::now();
        inner.revision += 1;
        entry.revision = inner.revision;
        let check = Arc::make_mut(&mut entry.check);
        let turned = check.status != status;
        check.status = status;
        check.output = output;
        if turned {
            entry.critical_since = (status == Status::Critical).then_some(now);
        }
        let id = Arc::clone(&check.check_id);
        if turned || self.update_interval.is_zero() {
            inner.deferred.remove(&id);
            inner.dirty_checks.insert(id);
        } else if !inner.dirty_checks.contains(&id) {
            let wait = self.update_interval / 2 + jitter::below(self.update_interval);
            inner.deferred.entry(id).or_insert(now + wait);
        }
        self.changed();
    }

    /// Replaces a check's status and output as they were kept over a restart.
    pub(crate) fn restore_check(&self, id: &str, status: Status, output: String) {
        let mut inner = self.inner.lock();
        let Some(entry) = inner.checks.get_mut(id) else { return };
        let check = Arc::make_mut(&mut entry.check);
        check.status = status;
        check.output = output;
        entry.critical_since = (status == Status::Critical).then(Instant::now);
        self.changed();
    }

    /// Moves deferred outputs that are due to the work to be done; the time of the next one.
    pub(crate) fn flush_deferred(&self, now: Instant) -> Option<Instant> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        inner.deferred.retain(|id, due| {
            let wait = *due > now;
            if !wait {
                inner.dirty_checks.insert(Arc::clone(id));
            }
            wait
        });
        inner.deferred.values().min().copied()
    }

    /// Every service, by ID.
    pub(crate) fn services(&self) -> Vec<Arc<Service>> {
        self.inner.lock().services.values().map(|entry| Arc::clone(&entry.service)).collect()
    }

    /// A service with what the agent knows about it.
    pub(crate) fn service(&self, id: &str) -> Option<ServiceEntry> {
        self.inner.lock().services.get(id).cloned()
    }

    /// Every service with what the agent knows about it.
    pub(crate) fn service_entries(&self) -> Vec<ServiceEntry> {
        self.inner.lock().services.values().cloned().collect()
    }

    /// Every check, by ID.
    pub(crate) fn checks(&self) -> Vec<Arc<HealthCheck>> {
        self.inner.lock().checks.values().map(|entry| Arc::clone(&entry.check)).collect()
    }

    /// A check with what the agent knows about it.
    pub(crate) fn check(&self, id: &str) -> Option<CheckEntry> {
        self.inner.lock().checks.get(id).cloned()
    }

    /// Every check with what the agent knows about it.
    pub(crate) fn check_entries(&self) -> Vec<CheckEntry> {
        self.inner.lock().checks.values().cloned().collect()
    }

    /// Numbers of services and of checks.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.services.len(), inner.checks.len())
    }

    /// Services of which a check has been critical for longer than it may be.
    pub(crate) fn overdue_services(&self, now: Instant) -> Vec<Arc<str>> {
        let inner = self.inner.lock();
        let overdue = |entry: &&CheckEntry| {
            let after = entry.definition.as_ref()?.deregister_critical_service_after;
            let limit = Duration::from_nanos(u64::try_from(after).ok().filter(|n| *n > 0)?);
            let since = entry.critical_since?;
            (now.saturating_duration_since(since) > limit && !entry.check.service_id.is_empty())
                .then(|| Arc::clone(&entry.check.service_id))
        };
        let found: BTreeSet<_> = inner.checks.values().filter_map(|e| overdue(&e)).collect();
        found.into_iter().collect()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.wake.notify_one();
    }
}

impl Inner {
    fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    fn is_dirty(&self) -> bool {
        !self.dirty_services.is_empty()
            || !self.dirty_checks.is_empty()
            || !self.gone_services.is_empty()
            || !self.gone_checks.is_empty()
    }

    fn forget_check(&mut self, id: &str) {
        self.checks.remove(id);
        self.dirty_checks.remove(id);
        self.deferred.remove(id);
        self.gone_checks.remove(id);
    }

    /// A registration of the node itself.
    fn node_request(&self) -> RegisterRequest {
        RegisterRequest {
            id: self.node.id.clone(),
            node: Arc::clone(&self.node.name),
            address: self.node.address.clone(),
            datacenter: self.node.datacenter.clone(),
            tagged_addresses: self.node.tagged_addresses.clone(),
            node_meta: self.node.meta.clone(),
            service: None,
            checks: Vec::new(),
            skip_node_update: !self.node_dirty,
        }
    }
}

#[cfg(test)]
mod tests;
