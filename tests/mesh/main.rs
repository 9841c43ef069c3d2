//! The mesh as a user meets it: real binary, real applications, mutual TLS, intentions.
//!
//! Each file is one story; what they share is in `scene`. Everything is on loopback.

mod access;
mod deny;
mod doors;
mod peers;
mod postgres;
mod query;
mod rotation;
mod scene;
mod sidecar;
mod supervision;
mod vault;
