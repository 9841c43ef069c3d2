//! Hashes of structures, equal to the original's: clients keep them and compare them.
//!
//! Follows `hashstructure` version 1 over FNV-1 with 64 bits. What is hashed is said by others.

use serde_json::{Map, Value};

/// A structure with a name and named fields, in any order.
pub(crate) fn structure<'a>(name: &str, fields: impl IntoIterator<Item = (&'a str, u64)>) -> u64 {
    let fields = fields.into_iter().map(|(name, hash)| ordered(text(name), hash));
    fields.fold(text(name), |all, field| all ^ field)
}

/// Values in their order.
pub(crate) fn list(items: impl IntoIterator<Item = u64>) -> u64 {
    items.into_iter().fold(0, ordered)
}

/// Nothing where there could be a structure.
pub(crate) fn nil() -> u64 {
    int(0)
}

/// A whole number.
pub(crate) fn int(value: i64) -> u64 {
    number(value.to_le_bytes())
}

/// A truth value.
pub(crate) fn truth(value: bool) -> u64 {
    number([u8::from(value)])
}

pub(crate) fn value(given: &Value) -> u64 {
    match given {
        Value::Null => nil(),
        Value::Bool(yes) => number([u8::from(*yes)]),
        // The original's decoder makes every number of JSON a float.
        Value::Number(given) => number(given.as_f64().unwrap_or_default().to_le_bytes()),
        Value::String(given) => text(given),
        Value::Array(items) => list(items.iter().map(value)),
        Value::Object(members) => object(members),
    }
}

/// The order of members does not matter.
pub(crate) fn object(members: &Map<String, Value>) -> u64 {
    members.iter().fold(0, |all, (name, member)| all ^ ordered(text(name), value(member)))
}

pub(crate) fn ordered(a: u64, b: u64) -> u64 {
    fnv([a.to_le_bytes(), b.to_le_bytes()].concat())
}

pub(crate) fn number<const N: usize>(bytes: [u8; N]) -> u64 {
    fnv(bytes)
}

pub(crate) fn text(text: &str) -> u64 {
    fnv(text.bytes())
}

fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
    })
}
