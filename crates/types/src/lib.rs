//! The nouns of the system: what is stored, what is asked, and the errors that cross the wire.
//!
//! Everything here is plain data with `serde` names equal to the field names of the original's
//! MessagePack encoding, so that the log, snapshots and RPC share one definition. It contains no
//! I/O, no behaviour, and none of the JSON shapes of the HTTP API (those are in the `api` crate).

pub mod acl;
pub mod autopilot;
pub mod ca;
pub mod catalog;
pub mod chain;
pub mod check;
pub mod codec;
pub mod command;
pub mod config_entry;
pub mod coordinate;
pub mod definition;
pub mod duration;
pub mod error;
pub mod intention;
pub mod kv;
pub mod limits;
pub mod member;
mod operation;
pub mod operator;
pub mod prepared_query;
pub mod query;
pub mod session;
pub mod timestamp;
pub mod txn;

/// The position of a write in the total order of writes; what `X-Consul-Index` carries.
///
/// Indexes start at 1 and never decrease in the life of a cluster; 0 means «none».
pub type Index = u64;

/// The name of the check that the leader keeps for each member's gossip state.
pub const SERF_HEALTH: &str = "serfHealth";
/// The service ID and name under which servers appear in the catalog.
pub const SERVER_SERVICE: &str = "consul";
