//! How a chain is shown.

use std::time::Duration;

use lictor_api::discovery_chain as body;
use lictor_types::chain::policy::{Cookie, HashPolicy};
use lictor_types::chain::route::{Destination, HeaderMatch, HttpMatch, QueryMatch};
use lictor_types::chain::{
    CompiledChain, LoadBalancer, Node, Resolver, Route, ServiceRoute, Step, Target,
};
use lictor_types::duration;

/// A chain as it is shown.
pub(super) fn chain(chain: &CompiledChain) -> body::Chain {
    body::Chain {
        service_name: chain.service.clone(),
        namespace: chain.namespace.clone(),
        datacenter: chain.datacenter.clone(),
        customization_hash: chain.customization.clone(),
        protocol: chain.protocol.clone(),
        start_node: chain.start.clone(),
        nodes: chain.nodes.iter().map(|(key, one)| (key.clone(), node(one))).collect(),
        targets: chain.targets.iter().map(|(key, one)| (key.clone(), target(one))).collect(),
    }
}

fn node(node: &Node) -> body::Node {
    let shown = body::Node {
        kind: node.step.kind().to_owned(),
        name: node.name.clone(),
        ..body::Node::default()
    };
    match &node.step {
        Step::Router(routes) => body::Node { routes: routes.iter().map(route).collect(), ..shown },
        Step::Splitter { splits, load_balancer } => {
            let splits = splits
                .iter()
                .map(|split| body::Split { weight: split.weight, next_node: split.next.clone() });
            body::Node {
                splits: splits.collect(),
                load_balancer: load_balancer.as_ref().map(balancing),
                ..shown
            }
        }
        Step::Resolver { resolver: own, load_balancer } => body::Node {
            resolver: Some(resolver(own)),
            load_balancer: load_balancer.as_ref().map(balancing),
            ..shown
        },
    }
}

fn resolver(resolver: &Resolver) -> body::Resolver {
    let targets = resolver.failover.clone();
    body::Resolver {
        connect_timeout: text(resolver.connect_timeout),
        default: resolver.default,
        target: resolver.target.clone(),
        failover: (!targets.is_empty()).then_some(body::Failover { targets }),
    }
}

fn target(target: &Target) -> body::Target {
    body::Target {
        connect_timeout: text(target.connect_timeout),
        id: target.id.clone(),
        service: target.service.clone(),
        service_subset: target.service_subset.clone(),
        namespace: target.namespace.clone(),
        datacenter: target.datacenter.clone(),
        mesh_gateway: body::MeshGateway { mode: target.mesh_gateway.clone() },
        subset: body::Subset {
            filter: target.subset.filter.clone(),
            only_passing: target.subset.only_passing,
        },
        external: target.external,
        sni: target.sni.clone(),
        name: target.name.clone(),
    }
}

fn route(route: &Route) -> body::Route {
    body::Route {
        definition: route.definition.as_ref().map(definition),
        next_node: route.next.clone(),
    }
}

fn definition(route: &ServiceRoute) -> body::Definition {
    let matches = route
        .matches
        .as_ref()
        .map(|matches| body::RouteMatch { http: matches.http.as_ref().map(http) });
    body::Definition { matches, destination: route.destination.as_ref().map(destination) }
}

fn http(matches: &HttpMatch) -> body::HttpMatch {
    body::HttpMatch {
        path_exact: matches.path_exact.clone(),
        path_prefix: matches.path_prefix.clone(),
        path_regex: matches.path_regex.clone(),
        header: matches.header.iter().map(header).collect(),
        query_param: matches.query_param.iter().map(query_param).collect(),
        methods: matches.methods.clone(),
    }
}

fn header(matches: &HeaderMatch) -> body::HeaderMatch {
    body::HeaderMatch {
        name: matches.name.clone(),
        present: matches.present,
        exact: matches.exact.clone(),
        prefix: matches.prefix.clone(),
        suffix: matches.suffix.clone(),
        regex: matches.regex.clone(),
        invert: matches.invert,
    }
}

fn query_param(matches: &QueryMatch) -> body::QueryMatch {
    body::QueryMatch {
        name: matches.name.clone(),
        present: matches.present,
        exact: matches.exact.clone(),
        regex: matches.regex.clone(),
    }
}

fn destination(to: &Destination) -> body::Destination {
    body::Destination {
        request_timeout: text(to.request_timeout),
        service: to.service.clone(),
        service_subset: to.service_subset.clone(),
        namespace: to.namespace.clone(),
        prefix_rewrite: to.prefix_rewrite.clone(),
        num_retries: to.num_retries,
        retry_on_connect_failure: to.retry_on_connect_failure,
        retry_on_status_codes: to.retry_on_status_codes.clone(),
    }
}

fn balancing(policy: &LoadBalancer) -> body::LoadBalancer {
    let ring = policy.ring_hash.as_ref();
    let least = policy.least_request.as_ref();
    body::LoadBalancer {
        policy: policy.policy.clone(),
        ring_hash_config: ring.map(|ring| body::RingHashConfig {
            minimum_ring_size: ring.minimum_ring_size,
            maximum_ring_size: ring.maximum_ring_size,
        }),
        least_request_config: least
            .map(|least| body::LeastRequestConfig { choice_count: least.choice_count }),
        hash_policies: policy.hash_policies.iter().map(hash_policy).collect(),
    }
}

fn hash_policy(policy: &HashPolicy) -> body::HashPolicy {
    body::HashPolicy {
        field: policy.field.clone(),
        field_value: policy.field_value.clone(),
        cookie_config: policy.cookie.as_ref().map(cookie),
        source_ip: policy.source_ip,
        terminal: policy.terminal,
    }
}

fn cookie(cookie: &Cookie) -> body::CookieConfig {
    let ttl = u64::try_from(cookie.ttl.as_nanos()).unwrap_or(u64::MAX);
    body::CookieConfig { session: cookie.session, ttl, path: cookie.path.clone() }
}

/// The usual text of a duration; none for zero.
fn text(duration: Duration) -> String {
    match i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX) {
        0 => String::new(),
        nanos => duration::format(nanos),
    }
}
