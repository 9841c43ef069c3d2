//! Service instances: on their node, by their name, and by the mesh name they give access to.
//!
//! Names are compared in lower case. Every change that can be seen in `catalog/service` or
//! `health/service` raises the index of the service's name, and of its mesh name likewise.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use lictor_types::Index;
use lictor_types::catalog::{CheckServiceNode, Node, Service, ServiceNode, StringMap};
use lictor_types::command::Refusal;

use crate::apply::Writer;
use crate::index::{IndexKey, Table};
use crate::view::{Three, Two, View, lower};

#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceTable {
    /// By node and ID.
    rows: OrdMap<Two, Arc<Service>>,
    /// (name, node, ID), the name in lower case.
    by_name: OrdSet<Three>,
    /// (mesh name, node, ID), the name in lower case.
    by_connect: OrdSet<Three>,
}

fn empty() -> Arc<str> {
    Arc::from("")
}

impl ServiceTable {
    pub(crate) fn get(&self, node: &Arc<str>, id: &Arc<str>) -> Option<&Arc<Service>> {
        self.rows.get(&(Arc::clone(node), Arc::clone(id)))
    }

    pub(crate) fn on_node(&self, node: &Arc<str>) -> impl Iterator<Item = &Arc<Service>> {
        let from = (Bound::Included((Arc::clone(node), empty())), Bound::Unbounded);
        let node = Arc::clone(node);
        self.rows.range(from).take_while(move |((on, _), _)| *on == node).map(|(_, row)| row)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Two, &Arc<Service>)> {
        self.rows.iter()
    }

    /// Name, node and ID of every instance with this name.
    pub(crate) fn with_name(&self, name: &str) -> impl Iterator<Item = &Three> {
        Self::named(&self.by_name, name)
    }

    fn named<'a>(set: &'a OrdSet<Three>, name: &str) -> impl Iterator<Item = &'a Three> {
        let name: Arc<str> = name.to_lowercase().into();
        let from = (Bound::Included((Arc::clone(&name), empty(), empty())), Bound::Unbounded);
        set.range(from).take_while(move |(found, _, _)| *found == name)
    }

    pub(crate) fn put(&mut self, node: &Arc<str>, service: Service) {
        let key = (Arc::clone(node), Arc::clone(&service.id));
        self.unlink(&key);
        let link = |name: Arc<str>| (name, Arc::clone(&key.0), Arc::clone(&key.1));
        self.by_name.insert(link(lower(&service.name)));
        if let Some(name) = service.connect_name() {
            self.by_connect.insert(link(name.to_lowercase().into()));
        }
        self.rows.insert(key, Arc::new(service));
    }

    fn unlink(&mut self, key: &Two) -> Option<Arc<Service>> {
        let old = self.rows.get(key).cloned()?;
        let link = |name: Arc<str>| (name, Arc::clone(&key.0), Arc::clone(&key.1));
        self.by_name.remove(&link(lower(&old.name)));
        if let Some(name) = old.connect_name() {
            self.by_connect.remove(&link(name.to_lowercase().into()));
        }
        Some(old)
    }

    fn remove(&mut self, node: &Arc<str>, id: &Arc<str>) -> Option<Arc<Service>> {
        let key = (Arc::clone(node), Arc::clone(id));
        let old = self.unlink(&key)?;
        self.rows.remove(&key);
        Some(old)
    }
}

/// A node and the services on it.
type NodeServices = (Arc<Node>, Vec<Arc<Service>>);

impl View {
    /// Index of what is shown of a service name; `None` when the name was never seen.
    #[must_use]
    pub fn service_index(&self, name: &str) -> Option<Index> {
        self.tables.indexes.get(&IndexKey::Service(name.to_lowercase().into()))
    }

    /// Index of what is shown of a mesh name; `None` when the name was never seen.
    #[must_use]
    pub fn connect_index(&self, name: &str) -> Option<Index> {
        self.tables.indexes.get(&IndexKey::Connect(name.to_lowercase().into()))
    }

    /// All instances of all services.
    pub fn all_services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.tables.services.iter().map(|(_, service)| service)
    }

    /// Service names with their tags, of nodes whose metadata has all pairs of `meta`.
    #[must_use]
    pub fn services(&self, meta: &StringMap) -> (Index, BTreeMap<Arc<str>, Vec<String>>) {
        let mut names: BTreeMap<Arc<str>, Vec<String>> = BTreeMap::new();
        for ((node, _), service) in self.tables.services.iter() {
            let fits = meta.is_empty()
                || self.tables.nodes.get(node).is_some_and(|n| {
                    meta.iter().all(|(key, value)| n.meta.get(key) == Some(value))
                });
            if fits {
                let tags = names.entry(Arc::clone(&service.name)).or_default();
                for tag in &service.tags {
                    if !tags.contains(tag) {
                        tags.push(tag.clone());
                    }
                }
            }
        }
        let tables: &[Table] =
            if meta.is_empty() { &[Table::Services] } else { &[Table::Services, Table::Nodes] };
        (self.table_index(tables), names)
    }

    /// A node and its services in ID order.
    #[must_use]
    pub fn node_services(&self, node: &str) -> (Index, Option<NodeServices>) {
        let index = self.table_index(&[Table::Nodes, Table::Services]);
        let found = self.tables.nodes.get(node).map(|row| {
            (Arc::clone(row), self.tables.services.on_node(&row.name).cloned().collect())
        });
        (index, found)
    }

    /// Instances with this name.
    #[must_use]
    pub fn service_nodes(&self, name: &str) -> (Index, Vec<ServiceNode>) {
        let fallback = [Table::Nodes, Table::Services];
        let index = self.service_index(name).unwrap_or_else(|| self.table_index(&fallback));
        (index, self.instances(&self.tables.services.by_name, name).collect())
    }

    /// Proxies of, and native instances with, this name.
    #[must_use]
    pub fn connect_nodes(&self, name: &str) -> (Index, Vec<ServiceNode>) {
        let fallback = [Table::Nodes, Table::Services];
        let index = self.connect_index(name).unwrap_or_else(|| self.table_index(&fallback));
        (index, self.instances(&self.tables.services.by_connect, name).collect())
    }

    fn instances<'a>(
        &'a self,
        set: &'a OrdSet<Three>,
        name: &'a str,
    ) -> impl Iterator<Item = ServiceNode> + 'a {
        ServiceTable::named(set, name).filter_map(|(_, node, id)| {
            Some(ServiceNode {
                node: Arc::clone(self.tables.nodes.get(node)?),
                service: Arc::clone(self.tables.services.get(node, id)?),
            })
        })
    }

    /// Instances with their node and all checks that concern them; `connect` looks for the mesh
    /// name.
    #[must_use]
    pub fn check_service_nodes(&self, name: &str, connect: bool) -> (Index, Vec<CheckServiceNode>) {
        let fallback = [Table::Nodes, Table::Services, Table::Checks];
        let (index, set) = if connect {
            (self.connect_index(name), &self.tables.services.by_connect)
        } else {
            (self.service_index(name), &self.tables.services.by_name)
        };
        let rows = self
            .instances(set, name)
            .map(|ServiceNode { node, service }| {
                let mut checks: Vec<_> =
                    self.tables.checks.of(&node.name, &empty()).cloned().collect();
                checks.extend(self.tables.checks.of(&node.name, &service.id).cloned());
                CheckServiceNode { node, service, checks }
            })
            .collect();
        (index.unwrap_or_else(|| self.table_index(&fallback)), rows)
    }
}

impl Writer {
    pub(crate) fn service_upsert(
        &mut self,
        node: &Arc<str>,
        mut service: Service,
    ) -> Result<(), Refusal> {
        if self.tables.nodes.get(node).is_none() {
            return Err(Refusal::MissingNode);
        }
        service.create_index = self.index;
        service.modify_index = self.index;
        let old = self.tables.services.get(node, &service.id).cloned();
        if let Some(old) = &old {
            service.create_index = old.create_index;
            if old.same_as(&service) {
                return Ok(());
            }
            self.touch_names(old);
        }
        self.touch_names(&service);
        let renamed = old.is_some_and(|o| o.name != service.name || o.tags != service.tags);
        let (id, name, tags) =
            (Arc::clone(&service.id), Arc::clone(&service.name), service.tags.clone());
        self.tables.services.put(node, service);
        self.touch_table(Table::Services);
        self.touch_node(node);
        if renamed {
            self.checks_follow_service(node, &id, &name, &tags);
        }
        Ok(())
    }

    pub(crate) fn service_remove(&mut self, node: &Arc<str>, id: &Arc<str>) {
        let checks: Vec<_> =
            self.tables.checks.of(node, id).map(|c| Arc::clone(&c.check_id)).collect();
        let Some(old) = self.tables.services.remove(node, id) else { return };
        for check in checks {
            self.check_remove(node, &check);
        }
        self.touch_names(&old);
        self.touch_table(Table::Services);
        self.touch_node(node);
    }

    /// Marks the names under which an instance is shown.
    pub(crate) fn touch_names(&mut self, service: &Service) {
        self.touch_service(lower(&service.name));
        if let Some(name) = service.connect_name() {
            self.touch_connect(name.to_lowercase().into());
        }
    }

    /// Marks every service on a node: its address or one of its own checks changed.
    pub(crate) fn touch_services_on(&mut self, node: &Arc<str>) {
        let services: Vec<_> = self.tables.services.on_node(node).cloned().collect();
        for service in &services {
            self.touch_names(service);
        }
        if !services.is_empty() {
            self.touch_table(Table::Services);
        }
    }
}
