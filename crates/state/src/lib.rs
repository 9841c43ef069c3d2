//! The state store: what the cluster has agreed on, and how one waits for it to change.
//!
//! Every table is a persistent ordered map; a [`View`] is one immutable version of all of them,
//! published by one atomic store, so that readers take no lock and never wait for the writer. It
//! has no clock, no I/O and no randomness: [`Store::apply_batch`] is a function of the state and
//! the commands. Rights are checked above, encodings of the API are made above.
//!
//! One file is one table: its rows, its indexes, its queries, its tests.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod acl;
mod apply;
mod autopilot;
mod ca;
mod catalog_txn;
pub mod chain;
mod check;
mod config_entry;
mod coordinate;
mod index;
mod intention;
mod kv;
mod node;
mod prepared_query;
mod service;
mod session;
mod snapshot;
mod store;
mod txn;
mod view;
mod watch;

pub use acl::{TOKEN_TABLES, TokenFilter};
pub use check::checks_of;
pub use config_entry::{ProxyDefaults, ProxyQuery, config_entry_topics};
pub use index::Table;
pub use intention::MatchBy;
pub use prepared_query::{ResolveError, TemplateError};
pub use snapshot::{RestoreError, RestoreReport, Snapshot};
pub use store::{Applied, Store};
pub use view::View;
pub use watch::{Topic, Watch};
