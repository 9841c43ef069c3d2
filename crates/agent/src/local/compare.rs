//! Finding what differs between the local state and what the catalog has for this node.
//!
//! Reading the catalog and making it equal is [`crate::sync`]'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_types::catalog::{Node, Service};
use lictor_types::check::HealthCheck;
use lictor_types::{SERF_HEALTH, SERVER_SERVICE};

use super::{Inner, LocalState};

/// What the catalog has for this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remote {
    pub(crate) node: Option<Arc<Node>>,
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) checks: Vec<Arc<HealthCheck>>,
}

impl LocalState {
    /// Marks everything that has to be pushed or removed so that the catalog equals the local
    /// state. Tags of services that allow it are taken over from the catalog.
    pub(crate) fn compare(&self, remote: &Remote) {
        let mut inner = self.inner.lock();
        inner.compare_node(remote.node.as_deref());
        inner.compare_services(&remote.services);
        inner.compare_checks(&remote.checks);
    }
}

impl Inner {
    fn compare_node(&mut self, remote: Option<&Node>) {
        let same = remote.is_some_and(|node| {
            node.id == self.node.id
                && node.address == self.node.address
                && node.tagged_addresses == self.node.tagged_addresses
                && node.meta == self.node.meta
        });
        self.node_dirty = !same;
    }

    fn compare_services(&mut self, remote: &[Arc<Service>]) {
        let remote: BTreeMap<_, _> = remote.iter().map(|s| (Arc::clone(&s.id), s)).collect();
        self.dirty_services.clear();
        let mut adopt = Vec::new();
        for (id, entry) in &self.services {
            match remote.get(id) {
                None => {
                    self.dirty_services.insert(Arc::clone(id));
                }
                Some(theirs) => {
                    let ours = &entry.service;
                    let tags = ours.enable_tag_override && ours.tags != theirs.tags;
                    if tags {
                        adopt.push((Arc::clone(id), theirs.tags.clone()));
                    }
                    let expected = Service {
                        tags: if tags { theirs.tags.clone() } else { ours.tags.clone() },
                        ..(**ours).clone()
                    };
                    if !expected.same_as(theirs) {
                        self.dirty_services.insert(Arc::clone(id));
                    }
                }
            }
        }
        for (id, tags) in adopt {
            self.adopt_tags(&id, &tags);
        }
        self.gone_services.retain(|id, _| remote.contains_key(id));
        for id in remote.keys() {
            if !self.services.contains_key(id) && &**id != SERVER_SERVICE {
                self.gone_services.entry(Arc::clone(id)).or_default();
            }
        }
    }

    fn adopt_tags(&mut self, id: &str, tags: &[String]) {
        if let Some(entry) = self.services.get_mut(id) {
            tags.clone_into(&mut Arc::make_mut(&mut entry.service).tags);
        }
        for entry in self.checks.values_mut() {
            if &*entry.check.service_id == id {
                tags.clone_into(&mut Arc::make_mut(&mut entry.check).service_tags);
            }
        }
    }

    fn compare_checks(&mut self, remote: &[Arc<HealthCheck>]) {
        let remote: BTreeMap<_, _> = remote.iter().map(|c| (Arc::clone(&c.check_id), c)).collect();
        self.dirty_checks.clear();
        for (id, entry) in &self.checks {
            let deferred = self.deferred.contains_key(id);
            if !remote.get(id).is_some_and(|theirs| same_check(&entry.check, theirs, deferred)) {
                self.dirty_checks.insert(Arc::clone(id));
            }
        }
        for id in &self.dirty_checks {
            self.deferred.remove(id);
        }
        self.gone_checks.retain(|id, _| remote.contains_key(id));
        for (id, theirs) in remote {
            let with_service = self.gone_services.contains_key(&theirs.service_id);
            if !self.checks.contains_key(&id) && &*id != SERF_HEALTH && !with_service {
                self.gone_checks.entry(id).or_default();
            }
        }
    }
}

/// Whether the catalog's row says what ours says; a deferred output may differ.
fn same_check(ours: &HealthCheck, theirs: &HealthCheck, deferred: bool) -> bool {
    ours.node == theirs.node
        && ours.name == theirs.name
        && ours.status == theirs.status
        && ours.notes == theirs.notes
        && (deferred || ours.output == theirs.output)
        && ours.service_id == theirs.service_id
        && ours.service_name == theirs.service_name
        && ours.service_tags == theirs.service_tags
}
