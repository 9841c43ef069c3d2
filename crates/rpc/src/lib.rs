//! Calls between agents on the server port: what is on the wire, and no method's meaning.
//!
//! | file | subject |
//! | --- | --- |
//! | `yamux` | several streams on one connection, as a machine without I/O |
//! | `mux` | the same with a socket and a clock |
//! | `message` | a call and its answer on a stream |
//! | `server` | the port: first bytes, TLS, calls |
//! | `client` | connections to others, and calls on them |
//! | `refusal` | a pause for those who refused a TLS handshake |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod client;
pub mod message;
pub mod mux;
mod refusal;
pub mod server;
pub mod yamux;

#[cfg(test)]
mod tests;
