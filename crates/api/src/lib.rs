//! The JSON bodies of the HTTP API, and the client for it.
//!
//! Bodies have exactly the names, order and null rules of the original's version 1.2. There are no
//! rules here and no types of the server's layers; the server's side of the conversion is in the
//! `http` crate, one file per resource, as here.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod acl;
pub mod acl_auth;
pub mod agent;
pub mod agent_check;
pub mod agent_connect;
pub mod agent_host;
pub mod agent_service;
pub mod autopilot;
pub mod catalog;
pub mod client;
pub mod connect_ca;
pub mod coordinate;
pub mod decode;
pub mod discovery_chain;
pub mod duration;
pub mod event;
pub mod gateway;
pub mod health;
pub mod intentions;
pub mod internal_ui;
pub mod json;
pub mod keyring;
pub mod kv;
pub mod lock;
pub mod metrics;
pub mod nullable;
pub mod operator;
pub mod prepared_query;
pub mod semaphore;
pub mod session;
pub mod status;
pub mod txn;
pub mod url;
pub mod watch;

pub use client::{Client, ClientConfig, ClientError};

#[cfg(test)]
mod body_tests;
