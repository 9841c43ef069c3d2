//! Maintenance mode: a critical check that nothing runs, for the node or for one service.
//!
//! It is kept over restarts like any check.

use std::sync::Arc;

use lictor_types::check::{HealthCheck, Status};

use super::Host;
use crate::error::AgentError;
use crate::local::{CheckEntry, Origin};
use crate::persist::StoredCheck;

const NODE_CHECK: &str = "_node_maintenance";
const SERVICE_CHECK: &str = "_service_maintenance";

impl Host {
    /// Turns maintenance mode of the node on or off; twice is once.
    pub(crate) async fn node_maintenance(
        &self,
        enable: bool,
        reason: &str,
    ) -> Result<(), AgentError> {
        let check = HealthCheck {
            check_id: NODE_CHECK.into(),
            name: "Node Maintenance Mode".to_owned(),
            notes: notes("node", reason),
            ..HealthCheck::default()
        };
        self.set_maintenance(check, String::new(), enable).await
    }

    /// Turns maintenance mode of a service on or off; twice is once.
    pub(crate) async fn service_maintenance(
        &self,
        id: &str,
        enable: bool,
        reason: &str,
    ) -> Result<(), AgentError> {
        if id.is_empty() {
            return Err(AgentError::invalid("Missing service ID"));
        }
        let Some(service) = self.local.service(id) else {
            return Err(AgentError::NotFound(format!("No service registered with ID {id:?}")));
        };
        let check = HealthCheck {
            check_id: format!("{SERVICE_CHECK}:{id}").into(),
            name: "Service Maintenance Mode".to_owned(),
            notes: notes("service", reason),
            service_id: Arc::clone(&service.service.id),
            ..HealthCheck::default()
        };
        self.set_maintenance(check, service.token, enable).await
    }

    async fn set_maintenance(
        &self,
        mut check: HealthCheck,
        token: String,
        enable: bool,
    ) -> Result<(), AgentError> {
        let _change = self.change.lock().await;
        let id = Arc::clone(&check.check_id);
        if self.local.check(&id).is_some() == enable {
            return Ok(());
        }
        if !enable {
            tracing::info!(check = %id, "left maintenance mode");
            self.drop_check(&id).await;
            return Ok(());
        }
        check.status = Status::Critical;
        "maintenance".clone_into(&mut check.kind);
        let stored = StoredCheck::new(check.clone(), None, token.clone());
        self.write("persisting maintenance mode", move |files| files.save_check(&stored)).await?;
        tracing::info!(check = %id, "entered maintenance mode");
        self.local.set_check(CheckEntry::bare(check, token, Origin::Api));
        Ok(())
    }
}

fn notes(what: &str, reason: &str) -> String {
    if reason.is_empty() {
        return format!(
            "Maintenance mode is enabled for this {what}, but no reason was provided. This is a \
             default message."
        );
    }
    reason.to_owned()
}
