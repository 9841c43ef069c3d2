//! `/v1/session`: sessions, the owners of locks.
//!
//! Timers and limits are the server's.

use serde::{Deserialize, Serialize};

use crate::client::{Client, ClientError, ReadOptions};
use crate::decode::{Body, Fields, list, plain};
use crate::duration::GoDuration;
use crate::nullable;
use crate::url;

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Session {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// For people.
    pub name: String,
    /// Node that it is bound to.
    pub node: String,
    /// Checks that end it when they turn critical.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub checks: Vec<String>,
    /// Those among them that belong to the node, as later versions tell them.
    #[serde(deserialize_with = "nullable::deserialize")]
    pub node_checks: Vec<String>,
    /// Those among them that belong to services; `null` when there are none.
    pub service_checks: Option<Vec<ServiceCheck>>,
    /// Nanoseconds during which its keys cannot be locked after it was ended by force.
    pub lock_delay: i64,
    /// `release` or `delete`.
    pub behavior: String,
    /// Duration text, or empty.
    #[serde(rename = "TTL")]
    pub ttl: String,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// A check of a service among those of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceCheck {
    /// ID of the check.
    #[serde(rename = "ID")]
    pub id: String,
    /// Always empty here.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// Body of `/v1/session/create`; what is not given has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SessionRequest {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Node to bind it to; the agent's when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Checks that end it; the node's liveness when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<String>>,
    /// The same as later versions call it; it comes before `checks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_checks: Option<Vec<String>>,
    /// Checks of services on that node that end it as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_checks: Vec<ServiceCheck>,
    /// Lock-delay; numbers below 1000 nanoseconds are seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_delay: Option<GoDuration>,
    /// `release` or `delete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<String>,
    /// Duration text.
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
}

const SERVICE_CHECK: Fields = Fields(&[plain("ID"), plain("Namespace")]);

impl Body for SessionRequest {
    const FIELDS: &'static Fields = &Fields(&[
        plain("Name"),
        plain("Node"),
        plain("Checks"),
        plain("NodeChecks"),
        list("ServiceChecks", &SERVICE_CHECK),
        plain("LockDelay"),
        plain("Behavior"),
        plain("TTL"),
    ]);
}

/// Answer of `/v1/session/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionId {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
}

impl Client {
    /// Creates a session; gives its ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn session_create(&self, body: &SessionRequest) -> Result<String, ClientError> {
        let request = self.put("/v1/session/create").json(body)?;
        self.call_json::<SessionId>(request).await.map(|made| made.id)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn session_destroy(&self, id: &str) -> Result<(), ClientError> {
        self.call(self.put(&url::path("/v1/session/destroy/", id))).await.map(drop)
    }

    /// Restarts a session's timer; `None` when there is no such session any more.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn session_renew(&self, id: &str) -> Result<Option<Session>, ClientError> {
        let response = self.send(self.put(&url::path("/v1/session/renew/", id))).await?;
        if response.status == 404 {
            return Ok(None);
        }
        Ok(response.expect_ok()?.json::<Vec<Session>>()?.into_iter().next())
    }

    /// A session; `None` when there is none with this ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn session_info(
        &self,
        id: &str,
        options: ReadOptions,
    ) -> Result<Option<Session>, ClientError> {
        let request = self.read(&url::path("/v1/session/info/", id), options);
        Ok(self.call_json::<Vec<Session>>(request).await?.into_iter().next())
    }
}
