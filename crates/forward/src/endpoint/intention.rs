//! Intentions: who may connect to whom.

use std::sync::Arc;

use lictor_types::error::EndpointError;
use lictor_types::intention::Intention;
use lictor_types::query::Evaluated;

use crate::servers::Servers;

impl Servers {
    /// The intentions that match a destination, highest precedence first; for the agent's own
    /// decisions. The same result is the same allocation as long as nothing changed.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn intentions_for(
        &self,
        destination: &str,
    ) -> Result<Arc<Evaluated<Vec<Arc<Intention>>>>, EndpointError> {
        self.only_here()?.intentions_for(destination).await
    }

    /// Whether a connection may be made that no intention speaks about.
    #[must_use]
    pub fn intention_default_allow(&self) -> bool {
        let settings = self.acl_settings();
        !settings.enabled || settings.default_policy == lictor_server::DefaultPolicy::Allow
    }
}
