//! Health checks: on their node, by the service they belong to.
//!
//! A check carries name and tags of its service; a critical or removed check ends the sessions
//! that depend on it.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use lictor_types::Index;
use lictor_types::catalog::StringMap;
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::Refusal;

use crate::apply::Writer;
use crate::index::Table;
use crate::view::{Three, Two, View};

#[derive(Clone, Debug, Default)]
pub(crate) struct CheckTable {
    /// By node and check ID.
    rows: OrdMap<Two, Arc<HealthCheck>>,
    /// By node, service ID (empty for the node's own) and check ID.
    by_service: OrdMap<Three, Arc<HealthCheck>>,
}

impl CheckTable {
    pub(crate) fn get(&self, node: &Arc<str>, id: &Arc<str>) -> Option<&Arc<HealthCheck>> {
        self.rows.get(&(Arc::clone(node), Arc::clone(id)))
    }

    pub(crate) fn on_node(&self, node: &Arc<str>) -> impl Iterator<Item = &Arc<HealthCheck>> {
        let from = (Bound::Included((Arc::clone(node), Arc::from(""))), Bound::Unbounded);
        let node = Arc::clone(node);
        self.rows.range(from).take_while(move |((on, _), _)| *on == node).map(|(_, row)| row)
    }

    /// Checks of a service on a node; of the node itself when `service` is empty.
    pub(crate) fn of(
        &self,
        node: &Arc<str>,
        service: &Arc<str>,
    ) -> impl Iterator<Item = &Arc<HealthCheck>> {
        let (node, service) = (Arc::clone(node), Arc::clone(service));
        let first = (Arc::clone(&node), Arc::clone(&service), Arc::from(""));
        self.by_service
            .range((Bound::Included(first), Bound::Unbounded))
            .take_while(move |((on, of, _), _)| *on == node && *of == service)
            .map(|(_, row)| row)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<HealthCheck>> {
        self.rows.values()
    }

    pub(crate) fn put(&mut self, check: HealthCheck) {
        let key = (Arc::clone(&check.node), Arc::clone(&check.check_id));
        self.remove(&key.0, &key.1);
        let row = Arc::new(check);
        let long = (Arc::clone(&key.0), Arc::clone(&row.service_id), Arc::clone(&key.1));
        self.by_service.insert(long, Arc::clone(&row));
        self.rows.insert(key, row);
    }

    fn remove(&mut self, node: &Arc<str>, id: &Arc<str>) -> Option<Arc<HealthCheck>> {
        let old = self.rows.remove(&(Arc::clone(node), Arc::clone(id)))?;
        self.by_service.remove(&(Arc::clone(node), Arc::clone(&old.service_id), Arc::clone(id)));
        Some(old)
    }
}

impl View {
    /// Whether a node's metadata has all pairs of `meta`.
    fn node_fits(&self, node: &str, meta: &StringMap) -> bool {
        meta.is_empty()
            || self
                .tables
                .nodes
                .get(node)
                .is_some_and(|n| meta.iter().all(|(key, value)| n.meta.get(key) == Some(value)))
    }

    /// All checks on a node, in ID order.
    #[must_use]
    pub fn node_checks(&self, node: &str) -> (Index, Vec<Arc<HealthCheck>>) {
        let node = self.tables.nodes.spelled(&node.into());
        let rows = self.tables.checks.on_node(&node).cloned().collect();
        (self.table_index(&[Table::Checks]), rows)
    }

    /// The checks of all instances of a service, of nodes whose metadata has all pairs of `meta`.
    #[must_use]
    pub fn service_checks(&self, name: &str, meta: &StringMap) -> (Index, Vec<Arc<HealthCheck>>) {
        let mut rows = Vec::new();
        for (_, node, id) in self.tables.services.with_name(name) {
            if self.node_fits(node, meta) {
                rows.extend(self.tables.checks.of(node, id).cloned());
            }
        }
        // As all other lists of checks: by node and ID, however many instances a node has.
        rows.sort_by(|a, b| (&a.node, &a.check_id).cmp(&(&b.node, &b.check_id)));
        (self.service_index(name).unwrap_or_else(|| self.table_index(checks_of(meta))), rows)
    }

    /// The checks in a state, or in any, of nodes whose metadata has all pairs of `meta`. Those in
    /// any state are in the order of their states.
    #[must_use]
    pub fn checks_in_state(
        &self,
        state: Option<Status>,
        meta: &StringMap,
    ) -> (Index, Vec<Arc<HealthCheck>>) {
        let wanted = |check: &HealthCheck| state.is_none_or(|state| check.status == state);
        let fits = |check: &HealthCheck| wanted(check) && self.node_fits(&check.node, meta);
        let mut rows: Vec<_> = self.tables.checks.iter().filter(|c| fits(c)).cloned().collect();
        rows.sort_by_key(|check| check.status.as_str());
        (self.table_index(checks_of(meta)), rows)
    }
}

/// The tables that the checks of nodes with certain metadata come from.
#[must_use]
pub fn checks_of(meta: &StringMap) -> &'static [Table] {
    if meta.is_empty() { &[Table::Checks] } else { &[Table::Nodes, Table::Checks] }
}

impl Writer {
    pub(crate) fn check_upsert(
        &mut self,
        node: &Arc<str>,
        mut check: HealthCheck,
    ) -> Result<(), Refusal> {
        if self.tables.nodes.get(node).is_none() {
            return Err(Refusal::MissingNode);
        }
        check.node = Arc::clone(node);
        if check.service_id.is_empty() {
            check.service_name = Arc::from("");
            check.service_tags.clear();
        } else {
            let service = self.tables.services.get(node, &check.service_id);
            let Some(service) = service else { return Err(Refusal::MissingService) };
            check.service_name = Arc::clone(&service.name);
            check.service_tags.clone_from(&service.tags);
        }
        check.create_index = self.index;
        check.modify_index = self.index;
        let old = self.tables.checks.get(node, &check.check_id).cloned();
        if let Some(old) = &old {
            check.create_index = old.create_index;
            if old.same_as(&check) {
                return Ok(());
            }
            if old.service_id != check.service_id {
                self.touch_owner(old);
            }
        }
        self.touch_owner(&check);
        let (critical, id) = (check.status == Status::Critical, Arc::clone(&check.check_id));
        self.tables.checks.put(check);
        self.touch_table(Table::Checks);
        self.touch_node(node);
        if critical {
            self.sessions_lose_check(node, &id);
        }
        Ok(())
    }

    pub(crate) fn check_remove(&mut self, node: &Arc<str>, id: &Arc<str>) {
        let Some(old) = self.tables.checks.remove(node, id) else { return };
        self.touch_owner(&old);
        self.touch_table(Table::Checks);
        self.touch_node(node);
        self.sessions_lose_check(node, id);
    }

    /// Marks what shows this check: its service, or every service on the node.
    fn touch_owner(&mut self, check: &HealthCheck) {
        if check.service_id.is_empty() {
            self.touch_services_on(&check.node);
        } else if let Some(service) =
            self.tables.services.get(&check.node, &check.service_id).cloned()
        {
            self.touch_names(&service);
        }
    }

    /// Copies a changed name and changed tags of a service into its checks.
    pub(crate) fn checks_follow_service(
        &mut self,
        node: &Arc<str>,
        id: &Arc<str>,
        name: &Arc<str>,
        tags: &[String],
    ) {
        let checks: Vec<_> = self.tables.checks.of(node, id).cloned().collect();
        if checks.is_empty() {
            return;
        }
        for old in checks {
            self.tables.checks.put(HealthCheck {
                service_name: Arc::clone(name),
                service_tags: tags.to_vec(),
                modify_index: self.index,
                ..(*old).clone()
            });
        }
        self.touch_table(Table::Checks);
    }
}
