//! A server: the endpoints that the doors and agents call, the duties of the leader, and the
//! certificate authority.
//!
//! An endpoint checks and completes a request, proposes a command or evaluates a query, and
//! answers with types of the domain. It has no listeners, no HTTP routes and no state of an agent.
//!
//! | file | subject |
//! | --- | --- |
//! | `server`, `config`, `bootstrap` | start, end, settings; the birth of a cluster |
//! | `authorize`, `acl/…` | what the bearer of a token may do; the leader's part of it; logging in |
//! | `endpoint/…` | one file for each resource |
//! | `entry_rules/…` | whether a configuration entry is in order |
//! | `rights` | what of a result the caller may see |
//! | `read`, `cache` | how every read is answered: consistency, blocking, sharing |
//! | `meters` | what is counted and timed |
//! | `leader/…` | what only the leader does |
//! | `replica` | what is taken over from the datacenter that rules this one |
//! | `archive` | the file that a snapshot is handed out in |
//! | `ca/…` | the authority: provider, first root, rotation, signing |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod acl;
pub mod archive;
mod authorize;
mod bootstrap;
mod ca;
mod cache;
mod clock;
mod config;
mod endpoint;
mod entry_rules;
#[doc(hidden)]
pub mod fuzzing;
mod leader;
mod metadata;
mod meters;
mod read;
mod replica;
mod rights;
mod server;

#[cfg(test)]
mod testing;

pub use authorize::{ANONYMOUS, AclSettings, DownPolicy};
pub use ca::IntermediateRequest;
pub use config::{CaSettings, Primary, ServerConfig, Waits};
pub use endpoint::acl_resolve::LegacyPolicy;
pub use endpoint::coordinate::OnNode;
pub use endpoint::dns::{CatalogView, Eyes, Missing, Told};
pub use endpoint::health::keep_passing;
pub use endpoint::intention::{IntentionMatches, intention_without_action};
pub use endpoint::operator::RaftPeer;
pub use endpoint::prepared_query::{Executed, QueryRequest, failover_order};
pub use endpoint::snapshot::SavedSnapshot;
pub use endpoint::txn::{TxnReply, only_reads};
/// How access control decides.
pub use lictor_acl::{Authorizer, DefaultPolicy};
/// Parts of a server's settings, and what others need to know of its consensus.
pub use lictor_raft::{
    Answering, LeaderInfo, Leadership, Peer, Raft, Storage, Timing, Transport, TransportError,
};
/// Which tokens are listed.
pub use lictor_state::{ProxyDefaults, ProxyQuery, TokenFilter};
/// What endpoints take and answer.
pub use lictor_types::{
    acl::{AclQuestion, TokenRequest},
    autopilot::{AutopilotHealth, LogStatus, ServerHealth},
    ca::{CaRoots, SignedLeaf},
    coordinate::DatacenterCoordinates,
    operator::{RaftGroup, RaftServer},
    prepared_query::QueryResult,
    txn::CatalogTxnReply,
};
pub use metadata::{Reserved, check_metadata};
pub use replica::{Differences, Held, REPLICATED_KINDS};
pub use server::{Server, StartError, Stats};
