//! The certificate authority.

use lictor_server::{CaRoots, SignedLeaf};
use lictor_types::error::EndpointError;
use lictor_types::query::{QueryOptions, Reply};

use crate::away::WriteOptions;
use crate::servers::Servers;

impl Servers {
    /// The trusted roots; none where the mesh is off.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn ca_roots(&self, options: &QueryOptions) -> Result<Reply<CaRoots>, EndpointError> {
        self.only_here()?.ca_roots(options).await
    }

    /// Signs a certificate request of a service of this datacenter.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn ca_sign(
        &self,
        to: &WriteOptions,
        request_pem: &str,
    ) -> Result<SignedLeaf, EndpointError> {
        self.only_here()?.ca_sign(&to.token, request_pem).await
    }
}
