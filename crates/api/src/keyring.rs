//! `/v1/operator/keyring`: the keys of gossip.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::{Client, ClientError, Method};
use crate::decode::{Body, Fields, plain};

/// Body of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyringChange {
    /// The key, base64.
    pub key: String,
}

impl Body for KeyringChange {
    const FIELDS: &'static Fields = &Fields(&[plain("Key")]);
}

/// The keys of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PoolKeys {
    /// Whether it is the pool of the servers of all datacenters.
    #[serde(rename = "WAN")]
    pub wan: bool,
    /// Datacenter.
    pub datacenter: String,
    /// Network segment.
    pub segment: String,
    /// What members said, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub messages: BTreeMap<String, String>,
    /// Keys with the number of members that have them.
    pub keys: BTreeMap<String, usize>,
    /// Keys with the number of members that encrypt with them.
    pub primary_keys: BTreeMap<String, usize>,
    /// Members that were asked.
    pub num_nodes: usize,
}

const PATH: &str = "/v1/operator/keyring";

impl Client {
    /// The keys of every pool, or of the agent's datacenter alone. Relays are how many members
    /// answers take a detour over.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn keyring_list(
        &self,
        relays: u8,
        local_only: bool,
    ) -> Result<Vec<PoolKeys>, ClientError> {
        let request = self.get(PATH).pair("relay-factor", &relays.to_string());
        let local = if local_only { request.pair("local-only", "true") } else { request };
        self.call_json(local).await
    }

    /// Installs (POST), uses (PUT) or removes (DELETE) a key.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn keyring_change(
        &self,
        method: Method,
        key: &str,
        relays: u8,
    ) -> Result<(), ClientError> {
        let request = self.request(method, PATH).pair("relay-factor", &relays.to_string());
        let body = KeyringChange { key: key.to_owned() };
        self.call(request.json(&body)?).await.map(drop)
    }
}
