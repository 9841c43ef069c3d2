//! Services and checks of this host, as the doors register, change and show them.
//!
//! Each asks for the caller's rights first; what is done is in [`crate::host`].

use std::sync::Arc;
use std::time::Duration;

use lictor_types::check::{HealthCheck, Status};
use lictor_types::definition::{CheckDefinition, ServiceDefinition};
use lictor_types::error::EndpointError;

use super::Agent;
use crate::connect::wait_time;
use crate::error::AgentError;
use crate::host::AgentService;
use crate::upstream::Upstream;

impl<U: Upstream> Agent<U> {
    /// Every local service, by ID.
    #[must_use]
    pub fn services(&self) -> Vec<AgentService> {
        self.inner.host.services()
    }

    /// Every local check, by ID.
    #[must_use]
    pub fn checks(&self) -> Vec<Arc<HealthCheck>> {
        self.inner.host.checks()
    }

    /// Registers a service with its sidecar, or replaces the one with its ID. With
    /// `replace_checks`, those that it had before and that are not defined again are removed.
    ///
    /// # Errors
    /// When it is not in order, not allowed, or cannot be kept.
    pub async fn register_service(
        &self,
        token: &str,
        mut definition: ServiceDefinition,
        replace_checks: bool,
    ) -> Result<(), AgentError> {
        self.check_service_register(token, &definition).await?;
        self.keep_token(&mut definition.token, token);
        self.told(self.inner.host.register_service(&definition, replace_checks)).await
    }

    /// A service, and the digest of what is shown of it. With `hash`, waits until the digest is
    /// another one or the service is gone.
    ///
    /// # Errors
    /// When the token may not see it.
    pub async fn service(
        &self,
        token: &str,
        id: &str,
        hash: &str,
        max_wait: Duration,
    ) -> Result<Option<(AgentService, String)>, AgentError> {
        let mut changes = self.inner.host.local.changes();
        let deadline = tokio::time::Instant::now() + wait_time(max_wait);
        loop {
            changes.mark_unchanged();
            let Some(service) = self.inner.host.service(id) else { return Ok(None) };
            // Looked at each time: the token may have lost its right while the caller waited.
            if !self.rights(token).await?.service_read(&service.service.name) {
                return Err(EndpointError::permission_denied().into());
            }
            let digest = service.digest();
            let waits = !hash.is_empty() && digest == hash;
            if !waits || tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Ok(Some((service, digest)));
            }
        }
    }

    /// Makes a change, and waits a little until the catalog has heard of it, as the original does:
    /// clients register and ask the catalog at once.
    async fn told(
        &self,
        change: impl Future<Output = Result<(), AgentError>>,
    ) -> Result<(), AgentError> {
        let round = self.inner.rounds.next();
        change.await?;
        if self.inner.host.local.is_dirty() {
            self.inner.rounds.ended(round).await;
        }
        Ok(())
    }

    /// Removes a service with its checks and its managed proxy; unknown ones are no error.
    ///
    /// # Errors
    /// Without an ID, or for the service of a managed proxy.
    pub async fn deregister_service(&self, token: &str, id: &str) -> Result<(), AgentError> {
        self.check_service_update(token, id).await?;
        self.told(self.inner.host.deregister_service(id)).await
    }

    /// Registers a check, or replaces the one with its ID.
    ///
    /// # Errors
    /// When it is not in order, not allowed, or cannot be kept.
    pub async fn register_check(
        &self,
        token: &str,
        mut definition: CheckDefinition,
    ) -> Result<(), AgentError> {
        self.check_check_register(token, &definition).await?;
        self.keep_token(&mut definition.token, token);
        self.told(self.inner.host.register_check(&definition)).await
    }

    /// What is registered is written to the catalog with the token that it names, or else with that
    /// of the request. The agent's own is not kept with it, so that another one takes its place.
    fn keep_token(&self, named: &mut String, of_request: &str) {
        if named.is_empty() && *of_request != *self.inner.tokens.default_token() {
            of_request.clone_into(named);
        }
    }

    /// Removes a check; unknown ones are no error.
    ///
    /// # Errors
    /// Without an ID.
    pub async fn deregister_check(&self, token: &str, id: &str) -> Result<(), AgentError> {
        self.check_check_update(token, id).await?;
        self.told(self.inner.host.deregister_check(id)).await
    }

    /// Takes an application's report about its TTL check.
    ///
    /// # Errors
    /// When there is no such check, or its state cannot be kept.
    pub async fn report_check(
        &self,
        token: &str,
        id: &str,
        status: Status,
        note: &str,
    ) -> Result<(), AgentError> {
        self.check_check_update(token, id).await?;
        self.told(self.inner.host.report_check(id, status, note)).await
    }

    /// Like [`Agent::report_check`], with the name of the status.
    ///
    /// # Errors
    /// Also when there is no such status.
    pub async fn update_check(
        &self,
        token: &str,
        id: &str,
        status: &str,
        output: &str,
    ) -> Result<(), AgentError> {
        // The original reads the status before it looks at the token.
        if Status::parse(status).is_some() {
            self.check_check_update(token, id).await?;
        }
        self.told(self.inner.host.update_check(id, status, output)).await
    }

    /// Turns maintenance mode of the node on or off.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn node_maintenance(
        &self,
        token: &str,
        enable: bool,
        reason: &str,
    ) -> Result<(), AgentError> {
        self.check_node_write(token).await?;
        self.told(self.inner.host.node_maintenance(enable, reason)).await
    }

    /// Turns maintenance mode of a service on or off.
    ///
    /// # Errors
    /// When there is no such service, or it cannot be kept.
    pub async fn service_maintenance(
        &self,
        token: &str,
        id: &str,
        enable: bool,
        reason: &str,
    ) -> Result<(), AgentError> {
        self.check_service_update(token, id).await?;
        self.told(self.inner.host.service_maintenance(id, enable, reason)).await
    }
}
