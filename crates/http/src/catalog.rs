//! `/v1/catalog`: nodes, services, registration.
//!
//! The conversion of nodes and services for all other resources is here as well.

use std::collections::BTreeMap;

use lictor_api::catalog as body;
use lictor_forward::{Wanted, WriteOptions};
use lictor_types::catalog::{
    Locality, ManagedProxy, Node, ProxyConfig, Service, ServiceAddress, ServiceConnect,
    ServiceNode, Upstream, Weights,
};
use lictor_types::command::{DeregisterRequest, RegisterRequest};

use crate::answer::{Answer, read_with_consistency};
use crate::door::{Call, Door};
use crate::error::HttpError;
use crate::health;

pub(crate) async fn datacenters(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let names = door.servers().datacenters().await?;
    Ok(Answer::json(&names, call.pretty))
}

pub(crate) async fn nodes(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let meta = call.request.query.node_meta();
    let near = door.near(call.request);
    let reply = door.servers().catalog_nodes(&options, &near, &meta).await;
    let reply = door.located(&options.datacenter, reply);
    Ok(read_with_consistency(reply, |result| {
        Answer::shared(result, call.pretty, |nodes| {
            nodes.iter().map(|one| node(one)).collect::<Vec<_>>()
        })
    }))
}

pub(crate) async fn services(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let meta = call.request.query.node_meta();
    let reply = door.servers().catalog_services(&options, &meta).await;
    let answer =
        read_with_consistency(reply, |result| Answer::shared(result, call.pretty, Clone::clone));
    Ok(answer.with_cache(call.request))
}

pub(crate) async fn service_nodes(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    instances(door, call, false).await
}

pub(crate) async fn connect_nodes(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    instances(door, call, true).await
}

async fn instances(door: &Door, call: Call<'_>, connect: bool) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let name = call.argument("Missing service name")?;
    let meta = call.request.query.node_meta();
    let tags = call.request.query.tags();
    let near = &door.near(call.request);
    let wanted = Wanted { connect, tags: &tags, passing: false, meta: &meta, near };
    let reply = door.servers().catalog_service_nodes(&options, name, &wanted).await;
    let reply = door.located(&options.datacenter, reply);
    Ok(read_with_consistency(reply, |result| {
        Answer::shared(result, call.pretty, |rows| {
            rows.iter().map(service_node).collect::<Vec<_>>()
        })
    })
    .with_cache(call.request))
}

pub(crate) async fn node_services(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let name = call.argument("Missing node name")?;
    let reply = door.servers().catalog_node_services(&options, name).await;
    let reply = door.located(&options.datacenter, reply);
    Ok(read_with_consistency(reply, |result| {
        Answer::shared(result, call.pretty, |found| {
            found.as_ref().map(|(of, services)| body::NodeServices {
                node: node(of),
                services: services.iter().map(|s| (s.id.to_string(), service(s))).collect(),
            })
        })
    }))
}

/// The same in the form of later versions, where services are a list.
pub(crate) async fn node_service_list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let name = call.argument("Missing node name")?;
    let reply = door.servers().catalog_node_services(&options, name).await;
    let reply = door.located(&options.datacenter, reply);
    Ok(read_with_consistency(reply, |result| {
        // The shared body is the other endpoint's.
        let shown = match &result.value {
            Some((of, services)) => body::NodeServiceList {
                node: Some(node(of)),
                services: Some(services.iter().map(|one| service(one)).collect()),
            },
            None => body::NodeServiceList::default(),
        };
        Answer::json(&shown, call.pretty)
    }))
}

pub(crate) async fn register(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::CatalogRegistration = call.decode()?;
    let to = WriteOptions { datacenter: given.datacenter.clone(), token: call.request.token() };
    let request = registration(given, door)?;
    door.servers().catalog_register(&to, request).await?;
    Ok(Answer::boolean(true, call.pretty))
}

pub(crate) async fn deregister(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::CatalogDeregistration = call.decode()?;
    let to = WriteOptions { datacenter: given.datacenter, token: call.request.token() };
    let request = DeregisterRequest {
        node: given.node.into(),
        service_id: given.service_id.into(),
        check_id: given.check_id.into(),
    };
    door.servers().catalog_deregister(&to, request).await?;
    Ok(Answer::boolean(true, call.pretty))
}

fn registration(
    given: body::CatalogRegistration,
    door: &Door,
) -> Result<RegisterRequest, HttpError> {
    let service = given.service.map(stored_service).transpose()?;
    let checks = given.checks.into_iter().chain(given.check).map(health::stored_check);
    Ok(RegisterRequest {
        id: given.id,
        node: given.node.into(),
        address: given.address,
        datacenter: door.datacenter().to_owned(),
        tagged_addresses: given.tagged_addresses,
        node_meta: given.node_meta,
        service,
        checks: checks.collect::<Result<_, _>>()?,
        skip_node_update: given.skip_node_update,
    })
}

/// A node as it is shown.
pub(crate) fn node(node: &Node) -> body::Node {
    body::Node {
        id: node.id.clone(),
        node: node.name.to_string(),
        address: node.address.clone(),
        datacenter: node.datacenter.clone(),
        tagged_addresses: node.tagged_addresses.clone(),
        meta: node.meta.clone(),
        create_index: node.create_index,
        modify_index: node.modify_index,
    }
}

/// A service as it is shown below its node.
pub(crate) fn service(service: &Service) -> body::Service {
    body::Service {
        kind: service.kind.as_str().to_owned(),
        id: service.id.to_string(),
        service: service.name.to_string(),
        tags: service.tags.clone(),
        address: service.address.clone(),
        tagged_addresses: tagged_addresses(&service.tagged_addresses),
        meta: service.meta.clone(),
        port: i64::from(service.port),
        socket_path: service.socket_path.clone(),
        locality: service.locality.as_ref().map(locality),
        weights: Some(weights(service.weights)),
        enable_tag_override: service.enable_tag_override,
        proxy_destination: destination(service).to_owned(),
        proxy: Some(proxy_of(service)),
        connect: connect(&service.connect),
        create_index: service.create_index,
        modify_index: service.modify_index,
    }
}

fn service_node(row: &ServiceNode) -> body::CatalogService {
    let (node, service) = (&row.node, &row.service);
    body::CatalogService {
        id: node.id.clone(),
        node: node.name.to_string(),
        address: node.address.clone(),
        datacenter: node.datacenter.clone(),
        tagged_addresses: node.tagged_addresses.clone(),
        node_meta: node.meta.clone(),
        service_kind: service.kind.as_str().to_owned(),
        service_id: service.id.to_string(),
        service_name: service.name.to_string(),
        service_tags: service.tags.clone(),
        service_address: service.address.clone(),
        service_tagged_addresses: tagged_addresses(&service.tagged_addresses),
        service_weights: Some(weights(service.weights)),
        service_meta: service.meta.clone(),
        service_port: i64::from(service.port),
        service_socket_path: service.socket_path.clone(),
        service_locality: service.locality.as_ref().map(locality),
        service_enable_tag_override: service.enable_tag_override,
        service_proxy_destination: destination(service).to_owned(),
        service_proxy: Some(proxy_of(service)),
        service_connect: connect(&service.connect),
        create_index: service.create_index,
        modify_index: service.modify_index,
    }
}

fn connect(connect: &ServiceConnect) -> body::ServiceConnect {
    body::ServiceConnect {
        native: connect.native,
        proxy: connect.proxy.as_ref().map(|proxy| body::ManagedProxy {
            command: proxy.command.clone(),
            exec_mode: proxy.exec_mode.clone(),
            config: proxy.config.clone(),
        }),
    }
}

pub(crate) fn locality(place: &Locality) -> body::Locality {
    body::Locality { region: place.region.clone(), zone: place.zone.clone() }
}

pub(crate) fn stored_locality(place: body::Locality) -> Locality {
    Locality { region: place.region, zone: place.zone }
}

/// Weights as they are shown.
pub(crate) fn weights(weights: Weights) -> body::Weights {
    body::Weights { passing: i64::from(weights.passing), warning: i64::from(weights.warning) }
}

/// The service that a proxy stands for in the terms of 1.2, whichever form it was registered in.
pub(crate) fn destination(service: &Service) -> &str {
    match &service.proxy {
        Some(proxy) if service.proxy_destination.is_empty() => &proxy.destination_service_name,
        _ => &service.proxy_destination,
    }
}

/// The proxy part in the terms of later versions, whichever form it was registered in.
pub(crate) fn proxy_of(service: &Service) -> body::ProxyConfig {
    match &service.proxy {
        Some(proxy) => self::proxy(proxy),
        None => body::ProxyConfig {
            destination_service_name: service.proxy_destination.clone(),
            ..body::ProxyConfig::default()
        },
    }
}

pub(crate) fn tagged_addresses(
    addresses: &BTreeMap<String, ServiceAddress>,
) -> BTreeMap<String, body::ServiceAddress> {
    let shown = |address: &ServiceAddress| body::ServiceAddress {
        address: address.address.clone(),
        port: i64::from(address.port),
    };
    addresses.iter().map(|(kind, address)| (kind.clone(), shown(address))).collect()
}

pub(crate) fn proxy(proxy: &ProxyConfig) -> body::ProxyConfig {
    let upstream = |upstream: &Upstream| body::Upstream {
        destination_type: upstream.destination_type.clone(),
        destination_namespace: upstream.destination_namespace.clone(),
        destination_name: upstream.destination_name.clone(),
        datacenter: upstream.datacenter.clone(),
        local_bind_address: upstream.local_bind_address.clone(),
        local_bind_port: i64::from(upstream.local_bind_port),
        config: upstream.config.clone(),
        mesh_gateway: upstream.mesh_gateway.clone(),
    };
    body::ProxyConfig {
        destination_service_name: proxy.destination_service_name.clone(),
        destination_service_id: proxy.destination_service_id.clone(),
        local_service_address: proxy.local_service_address.clone(),
        local_service_port: i64::from(proxy.local_service_port),
        config: proxy.config.clone(),
        upstreams: proxy.upstreams.iter().map(upstream).collect(),
        mode: proxy.mode.clone(),
        mesh_gateway: proxy.mesh_gateway.clone(),
        expose: proxy.expose.clone(),
        transparent_proxy: proxy.transparent_proxy.clone(),
    }
}

/// A node of a transaction; it carries the index that is compared.
pub(crate) fn stored_node(given: body::Node) -> Node {
    Node {
        id: given.id,
        name: given.node.into(),
        address: given.address,
        datacenter: given.datacenter,
        tagged_addresses: given.tagged_addresses,
        meta: given.meta,
        create_index: 0,
        modify_index: given.modify_index,
    }
}

pub(crate) fn stored_service(given: body::Service) -> Result<Service, HttpError> {
    Ok(Service {
        kind: given.kind.as_str().into(),
        id: given.id.into(),
        name: given.service.into(),
        tags: given.tags,
        address: given.address,
        tagged_addresses: stored_addresses(given.tagged_addresses)?,
        meta: given.meta,
        port: stored_port(given.port)?,
        socket_path: given.socket_path,
        locality: given.locality.map(stored_locality),
        weights: given
            .weights
            .filter(is_given)
            .map(stored_weights)
            .transpose()?
            .unwrap_or_default(),
        enable_tag_override: given.enable_tag_override,
        proxy_destination: given.proxy_destination,
        proxy: given.proxy.map(stored_proxy).transpose()?,
        connect: ServiceConnect {
            native: given.connect.native,
            proxy: given.connect.proxy.map(|proxy| ManagedProxy {
                exec_mode: proxy.exec_mode,
                command: proxy.command,
                config: proxy.config,
            }),
        },
        create_index: 0,
        modify_index: 0,
    })
}

/// Clients of later versions send the weights that nobody has set as zeros.
fn is_given(weights: &body::Weights) -> bool {
    (weights.passing, weights.warning) != (0, 0)
}

/// A port; negative ones are none, as the original takes them without a complaint.
pub(crate) fn stored_port(port: i64) -> Result<u16, HttpError> {
    u16::try_from(port.max(0))
        .map_err(|_| HttpError::bad_request(format!("Request decode failed: invalid port {port}")))
}

pub(crate) fn stored_weights(given: body::Weights) -> Result<Weights, HttpError> {
    let weight = |name: &str, weight: i64| match u32::try_from(weight) {
        Ok(weight) if weight > 0 || name == "Warning" => Ok(weight),
        _ if name == "Warning" => {
            let text = "Invalid Weights: Warning must be greater or equal than 0";
            Err(HttpError::bad_request(text))
        }
        _ => Err(HttpError::bad_request(format!("Invalid Weights: {name} must be greater than 0"))),
    };
    Ok(Weights {
        passing: weight("Passing", given.passing)?,
        warning: weight("Warning", given.warning)?,
    })
}

pub(crate) fn stored_addresses(
    given: BTreeMap<String, body::ServiceAddress>,
) -> Result<BTreeMap<String, ServiceAddress>, HttpError> {
    given
        .into_iter()
        .map(|(kind, address)| {
            let port = stored_port(address.port)?;
            Ok((kind, ServiceAddress { address: address.address, port }))
        })
        .collect()
}

pub(crate) fn stored_proxy(given: body::ProxyConfig) -> Result<ProxyConfig, HttpError> {
    let upstream = |upstream: body::Upstream| {
        Ok(Upstream {
            destination_type: upstream.destination_type,
            destination_namespace: upstream.destination_namespace,
            destination_name: upstream.destination_name,
            datacenter: upstream.datacenter,
            local_bind_address: upstream.local_bind_address,
            local_bind_port: stored_port(upstream.local_bind_port)?,
            config: upstream.config,
            mesh_gateway: upstream.mesh_gateway,
        })
    };
    Ok(ProxyConfig {
        destination_service_name: given.destination_service_name,
        destination_service_id: given.destination_service_id,
        local_service_address: given.local_service_address,
        local_service_port: stored_port(given.local_service_port)?,
        config: given.config,
        upstreams: given.upstreams.into_iter().map(upstream).collect::<Result<_, HttpError>>()?,
        mode: given.mode,
        mesh_gateway: given.mesh_gateway,
        expose: given.expose,
        transparent_proxy: given.transparent_proxy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_nobody_has_set_are_the_usual_ones() {
        let stored = |passing, warning| {
            let weights = Some(body::Weights { passing, warning });
            stored_service(body::Service { weights, ..Default::default() }).map(|s| s.weights)
        };
        assert_eq!(stored(0, 0).unwrap(), Weights::default());
        assert_eq!(stored(5, 0).unwrap(), Weights { passing: 5, warning: 0 });
        assert!(stored(0, 1).is_err());
    }

    #[test]
    fn what_later_versions_say_of_a_place_is_kept() {
        let place = body::Locality { region: "r".into(), zone: "z".into() };
        let given = body::Service {
            socket_path: "/s".into(),
            locality: Some(place.clone()),
            ..Default::default()
        };
        let shown = service(&stored_service(given).unwrap());
        assert_eq!((shown.socket_path, shown.locality), ("/s".to_owned(), Some(place)));
        let none = serde_json::to_value(service(&Service::default())).unwrap();
        assert!(none.get("SocketPath").is_none() && none.get("Locality").is_none());
    }
}
