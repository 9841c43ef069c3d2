//! Gateways into the mesh and out of it.

use std::collections::HashSet;

use lictor_types::intention::WILDCARD;

use super::{Fields, items, part, switch, text, texts, whole};

pub(super) fn ingress(fields: &Fields) -> Result<(), String> {
    let encrypted = part(fields, "TLS").is_some_and(|tls| switch(tls, "Enabled"));
    let mut ports = HashSet::new();
    for listener in items(fields, "Listeners") {
        let (port, protocol) = (whole(listener, "Port"), text(listener, "Protocol"));
        if !ports.insert(port) {
            return Err(format!("port {port} declared on two listeners"));
        }
        if !matches!(protocol, "tcp" | "http" | "http2" | "grpc") {
            return Err(format!(
                "protocol must be 'tcp', 'http', 'http2', or 'grpc'. '{protocol}' is an \
                 unsupported protocol"
            ));
        }
        let services: Vec<_> = items(listener, "Services").collect();
        if services.is_empty() {
            return Err(format!("No service declared for listener with port {port}"));
        }
        if protocol != "http" && services.len() > 1 {
            return Err(format!(
                "Multiple services per listener are only supported for protocol = 'http' \
                 (listener on port {port})"
            ));
        }
        let mut hosts = HashSet::new();
        for service in services {
            ingress_service(service, protocol, port, encrypted, &mut hosts)?;
        }
    }
    Ok(())
}

fn ingress_service<'a>(
    service: &'a Fields,
    protocol: &str,
    port: i64,
    encrypted: bool,
    known: &mut HashSet<&'a str>,
) -> Result<(), String> {
    let name = text(service, "Name");
    let hosts: Vec<_> = texts(service, "Hosts").collect();
    let bad = |problem: &str| Err(format!("{problem} (listener on port {port})"));
    if protocol == "tcp" {
        if name == WILDCARD {
            return bad("Wildcard service name is only valid for protocol = 'http'");
        }
        if !hosts.is_empty() {
            return bad("Associating hosts to a service is not supported for the tcp protocol");
        }
    }
    if name.is_empty() {
        return bad("Service name cannot be blank");
    }
    if name == WILDCARD && !hosts.is_empty() {
        return bad("Associating hosts to a wildcard service is not supported");
    }
    for host in hosts {
        if !known.insert(host) {
            return bad("Hosts must be unique within a specific listener");
        }
        host_name(host, encrypted)?;
    }
    Ok(())
}

fn host_name(host: &str, encrypted: bool) -> Result<(), String> {
    if host == WILDCARD {
        return match encrypted {
            true => {
                Err("Host '*' is not allowed when TLS is enabled, all hosts must be valid DNS \
                 records to add as a DNSSAN"
                    .to_owned())
            }
            false => Ok(()),
        };
    }
    let name = host.trim_end_matches('.');
    let labels = || name.split('.');
    if name.len() > 253 || labels().any(|label| label.is_empty() || label.len() > 63) {
        return Err(format!("Host {host:?} must be a valid DNS hostname"));
    }
    if host.strip_prefix("*.").unwrap_or(host).contains('*') {
        return Err(format!(
            "Host {host:?} is not valid, a wildcard specifier is only allowed as the leftmost label"
        ));
    }
    Ok(())
}

pub(super) fn terminating(fields: &Fields) -> Result<(), String> {
    let mut known = HashSet::new();
    for service in items(fields, "Services") {
        let name = text(service, "Name");
        if name.is_empty() {
            return Err("Service name cannot be blank.".to_owned());
        }
        if !known.insert(name) {
            let text = format!("Service {name:?} was specified more than once within a namespace");
            return Err(text);
        }
        let [authority, own, key] =
            ["CAFile", "CertFile", "KeyFile"].map(|name| !text(service, name).is_empty());
        if (own || key) && !(authority && own && key) {
            return Err(format!(
                "Service {name:?} must have a CertFile, CAFile, and KeyFile specified for TLS \
                 origination"
            ));
        }
    }
    Ok(())
}
