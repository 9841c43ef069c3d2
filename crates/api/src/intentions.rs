//! `/v1/connect/intentions`: who may connect to whom.
//!
//! Deciding is the `acl` crate's and the agent's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Client, ClientError, Method, ReadOptions};
use crate::decode::{Body, Fields, opaque, plain};
use crate::nullable::{self, StringMap};
use crate::url;

/// An intention. In requests only the names and what people write matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Intention {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// For people.
    pub description: String,
    /// Namespace of the source.
    #[serde(rename = "SourceNS")]
    pub source_ns: String,
    /// Name of the source, or `*`.
    pub source_name: String,
    /// Namespace of the destination.
    #[serde(rename = "DestinationNS")]
    pub destination_ns: String,
    /// Name of the destination, or `*`.
    pub destination_name: String,
    /// Always `consul`.
    pub source_type: String,
    /// `allow` or `deny`.
    pub action: String,
    /// Unused.
    pub default_addr: String,
    /// Unused.
    pub default_port: i64,
    /// Metadata; never `null`.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub meta: StringMap,
    /// Rank, 9 to 1.
    pub precedence: i64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
    /// What later versions may say about requests inside a connection; `null` otherwise.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub permissions: Value,
}

impl Body for Intention {
    const FIELDS: &'static Fields = &Fields(&[
        plain("ID"),
        plain("Description"),
        plain("SourceNS"),
        plain("SourceName"),
        plain("DestinationNS"),
        plain("DestinationName"),
        plain("SourceType"),
        plain("Action"),
        plain("DefaultAddr"),
        plain("DefaultPort"),
        opaque("Meta"),
        opaque("Permissions"),
    ]);
}

/// What a client writes of an intention.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct IntentionRequest<'a> {
    #[serde(rename = "ID", skip_serializing_if = "str::is_empty")]
    id: &'a str,
    description: &'a str,
    #[serde(rename = "SourceNS", skip_serializing_if = "str::is_empty")]
    source_ns: &'a str,
    source_name: &'a str,
    #[serde(rename = "DestinationNS", skip_serializing_if = "str::is_empty")]
    destination_ns: &'a str,
    destination_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_type: &'a str,
    action: &'a str,
    meta: &'a StringMap,
}

impl<'a> From<&'a Intention> for IntentionRequest<'a> {
    fn from(intention: &'a Intention) -> Self {
        Self {
            id: &intention.id,
            description: &intention.description,
            source_ns: &intention.source_ns,
            source_name: &intention.source_name,
            destination_ns: &intention.destination_ns,
            destination_name: &intention.destination_name,
            source_type: &intention.source_type,
            action: &intention.action,
            meta: &intention.meta,
        }
    }
}

/// Answer of a write: the ID of what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentionId {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
}

/// Answer of `/v1/connect/intentions/check`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IntentionCheck {
    /// Whether the connection may be made.
    pub allowed: bool,
}

/// Answer of `/v1/connect/intentions/match`: by name as asked, in the order in which they are
/// tried; `null` for none.
pub type IntentionMatches = BTreeMap<String, Option<Vec<Intention>>>;

/// Header of `match` answers that says what happens when no intention matches. An addition to the
/// original's API, so that a proxy can decide without asking.
pub const DEFAULT_INTENTION_HEADER: &str = "X-Lictor-Default-Intention";

/// Which side of an intention a name is matched with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchBy {
    /// Intentions whose source covers the name.
    Source,
    /// Intentions whose destination covers the name.
    Destination,
}

impl MatchBy {
    /// The word of the `by` parameter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }
}

/// Path and query of a match, for blocking reads.
#[must_use]
pub fn match_path(by: MatchBy, names: &[&str]) -> String {
    let mut path = format!("/v1/connect/intentions/match?by={}", by.as_str());
    for name in names {
        path.push_str("&name=");
        url::escape_query(&mut path, name);
    }
    path
}

impl Client {
    /// Every intention, in the order in which they are tried.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn intentions(&self, options: ReadOptions) -> Result<Vec<Intention>, ClientError> {
        self.call_json(self.read("/v1/connect/intentions", options)).await
    }

    /// One intention; `None` when there is none with this ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn intention(
        &self,
        id: &str,
        options: ReadOptions,
    ) -> Result<Option<Intention>, ClientError> {
        let path = url::path("/v1/connect/intentions/", id);
        let response = self.send(self.read(&path, options)).await?;
        if response.status == 404 {
            return Ok(None);
        }
        Ok(Some(response.expect_ok()?.json()?))
    }

    /// Creates an intention; gives its ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn intention_create(&self, intention: &Intention) -> Result<String, ClientError> {
        let request = self.request(Method::POST, "/v1/connect/intentions");
        let request = request.json(&IntentionRequest::from(intention))?;
        self.call_json::<IntentionId>(request).await.map(|made| made.id)
    }

    /// Replaces the intention that has the same ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn intention_update(&self, intention: &Intention) -> Result<(), ClientError> {
        let request = self.put(&url::path("/v1/connect/intentions/", &intention.id));
        self.call(request.json(&IntentionRequest::from(intention))?).await.map(drop)
    }

    /// Deletes an intention.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn intention_delete(&self, id: &str) -> Result<(), ClientError> {
        let path = url::path("/v1/connect/intentions/", id);
        self.call(self.request(Method::DELETE, &path)).await.map(drop)
    }

    /// Intentions that cover each of `names`.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn intention_match(
        &self,
        by: MatchBy,
        names: &[&str],
        options: ReadOptions,
    ) -> Result<IntentionMatches, ClientError> {
        self.call_json(self.read(&match_path(by, names), options)).await
    }

    /// Whether `source` may connect to `destination`.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn intention_check(
        &self,
        source: &str,
        destination: &str,
        options: ReadOptions,
    ) -> Result<bool, ClientError> {
        let request = self.read("/v1/connect/intentions/check", options);
        let request = request.pair("source", source).pair("destination", destination);
        self.call_json::<IntentionCheck>(request).await.map(|answer| answer.allowed)
    }
}
