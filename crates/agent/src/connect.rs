//! The agent's part in the mesh: roots, leaf certificates, decisions about connections.
//!
//! Signing and intentions are the servers', keys and certificates the `pki` crate's. What proxies
//! are told is [`crate::managed`]'s.

mod authorize;
mod issue;
mod leaf;
mod roots;

use std::time::Duration;

pub(crate) use self::authorize::Authorizer;
pub use self::authorize::{Authorization, AuthorizeRequest};
pub(crate) use self::issue::LeafIssuer;
pub use self::leaf::LeafCertificate;
pub(crate) use self::leaf::{LeafLimits, Leaves};
pub(crate) use self::roots::Roots;
use crate::jitter;

/// How long a reader blocks that does not say so, and how long at most.
const WAIT_DEFAULT: Duration = Duration::from_secs(300);
const WAIT_MOST: Duration = Duration::from_secs(600);

/// An answer with the mark that doors show in `X-Cache`.
#[derive(Clone, Debug)]
pub struct Cached<T> {
    /// The answer.
    pub value: T,
    /// Whether the agent had it, or what it needed, already.
    pub hit: bool,
}

/// The time that a reader blocks, with a random bit more, so that many do not return at once.
pub(crate) fn wait_time(asked: Duration) -> Duration {
    let wait = if asked.is_zero() { WAIT_DEFAULT } else { asked.min(WAIT_MOST) };
    wait + jitter::below(wait / 16)
}
