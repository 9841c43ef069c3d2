//! Network coordinates: reading them, collecting them, and sorting by them.
//!
//! Every agent sends its own one now and then. They are gathered here and written together every
//! few seconds, a bounded number of them; what is too much is dropped, as it comes again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lictor_acl::Authorizer;
use lictor_state::{Table, Topic, View};
use lictor_task::CancellationToken;
use lictor_types::catalog::{CheckServiceNode, Node, ServiceNode};
use lictor_types::check::HealthCheck;
use lictor_types::command::Command;
use lictor_types::coordinate::{self, Coordinate, DatacenterCoordinates, NodeCoordinate};
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::cache::Identity;
use crate::read::Read;
use crate::rights::{Only, Rows, need};
use crate::server::Server;

/// Pause between two writes.
const PERIOD: Duration = Duration::from_secs(5);
/// Coordinates in one command.
const BATCH: usize = 128;
/// Commands in one period.
const BATCHES: usize = 5;

/// What a row that can be sorted by distance is on.
pub trait OnNode: Clone {
    /// Name of the node.
    fn node_name(&self) -> &Arc<str>;
}

impl OnNode for Arc<Node> {
    fn node_name(&self) -> &Arc<str> {
        &self.name
    }
}

impl OnNode for ServiceNode {
    fn node_name(&self) -> &Arc<str> {
        &self.node.name
    }
}

impl OnNode for CheckServiceNode {
    fn node_name(&self) -> &Arc<str> {
        &self.node.name
    }
}

impl OnNode for Arc<HealthCheck> {
    fn node_name(&self) -> &Arc<str> {
        &self.node
    }
}

/// A node and its network segment.
type Place = (Arc<str>, Arc<str>);

/// Coordinates that wait to be written. Bounded.
#[derive(Debug, Default)]
pub(crate) struct PendingCoordinates(Mutex<HashMap<Place, Coordinate>>);

impl PendingCoordinates {
    /// Takes one over; gives false when there are too many.
    fn put(&self, update: NodeCoordinate) -> bool {
        let mut held = self.0.lock();
        let key = (update.node, update.segment);
        if held.len() >= BATCH * BATCHES && !held.contains_key(&key) {
            return false;
        }
        held.insert(key, update.coord);
        true
    }

    /// All that wait, in the order of their names, in pieces of at most a batch.
    fn take(&self) -> Vec<Vec<NodeCoordinate>> {
        let held = std::mem::take(&mut *self.0.lock());
        let mut all: Vec<_> = held.into_iter().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let rows = all
            .into_iter()
            .map(|((node, segment), coord)| NodeCoordinate { node, segment, coord })
            .collect::<Vec<_>>();
        rows.chunks(BATCH).map(<[_]>::to_vec).collect()
    }
}

/// Writes what waits, again and again.
pub(crate) async fn write_pending(server: Server, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for batch in server.pending_coordinates().take() {
            match server.propose(Command::Coordinates(batch)).await {
                Ok(_) => {}
                // They come again: agents tell where they are every few seconds.
                Err(error) if error.kind == ErrorKind::NoLeader => break,
                Err(error) => {
                    tracing::warn!(%error, "coordinates could not be written");
                    break;
                }
            }
        }
    }
}

impl Server {
    /// All coordinates of one network segment, or of all.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn coordinate_nodes(
        &self,
        options: &QueryOptions,
        segment: Option<&str>,
    ) -> Result<Reply<Vec<Arc<NodeCoordinate>>>, EndpointError> {
        let evaluate = |view: &View| {
            let index = view.table_index(&[Table::Coordinates]);
            let found = || {
                let mut rows = view.coordinates().1;
                rows.retain(|row| segment.is_none_or(|segment| *row.segment == *segment));
                rows
            };
            let identity = Identity::with("coordinates", &[segment.unwrap_or("\u{1}")]);
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || vec![Topic::Table(Table::Coordinates)];
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// The coordinates of a node.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn coordinate_node(
        &self,
        options: &QueryOptions,
        node: &str,
        segment: Option<&str>,
    ) -> Result<Reply<Vec<Arc<NodeCoordinate>>>, EndpointError> {
        let evaluate = |view: &View| {
            let (index, mut rows) = view.node_coordinates(node);
            rows.retain(|row| segment.is_none_or(|segment| *row.segment == *segment));
            Ok(Evaluated::new(index, rows))
        };
        let topics = || vec![Topic::Coordinate(node.to_lowercase().into())];
        let rights = Only(|who: &Authorizer| who.node_read(node));
        self.read(Read { evaluate, topics, rights, options }).await
    }

    /// What a server without gossip between datacenters says of them: it is where everybody
    /// begins, and knows of no other.
    #[must_use]
    pub fn own_coordinates(&self) -> Vec<DatacenterCoordinates> {
        let config = self.config();
        let own = NodeCoordinate { node: Arc::clone(&config.node_name), ..Default::default() };
        let datacenter = config.datacenter.clone();
        vec![DatacenterCoordinates { datacenter, coordinates: vec![own] }]
    }

    /// Takes over the coordinate of a node; it is written a little later.
    ///
    /// # Errors
    /// When it is not in order.
    pub async fn coordinate_update(
        &self,
        datacenter: &str,
        token: &str,
        update: NodeCoordinate,
    ) -> Result<(), EndpointError> {
        self.check_datacenter(datacenter)?;
        need(self.authorizer(token)?.node_write(&update.node))?;
        if update.node.is_empty() {
            return Err(EndpointError::refused("Must provide node"));
        }
        if !update.coord.is_valid() {
            return Err(EndpointError::refused("invalid coordinate"));
        }
        if !self.pending_coordinates().put(update) {
            tracing::warn!("too many coordinates at once: one was dropped");
        }
        Ok(())
    }

    /// Sorts rows by their distance from a node, the nearest first. Rows of nodes without a
    /// coordinate keep their order at the end; nothing is sorted when the node has none itself.
    #[must_use]
    pub fn near<T: OnNode>(&self, node: &str, reply: Reply<Vec<T>>) -> Reply<Vec<T>> {
        if node.is_empty() {
            return reply;
        }
        let mut rows = reply.result.value.clone();
        if !sort_by_distance(&self.view(), node, &mut rows) {
            return reply;
        }
        Reply { result: Evaluated::new(reply.result.index, rows), meta: reply.meta }
    }
}

/// Sorts rows by their distance from a node; gives false when it has no coordinate.
pub(super) fn sort_by_distance<T: OnNode>(view: &View, node: &str, rows: &mut Vec<T>) -> bool {
    let from = view.node_coordinates(node).1;
    if from.is_empty() {
        return false;
    }
    let mut known: HashMap<Arc<str>, f64> = HashMap::new();
    let mut keyed: Vec<(f64, T)> = std::mem::take(rows)
        .into_iter()
        .map(|row| {
            let name = row.node_name();
            let far = known.entry(Arc::clone(name)).or_insert_with_key(|name| {
                coordinate::distance(&from, &view.node_coordinates(name).1)
            });
            (*far, row)
        })
        .collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    *rows = keyed.into_iter().map(|(_, row)| row).collect();
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use lictor_types::catalog::StringMap;
    use lictor_types::command::RegisterRequest;

    fn row(node: &str, x: f64) -> NodeCoordinate {
        let mut coord = Coordinate::default();
        coord.vec[0] = x;
        NodeCoordinate { node: node.into(), segment: "".into(), coord }
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_of_a_node_counts() {
        let pending = PendingCoordinates::default();
        for n in 0..BATCH * BATCHES {
            assert!(pending.put(row(&format!("n{n:04}"), 0.0)));
        }
        assert!(!pending.put(row("other", 0.0)));
        assert!(pending.put(row("n0000", 1.0)));
        let batches = pending.take();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [BATCH; BATCHES]);
        assert_eq!(batches[0][0], row("n0000", 1.0));
        assert!(pending.take().is_empty());
    }

    #[tokio::test]
    async fn rows_are_sorted_by_distance() {
        let server = testing::start().await;
        for name in ["a", "b", "c", "unknown"] {
            let request = RegisterRequest {
                node: name.into(),
                address: "10.0.0.1".into(),
                ..RegisterRequest::default()
            };
            server.catalog_register("", request).await.unwrap();
        }
        let update = vec![row("a", 0.3), row("b", 0.1), row("c", 0.2), row("n1", 0.25)];
        server.propose(Command::Coordinates(update)).await.unwrap();
        let options = QueryOptions::default();
        let order = async |near: &str| {
            let reply = server.catalog_nodes(&options, &StringMap::new()).await.unwrap();
            let reply = server.near(near, reply);
            reply.result.value.iter().map(|node| node.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order("B").await, ["b", "c", "n1", "a", "unknown"]);
        assert_eq!(order("a").await[0], "a");
        let unsorted = ["a", "b", "c", "n1", "unknown"];
        assert_eq!(order("unknown").await, unsorted);
        assert_eq!(order("").await, unsorted);
        let mut broken = row("a", 0.0);
        broken.coord.height = f64::NAN;
        assert!(server.coordinate_update("", "", broken).await.is_err());
        assert!(server.coordinate_update("nope", "", row("a", 0.0)).await.is_err());
        server.shutdown().await;
    }
}
