//! Gossip: who is in the cluster, and small messages to everybody in it.
//!
//! Bytes in, bytes out: no socket, no clock, no thread. Times and random numbers are arguments.
//!
//! | file | subject |
//! | --- | --- |
//! | `pack` | MessagePack as agents write it |
//! | `message`, `packet`, `stream` | what is on the wire of the membership layer |
//! | `keyring`, `tags` | encryption; what a node says about itself |
//! | `swim` | the membership layer: who is there |
//! | `named` | many things by name |
//! | `coordinate` | how far apart nodes are |
//! | `serf` | the event layer above it, and the whole for a driver |
//! | `tally` | what is counted |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod coordinate;
pub mod keyring;
pub mod message;
mod named;
pub mod pack;
pub mod packet;
pub mod serf;
pub mod stream;
pub mod swim;
pub mod tags;
pub mod tally;
