//! The agent of a host: what runs here, whether it is healthy, and who it is in the mesh.
//!
//! It keeps local services and checks and brings the catalog up to date with them, runs checks,
//! makes the keys of leaf certificates and keeps the certificates fresh, decides about incoming
//! connections, and supervises managed proxies. It has no listeners, no HTTP routes and none of
//! the JSON shapes of the API: the doors call the methods of [`Agent`].
//!
//! | file | subject |
//! | --- | --- |
//! | `agent` | start, end, and what the methods share |
//! | `service`, `checks`, `maintenance`, `reload`, `restore` | operations on local services and checks |
//! | `local`, `sync` | the local state and how the catalog is made equal to it |
//! | `check` | running checks, one file for each kind |
//! | `persist` | what is kept in the data directory |
//! | `connect` | roots, leaf certificates, authorization, proxy configuration |
//! | `managed` | managed proxies: ports, processes, supervision, adoption |
//! | `event`, `remote_exec` | user events, and commands that are run for them |
//! | `pools` | what servers ask of the pools |
//! | `coordinates`, `keyring` | where the agent is in the network; the keys of gossip |
//! | `gossip/…`, `members` | the pools that the agent is in; who is there |
//! | `info`, `metrics` | the agent about itself |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agent;
mod catalog;
mod check;
mod command;
mod config;
mod connect;
mod coordinates;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod gossip;
mod host;
mod info;
mod jitter;
mod keyring;
mod local;
mod machine;
mod managed;
mod md5;
mod members;
mod metrics;
mod persist;
mod pools;
mod remote_exec;
mod structure_hash;
mod sync;
mod tokens;
mod upstream;
mod validate;

#[cfg(test)]
mod testing;

pub use agent::{Agent, ConfigurationSource, Ending, LogSource, StartError};
pub use config::{
    AgentConfig, Build, CheckTlsFiles, Definitions, MemberPorts, ProxySettings, Reload,
};
pub use connect::{Authorization, AuthorizeRequest, Cached, LeafCertificate};
pub use error::AgentError;
pub use event::{EventRequest, UserEvent};
pub use gossip::{GossipSettings, PoolSettings, Retry, Tuning};
pub use host::{AgentService, RestoreError};
pub use info::{SelfConfig, SelfInfo};
pub use keyring::KeyringError;
pub use machine::{Disk, Machine, System};
pub use managed::{ManagedView, ProxyConfigReply};
pub use members::Member;
pub use metrics::{Figures, Filter, LiveFilter, Receiver, Telemetry};
pub use tokens::{TokenKind, TokenSet, Tokens};
pub use upstream::Upstream;
pub use validate::definition_problem;
