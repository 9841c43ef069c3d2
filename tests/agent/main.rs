//! The agent as an operator meets it: start, stop, reload, crash, and bad input.
//!
//! Each file is one subject; all of it goes through the binary, signals, files and sockets.

mod abuse;
mod access;
mod acl;
mod acl_commands;
mod acl_storage;
mod checks;
mod commands;
mod configuration;
mod coordinates;
mod discovery_chain;
mod dns;
mod durability;
mod full_disk;
mod gossip;
mod https;
mod keyring;
mod later;
mod life;
mod lock;
mod monitor;
mod server_port;
mod sharing;
mod snapshot;
mod telemetry;
mod watch;
