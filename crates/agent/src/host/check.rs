//! Registering and removing checks, and taking the reports of applications.
//!
//! How checks are run is [`crate::check`]'s.

use std::sync::Arc;

use lictor_types::check::Status;
use lictor_types::definition::CheckDefinition;

use super::{Host, unix_seconds};
use crate::check::cut_end;
use crate::error::AgentError;
use crate::local::{CheckEntry, Origin};
use crate::persist::{StoredCheck, StoredState};
use crate::validate;

impl Host {
    /// Adds a check, or replaces the one with its ID, whose status is then kept.
    pub(crate) async fn register_check(
        &self,
        definition: &CheckDefinition,
    ) -> Result<(), AgentError> {
        if definition.name.is_empty() {
            return Err(AgentError::invalid("Missing check name"));
        }
        validate::check(definition)?;
        validate::scripts(std::iter::once(definition), self.enable_script_checks)?;
        let mut definition = definition.clone();
        if definition.id.is_empty() {
            definition.id.clone_from(&definition.name);
        }
        let _change = self.change.lock().await;
        self.inherit_token(&mut definition)?;
        let entry = CheckEntry::alone(&definition, Origin::Api);
        let stored =
            StoredCheck::new((*entry.check).clone(), Some(&definition), definition.token.clone());
        self.write("persisting a check", move |files| files.save_check(&stored)).await?;
        self.put_check(entry, &definition);
        Ok(())
    }

    /// A check of a service writes with the service's token unless it has one of its own.
    pub(super) fn inherit_token(&self, definition: &mut CheckDefinition) -> Result<(), AgentError> {
        if definition.service_id.is_empty() {
            return Ok(());
        }
        let Some(service) = self.local.service(&definition.service_id) else {
            let text = format!("ServiceID {:?} does not exist", definition.service_id);
            return Err(AgentError::refused(text));
        };
        if definition.token.is_empty() {
            definition.token = service.token;
        }
        Ok(())
    }

    /// Removes a check. Unknown ones are no error.
    pub(crate) async fn deregister_check(&self, id: &str) -> Result<(), AgentError> {
        if id.is_empty() {
            return Err(AgentError::refused("CheckID missing"));
        }
        let _change = self.change.lock().await;
        self.drop_check(id).await;
        Ok(())
    }

    /// Removes a check with its files; false when it is not here.
    pub(super) async fn drop_check(&self, id: &str) -> bool {
        self.checks.stop(id);
        let known = self.local.remove_check(id);
        let id = id.to_owned();
        self.try_write("removing a check's files", move |files| files.remove_check(&id)).await;
        known
    }

    /// Takes the report of an application, whose note is as long as a request line may be.
    pub(crate) async fn report_check(
        &self,
        id: &str,
        status: Status,
        output: &str,
    ) -> Result<(), AgentError> {
        let Some(timer) = self.checks.ttl(id) else {
            let text = format!("CheckID {id:?} does not have associated TTL");
            return Err(AgentError::refused(text));
        };
        timer.restart();
        self.local.update_check(id, status, output.to_owned());
        if !self.files.is_on() {
            return Ok(());
        }
        let ttl = i64::try_from(timer.ttl().as_secs()).unwrap_or(i64::MAX);
        let (local, order) = (Arc::clone(&self.local), Arc::clone(&self.state_writes));
        let id = id.to_owned();
        self.write("persisting the state of a check", move |files| {
            // Of two reports at once, whoever writes last writes what is newest.
            let _order = order.lock();
            let Some(entry) = local.check(&id) else { return Ok(()) };
            files.save_state(&StoredState {
                check_id: id,
                output: entry.check.output.clone(),
                status: entry.check.status,
                expires: unix_seconds().saturating_add(ttl),
            })
        })
        .await
    }

    /// Takes the report of an application that names the status itself.
    pub(crate) async fn update_check(
        &self,
        id: &str,
        status: &str,
        output: &str,
    ) -> Result<(), AgentError> {
        let Some(status) = Status::parse(status) else {
            return Err(AgentError::Invalid(format!("Invalid check status: '{status}'")));
        };
        self.report_check(id, status, &cut_end(output)).await
    }
}
