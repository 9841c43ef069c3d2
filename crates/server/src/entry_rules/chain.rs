//! Routers, splitters and resolvers.

use std::collections::HashSet;

use lictor_types::intention::WILDCARD;
use serde_json::{Map, Value};

use super::{Fields, HEADER_WAYS, items, methods, part, paths, switch, text, texts, ways, whole};

/// Longest name of a subset.
const SUBSET_MAX: usize = 63;
/// The weights of a splitter together, in hundredths of a percent.
const WHOLE: i64 = 10_000;
const BALANCERS: [&str; 6] = ["", "random", "round_robin", "least_request", "ring_hash", "maglev"];

pub(super) fn router(fields: &Fields) -> Result<(), String> {
    for (at, route) in items(fields, "Routes").enumerate() {
        let mut has_path = false;
        if let Some(http) = part(route, "Match").and_then(|one| part(one, "HTTP")) {
            let count = paths(http, |name, path| {
                format!("Route[{at}] {name} doesn't start with '/': {path:?}")
            })?;
            if count > 1 {
                return Err(format!(
                    "Route[{at}] should only contain at most one of PathExact, PathPrefix, or \
                     PathRegex"
                ));
            }
            has_path = !text(http, "PathExact").is_empty() || !text(http, "PathPrefix").is_empty();
            for (of, header) in items(http, "Header").enumerate() {
                if text(header, "Name").is_empty() {
                    return Err(format!("Route[{at}] Header[{of}] missing required Name field"));
                }
                if ways(header, &HEADER_WAYS) != 1 {
                    return Err(format!(
                        "Route[{at}] Header[{of}] should only contain one of Present, Exact, \
                         Prefix, Suffix, or Regex"
                    ));
                }
            }
            for (of, parameter) in items(http, "QueryParam").enumerate() {
                if text(parameter, "Name").is_empty() {
                    let text = format!("Route[{at}] QueryParam[{of}] missing required Name field");
                    return Err(text);
                }
                if ways(parameter, &["Exact", "Regex"]) != 1 {
                    return Err(format!(
                        "Route[{at}] QueryParam[{of}] should only contain one of Present, Exact, \
                         or Regex"
                    ));
                }
            }
            methods(http, &format!("Route[{at}] "))?;
        }
        let rewrites = part(route, "Destination")
            .is_some_and(|destination| !text(destination, "PrefixRewrite").is_empty());
        if rewrites && !has_path {
            return Err(format!(
                "Route[{at}] cannot make use of PrefixRewrite without configuring either \
                 PathExact or PathPrefix"
            ));
        }
    }
    Ok(())
}

pub(super) fn splitter(name: &str, fields: &Fields) -> Result<(), String> {
    let (mut found, mut sum) = (HashSet::new(), 0);
    for split in items(fields, "Splits") {
        let service = match text(split, "Service") {
            "" => name,
            given => given,
        };
        let (subset, namespace) = (text(split, "ServiceSubset"), text(split, "Namespace"));
        if !found.insert((service, subset, namespace)) {
            return Err(format!(
                "split destination occurs more than once: service={service:?}, \
                 subset={subset:?}, namespace={namespace:?}"
            ));
        }
        let weight = split.get("Weight").and_then(Value::as_f64).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "a bounded number of hundredths")]
        let weight = (weight.clamp(-1e9, 1e9) * 100.0).round() as i64;
        sum += weight;
    }
    if found.is_empty() {
        return Err("no splits configured".to_owned());
    }
    if sum != WHOLE {
        #[expect(clippy::cast_precision_loss, reason = "shown with six digits")]
        let shown = sum as f64 / 100.0;
        return Err(format!("the sum of all split weights must be 100, not {shown:.6}"));
    }
    Ok(())
}

fn subset_name(name: &str) -> Result<(), String> {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.is_empty() {
        return Err("Subset defined with empty name".to_owned());
    }
    let problem = if name.len() > SUBSET_MAX {
        "must be non-empty and 63 characters or fewer"
    } else if name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || c == '-')
    {
        return Ok(());
    } else {
        "must be 63 characters or fewer, begin or end with lower case alphanumeric characters, \
         and contain lower case alphanumeric characters or '-' in between"
    };
    Err(format!("Subset {name:?} is invalid: {problem}"))
}

pub(super) fn resolver(name: &str, fields: &Fields) -> Result<(), String> {
    let nothing = Map::new();
    let subsets = part(fields, "Subsets").unwrap_or(&nothing);
    subsets.keys().try_for_each(|subset| subset_name(subset))?;
    let default = text(fields, "DefaultSubset");
    if !default.is_empty() && !subsets.contains_key(default) {
        return Err(format!("DefaultSubset {default:?} is not a valid subset"));
    }
    let failover = part(fields, "Failover").unwrap_or(&nothing);
    if let Some(redirect) = part(fields, "Redirect") {
        redirect_rules(name, redirect, subsets, !failover.is_empty())?;
    }
    for (subset, other) in failover {
        failover_rules(name, subset, other, subsets)?;
    }
    let timeout = whole(fields, "ConnectTimeout");
    if timeout < 0 {
        let shown = lictor_types::duration::format(timeout);
        return Err(format!("Bad ConnectTimeout '{shown}', must be >= 0"));
    }
    part(fields, "LoadBalancer").map_or(Ok(()), balancer)
}

fn redirect_rules(
    name: &str,
    redirect: &Fields,
    subsets: &Fields,
    fails_over: bool,
) -> Result<(), String> {
    if fails_over {
        return Err("Redirect and Failover cannot both be set".to_owned());
    }
    let [service, subset, namespace, datacenter] =
        ["Service", "ServiceSubset", "Namespace", "Datacenter"].map(|name| text(redirect, name));
    if [service, subset, namespace, datacenter].iter().all(|text| text.is_empty()) {
        return Err("Redirect is empty".to_owned());
    }
    if service.is_empty() {
        for (name, given) in [("ServiceSubset", subset), ("Namespace", namespace)] {
            if !given.is_empty() {
                return Err(format!("Redirect.{name} defined without Redirect.Service"));
            }
        }
    } else if service == name && !subset.is_empty() && !subsets.contains_key(subset) {
        return Err(format!(
            "Redirect.ServiceSubset {subset:?} is not a valid subset of {service:?}"
        ));
    }
    Ok(())
}

fn failover_rules(name: &str, subset: &str, other: &Value, subsets: &Fields) -> Result<(), String> {
    let none = Map::new();
    let other = other.as_object().unwrap_or(&none);
    if subset != WILDCARD && !subsets.contains_key(subset) {
        return Err(format!("Bad Failover[{subset:?}]: not a valid subset"));
    }
    let [service, to, namespace] =
        ["Service", "ServiceSubset", "Namespace"].map(|name| text(other, name));
    let datacenters: Vec<_> = texts(other, "Datacenters").collect();
    let nothing = service.is_empty() && to.is_empty() && namespace.is_empty();
    if nothing && datacenters.is_empty() && items(other, "Targets").next().is_none() {
        return Err(format!(
            "Bad Failover[{subset:?}] one of Service, ServiceSubset, Namespace, or Datacenters is \
             required"
        ));
    }
    let own = service.is_empty() || service == name;
    if !to.is_empty() && own && !subsets.contains_key(to) {
        return Err(format!(
            "Bad Failover[{subset:?}].ServiceSubset {to:?} is not a valid subset of {service:?}"
        ));
    }
    if datacenters.contains(&"") {
        return Err(format!("Bad Failover[{subset:?}].Datacenters: found empty datacenter"));
    }
    Ok(())
}

fn balancer(balancer: &Fields) -> Result<(), String> {
    let policy = text(balancer, "Policy");
    if !BALANCERS.contains(&policy) {
        return Err(format!("Bad LoadBalancer policy: {policy:?} is not supported"));
    }
    for (config, of) in [("RingHashConfig", "ring_hash"), ("LeastRequestConfig", "least_request")] {
        if policy != of && balancer.contains_key(config) {
            return Err(format!(
                "Bad LoadBalancer configuration. {config} specified for incompatible load \
                 balancing policy {policy:?}"
            ));
        }
    }
    let hashes = matches!(policy, "maglev" | "ring_hash");
    for (at, hash) in items(balancer, "HashPolicies").enumerate() {
        if !hashes {
            return Err(format!(
                "Bad LoadBalancer configuration: HashPolicies specified for non-hash-based \
                 Policy: {policy:?}"
            ));
        }
        let (field, value) = (text(hash, "Field"), text(hash, "FieldValue"));
        let bad = |problem: String| Err(format!("Bad LoadBalancer HashPolicy[{at}]: {problem}"));
        if !matches!(field, "" | "header" | "cookie" | "query_parameter") {
            return bad(format!("{field:?} is not a supported field"));
        }
        if switch(hash, "SourceIP") && !field.is_empty() {
            return bad(format!(
                "A single hash policy cannot hash both a source address and a {field:?}"
            ));
        }
        if switch(hash, "SourceIP") && !value.is_empty() {
            return bad("A FieldValue cannot be specified when hashing SourceIP".to_owned());
        }
        if !field.is_empty() && value.is_empty() {
            return bad(format!("Field {field:?} was specified without a FieldValue"));
        }
        if field.is_empty() && !value.is_empty() {
            return bad("FieldValue requires a Field to apply to".to_owned());
        }
        if let Some(cookie) = part(hash, "CookieConfig") {
            if field != "cookie" {
                return bad(format!("cookie_config provided for {field:?}"));
            }
            if switch(cookie, "Session") && whole(cookie, "TTL") != 0 {
                return bad("a session cookie cannot have an associated TTL".to_owned());
            }
        }
    }
    Ok(())
}
