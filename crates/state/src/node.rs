//! Nodes: found by name, and by the start of their ID.
//!
//! Names are compared in lower case, as host names are; a node keeps the spelling it was first
//! registered with, under which everything on it is stored.
//! A node that goes takes its services, checks and sessions with it.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use lictor_types::Index;
use lictor_types::catalog::{Node, NodeInfo, StringMap};
use lictor_types::command::{Refusal, RegisterRequest};

use crate::apply::Writer;
use crate::index::Table;
use crate::view::{View, lower};

/// Shortest start of an ID that is looked up.
const ID_PREFIX_MIN: usize = 2;

#[derive(Clone, Debug, Default)]
pub(crate) struct NodeTable {
    /// By name in lower case.
    by_name: OrdMap<Arc<str>, Arc<Node>>,
    /// By ID in lower case.
    by_id: OrdMap<String, Arc<str>>,
}

impl NodeTable {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Node>> {
        if name.chars().any(char::is_uppercase) {
            self.by_name.get(&*name.to_lowercase())
        } else {
            self.by_name.get(name)
        }
    }

    /// The name as the node itself spells it; the given one when there is no such node.
    pub(crate) fn spelled(&self, name: &Arc<str>) -> Arc<str> {
        self.get(name).map_or_else(|| Arc::clone(name), |node| Arc::clone(&node.name))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.by_name.values()
    }

    pub(crate) fn put(&mut self, node: Node) {
        let key = lower(&node.name);
        if let Some(old) = self.by_name.get(&key)
            && old.id != node.id
        {
            self.by_id.remove(&old.id.to_lowercase());
        }
        if !node.id.is_empty() {
            self.by_id.insert(node.id.to_lowercase(), Arc::clone(&node.name));
        }
        self.by_name.insert(key, Arc::new(node));
    }

    fn remove(&mut self, name: &Arc<str>) -> Option<Arc<Node>> {
        let node = self.by_name.remove(&lower(name))?;
        self.by_id.remove(&node.id.to_lowercase());
        Some(node)
    }
}

/// Whether a node's metadata has all these pairs.
fn has_meta(node: &Node, wanted: &StringMap) -> bool {
    wanted.iter().all(|(key, value)| node.meta.get(key) == Some(value))
}

impl View {
    /// Nodes in name order whose metadata has all pairs of `meta`.
    #[must_use]
    pub fn nodes(&self, meta: &StringMap) -> (Index, Vec<Arc<Node>>) {
        let rows = self.tables.nodes.iter().filter(|n| has_meta(n, meta)).cloned().collect();
        (self.table_index(&[Table::Nodes]), rows)
    }

    /// One node.
    #[must_use]
    pub fn node(&self, name: &str) -> (Index, Option<Arc<Node>>) {
        (self.table_index(&[Table::Nodes]), self.tables.nodes.get(name).cloned())
    }

    /// The only node whose ID starts with `prefix` (at least two characters), if it is the only
    /// one.
    #[must_use]
    pub fn node_by_id_prefix(&self, prefix: &str) -> Option<Arc<Node>> {
        if prefix.len() < ID_PREFIX_MIN {
            return None;
        }
        let prefix = prefix.to_lowercase();
        let from = (Bound::Included(prefix.clone()), Bound::Unbounded);
        let mut found =
            self.tables.nodes.by_id.range(from).take_while(|(id, _)| id.starts_with(&prefix));
        let (_, name) = found.next()?;
        found.next().is_none().then(|| self.tables.nodes.get(name).cloned()).flatten()
    }

    /// Nodes with everything on them, all or one.
    #[must_use]
    pub fn node_infos(&self, name: Option<&str>) -> (Index, Vec<NodeInfo>) {
        let wanted: Vec<&Arc<Node>> = match name {
            Some(name) => self.tables.nodes.get(name).into_iter().collect(),
            None => self.tables.nodes.iter().collect(),
        };
        let rows = wanted
            .into_iter()
            .map(|node| NodeInfo {
                node: Arc::clone(node),
                services: self.tables.services.on_node(&node.name).cloned().collect(),
                checks: self.tables.checks.on_node(&node.name).cloned().collect(),
            })
            .collect();
        (self.table_index(&[Table::Nodes, Table::Services, Table::Checks]), rows)
    }
}

impl Writer {
    pub(crate) fn node_upsert(&mut self, request: RegisterRequest) -> Result<(), Refusal> {
        if !request.id.is_empty()
            && let Some(holder) = self.tables.nodes.by_id.get(&request.id.to_lowercase())
            && *holder != request.node
        {
            return Err(Refusal::NodeIdTaken {
                id: request.id,
                name: request.node.to_string(),
                holder: holder.to_string(),
            });
        }
        let old = self.tables.nodes.get(&request.node).cloned();
        let mut node = Node {
            id: request.id,
            name: request.node,
            address: request.address,
            datacenter: request.datacenter,
            tagged_addresses: request.tagged_addresses,
            meta: request.node_meta,
            create_index: self.index,
            modify_index: self.index,
        };
        if let Some(old) = old {
            node.create_index = old.create_index;
            let unchanged = Node { modify_index: old.modify_index, ..node.clone() } == *old;
            if unchanged {
                return Ok(());
            }
        }
        let name = Arc::clone(&node.name);
        self.tables.nodes.put(node);
        self.touch_table(Table::Nodes);
        self.touch_node(&name);
        self.touch_services_on(&name);
        Ok(())
    }

    pub(crate) fn node_remove(&mut self, name: &Arc<str>) {
        if self.tables.nodes.get(name).is_none() {
            return;
        }
        let services: Vec<_> =
            self.tables.services.on_node(name).map(|s| Arc::clone(&s.id)).collect();
        for id in services {
            self.service_remove(name, &id);
        }
        let checks: Vec<_> =
            self.tables.checks.on_node(name).map(|c| Arc::clone(&c.check_id)).collect();
        for id in checks {
            self.check_remove(name, &id);
        }
        for session in self.tables.sessions.on_node(name) {
            self.session_destroy(&session);
        }
        self.coordinates_lose_node(name);
        self.tables.nodes.remove(name);
        self.touch_table(Table::Nodes);
        self.touch_node(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_types::command::{Command, DeregisterRequest, Outcome};
    use lictor_types::session::Session;

    use crate::store::Store;

    fn apply(store: &Store, command: Command) -> Outcome {
        store.apply_batch(vec![command]).remove(0).outcome
    }

    fn register(store: &Store, name: &str, id: &str) -> Outcome {
        let request = RegisterRequest {
            id: id.to_owned(),
            node: name.into(),
            address: "10.0.0.1".to_owned(),
            ..RegisterRequest::default()
        };
        apply(store, Command::Register(Box::new(request)))
    }

    #[test]
    fn names_and_ids_match_in_any_case() {
        let store = Store::new();
        assert_eq!(register(&store, "Web1", "AB"), Outcome::Done);
        assert_eq!(register(&store, "wEB1", "ab"), Outcome::Done);
        assert!(matches!(register(&store, "web2", "Ab"), Outcome::Refused(_)));
        let view = store.view();
        assert_eq!(view.nodes(&StringMap::new()).1.len(), 1);
        assert_eq!(&*view.node("WEB1").1.unwrap().name, "Web1");
        assert_eq!(&*view.node_by_id_prefix("aB").unwrap().name, "Web1");
        assert_eq!(view.node_infos(Some("web1")).1.len(), 1);
        assert!(view.node_services("web1").1.is_some());

        let session = Session { id: "s".into(), node: "web1".into(), ..Session::default() };
        let create = lictor_types::command::SessionWrite::Create(session);
        assert_eq!(apply(&store, Command::Session(create)), Outcome::Done);
        assert_eq!(store.view().node_sessions("WEB1").1.len(), 1);
        let gone = DeregisterRequest { node: "WEB1".into(), ..DeregisterRequest::default() };
        assert_eq!(apply(&store, Command::Deregister(gone)), Outcome::Done);
        assert!(store.view().node("Web1").1.is_none() && store.view().sessions().1.is_empty());
    }
}
