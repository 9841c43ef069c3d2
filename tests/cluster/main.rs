//! Clusters of real processes under faults: what they acknowledge is kept, and what they show is one
//! history.
//!
//! Each file is one subject. `network` and `switch` give every node a network of its own, `node` and
//! `cluster` run the binary there, `nemesis` breaks things by a seed, `workload` (with `objects`, `pairs` and
//! `locks`) asks and keeps what was answered, and `evidence` judges it with `checker` and `model`. `runs`,
//! `failover`, `freshness`, `handover`, `rolling`, `mesh`, `many`, `datacenters`, `federation`, `wan`,
//! `membership`, `tls` and `auto` are what is run; `writes` measures; `known` proves the checker.

mod auto;
mod checker;
mod cluster;
mod datacenters;
mod evidence;
mod failover;
mod federation;
mod freshness;
mod handover;
mod known;
mod locks;
mod many;
mod membership;
mod mesh;
mod model;
mod nemesis;
mod network;
mod node;
mod objects;
mod pairs;
mod rolling;
mod runs;
mod switch;
mod tls;
mod wan;
mod workload;
mod writes;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One cluster at a time: its timings are those of a machine that is not overloaded.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits for its turn.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number of the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
