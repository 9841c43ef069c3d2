//! The mesh for applications: who we are, dialling and listening with mutual TLS, and a live
//! decision about every caller.
//!
//! There is no proxying policy here (which ports, which upstreams) and there are no command-line
//! flags. Everything that changes while a program runs comes in through `tokio::sync::watch`
//! channels, which tests fill by hand and `agent_source` fills from an agent.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
pub mod agent_source;
mod buffer;
mod dial;
mod endpoint;
mod error;
#[cfg(test)]
mod fixture;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod identity;
mod inbound;
pub mod live;
mod outbound;
pub mod policy;
pub mod random;
mod record;
mod relay;
mod socket;
mod stream;

pub use accept::{AcceptError, Acceptor, HANDSHAKE_TIMEOUT};
pub use dial::{CONNECT_TIMEOUT, DialError, Dialer};
pub use endpoint::{Endpoint, ExpectedService};
pub use error::StreamError;
pub use identity::{LocalIdentity, LocalIdentityError};
pub use live::LiveConnections;
pub use record::RecordError;
pub use relay::{Traffic, relay};
pub use stream::MeshStream;

#[cfg(test)]
mod mesh_tests;
