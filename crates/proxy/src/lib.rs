//! The built-in proxy: carries a service's plain connections over the mesh.
//!
//! A public listener takes mesh connections for the local service, upstream listeners take local
//! connections for other services. TLS, identities and decisions are the `connect` crate's;
//! command-line options, output and signals are the command's. Behaviour follows connect.md
//! section 13, with the improvements of its section 20.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
mod listener;
mod managed;
mod public;
mod register;
mod run;
mod upstream;
mod workers;

pub use config::{ConfigError, FlagError, Flags, ProxyConfig};
pub use register::Registration;
pub use run::{ProxyError, Settings, Source, run};
