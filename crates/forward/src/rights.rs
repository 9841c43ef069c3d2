//! What the bearer of a token may do, as far as this agent decides it itself.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_types::error::EndpointError;

use crate::servers::Servers;

impl Servers {
    /// What the bearer of a token may do; nobody in particular bears an empty one.
    ///
    /// # Errors
    /// When there is no such token (`ACL not found`), or it cannot be looked up.
    pub async fn authorizer(&self, token: &str) -> Result<Arc<Authorizer>, EndpointError> {
        self.only_here()?.authorizer(token)
    }
}
