//! Network coordinates by node and segment; they go with their node.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use lictor_types::Index;
use lictor_types::coordinate::NodeCoordinate;

use crate::apply::Writer;
use crate::index::Table;
use crate::view::{Two, View, lower};
use crate::watch::Topic;

#[derive(Clone, Debug, Default)]
pub(crate) struct CoordinateTable {
    /// By the node's name in lower case, and segment.
    rows: OrdMap<Two, Arc<NodeCoordinate>>,
}

impl CoordinateTable {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<NodeCoordinate>> {
        self.rows.values()
    }

    fn of_node(&self, node: &str) -> impl Iterator<Item = (&Two, &Arc<NodeCoordinate>)> {
        let node: Arc<str> = node.to_lowercase().into();
        let from = (Bound::Included((Arc::clone(&node), Arc::from(""))), Bound::Unbounded);
        self.rows.range(from).take_while(move |((name, _), _)| *name == node)
    }

    pub(crate) fn put(&mut self, row: NodeCoordinate) {
        let key = (lower(&row.node), Arc::clone(&row.segment));
        self.rows.insert(key, Arc::new(row));
    }
}

impl View {
    /// All coordinates, in the order of nodes and segments.
    #[must_use]
    pub fn coordinates(&self) -> (Index, Vec<Arc<NodeCoordinate>>) {
        let rows = self.tables.coordinates.iter().cloned().collect();
        (self.table_index(&[Table::Coordinates]), rows)
    }

    /// The coordinates of a node, one for each segment it is in.
    #[must_use]
    pub fn node_coordinates(&self, node: &str) -> (Index, Vec<Arc<NodeCoordinate>>) {
        let rows = self.tables.coordinates.of_node(node).map(|(_, row)| Arc::clone(row)).collect();
        (self.table_index(&[Table::Coordinates]), rows)
    }
}

impl Writer {
    /// Takes over coordinates; those of nodes that are not registered (any more) are passed over.
    pub(crate) fn coordinates_update(&mut self, updates: Vec<NodeCoordinate>) {
        let mut changed = false;
        for mut update in updates {
            let Some(node) = self.tables.nodes.get(&update.node) else { continue };
            if !update.coord.is_valid() {
                continue;
            }
            update.node = Arc::clone(&node.name);
            self.touched.push(Topic::Coordinate(lower(&update.node)));
            self.tables.coordinates.put(update);
            changed = true;
        }
        if changed {
            self.touch_table(Table::Coordinates);
        }
    }

    /// A node is gone.
    pub(crate) fn coordinates_lose_node(&mut self, node: &str) {
        let keys: Vec<Two> =
            self.tables.coordinates.of_node(node).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.tables.coordinates.rows.remove(&key);
            self.touched.push(Topic::Coordinate(Arc::clone(&key.0)));
            self.touch_table(Table::Coordinates);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_types::command::{Command, DeregisterRequest, RegisterRequest};
    use lictor_types::coordinate::Coordinate;

    use crate::store::Store;

    fn row(node: &str, segment: &str) -> NodeCoordinate {
        let (node, segment) = (node.into(), segment.into());
        NodeCoordinate { node, segment, coord: Coordinate::default() }
    }

    #[test]
    fn coordinates_live_with_their_node() {
        let store = Store::new();
        let register = RegisterRequest {
            node: "Web".into(),
            address: "10.0.0.1".into(),
            ..RegisterRequest::default()
        };
        let mut broken = row("web", "broken");
        broken.coord.vec.pop();
        let updates = vec![row("web", ""), row("WEB", "a"), row("web2", ""), broken];
        let unknown = Command::Coordinates(vec![row("web", "")]);
        store.apply_batch([unknown]);
        assert_eq!(store.view().coordinates(), (0, Vec::new()));
        store.apply_batch([Command::Register(Box::new(register)), Command::Coordinates(updates)]);
        let view = store.view();
        let (index, rows) = view.node_coordinates("wEb");
        assert_eq!((index, rows.len(), &*rows[1].node), (3, 2, "Web"));
        assert_eq!(view.coordinates().1, rows);

        let mut bytes = Vec::new();
        store.snapshot().write(&mut bytes).unwrap();
        let other = Store::new();
        other.install(&mut bytes.as_slice()).unwrap();
        assert_eq!(other.view().coordinates(), (3, rows));

        let gone = DeregisterRequest { node: "web".into(), ..DeregisterRequest::default() };
        store.apply_batch([Command::Deregister(gone)]);
        assert_eq!(store.view().coordinates(), (4, Vec::new()));
    }
}
