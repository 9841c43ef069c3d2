//! Who answers: this server, its leader, another datacenter's servers, or, for a client agent, any
//! of them.
//!
//! [`Servers`] has one method for each endpoint of `lictor_server`; the doors and the agent call
//! these and need not know where the answer comes from. A server that can answer itself pays
//! nothing for it. What goes to others is encoded by `lictor_wire` and sent by a [`Caller`]; what
//! others ask of this server comes in by `Servers::serve`, which asks the same methods, so that it
//! is sent on where it has to be. Rights are decided by whoever answers.
//!
//! There are no sockets here and no rules of endpoints.
//!
//! | file | subject |
//! | --- | --- |
//! | `servers` | start, end, what all share |
//! | `routes` | the servers by datacenter, and who is asked next |
//! | `members` | what membership means for them |
//! | `located` | addresses as readers of another datacenter reach them |
//! | `pools` | what others ask of the pools that this agent is in |
//! | `endpoint/…` | one file for each resource |
//! | `away` | asking others and answering them |
//! | `attempts` | where a request goes, and whether it is made again |
//! | `federation` | what is copied from the datacenter that rules this one |
//! | `followed` | intentions that a client agent keeps |
//! | `rights` | what tokens permit, for what an agent decides itself |
//! | `watched` | calls whose answer will not come |
//! | `troubles` | which servers did not answer, so that it is said once |
//! | `rate` | how many calls a client agent makes |
//! | `caller` | the way to other servers |
//! | `failure` | what another server's refusal means here |
//! | `meters` | what is counted |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attempts;
mod away;
mod caller;
mod endpoint;
mod failure;
mod federation;
mod followed;
mod located;
mod members;
mod meters;
mod pools;
mod rate;
mod rights;
mod routes;
mod servers;
mod troubles;
mod watched;

pub use away::{ServeError, Serving, WriteOptions};
pub use caller::{CallFailure, Caller, Calling, CallingSnapshot, Nobody, SnapshotAnswer};
pub use endpoint::{GatewayService, JoinOffer, Wanted};
pub use lictor_wire::internal::{KeyringArgs, KeyringOp, KeyringReply};
pub use located::{Located, to_wan};
pub use pools::{Asking, Map, Place, Pools};
pub use routes::{Routes, ServerInfo, Target};
pub use servers::{ForwardConfig, Servers, TOKEN_TTL};
