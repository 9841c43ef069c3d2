//! Configuration entries as chains see them: of each kind, the fields that matter to a chain.
//!
//! Entries are kept as maps with the original's field names, durations in nanoseconds. A view is
//! read from such a map: what is absent or null is zero, and fields that no chain needs are passed
//! over.

mod nulls;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::policy::LoadBalancer;
use super::route::ServiceRoute;
use crate::duration;

/// Kinds of entries that chains are made of or checked against.
pub mod kind {
    /// Settings of a service.
    pub const SERVICE_DEFAULTS: &str = "service-defaults";
    /// Settings of all services.
    pub const PROXY_DEFAULTS: &str = "proxy-defaults";
    /// Routes of a service.
    pub const SERVICE_ROUTER: &str = "service-router";
    /// Splits of a service.
    pub const SERVICE_SPLITTER: &str = "service-splitter";
    /// Subsets, redirect and failover of a service.
    pub const SERVICE_RESOLVER: &str = "service-resolver";
    /// Where a gateway lets others in.
    pub const INGRESS_GATEWAY: &str = "ingress-gateway";
    /// What a gateway leads out to.
    pub const TERMINATING_GATEWAY: &str = "terminating-gateway";
    /// Who may connect to a service.
    pub const SERVICE_INTENTIONS: &str = "service-intentions";
}

/// Name of the only entry of the kind `proxy-defaults` that counts.
pub const GLOBAL: &str = "global";
/// The name that stands for all services.
pub const WILDCARD: &str = "*";

/// A field of an entry is not of its type.
#[derive(Debug, thiserror::Error)]
#[error("the configuration entry {name:?} of kind {kind:?} cannot be read: {source}")]
pub struct EntryError {
    /// Kind of the entry.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub source: serde_json::Error,
}

/// Reads a view from the fields of an entry.
///
/// # Errors
/// When a field is not of its type.
pub fn view<T: DeserializeOwned>(
    kind: &str,
    name: &str,
    fields: &Map<String, Value>,
) -> Result<T, EntryError> {
    T::deserialize(nulls::fields(fields)).map_err(|source| EntryError {
        kind: kind.to_owned(),
        name: name.to_owned(),
        source,
    })
}

/// A duration in nanoseconds, or as text; less than none is none.
pub(super) fn nanoseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let nanos = match Value::deserialize(from)? {
        Value::Null => 0,
        Value::String(text) if text.is_empty() => 0,
        Value::String(text) => duration::parse(&text).map_err(D::Error::custom)?,
        value => match value.as_i64() {
            Some(nanos) => nanos,
            // Numbers with a fraction: the cast saturates.
            #[expect(clippy::cast_possible_truncation, reason = "fractions do not matter")]
            None => value.as_f64().ok_or_else(|| D::Error::custom("no duration"))? as i64,
        },
    };
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

/// How gateways are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MeshGateway {
    /// `none`, `local`, `remote`, or empty.
    pub mode: String,
}

/// Settings of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceDefaults {
    /// What it speaks; empty for TCP.
    pub protocol: String,
    /// How it is reached in other datacenters.
    pub mesh_gateway: MeshGateway,
    /// The name that TLS asks for, of a service outside of the mesh; empty for one in it.
    #[serde(rename = "ExternalSNI")]
    pub external_sni: String,
}

/// Settings of all services.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProxyDefaults {
    /// Settings of proxies, which are free.
    pub config: Map<String, Value>,
    /// How services are reached in other datacenters.
    pub mesh_gateway: MeshGateway,
}

impl ProxyDefaults {
    /// What services speak that say nothing themselves; empty if it is not said here either.
    #[must_use]
    pub fn protocol(&self) -> Cow<'_, str> {
        let named = self.config.get("protocol").or_else(|| {
            let mut settings = self.config.iter();
            settings.find(|(key, _)| key.eq_ignore_ascii_case("protocol")).map(|(_, value)| value)
        });
        match named {
            Some(Value::String(text)) => Cow::Borrowed(text),
            Some(Value::Number(number)) => Cow::Owned(number.to_string()),
            Some(Value::Bool(truth)) => Cow::Borrowed(if *truth { "1" } else { "0" }),
            _ => Cow::Borrowed(""),
        }
    }
}

/// Routes of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceRouter {
    /// The first that matches counts; what none matches goes to the service itself.
    pub routes: Vec<ServiceRoute>,
}

/// Splits of a service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceSplitter {
    /// Between which requests are split.
    pub splits: Vec<ServiceSplit>,
}

/// A part of a service's requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceSplit {
    /// How many of a hundred, in hundredths.
    pub weight: f32,
    /// Where they go; empty for the service itself.
    pub service: String,
    /// To which of its subsets; empty for the usual.
    pub service_subset: String,
    /// Its namespace; empty for the splitter's.
    pub namespace: String,
}

/// Where instances of a service come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceResolver {
    /// The subset that is meant where none is named.
    pub default_subset: String,
    /// Subsets by name.
    pub subsets: BTreeMap<String, Subset>,
    /// What is resolved in its place.
    pub redirect: Option<Redirect>,
    /// What takes the place of a subset without healthy instances, by subset; `*` for others.
    pub failover: BTreeMap<String, Failover>,
    /// How long a connection may take to be made; zero for the usual.
    #[serde(deserialize_with = "nanoseconds")]
    pub connect_timeout: Duration,
    /// How an instance is chosen.
    pub load_balancer: Option<LoadBalancer>,
}

impl ServiceResolver {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which instances of a service belong to a subset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Subset {
    /// An expression that holds for them; empty for all.
    pub filter: String,
    /// Whether a warning is as bad as a failure.
    pub only_passing: bool,
}

/// What is resolved in place of a service; what is empty stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Redirect {
    /// A service.
    pub service: String,
    /// One of its subsets.
    pub service_subset: String,
    /// A namespace.
    pub namespace: String,
    /// A datacenter.
    pub datacenter: String,
}

/// What takes the place of a target; what is empty stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Failover {
    /// A service.
    pub service: String,
    /// One of its subsets.
    pub service_subset: String,
    /// A namespace.
    pub namespace: String,
    /// Datacenters, in this order.
    pub datacenters: Vec<String>,
}

/// Where a gateway lets others in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IngressGateway {
    /// Its ports.
    pub listeners: Vec<Listener>,
}

/// A port of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Listener {
    /// What is spoken there; empty for TCP.
    pub protocol: String,
    /// What it leads to.
    pub services: Vec<Named>,
}

/// Something with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// Who may connect to a service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceIntentions {
    /// One rule for each source.
    pub sources: Vec<SourceIntention>,
}

impl ServiceIntentions {
    /// Whether a rule looks into requests.
    #[must_use]
    pub fn has_permissions(&self) -> bool {
        self.sources.iter().any(|source| !source.permissions.is_empty())
    }
}

/// A rule for a source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SourceIntention {
    /// Which requests are allowed and denied; here it only matters whether there are any.
    pub permissions: Vec<Value>,
}

#[cfg(test)]
mod tests;
