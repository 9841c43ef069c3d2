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

#[cfg(test)]
mod tests {
    use lictor_acl::{DefaultPolicy, Rules};
    use lictor_state::Store;
    use lictor_types::check::HealthCheck;
    use lictor_types::command::Command;

    use super::*;

    fn service(id: &str, name: &str) -> Service {
        Service { id: id.into(), name: name.into(), ..Service::default() }
    }

    fn check(id: &str, service: &str) -> HealthCheck {
        HealthCheck {
            node: "n".into(),
            check_id: id.into(),
            name: id.to_owned(),
            service_id: service.into(),
            ..HealthCheck::default()
        }
    }

    fn request(service: Option<Service>, checks: Vec<HealthCheck>) -> RegisterRequest {
        RegisterRequest {
            node: "n".into(),
            address: "10.0.0.1".to_owned(),
            service,
            checks,
            ..RegisterRequest::default()
        }
    }

    /// A node `n` with the services `web` and `db`, each with a check, and one of its own.
    fn store() -> Store {
        let store = Store::new();
        let checks = vec![check("of web", "web")];
        let web = request(Some(service("web", "web")), checks);
        let db = request(Some(service("db", "db")), vec![check("of db", "db"), check("own", "")]);
        let commands = [web, db].map(|request| Command::Register(Box::new(request)));
        store.apply_batch(commands.to_vec());
        store
    }

    fn who(rules: &str) -> Authorizer {
        Authorizer::new([&Rules::parse(rules).unwrap()], DefaultPolicy::Deny)
    }

    const WEB: &str = r#"service "web" { policy = "write" }"#;
    const NODE: &str = r#"node "n" { policy = "write" }"#;

    #[test]
    fn each_part_of_a_registration_needs_its_right() {
        let store = store();
        let may = |rules: &str, request: &RegisterRequest| {
            may_register(&who(rules), &store.view(), request).map_err(|error| error.text)
        };
        let denied = || Err("Permission denied".to_owned());
        // The node is there and stays as it is.
        let web = request(Some(service("web", "web")), vec![check("new", "web")]);
        assert_eq!(may(WEB, &web), Ok(()));
        assert_eq!(may(NODE, &web), denied());
        let moved = RegisterRequest { address: "10.0.0.2".to_owned(), ..web.clone() };
        assert_eq!((may(WEB, &moved), may(&format!("{WEB} {NODE}"), &moved)), (denied(), Ok(())));
        let skipped = RegisterRequest { skip_node_update: true, ..moved };
        assert_eq!(may(WEB, &skipped), Ok(()));
        let elsewhere = RegisterRequest { node: "m".into(), ..skipped };
        assert_eq!(may(WEB, &elsewhere), denied());
        // Taking an ID over needs the right to both names.
        assert_eq!(may(WEB, &request(Some(service("db", "web")), vec![])), denied());
        // Checks: of the node, of the own service, of others, of none.
        assert_eq!(may(WEB, &request(None, vec![check("c", "")])), denied());
        assert_eq!(may(NODE, &request(None, vec![check("c", "")])), Ok(()));
        assert_eq!(may(WEB, &request(None, vec![check("c", "web")])), Ok(()));
        assert_eq!(may(WEB, &request(None, vec![check("c", "db")])), denied());
        let unknown = "Unknown service 'nosuch' for check 'c'".to_owned();
        assert_eq!(may(WEB, &request(None, vec![check("c", "nosuch")])), Err(unknown));
        // A proxy needs the right to what it stands for.
        let proxy = Service {
            kind: ServiceKind::ConnectProxy,
            proxy_destination: "db".to_owned(),
            ..service("p", "web")
        };
        assert_eq!(may(WEB, &request(Some(proxy.clone()), vec![])), denied());
        let both = format!(r#"{WEB} service "db" {{ policy = "write" }}"#);
        assert_eq!(may(&both, &request(Some(proxy), vec![])), Ok(()));
    }

    #[test]
    fn what_is_removed_needs_its_right() {
        let store = store();
        let may = |rules: &str, service: &str, check: &str| {
            let request = DeregisterRequest {
                node: "n".into(),
                service_id: service.into(),
                check_id: check.into(),
            };
            may_deregister(&who(rules), &store.view(), &request).map_err(|error| error.text)
        };
        let denied = || Err("Permission denied".to_owned());
        for (service, check) in [("", ""), ("web", ""), ("db", ""), ("", "own"), ("", "of db")] {
            assert_eq!(may(NODE, service, check), Ok(()), "{service} {check}");
        }
        assert_eq!((may(WEB, "web", ""), may(WEB, "", "of web")), (Ok(()), Ok(())));
        for (service, check) in [("", ""), ("db", ""), ("", "own"), ("", "of db")] {
            assert_eq!(may(WEB, service, check), denied(), "{service} {check}");
        }
        assert_eq!(may(WEB, "x", ""), Err("Unknown service 'x'".to_owned()));
        assert_eq!(may(WEB, "", "x"), Err("Unknown check 'x'".to_owned()));
    }
}
