//! Access control behind its endpoints: fingerprints, what a token means, the leader's part of it,
//! and logging in.
//!
//! What may be asked and written is in `endpoint/acl_*`; rules are read and weighed in the `acl`
//! crate; rows are the `state` crate's.

pub(crate) mod blake2b;
pub(crate) mod duties;
pub(crate) mod fingerprint;
pub(crate) mod login;
pub(crate) mod resolver;

#[cfg(test)]
mod tests;
