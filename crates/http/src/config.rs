//! What the HTTP door must be told, and its limits.
//!
//! Where the values come from (files, flags) is the binary's matter.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::network::Network;
use crate::tls::{Held, TlsConfig};

/// Settings of the HTTP door.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// Where to listen.
    pub listeners: Vec<Listen>,
    /// Where to listen with TLS.
    pub tls_listeners: Vec<Listen>,
    /// What is presented and demanded there; must be given if there is such a place.
    pub tls: Option<TlsConfig>,
    /// Headers added to every answer of the API.
    pub response_headers: Vec<(String, String)>,
    /// Path prefixes that are refused.
    pub block_endpoints: Vec<String>,
    /// Networks that may write; empty for all.
    pub write_from: Vec<Network>,
    /// Take paths with unprintable characters.
    pub any_characters: bool,
    /// How old answers of any server about catalog and health may be where the caller does not say
    /// who is to answer; zero has the leader answer.
    pub discovery_max_stale: Duration,
    /// Indent JSON even when not asked to.
    pub pretty: bool,
    /// Show addresses of other datacenters as they are reached over the WAN, and say so.
    pub translate_addresses: bool,
    /// The web interface.
    pub ui: Ui,
    /// Limits; the defaults fit production.
    pub limits: HttpLimits,
}

impl HttpConfig {
    /// The same with certificates that are held in memory.
    #[must_use]
    pub fn holding(&self, held: Held) -> Self {
        let tls = self.tls.clone().map(|tls| TlsConfig { held, ..tls });
        Self { tls, ..self.clone() }
    }
}

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A unix socket. A file left behind by an earlier process is replaced.
    Unix {
        /// Where the socket is.
        path: PathBuf,
        /// Permission bits; `None` leaves them as they come.
        mode: Option<u32>,
        /// User that is to own it; `None` leaves it ours.
        user: Option<u32>,
        /// Group that is to own it; `None` leaves it ours.
        group: Option<u32>,
    },
}

/// Whether there is a web interface, and where its files are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ui {
    /// There is none.
    #[default]
    Off,
    /// The one built in.
    Builtin,
    /// Files in a folder.
    Folder(PathBuf),
}

/// Everything that a client could otherwise make grow.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Connections at a time; one more is answered with 503 and closed.
    pub connections: usize,
    /// Connections of one address at a time; 0 for any number. One more is answered with 429, or
    /// closed where TLS is spoken.
    pub connections_per_client: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// TLS handshakes at a time; with one more the oldest is given up.
    pub handshakes: usize,
    /// How long a connection may be idle between requests.
    pub idle: Duration,
    /// How long a request's head may take from its first byte on.
    pub head: Duration,
    /// How long the peer may take for a body or an answer, besides a second for every
    /// [`BYTES_PER_SECOND`].
    pub transfer: Duration,
    /// Largest head of a request, in bytes.
    pub head_bytes: usize,
    /// Largest value of a key, in bytes.
    pub value_bytes: usize,
    /// Most bytes of values in a transaction.
    pub transaction_bytes: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_per_client: 0,
            handshake: Duration::from_secs(5),
            handshakes: 1024,
            idle: Duration::from_secs(300),
            head: Duration::from_secs(10),
            transfer: Duration::from_secs(30),
            head_bytes: HEAD_BYTES,
            value_bytes: VALUE_BYTES,
            transaction_bytes: VALUE_BYTES,
        }
    }
}

/// Usual size of the largest head of a request.
pub const HEAD_BYTES: usize = 64 * 1024;
/// Usual size of the largest value of a key.
pub const VALUE_BYTES: usize = 512 * 1024;
/// Most headers of a request.
pub(crate) const HEADERS_MAX: usize = 64;
/// The slowest peer that is waited for, in bytes per second.
pub(crate) const BYTES_PER_SECOND: u64 = 16 * 1024;
/// Bytes that are read and thrown away after a refused body, so that the answer arrives.
pub(crate) const DISCARD_MAX: u64 = 8 * 1024 * 1024;
/// Answers smaller than this are not compressed.
pub(crate) const GZIP_MIN: usize = 1024;
