//! `/v1/internal/ui`: what the web interface shows.
//!
//! Not a stable interface for others.

use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::catalog::Service;
use crate::health::HealthCheck;
use crate::nullable::{self, StringMap};

/// A node with everything on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UiNode {
    /// UUID, or empty.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name.
    pub node: String,
    /// Address.
    pub address: String,
    /// Addresses by kind; none is `null`.
    #[serde(with = "nullable")]
    pub tagged_addresses: StringMap,
    /// Metadata; none is `null`.
    #[serde(with = "nullable")]
    pub meta: StringMap,
    /// Services; here, no tags are `null`.
    #[serde(serialize_with = "with_null_tags")]
    pub services: Vec<Service>,
    /// Checks; likewise.
    #[serde(serialize_with = "with_null_tags")]
    pub checks: Vec<HealthCheck>,
}

/// A service with counts of its checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UiService {
    /// `connect-proxy`, or left out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name.
    pub name: String,
    /// Tags of the last instance; none is `null`.
    #[serde(with = "nullable")]
    pub tags: Vec<String>,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Passing checks, the nodes' included.
    pub checks_passing: usize,
    /// Warning checks.
    pub checks_warning: usize,
    /// Critical checks.
    pub checks_critical: usize,
}

/// Writes rows whose empty lists of tags are `null`, unlike everywhere else.
fn with_null_tags<T: Serialize, S: Serializer>(
    rows: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(rows.len()))?;
    for row in rows {
        list.serialize_element(&null_tags(row).map_err(S::Error::custom)?)?;
    }
    list.end()
}

/// A row whose empty lists of tags are `null`.
pub(crate) fn null_tags<T: Serialize>(row: &T) -> Result<Value, serde_json::Error> {
    let mut shown = serde_json::to_value(row)?;
    for name in ["Tags", "ServiceTags"] {
        if let Some(tags) = shown.get_mut(name)
            && tags.as_array().is_some_and(Vec::is_empty)
        {
            *tags = Value::Null;
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tags_are_null() {
        let tagged = Service { tags: vec!["a".to_owned()], ..Service::default() };
        let node = UiNode {
            services: vec![Service::default(), tagged],
            checks: vec![HealthCheck::default()],
            ..UiNode::default()
        };
        let shown = serde_json::to_value(&node).unwrap();
        assert_eq!(shown["Services"][0]["Tags"], Value::Null);
        assert_eq!(shown["Services"][1]["Tags"][0], "a");
        assert_eq!(shown["Checks"][0]["ServiceTags"], Value::Null);
        assert_eq!(serde_json::from_value::<UiNode>(shown).unwrap(), node);
    }
}
