//! Network coordinates: where a node is in a space whose distances are round-trip times.
//!
//! The model is Vivaldi with heights and adjustments (Dabek et al., 2004; Ledlie et al., 2007), in
//! the dimensions that the original uses. How coordinates come about is gossip's matter.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec::nullable;

/// Dimensions of the space, heights aside.
pub const DIMENSIONS: usize = 8;
/// Least height, in seconds: no two nodes are closer than twice that.
pub const HEIGHT_MIN: f64 = 10.0e-6;
/// Error of a node that knows nothing yet; also the largest.
pub const ERROR_MAX: f64 = 1.5;

/// A point of the space. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Coordinate {
    /// Position.
    #[serde(deserialize_with = "nullable")]
    pub vec: Vec<f64>,
    /// How unsure the node is of it, without a unit; the less the surer.
    pub error: f64,
    /// Correction of distances, which may be negative.
    pub adjustment: f64,
    /// Way from the node to the core of the network.
    pub height: f64,
}

impl Default for Coordinate {
    /// Where every node starts.
    fn default() -> Self {
        let vec = vec![0.0; DIMENSIONS];
        Self { vec, error: ERROR_MAX, adjustment: 0.0, height: HEIGHT_MIN }
    }
}

impl Coordinate {
    /// Whether it has the right dimensions and finite numbers only.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let numbers = [self.error, self.adjustment, self.height];
        self.vec.len() == DIMENSIONS && self.vec.iter().chain(&numbers).all(|n| n.is_finite())
    }

    /// Estimated round-trip time to `other` in seconds; infinite when the two are of different
    /// dimensions.
    #[must_use]
    pub fn distance(&self, other: &Self) -> f64 {
        if self.vec.len() != other.vec.len() {
            return f64::INFINITY;
        }
        let pairs = self.vec.iter().zip(&other.vec);
        let plane = pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        let plain = plane + self.height + other.height;
        let adjusted = plain + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { plain }
    }
}

/// The coordinate of a node in a network segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeCoordinate {
    /// Name of the node.
    pub node: Arc<str>,
    /// Segment; empty for the one that all share.
    pub segment: Arc<str>,
    /// Where it is.
    #[serde(deserialize_with = "nullable")]
    pub coord: Coordinate,
}

/// Distance of two nodes that are known in these segments, in seconds; infinite when they share
/// none. Who is in one segment only decides which one counts.
#[must_use]
pub fn distance(a: &[Arc<NodeCoordinate>], b: &[Arc<NodeCoordinate>]) -> f64 {
    let mut segment = "";
    for set in [a, b] {
        if let [only] = set {
            segment = &only.segment;
        }
    }
    let in_segment = |set: &[Arc<NodeCoordinate>]| {
        set.iter().find(|one| &*one.segment == segment).map(Arc::clone)
    };
    match (in_segment(a), in_segment(b)) {
        (Some(a), Some(b)) => a.coord.distance(&b.coord),
        _ => f64::INFINITY,
    }
}

/// The coordinates of a datacenter's servers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatacenterCoordinates {
    /// Name of the datacenter.
    pub datacenter: String,
    /// Those of its servers, in the space of all datacenters.
    pub coordinates: Vec<NodeCoordinate>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(x: f64) -> Coordinate {
        let mut vec = vec![0.0; DIMENSIONS];
        vec[0] = x;
        Coordinate { vec, ..Coordinate::default() }
    }

    #[test]
    fn distances_follow_position_height_and_adjustment() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(at(0.0).distance(&at(0.0)), 2.0 * HEIGHT_MIN));
        assert!(near(at(0.01).distance(&at(0.03)), 0.02 + 2.0 * HEIGHT_MIN));
        let adjusted = Coordinate { adjustment: 0.005, ..at(0.03) };
        assert!(near(at(0.01).distance(&adjusted), 0.025 + 2.0 * HEIGHT_MIN));
        let below = Coordinate { adjustment: -1.0, ..at(0.03) };
        assert!(near(at(0.01).distance(&below), 0.02 + 2.0 * HEIGHT_MIN));
        let other = Coordinate { vec: vec![0.0; 3], ..Coordinate::default() };
        assert!(at(0.0).distance(&other).is_infinite() && !other.is_valid());
    }

    #[test]
    fn segments_decide_which_coordinates_are_compared() {
        let one = |segment: &str, x| {
            let (node, segment) = ("n".into(), segment.into());
            Arc::new(NodeCoordinate { node, segment, coord: at(x) })
        };
        let server = [one("", 0.0), one("alpha", 1.0)];
        assert!(distance(&[one("alpha", 1.0)], &server) < 0.1);
        assert!(distance(&[one("", 0.0)], &server) < 0.1);
        assert!(distance(&[one("beta", 0.0)], &server).is_infinite());
        assert!(distance(&server, &[]).is_infinite());
    }

    proptest! {
        #[test]
        fn a_valid_distance_is_positive_and_the_same_both_ways(
            a in prop::collection::vec(-1.0..1.0_f64, DIMENSIONS),
            b in prop::collection::vec(-1.0..1.0_f64, DIMENSIONS),
            adjustment in -2.0..2.0_f64,
        ) {
            let a = Coordinate { vec: a, adjustment, ..Coordinate::default() };
            let b = Coordinate { vec: b, ..Coordinate::default() };
            prop_assert!(a.is_valid() && a.distance(&b) > 0.0);
            prop_assert_eq!(a.distance(&b), b.distance(&a));
        }
    }
}
