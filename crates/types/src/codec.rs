//! MessagePack encoding of everything in this crate, in the original's dialect.
//!
//! Structs are maps keyed by field name; lists and maps may be nil; unknown fields are ignored.
//! The framing of log entries and snapshots is in [`crate::command`] and the `state` crate.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// Why bytes could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The value cannot be expressed.
    #[error("encoding failed: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// The bytes are not what was expected.
    #[error("decoding failed: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    /// A record of a kind or version that this program does not know.
    #[error("unknown {what} {number}")]
    Unknown {
        /// What the number counts.
        what: &'static str,
        /// The number found.
        number: u8,
    },
    /// The input ended early.
    #[error("truncated input")]
    Truncated,
}

/// Appends `value` to `out`.
///
/// # Errors
/// When the value cannot be expressed in MessagePack.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    value.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map())?;
    Ok(())
}

/// Reads one value from the start of `bytes`; what follows it is ignored.
///
/// # Errors
/// When the bytes are not such a value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(rmp_serde::from_slice(bytes)?)
}

/// For `deserialize_with`: nil becomes the default value.
///
/// # Errors
/// Those of the underlying value.
pub fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
