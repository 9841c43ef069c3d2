//! `/v1/coordinate`: where nodes are in the space of round-trip times.

use serde::{Deserialize, Serialize};

use crate::agent::Coordinate;
use crate::client::{Client, ClientError, ReadOptions};
use crate::decode::{Body, Field, Fields, object, plain};

const COORDINATE: &Fields =
    &Fields(&[plain("Vec"), plain("Error"), plain("Adjustment"), plain("Height")]);

/// The coordinate of a node in a network segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeCoordinate {
    /// Name of the node.
    pub node: String,
    /// Segment; empty for the one that all share.
    pub segment: String,
    /// Where it is.
    pub coord: Coordinate,
}

/// The coordinates of a datacenter's servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DatacenterCoordinates {
    /// Name of the datacenter.
    pub datacenter: String,
    /// Always `wan`.
    #[serde(rename = "AreaID")]
    pub area_id: String,
    /// Those of its servers.
    pub coordinates: Vec<NodeCoordinate>,
}

/// Body of `/v1/coordinate/update`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CoordinateUpdate {
    /// Datacenter; empty for the own one.
    pub datacenter: String,
    /// Name of the node.
    pub node: String,
    /// Segment.
    pub segment: String,
    /// Where it is.
    pub coord: Option<Coordinate>,
}

const UPDATE: [Field; 4] =
    [plain("Datacenter"), plain("Node"), plain("Segment"), object("Coord", COORDINATE)];

impl Body for CoordinateUpdate {
    const FIELDS: &'static Fields = &Fields(&UPDATE);
}

impl Client {
    /// The coordinates of all nodes.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn coordinate_nodes(
        &self,
        options: ReadOptions,
    ) -> Result<Vec<NodeCoordinate>, ClientError> {
        self.call_json(self.read("/v1/coordinate/nodes", options)).await
    }

    /// The coordinates of the servers of all datacenters.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn coordinate_datacenters(&self) -> Result<Vec<DatacenterCoordinates>, ClientError> {
        self.call_json(self.get("/v1/coordinate/datacenters")).await
    }
}
