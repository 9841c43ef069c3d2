//! What the bearer of a token may do with this agent. It is decided here, before anything changes;
//! what then reaches the catalog is decided again by the servers, with the token of the service.
//!
//! The rules follow section A3 of the observed behaviour. The secret kept for the case that no
//! server can be asked is good for this agent alone.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_filter::Filter;
use lictor_types::catalog::Service;
use lictor_types::check::HealthCheck;
use lictor_types::definition::{CheckDefinition, ServiceDefinition};
use lictor_types::error::EndpointError;

use super::Agent;
use crate::error::AgentError;
use crate::host::{AgentService, inherited};
use crate::managed::same_secret;
use crate::members::Member;
use crate::upstream::Upstream;
use crate::validate;

/// Refuses when a right that is needed is not there.
fn need(right: bool) -> Result<(), AgentError> {
    if right { Ok(()) } else { Err(EndpointError::permission_denied().into()) }
}

fn filter_of<T: lictor_filter::Table>(text: &str) -> Result<Filter<T>, AgentError> {
    Filter::new(text).map_err(|error| AgentError::refused(error.to_string()))
}

impl<U: Upstream> Agent<U> {
    /// What the bearer of a token may do. A managed proxy's token stands for its service's.
    ///
    /// # Errors
    /// When there is no such token, or nobody can say.
    pub async fn rights(&self, token: &str) -> Result<Arc<Authorizer>, EndpointError> {
        let inner = &self.inner;
        if inner.upstream.agents_open() {
            return Ok(Arc::clone(&inner.everything));
        }
        if inner.upstream.acl_enabled() {
            let own = inner.tokens.recovery_token();
            if !own.is_empty() && same_secret(&own, token) {
                return Ok(Arc::clone(&inner.recovery));
            }
        }
        inner.upstream.authorizer(&self.actual_token(token)).await
    }

    fn node(&self) -> &str {
        &self.inner.config.node_name
    }

    /// Refuses those who may not look into this agent.
    ///
    /// # Errors
    /// `Permission denied`, or that there is no such token; the same below.
    pub async fn check_agent_read(&self, token: &str) -> Result<(), AgentError> {
        need(self.rights(token).await?.agent_read(self.node()))
    }

    /// Refuses those who may not look at what operators see.
    pub(super) async fn check_operator_read(&self, token: &str) -> Result<(), AgentError> {
        need(self.rights(token).await?.operator_read())
    }

    /// Refuses those who may not operate this agent.
    ///
    /// # Errors
    /// See [`Agent::check_agent_read`].
    pub async fn check_agent_write(&self, token: &str) -> Result<(), AgentError> {
        need(self.rights(token).await?.agent_write(self.node()))
    }

    pub(super) async fn check_node_write(&self, token: &str) -> Result<(), AgentError> {
        need(self.rights(token).await?.node_write(self.node()))
    }

    pub(super) async fn check_service_write(
        &self,
        token: &str,
        service: &str,
    ) -> Result<(), AgentError> {
        need(self.rights(token).await?.service_write(service))
    }

    /// A service needs its own name's right, and that of the one with its ID that it replaces.
    pub(super) async fn check_service_register(
        &self,
        token: &str,
        definition: &ServiceDefinition,
    ) -> Result<(), AgentError> {
        let who = self.rights(token).await?;
        if who.allows_everything() {
            return Ok(());
        }
        let service = validate::catalog_service(definition);
        self.may_place(&who, &service)?;
        // A sidecar is a service of its own, with a name that may be anything.
        match &definition.sidecar {
            Some(sidecar) => {
                let sidecar = inherited(&service, sidecar);
                self.may_place(&who, &validate::catalog_service(&sidecar))
            }
            None => Ok(()),
        }
    }

    fn may_place(&self, who: &Authorizer, service: &Service) -> Result<(), AgentError> {
        need(who.service_write(&service.name))?;
        match self.inner.host.local.service(&service.id) {
            Some(replaced) => need(who.service_write(&replaced.service.name)),
            None => Ok(()),
        }
    }

    /// The right to change a service that is here. With access control an unknown one is an
    /// error, since nobody can be said to have the right to it.
    pub(super) async fn check_service_update(
        &self,
        token: &str,
        id: &str,
    ) -> Result<(), AgentError> {
        let who = self.rights(token).await?;
        if !self.inner.upstream.acl_enabled() {
            return Ok(());
        }
        match self.inner.host.local.service(id) {
            Some(entry) => need(who.service_write(&entry.service.name)),
            None => Err(AgentError::refused(format!("Unknown service {id:?}"))),
        }
    }

    /// A check needs the right to its service or to the node, and that to the one it replaces.
    pub(super) async fn check_check_register(
        &self,
        token: &str,
        definition: &CheckDefinition,
    ) -> Result<(), AgentError> {
        let who = self.rights(token).await?;
        if who.allows_everything() {
            return Ok(());
        }
        let local = &self.inner.host.local;
        match definition.service_id.as_str() {
            "" => need(who.node_write(self.node()))?,
            id => match local.service(id) {
                Some(entry) => need(who.service_write(&entry.service.name))?,
                // That it does not exist is told when it is registered, to those who may know.
                None => need(who.node_write(self.node()))?,
            },
        }
        let id = if definition.id.is_empty() { &definition.name } else { &definition.id };
        match local.check(id) {
            Some(replaced) => need(self.may_write(&who, &replaced.check)),
            None => Ok(()),
        }
    }

    /// The right to change a check that is here; see [`Agent::check_service_update`].
    pub(super) async fn check_check_update(&self, token: &str, id: &str) -> Result<(), AgentError> {
        let who = self.rights(token).await?;
        if !self.inner.upstream.acl_enabled() {
            return Ok(());
        }
        match self.inner.host.local.check(id) {
            Some(entry) => need(self.may_write(&who, &entry.check)),
            None => Err(AgentError::refused(format!("Unknown check {id:?}"))),
        }
    }

    fn may_write(&self, who: &Authorizer, check: &HealthCheck) -> bool {
        match &*check.service_name {
            "" => who.node_write(self.node()),
            service => who.service_write(service),
        }
    }

    /// The local services that may be seen and match an expression, by ID.
    ///
    /// # Errors
    /// When there is no such token, or nobody can say; or it is no expression for services.
    pub async fn services_for(
        &self,
        token: &str,
        filter: &str,
    ) -> Result<Vec<AgentService>, AgentError> {
        let who = self.rights(token).await?;
        let filter = filter_of::<Service>(filter)?;
        let mut services = self.services();
        services.retain(|one: &AgentService| {
            who.service_read(&one.service.name) && filter.matches(&one.service)
        });
        Ok(services)
    }

    /// The local checks that may be seen and match an expression, by ID.
    ///
    /// # Errors
    /// See [`Agent::services_for`].
    pub async fn checks_for(
        &self,
        token: &str,
        filter: &str,
    ) -> Result<Vec<Arc<HealthCheck>>, AgentError> {
        let who = self.rights(token).await?;
        let filter = filter_of::<HealthCheck>(filter)?;
        let mut checks = self.checks();
        checks.retain(|check| match &*check.service_name {
            "" => who.node_read(self.node()),
            service => who.service_read(service),
        });
        filter.keep(&mut checks);
        Ok(checks)
    }

    /// The right to read about a service.
    ///
    /// # Errors
    /// See [`Agent::services_for`]; `Permission denied` without it.
    pub async fn check_service_read(&self, token: &str, name: &str) -> Result<(), AgentError> {
        need(self.rights(token).await?.service_read(name))
    }

    /// The members that may be seen.
    ///
    /// # Errors
    /// See [`Agent::services_for`].
    pub async fn members_for(
        &self,
        token: &str,
        wan: bool,
        filter: &str,
    ) -> Result<Vec<Member>, AgentError> {
        let filter = filter_of::<Member>(filter)?;
        let who = self.rights(token).await?;
        let mut members = self.members(wan).await;
        members.retain(|member| who.node_read(&member.name) && filter.matches(member));
        Ok(members)
    }
}
