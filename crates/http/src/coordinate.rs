//! `/v1/coordinate`: where nodes are in the space of round-trip times.
//!
//! Also the shape of coordinates for all other resources.

use lictor_api::agent as agent_body;
use lictor_api::coordinate as body;
use lictor_types::coordinate::{Coordinate, NodeCoordinate};

use crate::answer::{Answer, read};
use crate::door::{Call, Door};
use crate::error::HttpError;

pub(crate) async fn datacenters(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let found = door.servers().coordinate_datacenters().await?;
    let shown = found.into_iter().map(|one| body::DatacenterCoordinates {
        datacenter: one.datacenter,
        area_id: "wan".to_owned(),
        coordinates: one.coordinates.iter().map(row).collect(),
    });
    Ok(Answer::json(&shown.collect::<Vec<_>>(), call.pretty))
}

pub(crate) async fn nodes(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let segment = call.request.query.get("segment");
    let reply = door.servers().coordinate_nodes(&options, segment.as_deref()).await;
    Ok(read(reply, |result| {
        Answer::shared(result, call.pretty, |rows| {
            rows.iter().map(|one| row(one)).collect::<Vec<_>>()
        })
    }))
}

pub(crate) async fn node(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let segment = call.request.query.get("segment");
    let reply = door.servers().coordinate_node(&options, call.rest, segment.as_deref()).await;
    Ok(read(reply, |result| {
        if result.value.is_empty() {
            return Answer::empty(404);
        }
        Answer::shared(result, call.pretty, |rows| {
            rows.iter().map(|one| row(one)).collect::<Vec<_>>()
        })
    }))
}

pub(crate) async fn update(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let given: body::CoordinateUpdate = call.decode()?;
    let coord = given
        .coord
        .ok_or_else(|| HttpError::bad_request("Request decode failed: Coord is missing"))?;
    let update = NodeCoordinate {
        node: given.node.into(),
        segment: given.segment.into(),
        coord: Coordinate {
            vec: coord.vec,
            error: coord.error,
            adjustment: coord.adjustment,
            height: coord.height,
        },
    };
    let mut to = call.request.write_options();
    if to.datacenter.is_empty() {
        to.datacenter = given.datacenter;
    }
    door.servers().coordinate_update(&to, update).await?;
    Ok(Answer::ok())
}

fn enabled(door: &Door) -> Result<(), HttpError> {
    if door.agent().config().disable_coordinates {
        return Err(HttpError::new(401, "Coordinate support disabled".into()));
    }
    Ok(())
}

fn row(row: &NodeCoordinate) -> body::NodeCoordinate {
    body::NodeCoordinate {
        node: row.node.to_string(),
        segment: row.segment.to_string(),
        coord: coordinate(&row.coord),
    }
}

/// A coordinate as it is shown.
pub(crate) fn coordinate(coord: &Coordinate) -> agent_body::Coordinate {
    agent_body::Coordinate {
        vec: coord.vec.clone(),
        error: coord.error,
        adjustment: coord.adjustment,
        height: coord.height,
    }
}
