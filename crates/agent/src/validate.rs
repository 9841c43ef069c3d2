//! Whether a definition can be accepted, and how what it leaves open is filled in.
//!
//! Pure: what already exists on the agent is not looked at. The texts are those of the original.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lictor_server::{Reserved, check_metadata};
use lictor_types::catalog::{
    ProxyConfig, Service, ServiceAddress, ServiceConnect, ServiceKind, StringMap, proxy_problems,
    upstream_problems,
};
use lictor_types::definition::{CheckDefinition, CheckKind, ServiceDefinition};

use crate::error::AgentError;

/// Text of the refusal of a managed proxy that would not know where to forward to.
pub(crate) const MANAGED_NEEDS_PORT: &str =
    "Services with a Connect managed proxy must have a port set";
/// Text of the refusal of a check that would run a command.
pub(crate) const SCRIPTS_DISABLED: &str = "Scripts are disabled on this agent; to enable, \
     configure 'enable_script_checks' to true";

/// Checks a service and everything inside it.
///
/// # Errors
/// With the original's text.
pub(crate) fn service(definition: &ServiceDefinition) -> Result<(), AgentError> {
    if definition.name.is_empty() {
        return Err(AgentError::invalid("Missing service name"));
    }
    if matches!(definition.address.as_str(), "0.0.0.0" | "::" | "[::]") {
        return Err(AgentError::invalid("Invalid service address"));
    }
    proxy(definition).map_err(AgentError::Invalid)?;
    metadata(&definition.meta)
        .map_err(|text| AgentError::Invalid(format!("Invalid Service Meta: {text}")))?;
    for definition in &definition.checks {
        check(definition)?;
    }
    if let Some(proxy) = &definition.managed_proxy {
        exec_mode(&proxy.exec_mode)?;
    }
    definition.sidecar.as_deref().map_or(Ok(()), sidecar)
}

/// Checks the definition of a sidecar inside that of its service.
fn sidecar(definition: &ServiceDefinition) -> Result<(), AgentError> {
    let text = if !definition.id.is_empty() {
        "A SidecarService cannot specify an ID as this is managed by the agent"
    } else if definition.sidecar.is_some() {
        "A SidecarService cannot have a nested SidecarService"
    } else if definition.managed_proxy.is_some() {
        "A SidecarService cannot have a managed proxy"
    } else {
        metadata(&definition.meta)
            .map_err(|text| AgentError::Invalid(format!("Invalid SidecarService: {text}")))?;
        let upstreams = definition.proxy.iter().flat_map(|proxy| &proxy.upstreams);
        if let Some(problem) = upstream_problems(upstreams).into_iter().next() {
            return Err(AgentError::Invalid(format!("Invalid SidecarService: {problem}")));
        }
        return definition.checks.iter().try_for_each(check);
    };
    Err(AgentError::invalid(text))
}

/// What is wrong with a service as a definition in a file: the original looks at these things
/// when it reads its configuration, and at the others when it registers the service.
#[must_use]
pub fn definition_problem(definition: &ServiceDefinition) -> Option<String> {
    if definition.managed_proxy.is_some() && definition.port == 0 {
        return Some(MANAGED_NEEDS_PORT.to_owned());
    }
    metadata(&definition.meta).err()
}

/// Checks how a check is to be run.
///
/// # Errors
/// With the original's text.
pub(crate) fn check(definition: &CheckDefinition) -> Result<(), AgentError> {
    let ttl = match definition.kind {
        CheckKind::Ttl { ttl } => Some(ttl),
        _ => None,
    };
    let text = if definition.interval > 0 && ttl.is_some_and(|ttl| ttl > 0) {
        "Interval and TTL cannot both be specified"
    } else if ttl.is_some_and(|ttl| ttl <= 0) {
        "TTL must be > 0 for TTL checks"
    } else if ttl.is_none()
        && definition.interval <= 0
        && !matches!(definition.kind, CheckKind::Alias { .. })
    {
        "Interval must be > 0 for Script, HTTP, or TCP checks"
    } else {
        return Ok(());
    };
    Err(AgentError::Invalid(format!("Invalid check: {text}")))
}

/// Refuses checks that run commands unless they are allowed.
///
/// # Errors
/// With the original's text.
pub(crate) fn scripts<'a>(
    mut checks: impl Iterator<Item = &'a CheckDefinition>,
    allowed: bool,
) -> Result<(), AgentError> {
    let runs = |check: &CheckDefinition| {
        matches!(check.kind, CheckKind::Script { .. } | CheckKind::Docker { .. })
    };
    if !allowed && checks.any(runs) {
        return Err(AgentError::refused(SCRIPTS_DISABLED));
    }
    Ok(())
}

/// Checks the name of a way to run managed proxies; empty is the default.
///
/// # Errors
/// With the original's text.
pub(crate) fn exec_mode(mode: &str) -> Result<(), AgentError> {
    match mode {
        "" | "daemon" | "script" => Ok(()),
        other => Err(AgentError::Invalid(format!("invalid exec mode: {other}"))),
    }
}

/// Checks metadata of a service (or node, without its reserved pairs).
///
/// # Errors
/// The reason, without a prefix.
pub(crate) fn metadata(meta: &StringMap) -> Result<(), String> {
    check_metadata(meta, Reserved::Refused)
}

fn proxy(definition: &ServiceDefinition) -> Result<(), String> {
    if definition.kind != ServiceKind::ConnectProxy {
        return Ok(());
    }
    let (destination, upstreams) = match &definition.proxy {
        Some(proxy) => (&proxy.destination_service_name, &proxy.upstreams[..]),
        None => (&definition.proxy_destination, &[][..]),
    };
    proxy_problems(destination, definition.port, definition.native, upstreams).map_or(Ok(()), Err)
}

/// Addresses by kind with those that follow from a service's own address.
fn addresses(definition: &ServiceDefinition) -> BTreeMap<String, ServiceAddress> {
    let mut all = definition.tagged_addresses.clone();
    let kinds = match definition.address.parse() {
        Ok(IpAddr::V4(_)) => ["lan_ipv4", "wan_ipv4"],
        Ok(IpAddr::V6(_)) => ["lan_ipv6", "wan_ipv6"],
        Err(_) => return all,
    };
    for kind in kinds {
        let own = ServiceAddress { address: definition.address.clone(), port: definition.port };
        all.entry(kind.to_owned()).or_insert(own);
    }
    all
}

/// The proxy part of a service with what it leaves open filled in.
fn proxy_part(given: &ProxyConfig) -> ProxyConfig {
    let mut proxy = given.clone();
    for upstream in proxy.upstreams.iter_mut().filter(|one| one.destination_type.is_empty()) {
        "service".clone_into(&mut upstream.destination_type);
    }
    proxy
}

/// The catalog's form of a service.
pub(crate) fn catalog_service(definition: &ServiceDefinition) -> Service {
    let id = if definition.id.is_empty() { &definition.name } else { &definition.id };
    Service {
        kind: definition.kind.clone(),
        id: id.as_str().into(),
        name: definition.name.as_str().into(),
        tags: definition.tags.clone(),
        address: definition.address.clone(),
        tagged_addresses: addresses(definition),
        meta: definition.meta.clone(),
        port: definition.port,
        socket_path: definition.socket_path.clone(),
        locality: definition.locality.clone(),
        weights: definition.weights.unwrap_or_default(),
        enable_tag_override: definition.enable_tag_override,
        // Also in the later form, so that an archive means the same to servers of 1.2.
        proxy_destination: match &definition.proxy {
            Some(proxy) if definition.proxy_destination.is_empty() => {
                proxy.destination_service_name.clone()
            }
            _ => definition.proxy_destination.clone(),
        },
        proxy: definition.proxy.as_ref().map(proxy_part),
        connect: ServiceConnect {
            native: definition.native,
            proxy: definition.managed_proxy.clone(),
        },
        create_index: 0,
        modify_index: 0,
    }
}

/// The checks of a service with the IDs and names that they get where none is given.
pub(crate) fn service_checks(id: &str, definition: &ServiceDefinition) -> Vec<CheckDefinition> {
    let several = definition.checks.len() > 1;
    let fill = |(at, check): (usize, &CheckDefinition)| {
        let mut check = check.clone();
        if check.id.is_empty() {
            check.id = format!("service:{id}");
            if several {
                check.id.push_str(&format!(":{}", at + 1));
            }
        }
        if check.name.is_empty() {
            check.name = format!("Service '{}' check", definition.name);
        }
        if check.token.is_empty() {
            check.token.clone_from(&definition.token);
        }
        id.clone_into(&mut check.service_id);
        check
    };
    definition.checks.iter().enumerate().map(fill).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_definition, ttl};

    fn text(result: Result<(), AgentError>) -> String {
        result.unwrap_err().to_string()
    }

    fn named(name: &str) -> ServiceDefinition {
        ServiceDefinition { name: name.to_owned(), ..ServiceDefinition::default() }
    }

    #[test]
    fn services_are_refused_with_the_known_texts() {
        assert_eq!(text(service(&named(""))), "Missing service name");
        for address in ["0.0.0.0", "::", "[::]"] {
            let definition = ServiceDefinition { address: address.to_owned(), ..named("x") };
            assert_eq!(text(service(&definition)), "Invalid service address");
        }
        let definition =
            ServiceDefinition { kind: ServiceKind::ConnectProxy, native: true, ..named("x") };
        assert_eq!(
            text(service(&definition)),
            "3 error(s) occurred:\n\n* ProxyDestination must be non-empty for Connect proxy \
             services\n* Port must be set for a Connect proxy\n* A Proxy cannot also be \
             ConnectNative, only typical services"
        );
        let proxy = lictor_types::catalog::ManagedProxy {
            exec_mode: "bogus".to_owned(),
            ..Default::default()
        };
        let definition = ServiceDefinition { managed_proxy: Some(proxy), ..named("x") };
        assert_eq!(text(service(&definition)), "invalid exec mode: bogus");
        let odd = ServiceKind::Other("bogus".to_owned());
        assert_eq!(service(&ServiceDefinition { kind: odd, ..named("x") }), Ok(()));
    }

    #[test]
    fn metadata_is_checked_pair_by_pair() {
        let one = |key: &str, value: &str| StringMap::from([(key.to_owned(), value.to_owned())]);
        for (meta, expected) in [
            (one("", "v"), "Couldn't load metadata pair ('', 'v'): Key cannot be blank"),
            (
                one("a b", "v"),
                "Couldn't load metadata pair ('a b', 'v'): Key contains invalid characters",
            ),
            (
                one("consul-x", "v"),
                "Couldn't load metadata pair ('consul-x', 'v'): Key prefix 'consul-' is reserved \
                 for internal use",
            ),
        ] {
            assert_eq!(metadata(&meta).unwrap_err(), expected);
        }
        assert!(metadata(&one(&"k".repeat(129), "v")).unwrap_err().ends_with("128 characters)"));
        assert!(metadata(&one("k", &"v".repeat(513))).unwrap_err().ends_with("512 characters)"));
        assert_eq!(metadata(&one(&"k".repeat(128), &"v".repeat(512))), Ok(()));
        let many: StringMap = (0..65).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(
            metadata(&many).unwrap_err(),
            "Node metadata cannot contain more than 64 key/value pairs"
        );
    }

    #[test]
    fn checks_need_what_their_kind_needs() {
        let tcp = CheckKind::Tcp { address: "127.0.0.1:1".to_owned() };
        let with = |kind: &CheckKind, interval| CheckDefinition {
            interval,
            ..check_definition("c", kind.clone())
        };
        assert_eq!(
            text(check(&with(&tcp, 0))),
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks"
        );
        assert_eq!(check(&with(&tcp, 1)), Ok(()));
        assert_eq!(text(check(&with(&ttl(0), 1))), "Invalid check: TTL must be > 0 for TTL checks");
        assert_eq!(
            text(check(&with(&ttl(1), 1))),
            "Invalid check: Interval and TTL cannot both be specified"
        );
        assert_eq!(check(&with(&ttl(1), 0)), Ok(()));
        let alias = CheckKind::Alias { node: String::new(), service: "web".to_owned() };
        assert_eq!(check(&with(&alias, 0)), Ok(()));
    }

    #[test]
    fn script_checks_need_permission() {
        let script = check_definition("c", CheckKind::Script { args: vec!["true".to_owned()] });
        assert_eq!(text(scripts([&script].into_iter(), false)), SCRIPTS_DISABLED);
        assert_eq!(scripts([&script].into_iter(), true), Ok(()));
        assert_eq!(scripts([&check_definition("c", ttl(1))].into_iter(), false), Ok(()));
    }

    #[test]
    fn checks_of_a_service_get_ids_and_names() {
        let mut own = check_definition("mine", ttl(1));
        own.name = "named".to_owned();
        let mut open = check_definition("", ttl(1));
        open.name = String::new();
        let definition = ServiceDefinition {
            checks: vec![open.clone(), own],
            token: "secret".to_owned(),
            ..named("multi")
        };
        let checks = service_checks("m1", &definition);
        assert_eq!(
            checks.iter().map(|c| (c.id.as_str(), c.name.as_str())).collect::<Vec<_>>(),
            [("service:m1:1", "Service 'multi' check"), ("mine", "named")]
        );
        assert!(checks.iter().all(|c| c.service_id == "m1" && c.token == "secret"));
        let one = service_checks("m1", &ServiceDefinition { checks: vec![open], ..named("multi") });
        assert_eq!(one[0].id, "service:m1");
    }
}
