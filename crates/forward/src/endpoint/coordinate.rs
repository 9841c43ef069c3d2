//! Where nodes are in the network.

use std::sync::Arc;

use lictor_server::DatacenterCoordinates;
use lictor_types::coordinate::NodeCoordinate;
use lictor_types::error::EndpointError;
use lictor_types::query::{Consistency, QueryOptions, Reply};
use lictor_wire::catalog::NodeArgs;
use lictor_wire::coordinate;

use crate::attempts::Attempts;
use crate::away::{Serving, WriteOptions, answers, mapped, read, write};
use crate::pools::Map;
use crate::servers::Servers;

type Rows = Vec<Arc<NodeCoordinate>>;

/// Those of one network segment, or of all.
fn of_segment(mut rows: Rows, segment: Option<&str>) -> Rows {
    rows.retain(|row| segment.is_none_or(|segment| *row.segment == *segment));
    rows
}

impl Servers {
    /// All coordinates of one network segment, or of all.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn coordinate_nodes(
        &self,
        options: &QueryOptions,
        segment: Option<&str>,
    ) -> Result<Reply<Rows>, EndpointError> {
        read!(
            self,
            options,
            |server| server.coordinate_nodes(options, segment),
            coordinate::ListNodes,
            (),
            |reply| mapped(reply, |rows| of_segment(rows, segment)),
        )
    }

    /// The coordinates of a node.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn coordinate_node(
        &self,
        options: &QueryOptions,
        node: &str,
        segment: Option<&str>,
    ) -> Result<Reply<Rows>, EndpointError> {
        let args = || NodeArgs { node: node.to_owned() };
        read!(
            self,
            options,
            |server| server.coordinate_node(options, node, segment),
            coordinate::Node,
            args(),
            |reply| mapped(reply, |rows| of_segment(rows, segment)),
        )
    }

    /// The coordinates of all datacenters' servers.
    ///
    /// # Errors
    /// When a client agent finds no server.
    pub async fn coordinate_datacenters(
        &self,
    ) -> Result<Vec<DatacenterCoordinates>, EndpointError> {
        if let Some(server) = self.here() {
            let map = match self.pools() {
                Some(pools) => pools.map().await,
                None => None,
            };
            return Ok(map.map_or_else(|| server.own_coordinates(), Map::coordinates));
        }
        let options = QueryOptions { consistency: Consistency::Stale, ..QueryOptions::default() };
        let mut attempts = Attempts::read(self, &options);
        let found = self.away::<coordinate::ListDatacenters>(&mut attempts, |_, _| ()).await?;
        Ok(found.unwrap_or_default())
    }

    /// Takes over the coordinate of a node; it is written a little later.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn coordinate_update(
        &self,
        to: &WriteOptions,
        update: NodeCoordinate,
    ) -> Result<(), EndpointError> {
        write!(
            self,
            to,
            |server| server.coordinate_update(&to.datacenter, &to.token, update.clone()),
            coordinate::Update,
            update.clone(),
        )
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        coordinate::ListDatacenters, () => servers.coordinate_datacenters();
        coordinate::ListNodes, request => servers.coordinate_nodes(&request.options, None);
        coordinate::Node, request =>
            servers.coordinate_node(&request.options, &request.args.node, None);
        coordinate::Update, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            servers.coordinate_update(&to, request.args).await
        };
    }
}
