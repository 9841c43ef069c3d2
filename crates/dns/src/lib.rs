//! The DNS interface: questions about nodes and services, answered from the catalog.
//!
//! It holds no state of its own except prepared answers, which the catalog's indexes validate, and
//! decides nothing about what agents cache. Everything else is handed on to recursors.
//!
//! | file | subject |
//! | --- | --- |
//! | `name`, `query`, `record`, `message` | the wire: names, questions, records, writing |
//! | `route` | what a name asks for |
//! | `answer`, `service`, `text`, `reverse` | question and catalog in, answer out |
//! | `fit` | how much of an answer a message holds |
//! | `engine` | a message in, a message out; the short way for addresses of services |
//! | `udp`, `tcp`, `recursor`, `waiting` | sockets |
//! | `server`, `config`, `prepared` | start, end, settings, seams |
//! | `meters` | what is counted and timed |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod answer;
mod config;
pub mod engine;
pub mod fit;
#[doc(hidden)]
pub mod fuzzing;
pub mod message;
mod meters;
pub mod name;
mod prepared;
pub mod query;
pub mod record;
mod recursor;
pub mod reverse;
pub mod route;
mod server;
pub mod service;
mod tcp;
mod text;
mod udp;
mod waiting;

pub use config::{DnsConfig, Limits, LiveSettings, RecursorOrder, Settings, SoaSettings, domain};
pub use prepared::{PreparedQueries, QueryAnswer, QueryFuture, QueryRequest, ServerQueries};
pub use server::{DnsServer, StartError};
