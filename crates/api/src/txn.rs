//! `/v1/txn`: several operations on the key/value store at once.
//!
//! Results are written with [`crate::kv::KvRow`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};

use crate::decode::{Body, Fields, object, plain};

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TxnOp {
    /// The operation; elements without one are ignored.
    #[serde(rename = "KV")]
    pub kv: Option<TxnKv>,
}

impl Body for TxnOp {
    const FIELDS: &'static Fields = &Fields(&[object(
        "KV",
        &Fields(&[
            plain("Verb"),
            plain("Key"),
            plain("Value"),
            plain("Flags"),
            plain("Index"),
            plain("Session"),
        ]),
    )]);
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

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
