//! Identities of the mesh: SPIFFE ids, keys, certificate requests, the certificate authority's
//! signing rules, and the verification and TLS settings of a peer.
//!
//! Absent on purpose: I/O, async, threads, storage and a clock. `now` is an argument of whatever
//! depends on it; only a finished TLS configuration asks its [`rustls::time_provider`] for the
//! time, which the caller may replace. Where keys and certificates are kept, who may ask for one
//! and when they are renewed is decided by the crates above.
//!
//! | module | subject |
//! | --- | --- |
//! | [`spiffe`] | trust domains and SPIFFE ids as text |
//! | [`agent_id`] | the ids of agents |
//! | [`key`] | private keys and key ids |
//! | [`csr`] | certificate requests: made by agents, checked by the leader |
//! | [`authority`] | root, leaf and cross-signed certificates |
//! | [`agent_tls`] | certificates for the interfaces of agents, apart from the mesh |
//! | [`certificate`] | facts read from a certificate |
//! | [`roots`] | the set of roots that is trusted now |
//! | [`verify`] | is this peer's chain good, and who is it? |
//! | [`tls`] | rustls configurations for both sides of a connection |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent_id;
pub mod agent_tls;
pub mod authority;
pub mod certificate;
pub mod csr;
mod der;
#[cfg(test)]
mod fixture;
mod hex;
pub mod key;
mod pem;
pub mod roots;
pub mod spiffe;
pub mod tls;
pub mod verify;

pub use agent_id::AgentId;
pub use authority::{IssueError, Leaf, Root};
pub use certificate::{Certificate, CertificateError};
pub use csr::{Csr, CsrError};
pub use key::{KeyError, PrivateKey};
pub use pem::PemError;
pub use roots::{TrustBundle, TrustBundleError};
pub use spiffe::{ServiceId, SpiffeError, SpiffeId, TrustDomain};
pub use tls::{ExpectedPeer, HandshakeError, Identity, IdentityError};
pub use verify::{PeerIdentity, Purpose, VerifyError};
