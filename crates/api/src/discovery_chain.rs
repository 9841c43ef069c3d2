//! `/v1/discovery-chain`: the way from the name of a service to instances.
//!
//! Later versions than 1.2 have it; bodies have the names, the order and the null rules of 1.10.
//! What is zero is left out, but for what a chain must have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::decode::{Body, Content, Field, Fields, aliased, plain};
use crate::duration::GoDuration;

/// What one wants otherwise than the configuration has it; what is empty or zero stays.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChainOverrides {
    /// How other datacenters are reached.
    pub override_mesh_gateway: MeshGateway,
    /// What is spoken.
    pub override_protocol: String,
    /// How long a connection may take to be made: a duration, which is read apart, as what is
    /// wrong with it is told in words of its own.
    pub override_connect_timeout: Value,
}

impl ChainOverrides {
    /// How long a connection may take to be made.
    ///
    /// # Errors
    /// When that is no duration.
    pub fn connect_timeout(&self) -> Result<GoDuration, serde_json::Error> {
        match &self.override_connect_timeout {
            Value::String(text) if text.is_empty() => Ok(GoDuration(0)),
            other => GoDuration::deserialize(other),
        }
    }
}

impl Body for ChainOverrides {
    const FIELDS: &'static Fields = &Fields(&[
        Field {
            name: "OverrideMeshGateway",
            aliases: &["override_mesh_gateway"],
            content: Content::Object(&Fields(&[plain("Mode")])),
        },
        aliased("OverrideProtocol", &["override_protocol"]),
        aliased("OverrideConnectTimeout", &["override_connect_timeout"]),
    ]);
}

/// How gateways are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MeshGateway {
    /// `none`, `local`, `remote`, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChainAnswer {
    /// The chain; a server always has one.
    pub chain: Option<Chain>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Chain {
    /// The service.
    pub service_name: String,
    /// Its namespace.
    pub namespace: String,
    /// The datacenter that it was compiled in.
    pub datacenter: String,
    /// Tells chains apart that were asked for otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub customization_hash: String,
    /// What is spoken.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// Name of the node to begin with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub start_node: String,
    /// Nodes by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, Node>,
    /// Where instances come from, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<String, Target>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// `router`, `splitter` or `resolver`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Its name, without the type.
    pub name: String,
    /// Of a router.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Of a splitter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<Split>,
    /// Of a resolver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolver: Option<Resolver>,
    /// How an instance is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
}

/// A way out of a router.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Route {
    /// Which requests take it, and what happens to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<Definition>,
    /// Where it leads to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_node: String,
}

/// A route as its entry has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Definition {
    /// Which requests.
    #[serde(rename = "Match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<RouteMatch>,
    /// Where they go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
}

/// What a request must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteMatch {
    /// Of HTTP.
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpMatch>,
}

/// What a request of HTTP must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HttpMatch {
    /// The whole path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_exact: String,
    /// What the path begins with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_prefix: String,
    /// An expression for the path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_regex: String,
    /// Conditions on headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub header: Vec<HeaderMatch>,
    /// Conditions on parameters of the query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_param: Vec<QueryMatch>,
    /// Methods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
}

/// A condition on a header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HeaderMatch {
    /// The header.
    pub name: String,
    /// It is there.
    #[serde(skip_serializing_if = "is_false")]
    pub present: bool,
    /// Its value is this.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exact: String,
    /// Its value begins so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Its value ends so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// Its value matches this expression.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub regex: String,
    /// The contrary.
    #[serde(skip_serializing_if = "is_false")]
    pub invert: bool,
}

/// A condition on a parameter of the query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueryMatch {
    /// The parameter.
    pub name: String,
    /// It is there.
    #[serde(skip_serializing_if = "is_false")]
    pub present: bool,
    /// Its value is this.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exact: String,
    /// Its value matches this expression.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub regex: String,
}

/// Where requests go, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Destination {
    /// How long the whole request may take: duration text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_timeout: String,
    /// The service.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Which of its subsets.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_subset: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// What takes the place of the prefix that matched.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix_rewrite: String,
    /// How often it is tried again.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_retries: u32,
    /// Whether it is if no connection could be made.
    #[serde(skip_serializing_if = "is_false")]
    pub retry_on_connect_failure: bool,
    /// Or if the answer has one of these codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retry_on_status_codes: Vec<u32>,
}

/// A way out of a splitter.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Split {
    /// How many of a hundred.
    #[serde(skip_serializing_if = "is_nothing", serialize_with = "number")]
    pub weight: f32,
    /// Where it leads to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_node: String,
}

/// The end of a way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resolver {
    /// How long a connection may take to be made: duration text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub connect_timeout: String,
    /// Whether nobody has configured it.
    #[serde(skip_serializing_if = "is_false")]
    pub default: bool,
    /// Name of the target.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// What takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
}

/// What takes a target's place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Failover {
    /// Names of targets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
}

/// Where instances come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Target {
    /// How long a connection may take to be made: duration text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub connect_timeout: String,
    /// Its name.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The service.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Which of its subsets.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_subset: String,
    /// Namespace of the service.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Datacenter of the instances.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub datacenter: String,
    /// How that is reached.
    pub mesh_gateway: MeshGateway,
    /// Which instances belong to the subset.
    pub subset: Subset,
    /// Whether they are outside of the mesh.
    #[serde(skip_serializing_if = "is_false")]
    pub external: bool,
    /// The name that is asked for when TLS begins.
    #[serde(rename = "SNI", skip_serializing_if = "String::is_empty")]
    pub sni: String,
    /// The name that proxies have for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Which instances belong to a subset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Subset {
    /// An expression that holds for them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// Whether a warning is as bad as a failure.
    #[serde(skip_serializing_if = "is_false")]
    pub only_passing: bool,
}

/// How an instance is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoadBalancer {
    /// Name of the policy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// For `ring_hash`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_hash_config: Option<RingHashConfig>,
    /// For `least_request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_request_config: Option<LeastRequestConfig>,
    /// What a hash is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hash_policies: Vec<HashPolicy>,
}

/// Sizes of a ring of hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RingHashConfig {
    /// Places at least.
    #[serde(skip_serializing_if = "is_zero")]
    pub minimum_ring_size: u64,
    /// Places at most.
    #[serde(skip_serializing_if = "is_zero")]
    pub maximum_ring_size: u64,
}

/// Among how many is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LeastRequestConfig {
    /// Instances, by chance.
    #[serde(skip_serializing_if = "is_zero")]
    pub choice_count: u32,
}

/// A part of a hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HashPolicy {
    /// `header`, `cookie` or `query_parameter`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// Name of that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_value: String,
    /// How a cookie is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_config: Option<CookieConfig>,
    /// Whether the client's address is taken.
    #[serde(rename = "SourceIP", skip_serializing_if = "is_false")]
    pub source_ip: bool,
    /// Whether the policies after it do not count if it gave something.
    #[serde(skip_serializing_if = "is_false")]
    pub terminal: bool,
}

/// A cookie that the proxy makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CookieConfig {
    /// Whether it ends with the session.
    #[serde(skip_serializing_if = "is_false")]
    pub session: bool,
    /// How long it lasts: nanoseconds, unlike all other durations here.
    #[serde(rename = "TTL", skip_serializing_if = "is_zero")]
    pub ttl: u64,
    /// For which paths.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_nothing(value: &f32) -> bool {
    *value == 0.0
}

/// Whole numbers without a fraction, others with as few digits as tell them apart.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
#[expect(clippy::cast_possible_truncation, reason = "only of what is whole and small")]
fn number<S: Serializer>(value: &f32, to: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        to.serialize_i64(*value as i64)
    } else {
        to.serialize_f32(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, json};

    #[test]
    fn what_is_zero_is_left_out_but_for_what_a_chain_must_have() {
        let text = |chain: Chain| {
            let answer = ChainAnswer { chain: Some(chain) };
            String::from_utf8(json::to_vec(&answer, false).unwrap()).unwrap()
        };
        assert_eq!(
            text(Chain::default()),
            r#"{"Chain":{"ServiceName":"","Namespace":"","Datacenter":""}}"#
        );
        let node = Node {
            kind: "splitter".to_owned(),
            splits: [50.0, 33.33, 0.0].map(|weight| Split { weight, ..Split::default() }).to_vec(),
            ..Node::default()
        };
        let shown = text(Chain {
            nodes: BTreeMap::from([("n".to_owned(), node)]),
            targets: BTreeMap::from([("t".to_owned(), Target::default())]),
            ..Chain::default()
        });
        let splits = r#""Splits":[{"Weight":50},{"Weight":33.33},{}]"#;
        assert!(shown.contains(splits), "{shown}");
        assert!(shown.contains(r#""Targets":{"t":{"MeshGateway":{},"Subset":{}}}"#), "{shown}");
    }

    #[test]
    fn wishes_may_be_written_in_both_ways() {
        for text in [
            r#"{"OverrideProtocol":"http","OverrideMeshGateway":{"Mode":"local"},"overrideconnecttimeout":"3s"}"#,
            r#"{"override_protocol":"http","override_mesh_gateway":{"mode":"local"},"override_connect_timeout":"3s"}"#,
        ] {
            let read: ChainOverrides = decode::decode(text.as_bytes()).unwrap();
            assert_eq!(read.override_protocol, "http");
            assert_eq!(read.override_mesh_gateway.mode, "local");
            assert_eq!(read.connect_timeout().unwrap(), GoDuration(3_000_000_000));
        }
        let read: ChainOverrides = decode::decode(b"null").unwrap();
        assert_eq!(read.connect_timeout().unwrap(), GoDuration(0));
        let read: ChainOverrides = decode::decode(br#"{"OverrideConnectTimeout":"abc"}"#).unwrap();
        let error = read.connect_timeout().unwrap_err().to_string();
        assert_eq!(error, "time: invalid duration \"abc\"");
    }
}
