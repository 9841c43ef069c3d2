//! Limits that several layers enforce and that users can see.
//!
//! Limits of one layer only live in that layer.

/// Largest value of a key, and largest body of a KV write, in bytes.
pub const KV_VALUE_MAX: usize = 512 * 1024;
/// Most operations of one transaction.
pub const TXN_OPS_MAX: usize = 64;
/// Largest JSON body of any other endpoint, in bytes.
pub const BODY_MAX: usize = 4 * 1024 * 1024;
/// Bytes of check output that are kept.
pub const CHECK_OUTPUT_MAX: usize = 4096;
/// Most pairs of a metadata map.
pub const META_PAIRS_MAX: usize = 64;
/// Longest metadata key, in bytes.
pub const META_KEY_MAX: usize = 128;
/// Longest metadata value, in bytes.
pub const META_VALUE_MAX: usize = 512;
/// Largest certificate request, in bytes.
pub const CSR_MAX: usize = 16 * 1024;
