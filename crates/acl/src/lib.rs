//! Rules about who may do what: today, who may connect to whom.
//!
//! It decides from what it is given and keeps nothing: tokens and intentions are stored by `state`,
//! callers are found out by the doors.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod intention;

pub use intention::Decisions;
