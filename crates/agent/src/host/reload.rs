//! A reload: the definitions of files take the place of those before; what requests registered
//! stays, and every check keeps its state.
//!
//! The new definitions are checked as a whole first; if they are not in order nothing changes.

use std::collections::BTreeSet;

use lictor_types::error::{EndpointError, ErrorKind};

use super::Host;
use super::service::Planned;
use crate::config::Reload;
use crate::error::AgentError;
use crate::local::Origin;

impl Host {
    /// Takes over new definitions and the few settings that can change.
    pub(crate) async fn reload(&self, reload: &Reload) -> Result<(), AgentError> {
        let refused = |error: super::RestoreError| {
            AgentError::Endpoint(EndpointError::new(ErrorKind::Internal, error.to_string()))
        };
        let _change = self.change.lock().await;
        self.validate_definitions(&reload.definitions).map_err(refused)?;
        let mut ports = self.sidecar_ports(std::iter::empty());
        let mut planned = Vec::new();
        for definition in &reload.definitions.services {
            planned.extend(self.plan(definition, Origin::File, &mut ports)?);
        }
        let _pause = self.pauses.pause();
        self.local.set_node_meta(reload.node_meta.clone());
        self.local.set_discard_output(reload.discard_check_output);
        self.drop_undefined(&planned, reload).await;
        for planned in planned {
            self.put_service(planned, None).await?;
        }
        self.put_file_checks(&reload.definitions.checks).await.map_err(refused)
    }

    /// Removes what files defined before and do not define now.
    async fn drop_undefined(&self, planned: &[Planned], reload: &Reload) {
        let services: BTreeSet<_> = planned.iter().map(|planned| &*planned.service.id).collect();
        let of_services =
            planned.iter().flat_map(|planned| planned.checks.iter().map(|check| &*check.id));
        let alone =
            reload.definitions.checks.iter().map(|check| {
                if check.id.is_empty() { check.name.as_str() } else { check.id.as_str() }
            });
        let checks: BTreeSet<_> = of_services.chain(alone).collect();
        for entry in self.local.service_entries() {
            if entry.origin == Origin::File && !services.contains(&*entry.service.id) {
                self.drop_service(&entry.service.id).await;
            }
        }
        for entry in self.local.check_entries() {
            if entry.origin == Origin::File && !checks.contains(&*entry.check.check_id) {
                self.drop_check(&entry.check.check_id).await;
            }
        }
    }
}
