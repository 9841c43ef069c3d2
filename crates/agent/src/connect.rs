//! The agent's part in the mesh: roots, leaf certificates, decisions about connections, and what
//! proxies are told.
//!
//! Signing and intentions are the server's, keys and certificates the `pki` crate's.

mod leaf;

pub use self::leaf::LeafCertificate;

/// An answer with the mark that doors show in `X-Cache`.
#[derive(Clone, Debug)]
pub struct Cached<T> {
    /// The answer.
    pub value: T,
    /// Whether the agent had it, or what it needed, already.
    pub hit: bool,
}
