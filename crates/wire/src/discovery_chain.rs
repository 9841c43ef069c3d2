//! Discovery chains: which instances the upstream of a proxy leads to.
//!
//! Agents of version 1.10 ask for the chain of each upstream. Source: `rpc-fields-1.10.11.md`, and
//! what was recorded.

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::chain::policy::{Cookie, HashPolicy, LeastRequest, RingHash};
use lictor_types::chain::route::{Destination, HeaderMatch, HttpMatch, QueryMatch, RouteMatch};
use lictor_types::chain::{
    ChainQuery, CompiledChain, LoadBalancer, Node, Resolver, Route, ServiceRoute, Split, Step,
    Subset, Target,
};
use lictor_types::query::Reply;

use crate::record::{fields, record};
use crate::reply::data;
use crate::value::Value;
use crate::{ReadRequest, methods};

methods! {
    /// The chain of an upstream. Version 1.2 does not know it.
    Get = "DiscoveryChain.Get": ReadRequest<ChainQuery> => Reply<Option<CompiledChain>>;
}

fields! { ChainQuery {
    "EvaluateInDatacenter": evaluate_in,
    "EvaluateInNamespace" = "",
    "Name": service,
    "OverrideConnectTimeout": connect_timeout,
    "OverrideMeshGateway": mesh_gateway as Mode,
    "OverrideProtocol": protocol,
} }

data! {
    "Chain": Option<CompiledChain>;
}

record! { CompiledChain {
    "CustomizationHash": customization,
    "Datacenter": datacenter,
    "Namespace": namespace,
    "Nodes": nodes,
    "Protocol": protocol,
    "ServiceName": service,
    "StartNode": start,
    "Targets": targets,
} }

/// How gateways are used: a structure with the word for it.
struct Mode;

#[derive(Default)]
struct Gateway {
    mode: String,
}

record! { Gateway {
    "Mode": mode,
} }

impl Mode {
    fn write(mode: &String, to: &mut Writer) {
        to.map(1);
        to.raw("Mode").raw(mode);
    }

    fn read(from: &mut Reader<'_>) -> Result<String, Malformed> {
        Gateway::read(from).map(|gateway| gateway.mode)
    }
}

/// A node as it is written: what its type does not have is zero.
#[derive(Default)]
struct Flat {
    kind: String,
    name: String,
    routes: Vec<Route>,
    splits: Vec<Split>,
    resolver: Option<Resolver>,
    load_balancer: Option<LoadBalancer>,
}

record! { Flat {
    "LoadBalancer": load_balancer,
    "Name": name,
    "Resolver": resolver,
    "Routes": routes,
    "Splits": splits,
    "Type": kind,
} }

impl Value for Node {
    const COST: usize = size_of::<Flat>();

    fn write(&self, to: &mut Writer) {
        let Self { name, step } = self.clone();
        let mut flat = Flat { kind: step.kind().to_owned(), name, ..Flat::default() };
        match step {
            Step::Router(routes) => flat.routes = routes,
            Step::Splitter { splits, load_balancer } => {
                (flat.splits, flat.load_balancer) = (splits, load_balancer);
            }
            Step::Resolver { resolver, load_balancer } => {
                (flat.resolver, flat.load_balancer) = (Some(resolver), load_balancer);
            }
        }
        Value::write(&flat, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let Flat { kind, name, routes, splits, resolver, load_balancer } = Value::read(from)?;
        let step = match &*kind {
            "router" => Step::Router(routes),
            "splitter" => Step::Splitter { splits, load_balancer },
            // What says nothing is read as the end of a way.
            "resolver" | "" => {
                Step::Resolver { resolver: resolver.unwrap_or_default(), load_balancer }
            }
            _ => return Err(Malformed::Word),
        };
        Ok(Self { name, step })
    }
}

record! { Route {
    "Definition": definition,
    "NextNode": next,
} }

record! { Split {
    "NextNode": next,
    "Weight": weight,
} }

record! { Resolver {
    "ConnectTimeout": connect_timeout,
    "Default": default,
    "Failover": failover as Instead,
    "Target": target,
} }

/// What takes a target's place: a structure, or nothing.
struct Instead;

#[derive(Default)]
struct Targets {
    targets: Vec<String>,
}

record! { Targets {
    "Targets": targets,
} }

impl Instead {
    fn write(targets: &Vec<String>, to: &mut Writer) {
        if targets.is_empty() {
            to.nil();
        } else {
            to.map(1);
            to.raw("Targets");
            targets.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
        Targets::read(from).map(|instead| instead.targets)
    }
}

record! { Target {
    "ConnectTimeout": connect_timeout,
    "Datacenter": datacenter,
    "External": external,
    "ID": id,
    "MeshGateway": mesh_gateway as Mode,
    "Name": name,
    "Namespace": namespace,
    "SNI": sni,
    "Service": service,
    "ServiceSubset": service_subset,
    "Subset": subset,
} }

record! { Subset {
    "Filter": filter,
    "OnlyPassing": only_passing,
} }

record! { ServiceRoute {
    "Destination": destination,
    "Match": matches,
} }

record! { RouteMatch {
    "HTTP": http,
} }

record! { HttpMatch {
    "Header": header,
    "Methods": methods,
    "PathExact": path_exact,
    "PathPrefix": path_prefix,
    "PathRegex": path_regex,
    "QueryParam": query_param,
} }

record! { HeaderMatch {
    "Exact": exact,
    "Invert": invert,
    "Name": name,
    "Prefix": prefix,
    "Present": present,
    "Regex": regex,
    "Suffix": suffix,
} }

record! { QueryMatch {
    "Exact": exact,
    "Name": name,
    "Present": present,
    "Regex": regex,
} }

record! { Destination {
    "Namespace": namespace,
    "NumRetries": num_retries,
    "PrefixRewrite": prefix_rewrite,
    "RequestTimeout": request_timeout,
    "RetryOnConnectFailure": retry_on_connect_failure,
    "RetryOnStatusCodes": retry_on_status_codes,
    "Service": service,
    "ServiceSubset": service_subset,
} }

record! { LoadBalancer {
    "HashPolicies": hash_policies,
    "LeastRequestConfig": least_request,
    "Policy": policy,
    "RingHashConfig": ring_hash,
} }

record! { RingHash {
    "MaximumRingSize": maximum_ring_size,
    "MinimumRingSize": minimum_ring_size,
} }

record! { LeastRequest {
    "ChoiceCount": choice_count,
} }

record! { HashPolicy {
    "CookieConfig": cookie,
    "Field": field,
    "FieldValue": field_value,
    "SourceIP": source_ip,
    "Terminal": terminal,
} }

record! { Cookie {
    "Path": path,
    "Session": session,
    "TTL": ttl,
} }
