//! A reader of HCL 1 and JSON that gives one generic tree of values with their lines.
//!
//! It knows no key of any configuration and does no I/O; what the values mean is its caller's
//! matter. It follows the observed behaviour of the original's decoder into a generic map: every
//! object is an element of a list of objects, blocks of the same name are collected, labels nest.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cursor;
mod error;
mod hcl;
mod json;
mod number;
mod text;
mod value;

pub use error::ParseError;
pub use hcl::{parse_hcl, root_keys};
pub use json::parse_json;
pub use value::{Data, Field, Object, Value};

/// Longest text that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Deepest nesting of objects and lists that is read; labels of a block count.
pub const MAX_DEPTH: u32 = 64;

#[cfg(test)]
mod tests;
