//! The HTTP API, version 1: requests in, answers out.
//!
//! A handler parses, attaches the caller's token, asks the agent or its server, and shapes the
//! answer; it decides nothing. There is one file for each resource, named as in the other layers.
//! The server is our own on top of `httparse`: a blocking query must cost no buffers while it waits,
//! which the libraries at hand cannot do.
//!
//! | file | subject |
//! | --- | --- |
//! | `server`, `connection`, `socket`, `deadline`, `clients` | listeners and the life of a connection |
//! | `tls`, `live` | TLS of the listeners; what a reload changes |
//! | `head`, `path`, `query`, `request` | reading a request |
//! | `answer`, `encoding`, `date`, `error` | making an answer |
//! | `router`, `door` | which path is answered by whom, and the rules for all of them |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod acl;
mod acl_auth;
mod acl_legacy;
mod acl_policy;
mod acl_token;
mod agent;
mod agent_check;
mod agent_connect;
mod agent_health;
mod agent_host;
mod agent_service;
mod answer;
mod autopilot;
mod catalog;
mod clients;
mod config;
mod config_entry;
mod connect_ca;
mod connection;
mod coordinate;
mod date;
mod deadline;
mod discovery_chain;
mod door;
mod encoding;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod health;
mod intentions;
mod internal_ui;
mod keyring;
mod kv;
mod live;
mod metrics;
mod network;
mod operator;
mod path;
mod prepared_query;
mod query;
mod request;
mod router;
mod server;
mod session;
mod snapshot;
mod sniff;
mod socket;
mod status;
mod tls;
mod txn;

pub use config::{HEAD_BYTES, HttpConfig, HttpLimits, Listen, Ui, VALUE_BYTES};
pub use live::LiveSettings;
pub use network::Network;
pub use server::{HttpServer, StartError};
pub use tls::{
    ClientParts, Held, TlsConfig, TlsError, TlsVersion, authority_texts, client as tls_client,
    known_suite, server as tls_server,
};
