//! The pools of members that this agent is in, as far as answering others needs them.
//!
//! Whoever owns them gives them once, by [`Servers::set_pools`]; what needs them is refused until
//! then, and where there are none.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use lictor_types::coordinate::{Coordinate, DatacenterCoordinates, NodeCoordinate};
use lictor_wire::internal::{KeyringArgs, KeyringReply};

use crate::servers::Servers;

/// What is asked of the pools in the making.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A server of any datacenter that has not left, whether it is there or has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Name of its node, without the datacenter.
    pub name: Arc<str>,
    /// Its datacenter.
    pub datacenter: Arc<str>,
    /// Where it is, as it said last; `None` if it never did.
    pub coordinate: Option<Coordinate>,
}

/// What one who asks for a round trip to another datacenter starts from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// Where this server is.
    pub own: Coordinate,
    /// The servers of all datacenters, this one too.
    pub servers: Vec<Place>,
}

/// The pools: that of the datacenter, and on a server that of all datacenters' servers.
pub trait Pools: fmt::Debug + Send + Sync + 'static {
    /// Where the servers of all datacenters are; `None` on an agent that is not in their pool.
    fn map(&self) -> Asking<'_, Option<Map>>;
    /// Sends a user event, encoded already, to everybody in the datacenter.
    ///
    /// # Errors
    /// When it is too large.
    fn fire<'a>(&'a self, name: &'a str, payload: Vec<u8>) -> Asking<'a, Result<(), String>>;
    /// Has everybody in a pool show or change the keys of gossip; `None` where there is no such pool.
    fn keys<'a>(&'a self, wan: bool, asked: &'a KeyringArgs) -> Asking<'a, Option<KeyringReply>>;
}

impl Servers {
    /// Gives the pools of this agent. Only the first ones count.
    pub fn set_pools(&self, pools: Arc<dyn Pools>) {
        if self.pools_cell().set(pools).is_err() {
            tracing::error!("the pools of this agent were given before");
        }
    }

    /// Names of all datacenters, the nearest first.
    pub(crate) async fn by_distance(&self) -> Vec<String> {
        let routes = self.routes();
        let map = match self.pools() {
            Some(pools) => pools.map().await,
            None => None,
        };
        match map {
            Some(map) => map.datacenters(routes.datacenter()),
            None => routes.datacenters().iter().map(ToString::to_string).collect(),
        }
    }
}

impl Map {
    /// Names of all datacenters by the round trip from here to the median server of each, the own
    /// one first; those of which nothing is known last, by name.
    pub(crate) fn datacenters(&self, own: &str) -> Vec<String> {
        let mut trips: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for Place { datacenter, coordinate, .. } in &self.servers {
            let trip = coordinate.as_ref().map_or(f64::INFINITY, |there| self.own.distance(there));
            trips.entry(datacenter).or_default().push(trip);
        }
        trips.remove(own);
        let mut others: Vec<(f64, &str)> = trips
            .into_iter()
            .map(|(datacenter, mut trips)| {
                trips.sort_by(f64::total_cmp);
                (trips.get(trips.len() / 2).copied().unwrap_or(f64::INFINITY), datacenter)
            })
            .collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0));
        let others = others.into_iter().map(|(_, datacenter)| datacenter);
        std::iter::once(own).chain(others).map(str::to_owned).collect()
    }

    /// The coordinates of the servers of each datacenter, by its name.
    pub(crate) fn coordinates(self) -> Vec<DatacenterCoordinates> {
        let mut found: BTreeMap<Arc<str>, Vec<NodeCoordinate>> = BTreeMap::new();
        for Place { name, datacenter, coordinate } in self.servers {
            if let Some(coord) = coordinate {
                let row = NodeCoordinate { node: name, segment: "".into(), coord };
                found.entry(datacenter).or_default().push(row);
            }
        }
        let map = |(datacenter, coordinates): (Arc<str>, _)| DatacenterCoordinates {
            datacenter: datacenter.to_string(),
            coordinates,
        };
        found.into_iter().map(map).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str, datacenter: &str, x: Option<f64>) -> Place {
        let coordinate = x.map(|x| {
            let mut there = Coordinate::default();
            there.vec[0] = x;
            there
        });
        Place { name: name.into(), datacenter: datacenter.into(), coordinate }
    }

    #[test]
    fn datacenters_come_by_the_round_trip_to_their_median_server() {
        let servers = vec![
            at("own", "dc5", Some(0.0)),
            // The median of three, and the upper one of two.
            at("a", "dc1", Some(0.010)),
            at("b", "dc1", Some(0.500)),
            at("c", "dc1", Some(0.020)),
            at("a", "dc2", Some(0.001)),
            at("b", "dc2", Some(0.030)),
            at("a", "dc4", None),
            at("a", "dc3", None),
            at("a", "dc0", Some(0.005)),
        ];
        let map = Map { own: Coordinate::default(), servers };
        assert_eq!(map.datacenters("dc5"), ["dc5", "dc0", "dc1", "dc2", "dc3", "dc4"]);
        assert_eq!(Map::default().datacenters("dc1"), ["dc1"]);
        let maps = map.coordinates();
        let names: Vec<_> = maps.iter().map(|one| one.datacenter.as_str()).collect();
        assert_eq!(names, ["dc0", "dc1", "dc2", "dc5"], "who never said where it is has no place");
        assert_eq!(maps[1].coordinates.len(), 3);
    }
}
