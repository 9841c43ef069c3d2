//! The digest of a local service, by which readers wait for a change of it.
//!
//! Like the original's, it is the hash of what is shown, so that it is the same on all agents of a
//! kind and after a restart. What only this program shows is mixed in.

use std::collections::BTreeMap;

use lictor_types::catalog::{ProxyConfig, Service, ServiceAddress, ServiceKind, Upstream};
use serde_json::Value;

use super::AgentService;
use crate::structure_hash::{int, list, nil, ordered, structure, text, truth, value};

impl AgentService {
    /// A digest of everything that is shown of it.
    #[must_use]
    pub fn digest(&self) -> String {
        let managed = self.managed.as_ref().map_or(0, |managed| {
            let command = list(managed.command.iter().map(|word| text(word)));
            ordered(ordered(text(&managed.exec_mode), command), value(&managed.config))
        });
        format!("{:x}", shown(&self.service) ^ managed)
    }
}

fn shown(service: &Service) -> u64 {
    let meta = service.meta.iter();
    let meta = meta.fold(0, |all, (name, value)| all ^ ordered(text(name), text(value)));
    let weights = service.weights;
    let weights =
        [("Passing", int(weights.passing.into())), ("Warning", int(weights.warning.into()))];
    let proxy = match (&service.proxy, &service.kind) {
        (_, ServiceKind::Typical) => nil(),
        (Some(proxy), _) => self::proxy(proxy),
        // The form of 1.2 says no more.
        (None, _) => self::proxy(&ProxyConfig {
            destination_service_name: service.proxy_destination.clone(),
            ..ProxyConfig::default()
        }),
    };
    let connect = match service.connect.native {
        true => {
            structure("AgentServiceConnect", [("Native", truth(true)), ("SidecarService", nil())])
        }
        false => nil(),
    };
    structure(
        "AgentService",
        [
            ("Kind", text(service.kind.as_str())),
            ("ID", text(&service.id)),
            ("Service", text(&service.name)),
            ("Tags", list(service.tags.iter().map(|tag| text(tag)))),
            ("Meta", meta),
            ("Port", int(service.port.into())),
            ("Address", text(&service.address)),
            ("SocketPath", text(&service.socket_path)),
            ("TaggedAddresses", addresses(&service.tagged_addresses)),
            ("Weights", structure("AgentWeights", weights)),
            ("EnableTagOverride", truth(service.enable_tag_override)),
            ("CreateIndex", int(0)),
            ("ModifyIndex", int(0)),
            ("ContentHash", text("")),
            ("Proxy", proxy),
            ("Connect", connect),
        ],
    )
}

fn addresses(all: &BTreeMap<String, ServiceAddress>) -> u64 {
    all.iter().fold(0, |sum, (kind, address)| {
        let fields = [("Address", text(&address.address)), ("Port", int(address.port.into()))];
        sum ^ ordered(text(kind), structure("ServiceAddress", fields))
    })
}

fn proxy(proxy: &ProxyConfig) -> u64 {
    let transparent = match &proxy.transparent_proxy {
        Value::Object(given) if !given.is_empty() => structure(
            "TransparentProxyConfig",
            [
                ("OutboundListenerPort", int(whole(given.get("OutboundListenerPort")))),
                ("DialedDirectly", truth(yes(given.get("DialedDirectly")))),
            ],
        ),
        _ => nil(),
    };
    structure(
        "AgentServiceConnectProxyConfig",
        [
            ("DestinationServiceName", text(&proxy.destination_service_name)),
            ("DestinationServiceID", text(&proxy.destination_service_id)),
            ("LocalServiceAddress", text(&proxy.local_service_address)),
            ("LocalServicePort", int(proxy.local_service_port.into())),
            ("LocalServiceSocketPath", text("")),
            ("Mode", text(&proxy.mode)),
            ("TransparentProxy", transparent),
            ("Config", config(&proxy.config)),
            ("Upstreams", list(proxy.upstreams.iter().map(upstream))),
            ("MeshGateway", mesh_gateway(&proxy.mesh_gateway)),
            ("Expose", expose(&proxy.expose)),
        ],
    )
}

fn upstream(upstream: &Upstream) -> u64 {
    structure(
        "Upstream",
        [
            ("DestinationType", text(&upstream.destination_type)),
            ("DestinationNamespace", text(&upstream.destination_namespace)),
            ("DestinationName", text(&upstream.destination_name)),
            ("Datacenter", text(&upstream.datacenter)),
            ("LocalBindAddress", text(&upstream.local_bind_address)),
            ("LocalBindPort", int(upstream.local_bind_port.into())),
            ("LocalBindSocketPath", text("")),
            ("LocalBindSocketMode", text("")),
            ("Config", config(&upstream.config)),
            ("MeshGateway", mesh_gateway(&upstream.mesh_gateway)),
            ("CentrallyConfigured", truth(false)),
        ],
    )
}

/// A map that may not be there, which is the same as an empty one.
fn config(given: &Value) -> u64 {
    match given {
        Value::Null => 0,
        given => value(given),
    }
}

fn mesh_gateway(given: &Value) -> u64 {
    structure("MeshGatewayConfig", [("Mode", text(words(given.get("Mode"))))])
}

fn expose(given: &Value) -> u64 {
    let path = |path: &Value| {
        structure(
            "ExposePath",
            [
                ("ListenerPort", int(whole(path.get("ListenerPort")))),
                ("Path", text(words(path.get("Path")))),
                ("LocalPathPort", int(whole(path.get("LocalPathPort")))),
                ("Protocol", text(words(path.get("Protocol")))),
                ("ParsedFromCheck", truth(yes(path.get("ParsedFromCheck")))),
            ],
        )
    };
    let paths = given.get("Paths").and_then(Value::as_array);
    let paths = list(paths.into_iter().flatten().map(path));
    structure("ExposeConfig", [("Checks", truth(yes(given.get("Checks")))), ("Paths", paths)])
}

fn whole(given: Option<&Value>) -> i64 {
    given.and_then(Value::as_i64).unwrap_or_default()
}

fn yes(given: Option<&Value>) -> bool {
    given.and_then(Value::as_bool).unwrap_or_default()
}

fn words(given: Option<&Value>) -> &str {
    given.and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_original() {
        let plain = Service {
            id: "web".into(),
            name: "web".into(),
            port: 8080,
            weights: lictor_types::catalog::Weights { passing: 10, warning: 1 },
            ..Service::default()
        };
        assert_eq!(format!("{:x}", shown(&plain)), "b96217e96dae6c4c");
        let tagged = |kind: &str, address: &str, port| {
            (kind.to_owned(), ServiceAddress { address: address.into(), port })
        };
        let tagged = Service {
            id: "tagged".into(),
            name: "tagged".into(),
            port: 1,
            tagged_addresses: [tagged("lan", "10.0.0.1", 5), tagged("wan", "1.2.3.4", 6)].into(),
            ..Service::default()
        };
        assert_eq!(format!("{:x}", shown(&tagged)), "edf222517bac6799");
    }
}
