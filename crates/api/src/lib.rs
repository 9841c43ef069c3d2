//! The JSON bodies of the HTTP API, and the client for it.
//!
//! Bodies have exactly the names, order and null rules of the original's version 1.2. There are no
//! rules here and no types of the server's layers; the server's side of the conversion is in the
//! `http` crate, one file per resource, as here.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod client;
pub mod decode;
pub mod duration;
pub mod json;
pub mod url;

pub use client::{Client, ClientConfig, ClientError};
