//! `services register` and `services deregister`: services of the agent, from files or flags.

use lictor_api::url;
use lictor_types::catalog::ServiceAddress;
use lictor_types::definition::{CheckDefinition, CheckKind, ServiceDefinition};
use lictor_types::duration;
use serde_json::{Map, Value, json};

use super::flags::{FlagError, Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, misused, out};
use crate::config;

/// `lictor services register`.
pub(super) const REGISTER: Command = Command {
    path: "services register",
    synopsis: "Registers services with the agent",
    operands: "[options] [FILE...]",
    about: "Registers the services of configuration files, or one that flags describe, with the \
        agent. They stay until they are deregistered.",
    flags: &[
        flag("id", Kind::Text, "ID of the service. Default: its name."),
        flag("name", Kind::Text, "Name of the service."),
        flag("address", Kind::Text, "Address of the service. Default: the node's."),
        flag("port", Kind::Text, "Port of the service."),
        flag("meta", Kind::List, "Metadata, key=value; may be repeated."),
        flag("tag", Kind::List, "Tag; may be repeated."),
        flag("tagged-address", Kind::List, "Address by kind, kind=host:port; may be repeated."),
        flag("kind", Kind::Text, "Kind of the service: empty, or connect-proxy."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(register(call)),
};

/// `lictor services deregister`.
pub(super) const DEREGISTER: Command = Command {
    path: "services deregister",
    synopsis: "Deregisters services of the agent",
    operands: "[options] [FILE...]",
    about: "Deregisters the services of configuration files, or the one with an ID, from the agent.",
    flags: &[flag("id", Kind::Text, "ID of the service.")],
    client: true,
    server: true,
    run: |call| Box::pin(deregister(call)),
};

/// The service that flags describe.
fn described(call: &Call) -> Result<ServiceDefinition, FlagError> {
    let text = |name: &str| call.parsed.text_or_empty(name).to_owned();
    let bad = |name: &str, value: &str| FlagError::BadNumber {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let port = match call.parsed.text_or_empty("port") {
        "" => 0,
        port => port.parse().map_err(|_| bad("port", port))?,
    };
    let pairs = |name: &'static str| {
        call.parsed.list(name).iter().map(move |pair| {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| FlagError::not_a_pair(name, pair))?;
            Ok((key.to_owned(), value.to_owned()))
        })
    };
    let tagged = pairs("tagged-address").map(|pair: Result<_, FlagError>| {
        let (kind, address) = pair?;
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => {
                (host, port.parse().map_err(|_| bad("tagged-address", &address))?)
            }
            None => (address.as_str(), 0),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok((kind, ServiceAddress { address: host, port }))
    });
    Ok(ServiceDefinition {
        kind: text("kind").as_str().into(),
        id: text("id"),
        name: text("name"),
        address: text("address"),
        port,
        tags: call.parsed.list("tag").to_vec(),
        tagged_addresses: tagged.collect::<Result<_, _>>()?,
        meta: pairs("meta").collect::<Result<_, _>>()?,
        ..ServiceDefinition::default()
    })
}

/// Puts a value in unless it says nothing.
fn put(object: &mut Map<String, Value>, name: &str, value: Value) {
    let nothing = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(value) => !value,
    };
    if !nothing {
        object.insert(name.to_owned(), value);
    }
}

/// A definition as the API takes it.
fn registration(service: &ServiceDefinition) -> Value {
    let mut body = Map::new();
    put(&mut body, "Kind", service.kind.as_str().into());
    put(&mut body, "ID", service.id.as_str().into());
    put(&mut body, "Name", service.name.as_str().into());
    put(&mut body, "Tags", value(&service.tags));
    put(&mut body, "Address", service.address.as_str().into());
    put(&mut body, "TaggedAddresses", value(&service.tagged_addresses));
    put(&mut body, "Meta", value(&service.meta));
    put(&mut body, "Port", service.port.into());
    put(&mut body, "Weights", value(&service.weights));
    put(&mut body, "Token", service.token.as_str().into());
    put(&mut body, "EnableTagOverride", service.enable_tag_override.into());
    put(&mut body, "Checks", service.checks.iter().map(check).collect());
    put(&mut body, "ProxyDestination", service.proxy_destination.as_str().into());
    put(&mut body, "Proxy", value(&service.proxy));
    let mut connect = Map::new();
    put(&mut connect, "Native", service.native.into());
    if let Some(proxy) = &service.managed_proxy {
        // Also one without any setting of its own is one.
        connect.insert("Proxy".to_owned(), value(proxy));
    }
    if let Some(sidecar) = &service.sidecar {
        connect.insert("SidecarService".to_owned(), registration(sidecar));
    }
    put(&mut body, "Connect", Value::Object(connect));
    Value::Object(body)
}

/// A value of the domain whose names are those of the API.
fn value<T: serde::Serialize>(value: &T) -> Value {
    // Plain data of texts and numbers always is JSON.
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn check(check: &CheckDefinition) -> Value {
    let mut body = Map::new();
    let time = |nanos: i64| match nanos {
        0 => Value::Null,
        nanos => duration::format(nanos).into(),
    };
    put(&mut body, "CheckID", check.id.as_str().into());
    put(&mut body, "Name", check.name.as_str().into());
    put(&mut body, "Notes", check.notes.as_str().into());
    put(&mut body, "Token", check.token.as_str().into());
    put(&mut body, "Status", check.status.map_or(Value::Null, |status| status.as_str().into()));
    put(&mut body, "Interval", time(check.interval));
    put(&mut body, "Timeout", time(check.timeout));
    let after = time(check.deregister_critical_service_after);
    put(&mut body, "DeregisterCriticalServiceAfter", after);
    put(&mut body, "SuccessBeforePassing", check.success_before_passing.into());
    put(&mut body, "FailuresBeforeCritical", check.failures_before_critical.into());
    let fields = match &check.kind {
        CheckKind::Ttl { ttl } => json!({"TTL": time(*ttl)}),
        CheckKind::Http { url, method, header, body, tls_skip_verify } => json!({
            "HTTP": url, "Method": method, "Header": header, "Body": body,
            "TLSSkipVerify": tls_skip_verify,
        }),
        CheckKind::Tcp { address } => json!({"TCP": address}),
        CheckKind::Udp { address } => json!({"UDP": address}),
        CheckKind::Grpc { target, use_tls, tls_skip_verify } => json!({
            "GRPC": target, "GRPCUseTLS": use_tls, "TLSSkipVerify": tls_skip_verify,
        }),
        CheckKind::Docker { container, shell, args } => json!({
            "DockerContainerID": container, "Shell": shell, "Args": args,
        }),
        CheckKind::Script { args } => json!({"Args": args}),
        CheckKind::H2Ping { target, use_tls, tls_skip_verify } => json!({
            "H2PING": target, "H2PingUseTLS": use_tls, "TLSSkipVerify": tls_skip_verify,
        }),
        CheckKind::Alias { node, service } => json!({"AliasNode": node, "AliasService": service}),
    };
    if let Value::Object(fields) = fields {
        for (name, value) in fields {
            put(&mut body, &name, value);
        }
    }
    Value::Object(body)
}

async fn register(call: Call) -> Exit {
    let (files, name) = (&call.parsed.operands, call.parsed.text_or_empty("name"));
    let services = match (files.is_empty(), name.is_empty()) {
        (true, true) => {
            return fail("Service registration requires at least one argument or flags.");
        }
        (false, false) => {
            return fail("Service registration requires arguments or -id, not both.");
        }
        (true, false) => match described(&call) {
            Ok(service) => vec![service],
            Err(error) => return misused(call.command, error),
        },
        (false, true) => match config::services_of(files) {
            Ok(services) => services,
            Err(error) => return fail(format!("Error: {error}")),
        },
    };
    let client = client_or_fail!(call);
    for service in &services {
        let request = client.put("/v1/agent/service/register").json(&registration(service));
        let sent = match request {
            Ok(request) => client.call(request).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            return fail(format!("Error registering service {:?}: {error}", service.name));
        }
        out(&format!("Registered service: {}", service.name));
    }
    0
}

async fn deregister(call: Call) -> Exit {
    let (files, id) = (&call.parsed.operands, call.parsed.text_or_empty("id"));
    let ids = match (files.is_empty(), id.is_empty()) {
        (true, true) => {
            return fail("Service deregistration requires at least one argument or -id.");
        }
        (false, false) => {
            return fail("Service deregistration requires arguments or -id, not both.");
        }
        (true, false) => vec![id.to_owned()],
        (false, true) => match config::services_of(files) {
            Ok(services) => services
                .into_iter()
                .map(|service| if service.id.is_empty() { service.name } else { service.id })
                .collect(),
            Err(error) => return fail(format!("Error: {error}")),
        },
    };
    let client = client_or_fail!(call);
    for id in &ids {
        let request = client.put(&url::path("/v1/agent/service/deregister/", id));
        if let Err(error) = client.call(request).await {
            return fail(format!("Error deregistering service {id:?}: {error}"));
        }
        out(&format!("Deregistered service: {id}"));
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_becomes_a_registration() {
        let check = CheckDefinition {
            id: String::new(),
            name: "alive".into(),
            notes: String::new(),
            service_id: String::new(),
            token: String::new(),
            status: Some(lictor_types::check::Status::Passing),
            kind: CheckKind::Tcp { address: "127.0.0.1:1".into() },
            interval: 10_000_000_000,
            timeout: 0,
            deregister_critical_service_after: 0,
            success_before_passing: 0,
            failures_before_critical: 2,
        };
        let sidecar = ServiceDefinition { port: 9, ..ServiceDefinition::default() };
        let service = ServiceDefinition {
            name: "web".into(),
            port: 80,
            meta: [("k".to_owned(), "v".to_owned())].into(),
            checks: vec![check],
            sidecar: Some(Box::new(sidecar)),
            ..ServiceDefinition::default()
        };
        assert_eq!(
            registration(&service),
            json!({
                "Name": "web", "Port": 80, "Meta": {"k": "v"},
                "Checks": [{
                    "Name": "alive", "Status": "passing", "TCP": "127.0.0.1:1",
                    "Interval": "10s", "FailuresBeforeCritical": 2,
                }],
                "Connect": {"SidecarService": {"Port": 9}},
            })
        );
    }
}
