//! `/v1/txn`: several operations on the key/value store and the catalog at once.
//!
//! What the operations mean is the store's matter.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::catalog::{NODE, Node, SERVICE, Service};
use crate::decode::{Body, Fields, object, plain};
use crate::health::{CHECK, HealthCheck};

/// One operation on a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TxnKv {
    /// `set`, `cas`, `lock`, …
    pub verb: String,
    /// Key or prefix.
    pub key: String,
    /// Value, base64 in JSON.
    #[serde(deserialize_with = "from_base64")]
    pub value: Vec<u8>,
    /// Opaque number kept with the value.
    pub flags: u64,
    /// Expected ModifyIndex.
    pub index: u64,
    /// Session of the lock operations.
    pub session: String,
}

/// One element of the request's list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TxnOp {
    /// An operation on a key; elements without any operation are ignored.
    #[serde(rename = "KV")]
    pub kv: Option<TxnKv>,
    /// An operation on a node.
    #[serde(rename = "Node")]
    pub node: Option<TxnNode>,
    /// An operation on a service.
    #[serde(rename = "Service")]
    pub service: Option<TxnService>,
    /// An operation on a check.
    #[serde(rename = "Check")]
    pub check: Option<TxnCheck>,
}

/// An operation on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TxnNode {
    /// `get`, `set`, `cas`, `delete` or `delete-cas`.
    pub verb: String,
    /// The node.
    pub node: Node,
}

/// An operation on a service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TxnService {
    /// As of nodes.
    pub verb: String,
    /// Name of the node.
    pub node: String,
    /// The service.
    pub service: Service,
}

/// An operation on a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TxnCheck {
    /// As of nodes.
    pub verb: String,
    /// The check, with its node.
    pub check: HealthCheck,
}

impl Body for TxnOp {
    const FIELDS: &'static Fields = &Fields(&[
        object(
            "KV",
            &Fields(&[
                plain("Verb"),
                plain("Key"),
                plain("Value"),
                plain("Flags"),
                plain("Index"),
                plain("Session"),
            ]),
        ),
        object("Node", &Fields(&[plain("Verb"), object("Node", NODE)])),
        object("Service", &Fields(&[plain("Verb"), plain("Node"), object("Service", SERVICE)])),
        object("Check", &Fields(&[plain("Verb"), object("Check", CHECK)])),
    ]);
}

/// Why one operation failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TxnError {
    /// Position of the operation.
    pub op_index: usize,
    /// The reason.
    pub what: String,
}

/// An entry among the results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KvShown {
    /// Number of times that it was locked afresh.
    pub lock_index: u64,
    /// Full key.
    pub key: String,
    /// Opaque number of the client.
    pub flags: u64,
    /// Value, of reads only; base64 in JSON.
    #[serde(serialize_with = "to_base64")]
    pub value: Option<Vec<u8>>,
    /// Session that holds the lock; left out when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last write.
    pub modify_index: u64,
}

/// One result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum TxnResult {
    /// An entry.
    #[serde(rename = "KV")]
    Kv(KvShown),
    /// A node.
    Node(Node),
    /// A service; no tags are `null` here.
    #[serde(serialize_with = "with_null_tags")]
    Service(Box<Service>),
    /// A check; likewise.
    #[serde(serialize_with = "with_null_tags")]
    Check(Box<HealthCheck>),
}

/// Facts about a read, where the original has them in the body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReadFacts {
    /// Always 0.
    pub index: u64,
    /// Nanoseconds since the server heard of the leader.
    pub last_contact: i64,
    /// Whether there is a leader.
    pub known_leader: bool,
    /// Always empty.
    pub consistency_level: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TxnReply {
    /// Results in order; `null` when an operation failed.
    pub results: Option<Vec<TxnResult>>,
    /// What failed; `null` when nothing did.
    pub errors: Option<Vec<TxnError>>,
    /// Of a transaction that only reads.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub facts: Option<ReadFacts>,
}

fn with_null_tags<T: Serialize, S: Serializer>(row: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = crate::internal_ui::null_tags(row).map_err(serde::ser::Error::custom)?;
    shown.serialize(serializer)
}

fn to_base64<S: Serializer>(value: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_str(&STANDARD.encode(value)),
        None => serializer.serialize_none(),
    }
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
