//! `/v1/status`: the leader and its peers, as plain texts.
//!
//! Details of the consensus are in [`crate::operator`].

use crate::client::{Client, ClientError};

impl Client {
    /// Address of the leader; empty when there is none.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn status_leader(&self) -> Result<String, ClientError> {
        self.call_json(self.get("/v1/status/leader")).await
    }

    /// Addresses of the voters.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn status_peers(&self) -> Result<Vec<String>, ClientError> {
        self.call_json(self.get("/v1/status/peers")).await
    }
}
