//! What a start brings back: the definitions of files, what requests registered earlier, and the
//! last reports of applications.
//!
//! Files win over what is kept. What is kept and cannot be brought back is reported; it stops
//! nothing. A definition in a configuration file that is not in order stops the start.

use std::collections::BTreeSet;
use std::time::Duration;

use lictor_types::check::Status;
use lictor_types::definition::{CheckDefinition, ServiceDefinition};

use super::service::Planned;
use super::sidecar::sidecar_id;
use super::{Host, by_id, unix_seconds};
use crate::config::Definitions;
use crate::error::AgentError;
use crate::local::{CheckEntry, Origin};
use crate::persist::{StoredCheck, StoredProxy, StoredService, StoredState};
use crate::validate;

/// Why definitions of configuration files were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A service.
    #[error("Failed to register service {name:?}: {error}")]
    Service {
        /// Its name.
        name: String,
        /// What is wrong.
        error: AgentError,
    },
    /// A check.
    #[error("Failed to register check '{name}': {error}")]
    Check {
        /// Its name.
        name: String,
        /// What is wrong.
        error: AgentError,
    },
}

/// Everything that the data directory has.
struct Kept {
    services: Vec<StoredService>,
    checks: Vec<StoredCheck>,
    states: Vec<StoredState>,
    proxies: Vec<StoredProxy>,
}

impl Host {
    /// Brings back everything at the start.
    pub(crate) async fn restore(&self, definitions: &Definitions) -> Result<(), RestoreError> {
        self.validate_definitions(definitions)?;
        let _change = self.change.lock().await;
        let _pause = self.pauses.pause();
        let files = self.files.clone();
        let kept = self.tasks.blocking("loading local state", move || Kept {
            services: files.services(),
            checks: files.checks(),
            states: files.states(),
            proxies: files.proxies(),
        });
        let kept = kept.await;
        let (services, checks, states, proxies) = match kept {
            Some(kept) => (kept.services, kept.checks, kept.states, kept.proxies),
            None => Default::default(),
        };
        let proxies = by_id(proxies, |proxy| proxy.target_service_id.clone());
        let mut ports = self.sidecar_ports(services.iter().map(|stored| &stored.service));
        for definition in &definitions.services {
            let failed = |error| RestoreError::Service { name: definition.name.clone(), error };
            let planned = self.plan(definition, Origin::File, &mut ports).map_err(failed)?;
            for one in planned {
                let stored = proxies.get(&*one.service.id);
                self.put_service(one, stored).await.map_err(failed)?;
            }
        }
        for stored in services {
            let proxy = proxies.get(&*stored.service.id);
            self.restore_service(stored, proxy).await;
        }
        self.put_file_checks(&definitions.checks).await?;
        for stored in checks {
            self.restore_check(stored).await;
        }
        for state in states {
            self.restore_state(state).await;
        }
        self.proxies.end_leftovers();
        Ok(())
    }

    /// Whether every definition is in order, before anything is changed.
    pub(super) fn validate_definitions(
        &self,
        definitions: &Definitions,
    ) -> Result<(), RestoreError> {
        let mut ids = BTreeSet::new();
        for definition in &definitions.services {
            let planned = Planned::new(definition, Origin::File);
            self.validate_service(definition, &planned)
                .map_err(|error| RestoreError::Service { name: definition.name.clone(), error })?;
            ids.insert(planned.service.id.to_string());
            ids.extend(definition.sidecar.as_ref().map(|_| sidecar_id(&planned.service.id)));
        }
        for definition in &definitions.checks {
            self.validate_check(definition, &ids)
                .map_err(|error| RestoreError::Check { name: definition.name.clone(), error })?;
        }
        Ok(())
    }

    fn validate_service(
        &self,
        definition: &ServiceDefinition,
        planned: &Planned,
    ) -> Result<(), AgentError> {
        validate::service(definition)?;
        if definition.managed_proxy.is_some() {
            if definition.port == 0 {
                return Err(AgentError::invalid(validate::MANAGED_NEEDS_PORT));
            }
            if definition.native {
                return Err(AgentError::invalid(
                    "Services that are Connect native may not have a proxy configuration",
                ));
            }
        }
        let of_sidecar = definition.sidecar.iter().flat_map(|sidecar| &sidecar.checks);
        validate::scripts(planned.checks.iter().chain(of_sidecar), self.enable_file_scripts)
    }

    fn validate_check(
        &self,
        definition: &CheckDefinition,
        services: &BTreeSet<String>,
    ) -> Result<(), AgentError> {
        if definition.name.is_empty() {
            return Err(AgentError::invalid("Missing check name"));
        }
        validate::check(definition)?;
        validate::scripts(std::iter::once(definition), self.enable_file_scripts)?;
        // A service that a request registered is looked for when the check is added.
        let service = &definition.service_id;
        let known = service.is_empty()
            || services.contains(service)
            || self.files.is_on()
            || self.local.service(service).is_some();
        if !known {
            let text = format!("ServiceID {service:?} does not exist");
            return Err(AgentError::refused(text));
        }
        Ok(())
    }

    /// Adds the checks that files define outside of services.
    pub(super) async fn put_file_checks(
        &self,
        checks: &[CheckDefinition],
    ) -> Result<(), RestoreError> {
        for definition in checks {
            let failed = |error| RestoreError::Check { name: definition.name.clone(), error };
            let mut definition = definition.clone();
            if definition.id.is_empty() {
                definition.id.clone_from(&definition.name);
            }
            self.inherit_token(&mut definition).map_err(failed)?;
            let id = definition.id.clone();
            self.try_write("purging a check", move |files| files.purge_check(&id)).await;
            self.put_check(CheckEntry::alone(&definition, Origin::File), &definition);
        }
        Ok(())
    }

    async fn restore_service(&self, stored: StoredService, proxy: Option<&StoredProxy>) {
        let StoredService { mut service, token, sidecar } = stored;
        let id = service.id.clone();
        if self.local.service(&id).is_some_and(|entry| entry.origin == Origin::File) {
            tracing::debug!(service = %id, "a file defines it, what was kept is purged");
            let id = id.to_string();
            self.try_write("purging a service", move |files| files.remove_service(&id)).await;
            return;
        }
        if service.connect.proxy.is_some() && !self.allow_managed_api {
            tracing::warn!(
                service = %id,
                "its managed proxy was registered by a request, which is not allowed any more"
            );
            service.connect.proxy = None;
        }
        let checks = Vec::new();
        let planned = Planned { service, token, checks, origin: Origin::Api, sidecar };
        if let Err(error) = self.put_service(planned, proxy).await {
            tracing::error!(service = %id, %error, "cannot bring back a service");
        }
    }

    async fn restore_check(&self, stored: StoredCheck) {
        let id = stored.check.check_id.clone();
        if self.local.check(&id).is_some() {
            let id = id.to_string();
            self.try_write("purging a check", move |files| files.purge_check(&id)).await;
            return;
        }
        let service = &stored.check.service_id;
        if !service.is_empty() && self.local.service(service).is_none() {
            tracing::warn!(check = %id, %service, "its service is gone, what was kept is purged");
            let id = id.to_string();
            self.try_write("purging a check", move |files| files.remove_check(&id)).await;
            return;
        }
        match stored.definition() {
            Some(definition) => {
                let scripts =
                    validate::scripts(std::iter::once(&definition), self.enable_script_checks);
                if let Err(error) = validate::check(&definition).and(scripts) {
                    tracing::warn!(check = %id, %error, "a check is not brought back");
                    return;
                }
                let entry = if stored.check.interval.is_empty() {
                    CheckEntry::defined(&definition, Origin::Api)
                } else {
                    CheckEntry::alone(&definition, Origin::Api)
                };
                self.put_check(entry, &definition);
            }
            None => {
                let mut check = stored.check;
                check.status = Status::Critical;
                check.output = String::new();
                self.local.set_check(CheckEntry::bare(check, stored.token, Origin::Api));
            }
        }
    }

    /// Brings back the last report of an application while it is good.
    async fn restore_state(&self, state: StoredState) {
        let left = state.expires.saturating_sub(unix_seconds());
        let timer = self.checks.ttl(&state.check_id);
        match (timer, u64::try_from(left)) {
            (Some(timer), Ok(left @ 1..)) => {
                timer.resume(Duration::from_secs(left));
                self.local.restore_check(&state.check_id, state.status, state.output);
            }
            _ => {
                let id = state.check_id;
                self.try_write("purging the state of a check", move |files| {
                    files.remove_state(&id)
                })
                .await;
            }
        }
    }
}
