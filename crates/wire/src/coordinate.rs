//! Network coordinates.

use std::sync::Arc;

use lictor_types::coordinate::{Coordinate, DatacenterCoordinates, NodeCoordinate};
use lictor_types::query::Reply;

use crate::catalog::NodeArgs;
use crate::record::record;
use crate::reply::data;
use crate::{ReadRequest, WriteRequest, methods};

methods! {
    /// Those of the servers of all datacenters.
    ListDatacenters = "Coordinate.ListDatacenters": () => Vec<DatacenterCoordinates>;
    /// Those of all nodes.
    ListNodes = "Coordinate.ListNodes": ReadRequest => Reply<Vec<Arc<NodeCoordinate>>>;
    /// Those of a node, one for each segment.
    Node = "Coordinate.Node": ReadRequest<NodeArgs> => Reply<Vec<Arc<NodeCoordinate>>>;
    /// Says where a node is.
    Update = "Coordinate.Update": WriteRequest<NodeCoordinate> => ();
}

record! { Coordinate {
    "Adjustment": adjustment,
    "Error": error,
    "Height": height,
    "Vec": vec,
} }

record! { NodeCoordinate {
    "Coord": coord,
    "Node": node,
    "Segment": segment,
} }

record! { DatacenterCoordinates {
    // The one that everybody has.
    "AreaID" = "wan",
    "Coordinates": coordinates,
    "Datacenter": datacenter,
} }

data! { "Coordinates": Vec<Arc<NodeCoordinate>>; }
