//! Nodes and services.

use std::sync::LazyLock;

use lictor_types::catalog::{
    CheckServiceNode, Node, NodeInfo, ProxyConfig, Service, ServiceAddress, ServiceConnect,
    ServiceNode, Upstream, Weights,
};
use lictor_types::check::HealthCheck;

use crate::field::{Kind, Row, Value, table};

/// What a service without a proxy part shows of one.
static NO_PROXY: LazyLock<ProxyConfig> = LazyLock::new(ProxyConfig::default);

fn proxy(service: &Service) -> Value<'_> {
    Value::Record(service.proxy.as_ref().unwrap_or(&NO_PROXY))
}

fn records<'a, T: Row + 'a>(list: impl Iterator<Item = &'a T> + 'a) -> Value<'a> {
    Value::Records(Box::new(list.map(|one| one as &dyn Row)))
}

table!(Node {
    "ID" Kind::Text => |node| Value::Text(&node.id),
    "Node" Kind::Text => |node| Value::Text(&node.name),
    "Address" Kind::Text => |node| Value::Text(&node.address),
    "Datacenter" Kind::Text => |node| Value::Text(&node.datacenter),
    "TaggedAddresses" Kind::TextMap => |node| Value::TextMap(&node.tagged_addresses),
    "Meta" Kind::TextMap => |node| Value::TextMap(&node.meta),
});

table!(ServiceAddress {
    "Address" Kind::Text => |address| Value::Text(&address.address),
    "Port" Kind::Number => |address| Value::Number(address.port.into()),
});

table!(Weights {
    "Passing" Kind::Number => |weights| Value::Number(weights.passing.into()),
    "Warning" Kind::Number => |weights| Value::Number(weights.warning.into()),
});

table!(ServiceConnect {
    "Native" Kind::Bool => |connect| Value::Bool(connect.native),
});

table!(Upstream {
    "DestinationType" Kind::Text => |upstream| Value::Text(&upstream.destination_type),
    "DestinationNamespace" Kind::Text => |upstream| Value::Text(&upstream.destination_namespace),
    "DestinationName" Kind::Text => |upstream| Value::Text(&upstream.destination_name),
    "Datacenter" Kind::Text => |upstream| Value::Text(&upstream.datacenter),
    "LocalBindAddress" Kind::Text => |upstream| Value::Text(&upstream.local_bind_address),
    "LocalBindPort" Kind::Number => |upstream| Value::Number(upstream.local_bind_port.into()),
});

table!(ProxyConfig {
    "DestinationServiceName" Kind::Text => |proxy| Value::Text(&proxy.destination_service_name),
    "DestinationServiceID" Kind::Text => |proxy| Value::Text(&proxy.destination_service_id),
    "LocalServiceAddress" Kind::Text => |proxy| Value::Text(&proxy.local_service_address),
    "LocalServicePort" Kind::Number => |proxy| Value::Number(proxy.local_service_port.into()),
    "Upstreams" Kind::Records(Upstream::SCHEMA) => |proxy| records(proxy.upstreams.iter()),
});

table!(Service {
    "Kind" Kind::Text => |service| Value::Text(service.kind.as_str()),
    "ID" Kind::Text => |service| Value::Text(&service.id),
    "Service" Kind::Text => |service| Value::Text(&service.name),
    "Tags" Kind::Texts => |service| Value::Texts(&service.tags),
    "Address" Kind::Text => |service| Value::Text(&service.address),
    "TaggedAddresses" Kind::RecordMap(ServiceAddress::SCHEMA) => |service| {
        Value::RecordMap(&service.tagged_addresses)
    },
    "Meta" Kind::TextMap => |service| Value::TextMap(&service.meta),
    "Port" Kind::Number => |service| Value::Number(service.port.into()),
    "Weights" Kind::Record(Weights::SCHEMA) => |service| Value::Record(&service.weights),
    "EnableTagOverride" Kind::Bool => |service| Value::Bool(service.enable_tag_override),
    "Proxy" Kind::Record(ProxyConfig::SCHEMA) => |service| proxy(service),
    "Connect" Kind::Record(ServiceConnect::SCHEMA) => |service| Value::Record(&service.connect),
});

table!(ServiceNode {
    "ID" Kind::Text => |row| Value::Text(&row.node.id),
    "Node" Kind::Text => |row| Value::Text(&row.node.name),
    "Address" Kind::Text => |row| Value::Text(&row.node.address),
    "Datacenter" Kind::Text => |row| Value::Text(&row.node.datacenter),
    "TaggedAddresses" Kind::TextMap => |row| Value::TextMap(&row.node.tagged_addresses),
    "NodeMeta" Kind::TextMap => |row| Value::TextMap(&row.node.meta),
    "ServiceKind" Kind::Text => |row| Value::Text(row.service.kind.as_str()),
    "ServiceID" Kind::Text => |row| Value::Text(&row.service.id),
    "ServiceName" Kind::Text => |row| Value::Text(&row.service.name),
    "ServiceTags" Kind::Texts => |row| Value::Texts(&row.service.tags),
    "ServiceAddress" Kind::Text => |row| Value::Text(&row.service.address),
    "ServiceTaggedAddresses" Kind::RecordMap(ServiceAddress::SCHEMA) => |row| {
        Value::RecordMap(&row.service.tagged_addresses)
    },
    "ServiceMeta" Kind::TextMap => |row| Value::TextMap(&row.service.meta),
    "ServicePort" Kind::Number => |row| Value::Number(row.service.port.into()),
    "ServiceWeights" Kind::Record(Weights::SCHEMA) => |row| Value::Record(&row.service.weights),
    "ServiceEnableTagOverride" Kind::Bool => |row| Value::Bool(row.service.enable_tag_override),
    "ServiceProxy" Kind::Record(ProxyConfig::SCHEMA) => |row| proxy(&row.service),
    "ServiceConnect" Kind::Record(ServiceConnect::SCHEMA) => |row| {
        Value::Record(&row.service.connect)
    },
});

table!(CheckServiceNode {
    "Node" Kind::Record(Node::SCHEMA) => |row| Value::Record(&*row.node),
    "Service" Kind::Record(Service::SCHEMA) => |row| Value::Record(&*row.service),
    "Checks" Kind::Records(HealthCheck::SCHEMA) => |row| {
        records(row.checks.iter().map(|check| &**check))
    },
});

table!(NodeInfo {
    "ID" Kind::Text => |row| Value::Text(&row.node.id),
    "Node" Kind::Text => |row| Value::Text(&row.node.name),
    "Address" Kind::Text => |row| Value::Text(&row.node.address),
    "TaggedAddresses" Kind::TextMap => |row| Value::TextMap(&row.node.tagged_addresses),
    "Meta" Kind::TextMap => |row| Value::TextMap(&row.node.meta),
    "Services" Kind::Records(Service::SCHEMA) => |row| {
        records(row.services.iter().map(|service| &**service))
    },
    "Checks" Kind::Records(HealthCheck::SCHEMA) => |row| {
        records(row.checks.iter().map(|check| &**check))
    },
});
