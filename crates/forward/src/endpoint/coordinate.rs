//! Where nodes are in the network.

use lictor_types::coordinate::NodeCoordinate;
use lictor_types::error::EndpointError;

use crate::away::WriteOptions;
use crate::servers::Servers;

impl Servers {
    /// Takes over the coordinate of a node; it is written a little later.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn coordinate_update(
        &self,
        to: &WriteOptions,
        update: NodeCoordinate,
    ) -> Result<(), EndpointError> {
        self.only_here()?.coordinate_update(&to.datacenter, &to.token, update).await
    }
}
