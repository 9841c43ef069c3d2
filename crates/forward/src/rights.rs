//! What the bearer of a token may do, as far as this agent decides it itself.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_types::error::EndpointError;

use crate::servers::Servers;

/// What is known of rights.
#[derive(Debug)]
pub(crate) struct Known {
    manage_all: Arc<Authorizer>,
}

impl Default for Known {
    fn default() -> Self {
        Self { manage_all: Arc::new(Authorizer::manage_all()) }
    }
}

impl Servers {
    /// What the bearer of a token may do; nobody in particular bears an empty one.
    ///
    /// # Errors
    /// When there is no such token (`ACL not found`), or it cannot be looked up.
    pub async fn authorizer(&self, token: &str) -> Result<Arc<Authorizer>, EndpointError> {
        match self.here() {
            Some(server) => server.authorizer(token),
            None if !self.acl_enabled() => Ok(Arc::clone(&self.known().manage_all)),
            None => self.only_here()?.authorizer(token),
        }
    }
}
