//! The tables of services and checks in files, and the definitions made of their values.
//!
//! Whether a definition makes sense as a whole is the agent's matter; here only its shape is
//! looked at. Keys follow the original's version 1.2, with those of later versions that the
//! agent knows. Keys of several words are accepted without underscores as well.

use std::collections::BTreeMap;

use lictor_types::catalog::{
    Locality, ManagedProxy, ProxyConfig, ServiceAddress, ServiceKind, Upstream, Weights,
};
use lictor_types::check::Status;
use lictor_types::definition::{CheckDefinition, CheckKind, ServiceDefinition};

use super::error::ConfigError;
use super::raw::{Json, Raw};
use super::schema::{Key, Shape, bool, count, duration, int, join, list, map, opaque, text};

/// A check.
pub(crate) const CHECK: &[Key] = &[
    text("id", "ID. Default: the name.").alias(&["checkid", "check_id"]),
    text("name", "Name."),
    text("notes", "Free text."),
    text("service_id", "Service that it belongs to; empty: the node.").alias(&["serviceid"]),
    text("token", "Token of its writes to the catalog."),
    text("status", "State before the first run: passing, warning or critical (the default)."),
    list("args", "Command and its arguments.").alias(&["scriptargs", "script_args"]),
    text("http", "URL to ask."),
    Key::new("header", Shape::ListMap, "Headers of that request."),
    text("method", "Method of that request. Default: GET."),
    text("body", "Body of that request."),
    text("tcp", "host:port to connect to."),
    text("udp", "host:port of a server that answers a datagram."),
    text("grpc", "host:port, or host:port/service, to ask by the gRPC health protocol."),
    bool("grpc_use_tls", "Ask it with TLS.").alias(&["grpcusetls"]),
    text("h2ping", "host:port to ping by HTTP/2."),
    bool("h2ping_use_tls", "Ping it with TLS. Default: true.").alias(&["h2pingusetls"]),
    text("docker_container_id", "Container to run the command in.").alias(&["dockercontainerid"]),
    text("shell", "Shell inside the container."),
    bool("tls_skip_verify", "Do not check certificates.").alias(&["tlsskipverify"]),
    text("alias_node", "Node to take the state of.").alias(&["aliasnode"]),
    text("alias_service", "ID of a service to take the state of.").alias(&["aliasservice"]),
    duration("interval", "Pause between two runs."),
    duration("timeout", "Time for a run."),
    duration("ttl", "Silence after which the check is critical; makes it a TTL check."),
    duration("deregister_critical_service_after", "Remove the service after that much trouble.")
        .alias(&["deregistercriticalserviceafter"]),
    int("success_before_passing", "Good runs in a row before it passes.")
        .alias(&["successbeforepassing"]),
    int("failures_before_critical", "Bad runs in a row before it is critical.")
        .alias(&["failuresbeforecritical"]),
];

const MANAGED_PROXY: &[Key] = &[
    list("command", "Program and arguments. Default: the built-in proxy."),
    text("exec_mode", "daemon or script. Default: daemon.").alias(&["execmode"]),
    opaque("config", "Settings handed to the proxy."),
];

const UPSTREAM: &[Key] = &[
    text("destination_type", "service or prepared_query.").alias(&["destinationtype"]),
    text("destination_namespace", "Namespace.").alias(&["destinationnamespace"]),
    text("destination_name", "Name of the destination.").alias(&["destinationname"]),
    text("datacenter", "Datacenter of the destination."),
    text("local_bind_address", "Address to listen at.").alias(&["localbindaddress"]),
    int("local_bind_port", "Port to listen at.").alias(&["localbindport"]),
    opaque("config", "Settings handed to the proxy."),
    opaque("mesh_gateway", "Shown to proxies as it is.").alias(&["meshgateway"]),
];

const PROXY: &[Key] = &[
    text("destination_service_name", "Service that it stands for.")
        .alias(&["destinationservicename"]),
    text("destination_service_id", "Instance that it stands for.").alias(&["destinationserviceid"]),
    text("local_service_address", "Address of that instance.").alias(&["localserviceaddress"]),
    int("local_service_port", "Port of that instance.").alias(&["localserviceport"]),
    opaque("config", "Settings handed to the proxy."),
    Key::new("upstreams", Shape::Objects(UPSTREAM), "Destinations offered on loopback."),
    text("mode", "Shown to proxies as it is."),
    opaque("mesh_gateway", "Shown to proxies as it is.").alias(&["meshgateway"]),
    opaque("expose", "Shown to proxies as it is."),
    opaque("transparent_proxy", "Shown to proxies as it is.").alias(&["transparentproxy"]),
];

const INSTANCE: &[Key] = &[
    text("kind", "Empty, or connect-proxy."),
    text("id", "ID. Default: the name."),
    text("name", "Name."),
    list("tags", "Tags."),
    text("address", "Address. Default: the node's."),
    opaque("tagged_addresses", "Addresses by kind: objects with address and port.")
        .alias(&["taggedaddresses"]),
    map("meta", "Metadata."),
    int("port", "Port."),
    text("socket_path", "Unix socket instead of a port; shown as it is.").alias(&["socketpath"]),
    text("locality.region", "Region where it runs; shown as it is."),
    text("locality.zone", "Zone where it runs; shown as it is."),
    text("token", "Token of its writes to the catalog."),
    int("weights.passing", "Weight while its checks pass."),
    int("weights.warning", "Weight while a check warns."),
    bool("enable_tag_override", "Let others change the tags.").alias(&["enabletagoverride"]),
    Key::new("check", Shape::Object(CHECK), "A check."),
    Key::new("checks", Shape::Objects(CHECK), "Checks."),
    text("proxy_destination", "Service that a proxy of the 1.2 form stands for.")
        .alias(&["proxydestination"]),
    Key::new("proxy", Shape::Object(PROXY), "Settings of a proxy of the later form."),
    bool("connect.native", "The service speaks mutual TLS itself."),
];

const SIDECAR: Key =
    Key::new("connect.sidecar_service", Shape::Object(INSTANCE), "A sidecar to register with it.")
        .alias(&["sidecarservice"]);
const MANAGED: Key =
    Key::new("connect.proxy", Shape::Object(MANAGED_PROXY), "A proxy that the agent runs.");
const SERVICE_PARTS: &[&[Key]] = &[INSTANCE, &[MANAGED, SIDECAR]];

/// A service.
pub(crate) const SERVICE: &[Key] = &join::<{ count(SERVICE_PARTS) }>(SERVICE_PARTS);

/// The definition of a service.
pub(super) fn service(raw: &Raw) -> Result<ServiceDefinition, ConfigError> {
    let managed_proxy = raw.object("connect.proxy").map(|proxy| ManagedProxy {
        exec_mode: proxy.string("exec_mode"),
        command: proxy.list("command"),
        config: object(proxy.opaque("config")),
    });
    let sidecar = raw.object("connect.sidecar_service").map(service).transpose()?;
    let single = raw.object("check").into_iter();
    let checks = single.chain(raw.objects("checks")).map(check).collect::<Result<_, _>>()?;
    Ok(ServiceDefinition {
        kind: ServiceKind::from(raw.text("kind").unwrap_or_default()),
        id: raw.string("id"),
        name: raw.string("name"),
        tags: raw.list("tags"),
        address: raw.string("address"),
        tagged_addresses: tagged(raw)?,
        meta: raw.map("meta"),
        port: port(raw, "port")?,
        socket_path: raw.string("socket_path"),
        locality: locality(raw),
        weights: weights(raw)?,
        token: raw.string("token"),
        enable_tag_override: raw.bool("enable_tag_override").unwrap_or(false),
        checks,
        proxy_destination: raw.string("proxy_destination"),
        proxy: raw.object("proxy").map(proxy).transpose()?,
        native: raw.bool("connect.native").unwrap_or(false),
        managed_proxy,
        sidecar: sidecar.map(Box::new),
    })
}

fn locality(raw: &Raw) -> Option<Locality> {
    let (region, zone) = (raw.string("locality.region"), raw.string("locality.zone"));
    (!region.is_empty() || !zone.is_empty()).then_some(Locality { region, zone })
}

/// The definition of a check.
pub(super) fn check(raw: &Raw) -> Result<CheckDefinition, ConfigError> {
    let status = match raw.text("status") {
        None | Some("") => None,
        Some(word) => match Status::parse(word) {
            Some(status) => Some(status),
            None => {
                let text = format!(
                    "Status for checks must 'passing', 'warning', 'critical', not {word:?}"
                );
                return Err(ConfigError::at(raw.origin("status"), text));
            }
        },
    };
    for key in ["interval", "timeout", "ttl", "deregister_critical_service_after"] {
        if raw.nanos(key).is_some_and(|nanos| nanos < 0) {
            let text = format!("{key} of a check cannot be negative");
            return Err(ConfigError::at(raw.origin(key), text));
        }
    }
    Ok(CheckDefinition {
        id: raw.string("id"),
        name: raw.string("name"),
        notes: raw.string("notes"),
        service_id: raw.string("service_id"),
        token: raw.string("token"),
        status,
        kind: kind(raw)?,
        interval: raw.nanos("interval").unwrap_or(0),
        timeout: raw.nanos("timeout").unwrap_or(0),
        deregister_critical_service_after: raw
            .nanos("deregister_critical_service_after")
            .unwrap_or(0),
        success_before_passing: small(raw, "success_before_passing")?.unwrap_or(0),
        failures_before_critical: small(raw, "failures_before_critical")?.unwrap_or(0),
    })
}

/// The first kind that applies, in the order of the original.
fn kind(raw: &Raw) -> Result<CheckKind, ConfigError> {
    let given = |name: &str| raw.text(name).filter(|text| !text.is_empty());
    let tls_skip_verify = raw.bool("tls_skip_verify").unwrap_or(false);
    let args = raw.list("args");
    if let Some(ttl) = raw.nanos("ttl").filter(|ttl| *ttl > 0) {
        return Ok(CheckKind::Ttl { ttl });
    }
    if let Some(url) = given("http") {
        return Ok(CheckKind::Http {
            url: url.to_owned(),
            method: raw.string("method"),
            header: raw.lists("header"),
            body: raw.string("body"),
            tls_skip_verify,
        });
    }
    if let Some(address) = given("tcp") {
        return Ok(CheckKind::Tcp { address: address.to_owned() });
    }
    if let Some(address) = given("udp") {
        return Ok(CheckKind::Udp { address: address.to_owned() });
    }
    if let Some(target) = given("grpc") {
        let use_tls = raw.bool("grpc_use_tls").unwrap_or(false);
        return Ok(CheckKind::Grpc { target: target.to_owned(), use_tls, tls_skip_verify });
    }
    if let Some(target) = given("h2ping") {
        let use_tls = raw.bool("h2ping_use_tls").unwrap_or(true);
        return Ok(CheckKind::H2Ping { target: target.to_owned(), use_tls, tls_skip_verify });
    }
    if let Some(container) = given("docker_container_id") {
        let (container, shell) = (container.to_owned(), raw.string("shell"));
        return Ok(CheckKind::Docker { container, shell, args });
    }
    if !args.is_empty() {
        return Ok(CheckKind::Script { args });
    }
    if given("alias_node").is_some() || given("alias_service").is_some() {
        let (node, service) = (raw.string("alias_node"), raw.string("alias_service"));
        return Ok(CheckKind::Alias { node, service });
    }
    let name = given("name").or_else(|| given("id")).unwrap_or_default();
    let text = format!(
        "check {name:?} says nothing to do: it needs one of ttl, http, tcp, udp, grpc, h2ping, \
         args, docker_container_id, alias_node, alias_service"
    );
    Err(ConfigError::at(raw.iter().next().map(|(_, _, origin)| origin), text))
}

fn proxy(raw: &Raw) -> Result<ProxyConfig, ConfigError> {
    let upstream = |raw: &Raw| {
        Ok(Upstream {
            destination_type: raw.string("destination_type"),
            destination_namespace: raw.string("destination_namespace"),
            destination_name: raw.string("destination_name"),
            datacenter: raw.string("datacenter"),
            local_bind_address: raw.string("local_bind_address"),
            local_bind_port: port(raw, "local_bind_port")?,
            config: object(raw.opaque("config")),
            mesh_gateway: object(raw.opaque("mesh_gateway")),
        })
    };
    Ok(ProxyConfig {
        destination_service_name: raw.string("destination_service_name"),
        destination_service_id: raw.string("destination_service_id"),
        local_service_address: raw.string("local_service_address"),
        local_service_port: port(raw, "local_service_port")?,
        config: object(raw.opaque("config")),
        upstreams: raw
            .objects("upstreams")
            .iter()
            .map(upstream)
            .collect::<Result<_, ConfigError>>()?,
        mode: raw.string("mode"),
        mesh_gateway: object(raw.opaque("mesh_gateway")),
        expose: object(raw.opaque("expose")),
        transparent_proxy: object(raw.opaque("transparent_proxy")),
    })
}

fn object(json: Option<&Json>) -> serde_json::Value {
    json.map_or(serde_json::Value::Null, |json| serde_json::Value::Object(json.clone()))
}

/// A port of a definition: 0 to 65535.
fn port(raw: &Raw, name: &str) -> Result<u16, ConfigError> {
    let Some(number) = raw.int(name) else { return Ok(0) };
    u16::try_from(number).map_err(|_| {
        let text = format!("{name} cannot be {number}: ports go from 0 to 65535");
        ConfigError::at(raw.origin(name), text)
    })
}

fn small(raw: &Raw, name: &str) -> Result<Option<u32>, ConfigError> {
    let Some(number) = raw.int(name) else { return Ok(None) };
    u32::try_from(number)
        .map(Some)
        .map_err(|_| ConfigError::at(raw.origin(name), format!("{name} cannot be {number}")))
}

fn weights(raw: &Raw) -> Result<Option<Weights>, ConfigError> {
    let (passing, warning) = (small(raw, "weights.passing")?, small(raw, "weights.warning")?);
    let usual = Weights::default();
    Ok((passing.is_some() || warning.is_some()).then(|| Weights {
        passing: passing.unwrap_or(usual.passing),
        warning: warning.unwrap_or(usual.warning),
    }))
}

fn tagged(raw: &Raw) -> Result<BTreeMap<String, ServiceAddress>, ConfigError> {
    let mut all = BTreeMap::new();
    for (kind, value) in raw.opaque("tagged_addresses").into_iter().flatten() {
        let address = value.get("address").and_then(serde_json::Value::as_str);
        let port = match value.get("port") {
            None => Some(0),
            Some(port) => port.as_u64().and_then(|port| u16::try_from(port).ok()),
        };
        let (Some(address), Some(port)) = (address, port) else {
            let text = format!("tagged_addresses.{kind} must be an object with address and port");
            return Err(ConfigError::at(raw.origin("tagged_addresses"), text));
        };
        all.insert(kind.clone(), ServiceAddress { address: address.to_owned(), port });
    }
    Ok(all)
}
