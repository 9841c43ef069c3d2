//! Whether a configuration entry is in order by itself, in the words that clients know. Whether it fits the
//! others is found out when it is written.

mod chain;
mod gateway;
mod intention;

use std::collections::HashSet;

use lictor_types::config_entry::fields::{Fields, items, part, text, texts};
use lictor_types::config_entry::{ConfigEntry, Kind};
use lictor_types::error::EndpointError;
use lictor_types::intention::WILDCARD;
use lictor_types::limits::{META_KEY_MAX, META_PAIRS_MAX, META_VALUE_MAX};
use serde_json::Value;

const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"];

fn switch(fields: &Fields, name: &str) -> bool {
    fields.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn whole(fields: &Fields, name: &str) -> i64 {
    fields.get(name).and_then(Value::as_i64).unwrap_or_default()
}

fn change_text(fields: &mut Fields, name: &str, change: impl Fn(&str) -> String) {
    if let Some(Value::String(held)) = fields.get_mut(name) {
        *held = change(held);
    }
}

fn each_item(fields: &mut Fields, name: &str, change: impl FnMut(&mut Fields)) {
    let items = fields.get_mut(name).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut).for_each(change);
}

fn upper_methods(http: &mut Fields) {
    for method in http.get_mut("Methods").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::String(held) = method {
            *held = held.to_uppercase();
        }
    }
}

/// Brings an entry into the form in which it is kept, and checks it.
///
/// # Errors
/// The first rule that it breaks.
pub(crate) fn settle(entry: &mut ConfigEntry) -> Result<(), EndpointError> {
    normalize(entry);
    check(entry).map_err(EndpointError::refused)
}

fn normalize(entry: &mut ConfigEntry) {
    let fields = &mut entry.fields;
    match entry.kind {
        Kind::ServiceDefaults => change_text(fields, "Protocol", str::to_lowercase),
        Kind::ServiceRouter => each_item(fields, "Routes", |route| {
            let http = route
                .get_mut("Match")
                .and_then(|one| one.get_mut("HTTP"))
                .and_then(Value::as_object_mut);
            http.into_iter().for_each(upper_methods);
        }),
        Kind::IngressGateway => each_item(fields, "Listeners", |listener| {
            let protocol = match text(listener, "Protocol") {
                "" => "tcp".to_owned(),
                given => given.to_lowercase(),
            };
            listener.insert("Protocol".to_owned(), protocol.into());
        }),
        Kind::ServiceIntentions => each_item(fields, "Sources", |source| {
            if text(source, "Type").is_empty() {
                source.insert("Type".to_owned(), "consul".into());
            }
            for name in ["LegacyID", "LegacyCreateTime", "LegacyUpdateTime", "Precedence"] {
                source.remove(name);
            }
            each_item(source, "Permissions", |permission| {
                let http = permission.get_mut("HTTP").and_then(Value::as_object_mut);
                http.into_iter().for_each(upper_methods);
            });
        }),
        _ => {}
    }
}

fn check(entry: &ConfigEntry) -> Result<(), String> {
    let fields = &entry.fields;
    let is_gateway = matches!(entry.kind, Kind::IngressGateway | Kind::TerminatingGateway);
    if entry.name.is_empty() && !is_gateway {
        return Err("Name is required".to_owned());
    }
    check_meta(fields)?;
    match entry.kind {
        Kind::ServiceDefaults if entry.name == WILDCARD => Err("service-defaults name must be \
             the name of a service, and not a wildcard"
            .to_owned()),
        Kind::ServiceDefaults => service_defaults(fields),
        Kind::ServiceRouter => chain::router(fields),
        Kind::ServiceSplitter => chain::splitter(&entry.name, fields),
        Kind::ServiceResolver => chain::resolver(&entry.name, fields),
        Kind::IngressGateway => gateway::ingress(fields),
        Kind::TerminatingGateway => gateway::terminating(fields),
        Kind::ServiceIntentions => intention::intentions(&entry.name, fields),
        Kind::ProxyDefaults | Kind::Mesh => Ok(()),
    }
}

fn check_meta(fields: &Fields) -> Result<(), String> {
    let Some(meta) = part(fields, "Meta") else { return Ok(()) };
    let mut problems = Vec::new();
    if meta.len() > META_PAIRS_MAX {
        problems.push(format!("Meta exceeds maximum element count {META_PAIRS_MAX}"));
    }
    for (key, value) in meta {
        if key.len() > META_KEY_MAX {
            problems.push(format!("Meta key {key:?} exceeds maximum length {META_KEY_MAX}"));
        }
        if value.as_str().is_some_and(|value| value.len() > META_VALUE_MAX) {
            problems.push(format!(
                "Meta value for key {key:?} exceeds maximum length {META_VALUE_MAX}"
            ));
        }
    }
    all(&problems)
}

/// Several problems as one text.
fn all(problems: &[String]) -> Result<(), String> {
    match problems {
        [] => Ok(()),
        [one] => Err(format!("1 error occurred:\n\t* {one}\n\n")),
        many => Err(format!("{} errors occurred:\n\t* {}\n\n", many.len(), many.join("\n\t* "))),
    }
}

fn service_defaults(fields: &Fields) -> Result<(), String> {
    let Some(upstreams) = part(fields, "UpstreamConfig") else { return Ok(()) };
    let mut problems = Vec::new();
    for one in items(upstreams, "Overrides") {
        let name = text(one, "Name");
        if name.is_empty() {
            problems.push(format!("error in upstream override for {name}: Name is required"));
        } else if name == WILDCARD {
            problems.push(format!(
                "error in upstream override for {name}: Wildcard name is not supported"
            ));
        }
    }
    if let Some(defaults) = part(upstreams, "Defaults")
        && !text(defaults, "Name").is_empty()
    {
        problems.push("error in upstream defaults: Name must be empty".to_owned());
    }
    all(&problems)
}

/// How many ways of choosing a path are used; each must begin with a slash where that is asked.
fn paths(http: &Fields, broken: impl Fn(&str, &str) -> String) -> Result<usize, String> {
    for name in ["PathExact", "PathPrefix"] {
        let path = text(http, name);
        if !path.is_empty() && !path.starts_with('/') {
            return Err(broken(name, path));
        }
    }
    let names = ["PathExact", "PathPrefix", "PathRegex"];
    Ok(names.iter().filter(|name| !text(http, name).is_empty()).count())
}

fn ways(of: &Fields, names: &[&str]) -> usize {
    names.iter().filter(|name| !text(of, name).is_empty()).count()
        + usize::from(switch(of, "Present"))
}

fn methods(http: &Fields, prefix: &str) -> Result<bool, String> {
    let mut found = HashSet::new();
    for method in texts(http, "Methods") {
        if !METHODS.contains(&method) {
            return Err(format!("{prefix}Methods contains an invalid method {method:?}"));
        }
        if !found.insert(method) {
            return Err(format!("{prefix}Methods contains {method:?} more than once"));
        }
    }
    Ok(!found.is_empty())
}

const HEADER_WAYS: [&str; 4] = ["Exact", "Regex", "Prefix", "Suffix"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(given: Value) -> String {
        let Value::Object(given) = given else { panic!("no object") };
        let mut entry = ConfigEntry::from_json(&given).unwrap();
        settle(&mut entry).map_or_else(|error| error.text, |()| String::new())
    }

    #[test]
    fn each_rule_has_its_words() {
        for (given, expected) in [
            (json!({"Kind": "service-defaults"}), "Name is required"),
            (
                json!({"Kind": "service-splitter", "Name": "web",
                    "Splits": [{"Weight": 90, "ServiceSubset": "v1"}, {"Weight": 20}]}),
                "the sum of all split weights must be 100, not 110.000000",
            ),
            (
                json!({"Kind": "service-splitter", "Name": "web",
                    "Splits": [{"Weight": 50, "Service": "web"}, {"Weight": 50}]}),
                "split destination occurs more than once: service=\"web\", subset=\"\", \
                 namespace=\"\"",
            ),
            (json!({"Kind": "service-splitter", "Name": "web"}), "no splits configured"),
            (
                json!({"Kind": "service-router", "Name": "web",
                    "Routes": [{"Match": {"HTTP": {"PathPrefix": "admin"}}}]}),
                "Route[0] PathPrefix doesn't start with '/': \"admin\"",
            ),
            (
                json!({"Kind": "service-router", "Name": "web",
                    "Routes": [{"Match": {"HTTP": {"Methods": ["get", "GET"]}}}]}),
                "Route[0] Methods contains \"GET\" more than once",
            ),
            (
                json!({"Kind": "service-router", "Name": "web",
                    "Routes": [{"Destination": {"PrefixRewrite": "/"}}]}),
                "Route[0] cannot make use of PrefixRewrite without configuring either PathExact \
                 or PathPrefix",
            ),
            (
                json!({"Kind": "service-resolver", "Name": "web", "DefaultSubset": "v1"}),
                "DefaultSubset \"v1\" is not a valid subset",
            ),
            (
                json!({"Kind": "service-resolver", "Name": "web", "ConnectTimeout": "-1s"}),
                "Bad ConnectTimeout '-1s', must be >= 0",
            ),
            (
                json!({"Kind": "service-resolver", "Name": "web", "Redirect": {}}),
                "Redirect is empty",
            ),
            (
                json!({"Kind": "service-resolver", "Name": "web", "Failover": {"*": {}}}),
                "Bad Failover[\"*\"] one of Service, ServiceSubset, Namespace, or Datacenters is \
                 required",
            ),
            (
                json!({"Kind": "service-resolver", "Name": "web",
                    "LoadBalancer": {"Policy": "fifo"}}),
                "Bad LoadBalancer policy: \"fifo\" is not supported",
            ),
            (
                json!({"Kind": "ingress-gateway", "Name": "ing",
                    "Listeners": [{"Port": 8080, "Protocol": "bogus"}]}),
                "protocol must be 'tcp', 'http', 'http2', or 'grpc'. 'bogus' is an unsupported \
                 protocol",
            ),
            (
                json!({"Kind": "ingress-gateway", "Name": "ing",
                    "Listeners": [{"Port": 1, "Services": [{"Name": "*"}]}]}),
                "Wildcard service name is only valid for protocol = 'http' (listener on port 1)",
            ),
            (
                json!({"Kind": "terminating-gateway", "Name": "t",
                    "Services": [{"Name": "a", "CertFile": "c"}]}),
                "Service \"a\" must have a CertFile, CAFile, and KeyFile specified for TLS \
                 origination",
            ),
            (
                json!({"Kind": "service-intentions", "Name": "db", "Sources": [{"Name": "web"}]}),
                "Sources[0].Action must be set to 'allow' or 'deny'",
            ),
            (
                json!({"Kind": "service-intentions", "Name": "db",
                    "Sources": [{"Name": "a", "Action": "deny"}, {"Name": "a", "Action": "allow"}]}),
                "Sources[1] defines \"a\" more than once",
            ),
            (
                json!({"Kind": "service-intentions", "Name": "db", "Sources": [
                    {"Name": "a", "Permissions": [{"Action": "allow", "HTTP": {}}]}]}),
                "Sources[0].Permissions[0].HTTP should not be empty",
            ),
        ] {
            assert_eq!(problem(given.clone()), expected, "{given}");
        }
    }

    #[test]
    fn what_is_in_order_is_brought_into_its_form() {
        for given in [
            json!({"Kind": "proxy-defaults", "Name": "any", "Config": {"protocol": "http"}}),
            json!({"Kind": "mesh"}),
            json!({"Kind": "terminating-gateway", "Services": [{"Name": "a", "CAFile": "c"}]}),
            json!({"Kind": "service-splitter", "Name": "web",
                "Splits": [{"Weight": 33.33}, {"Weight": 66.67, "ServiceSubset": "v2"}]}),
        ] {
            assert_eq!(problem(given.clone()), "", "{given}");
        }
        let given = json!({"Kind": "ingress-gateway", "Name": "i", "Listeners": [
            {"Port": 1, "Services": [{"Name": "a"}]},
            {"Port": 2, "Protocol": "HTTP", "Services": [{"Name": "a", "Hosts": ["*.b"]}]}]});
        let mut entry = ConfigEntry::from_json(given.as_object().unwrap()).unwrap();
        settle(&mut entry).unwrap();
        let protocols: Vec<_> =
            items(&entry.fields, "Listeners").map(|one| text(one, "Protocol")).collect();
        assert_eq!(protocols, ["tcp", "http"]);
    }
}
