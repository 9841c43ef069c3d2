//! Discovery chains, compiled from configuration entries.
//!
//! [`compile`] makes the chain of a service: its router, if it has one, leads to splitters, those to
//! other splitters and to resolvers, and resolvers to targets. [`check`] says whether a change of
//! the entries would leave chains, gateways or intentions that make no sense. Both are functions of
//! [`Entries`] alone. Texts of errors are those that users of the original know.
//!
//! Where the original would take any time or memory for a chain, this one refuses it:
//! [`DEPTH_MAX`], [`SPLITS_MAX`].

mod check;
mod compile;
mod customization;
mod entries;
mod error;
mod graph;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use check::check;
pub use compile::compile;
pub use entries::Entries;
pub use error::ChainError;

/// How many splitters may follow each other.
pub const DEPTH_MAX: usize = 128;
/// How many ways out the splitters of a chain may have, once each leads to resolvers only.
pub const SPLITS_MAX: usize = 16_384;

/// How a chain is compiled. What is empty or zero is as the entries have it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompileOptions<'a> {
    /// The datacenter whose instances are meant.
    pub evaluate_in: &'a str,
    /// The datacenter that the chain is used in: no gateway leads to its own instances.
    pub used_in: &'a str,
    /// What names of TLS end with.
    pub trust_domain: &'a str,
    /// How other datacenters are reached: `none`, `local`, `remote`.
    pub mesh_gateway: &'a str,
    /// What is spoken; with one that cannot be routed, routers and splitters are left out.
    pub protocol: &'a str,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
}

/// Where a chain begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Top {
    Advanced,
    Resolver,
}
