//! The rule for pairs of metadata, of nodes and services and of queries for them.
//!
//! Texts are the original's, which says «node» whatever the pairs belong to.

use lictor_types::catalog::StringMap;
use lictor_types::limits::{META_KEY_MAX, META_PAIRS_MAX, META_VALUE_MAX};

/// Whether keys may begin with `consul-`, as those do that agents give their nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// They may: what is looked for.
    Allowed,
    /// They may not: what is registered.
    Refused,
}

/// Checks number, keys and values of metadata.
///
/// # Errors
/// The reason, without a prefix.
pub fn check_metadata(meta: &StringMap, reserved: Reserved) -> Result<(), String> {
    if meta.len() > META_PAIRS_MAX {
        let text = "Node metadata cannot contain more than";
        return Err(format!("{text} {META_PAIRS_MAX} key/value pairs"));
    }
    for (key, value) in meta {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let reason = if key.is_empty() {
            "Key cannot be blank".to_owned()
        } else if !key.bytes().all(valid) {
            "Key contains invalid characters".to_owned()
        } else if key.len() > META_KEY_MAX {
            format!("Key is too long (limit: {META_KEY_MAX} characters)")
        } else if reserved == Reserved::Refused && key.starts_with("consul-") {
            "Key prefix 'consul-' is reserved for internal use".to_owned()
        } else if value.len() > META_VALUE_MAX {
            format!("Value is too long (limit: {META_VALUE_MAX} characters)")
        } else {
            continue;
        };
        return Err(format!("Couldn't load metadata pair ('{key}', '{value}'): {reason}"));
    }
    Ok(())
}
