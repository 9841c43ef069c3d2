//! The rights that changes of the catalog need.
//!
//! A registration may hold a node, a service and checks, and each part needs its own right. What
//! is in the catalog is looked at before the change is proposed, so somebody else's change may come
//! between; nodes and their services' names hardly ever change, and the original does the same.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::View;
use lictor_types::catalog::{Service, ServiceKind};
use lictor_types::command::{DeregisterRequest, RegisterRequest};
use lictor_types::error::EndpointError;

use crate::rights::need;

/// Refuses a registration for which the rights do not suffice. The request is complete.
pub(super) fn may_register(
    who: &Authorizer,
    view: &View,
    request: &RegisterRequest,
) -> Result<(), EndpointError> {
    if who.allows_everything() {
        return Ok(());
    }
    if let Some(service) = &request.service {
        need(who.service_write(&service.name))?;
        if service.kind == ServiceKind::ConnectProxy {
            need(who.service_write(destination(service)))?;
        }
    }
    let held = view.node_services(&request.node).1;
    let services = held.as_ref().map(|(_, services)| services.as_slice()).unwrap_or_default();
    let by_id = |id: &Arc<str>| services.iter().find(|one| one.id == *id);
    // A service's token need not be good for the node as long as it leaves the node as it is.
    let same = held.as_ref().is_some_and(|(node, _)| {
        request.skip_node_update
            || (*node.id == *request.id
                && node.name == request.node
                && node.address == request.address
                && node.tagged_addresses == request.tagged_addresses
                && node.meta == request.node_meta)
    });
    need(same || who.node_write(&request.node))?;
    if let Some(replaced) = request.service.as_ref().and_then(|service| by_id(&service.id)) {
        need(who.service_write(&replaced.name))?;
    }
    for check in &request.checks {
        if check.service_id.is_empty() {
            need(who.node_write(&request.node))?;
            continue;
        }
        if request.service.as_ref().is_some_and(|service| service.id == check.service_id) {
            continue;
        }
        match by_id(&check.service_id) {
            Some(service) => need(who.service_write(&service.name))?,
            None => {
                let text = format!(
                    "Unknown service '{}' for check '{}'",
                    check.service_id, check.check_id
                );
                return Err(EndpointError::refused(text));
            }
        }
    }
    Ok(())
}

/// Whose traffic a proxy takes.
fn destination(proxy: &Service) -> &str {
    match &proxy.proxy {
        Some(settings) => &settings.destination_service_name,
        None => &proxy.proxy_destination,
    }
}

/// Refuses a removal for which the rights do not suffice. Whoever may write the node may remove
/// what is on it.
pub(super) fn may_deregister(
    who: &Authorizer,
    view: &View,
    request: &DeregisterRequest,
) -> Result<(), EndpointError> {
    if who.allows_everything() || who.node_write(&request.node) {
        return Ok(());
    }
    if !request.service_id.is_empty() {
        let held = view.node_services(&request.node).1;
        let services = held.map(|(_, services)| services).unwrap_or_default();
        return match services.iter().find(|one| one.id == request.service_id) {
            Some(service) => need(who.service_write(&service.name)),
            None => {
                let text = format!("Unknown service '{}'", request.service_id);
                Err(EndpointError::refused(text))
            }
        };
    }
    if !request.check_id.is_empty() {
        let checks = view.node_checks(&request.node).1;
        return match checks.iter().find(|one| one.check_id == request.check_id) {
            Some(check) if !check.service_id.is_empty() => {
                need(who.service_write(&check.service_name))
            }
            Some(_) => Err(EndpointError::permission_denied()),
            None => Err(EndpointError::refused(format!("Unknown check '{}'", request.check_id))),
        };
    }
    Err(EndpointError::permission_denied())
}
