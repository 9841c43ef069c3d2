//! Registering and removing services.
//!
//! Those of configuration files come through [`super::reload`] and [`super::restore`].

use std::sync::Arc;

use lictor_types::catalog::Service;
use lictor_types::definition::{CheckDefinition, ServiceDefinition};

use super::Host;
use super::sidecar::sidecar_id;
use crate::error::AgentError;
use crate::local::{CheckEntry, Origin};
use crate::managed::Derived;
use crate::persist::{StoredCheck, StoredProxy, StoredService};
use crate::validate;

/// Like the next one: worded as the caller's mistake, but told with the status of a refusal.
const MANAGED_DISALLOWED: &str =
    "Bad request: Managed proxy registration via the API is disallowed.";
const MANAGED_DEREGISTER: &str = "Bad request: Managed proxy service cannot be deregistered \
     directly. Deregister the service that has a managed proxy to automatically deregister the \
     managed proxy itself.";

/// A service that was found to be in order, with everything that comes with it.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) service: Service,
    pub(super) token: String,
    pub(super) checks: Vec<CheckDefinition>,
    pub(super) origin: Origin,
    /// It came with another service.
    pub(super) sidecar: bool,
}

impl Planned {
    pub(super) fn new(definition: &ServiceDefinition, origin: Origin) -> Self {
        let service = validate::catalog_service(definition);
        let checks = validate::service_checks(&service.id, definition);
        Self { service, token: definition.token.clone(), checks, origin, sidecar: false }
    }
}

impl Host {
    /// Adds a service with its sidecar, or replaces the one with its ID; checks that it had and
    /// that the definition does not name stay, unless checks are replaced.
    pub(crate) async fn register_service(
        &self,
        definition: &ServiceDefinition,
        replace_checks: bool,
    ) -> Result<(), AgentError> {
        validate::service(definition)?;
        if definition.managed_proxy.is_some() && !self.allow_managed_api {
            return Err(AgentError::refused(MANAGED_DISALLOWED));
        }
        let _change = self.change.lock().await;
        let _pause = self.pauses.pause();
        let mut ports = self.sidecar_ports(std::iter::empty());
        let planned = self.plan(definition, Origin::Api, &mut ports)?;
        for one in &planned {
            validate::scripts(one.checks.iter(), self.enable_script_checks)?;
            if self.proxies.is_managed(&one.service.id) {
                let id = &one.service.id;
                return Err(AgentError::refused(format!(
                    "ServiceID {id:?} belongs to a managed proxy"
                )));
            }
        }
        let mut added: Vec<Arc<str>> = Vec::new();
        for one in planned {
            let id = Arc::clone(&one.service.id);
            let is_new = self.local.service(&id).is_none();
            let checks: Vec<_> = one.checks.iter().map(|check| check.id.clone()).collect();
            if let Err(error) = self.put_service(one, None).await {
                // All or nothing.
                for id in &added {
                    self.drop_service(id).await;
                }
                return Err(error);
            }
            if replace_checks {
                self.drop_other_checks(&id, &checks).await;
            }
            added.extend(is_new.then_some(id));
        }
        Ok(())
    }

    /// Removes the checks of a service that are not among `kept`.
    async fn drop_other_checks(&self, service: &str, kept: &[String]) {
        for check in self.local.checks() {
            if *check.service_id == *service && !kept.iter().any(|id| **id == *check.check_id) {
                self.drop_check(&check.check_id).await;
            }
        }
    }

    /// Removes a service with its checks and its managed proxy. Unknown ones are no error.
    pub(crate) async fn deregister_service(&self, id: &str) -> Result<(), AgentError> {
        if id.is_empty() {
            return Err(AgentError::refused("ServiceID missing"));
        }
        let _change = self.change.lock().await;
        let _pause = self.pauses.pause();
        if self.proxies.is_managed(id) {
            return Err(AgentError::refused(MANAGED_DEREGISTER));
        }
        self.drop_service(id).await;
        Ok(())
    }

    /// Makes a service part of the state. `stored` is what its managed proxy had before.
    pub(super) async fn put_service(
        &self,
        planned: Planned,
        stored: Option<&StoredProxy>,
    ) -> Result<(), AgentError> {
        let Planned { service, token, checks, origin, sidecar } = planned;
        let id = Arc::clone(&service.id);
        let before = self.proxies.defined(&id);
        // A managed proxy writes with its service's token.
        let of_proxy = self.local.given_token(&token, origin);
        let derived = match &service.connect.proxy {
            Some(_) => Some(self.proxies.define(&service, &of_proxy, stored)?),
            None => None,
        };
        let entries: Vec<_> = checks.iter().map(|c| CheckEntry::defined(c, origin)).collect();
        let stored = StoredService { token: token.clone(), service: service.clone(), sidecar };
        let persisted = self.persist_service(stored, &checks, &entries, derived.as_ref(), origin);
        if let Err(error) = persisted.await {
            self.proxies.define_as_before(&id, before);
            return Err(error);
        }
        if derived.is_none() {
            self.drop_proxy(&id).await;
        }
        if sidecar {
            self.sidecars.lock().insert(id.clone());
        } else {
            self.sidecars.lock().remove(&id);
        }
        self.local.set_service(service, token, origin);
        for (entry, definition) in entries.into_iter().zip(&checks) {
            self.put_check(entry, definition);
        }
        if let Some(derived) = derived {
            let proxy = Arc::clone(&derived.service.id);
            // Its check is tried soon again, also when it was there before.
            self.checks.stop(&derived.check.id);
            self.local.set_service(derived.service, of_proxy, Origin::Managed);
            let entry = CheckEntry::defined(&derived.check, Origin::Managed);
            let check = Arc::clone(&entry.check.check_id);
            if self.local.set_check(entry) {
                self.checks.start(&check, &derived.check, Some(derived.eager));
            }
            tracing::debug!(service = %id, %proxy, "added a managed proxy");
            self.proxies.start(&id);
        }
        Ok(())
    }

    /// Starts a check whose service is there. One that a file defines as before goes on running.
    pub(super) fn put_check(&self, entry: CheckEntry, definition: &CheckDefinition) -> bool {
        let id = Arc::clone(&entry.check.check_id);
        let same = entry.origin == Origin::File
            && self.checks.is_running(&id)
            && self.local.check(&id).is_some_and(|old| old.definition == entry.definition);
        if same {
            return self.local.set_check(entry);
        }
        let known = self.local.set_check(entry);
        if known {
            self.checks.start(&id, definition, None);
        }
        known
    }

    /// Removes a service with everything that came with it; false when it is not here.
    pub(super) async fn drop_service(&self, id: &str) -> bool {
        let known = self.drop_one_service(id).await;
        let sidecar = sidecar_id(id);
        if known && self.sidecars.lock().contains(&*sidecar) {
            self.drop_one_service(&sidecar).await;
        }
        known
    }

    async fn drop_one_service(&self, id: &str) -> bool {
        self.sidecars.lock().remove(id);
        let Some(checks) = self.local.remove_service(id) else { return false };
        for check in &checks {
            self.checks.stop(check);
        }
        let name = id.to_owned();
        self.try_write("removing a service's files", move |files| {
            let service = files.remove_service(&name);
            checks.iter().fold(service, |result, check| result.and(files.remove_check(check)))
        })
        .await;
        self.drop_proxy(id).await;
        true
    }

    /// Removes the managed proxy of a service, if it has one.
    async fn drop_proxy(&self, target: &str) {
        let Some(proxy) = self.proxies.remove(target) else { return };
        for check in self.local.remove_service(&proxy).into_iter().flatten() {
            self.checks.stop(&check);
        }
        let target = target.to_owned();
        self.try_write("removing a managed proxy's file", move |files| files.remove_proxy(&target))
            .await;
    }

    async fn persist_service(
        &self,
        stored: StoredService,
        checks: &[CheckDefinition],
        entries: &[CheckEntry],
        derived: Option<&Derived>,
        origin: Origin,
    ) -> Result<(), AgentError> {
        if !self.files.is_on() {
            return Ok(());
        }
        if let Some(proxy) = derived.map(|derived| derived.stored.clone()) {
            // Without it, the next start gives the proxy another token and port: no reason to
            // refuse the service.
            self.try_write("persisting a managed proxy", move |files| files.save_proxy(&proxy))
                .await;
        }
        let checks: Vec<_> = checks
            .iter()
            .zip(entries)
            .map(|(definition, entry)| {
                let token = definition.token.clone();
                StoredCheck::new((*entry.check).clone(), Some(definition), token)
            })
            .collect();
        if origin == Origin::Api {
            return self
                .write("persisting a service", move |files| {
                    checks.iter().try_for_each(|check| files.save_check(check))?;
                    files.save_service(&stored)
                })
                .await;
        }
        // What a file defines needs no copy, and an old copy must not come back later.
        self.try_write("purging a service", move |files| {
            checks.iter().try_for_each(|check| files.purge_check(&check.check.check_id))?;
            files.remove_service(&stored.service.id)
        })
        .await;
        Ok(())
    }
}
