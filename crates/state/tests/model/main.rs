//! The store against a model: the same commands go to the store and to plain maps, and every
//! query must give the same.
//!
//! Encodings of the API and the blocking loop are not tested here; what the loop relies on is:
//! indexes that never go back, that grow with every change, and wake-ups of just those concerned.

#![allow(clippy::unwrap_used)]

mod batches;
mod equality;
mod life;
mod naive;
mod naive_acl;
mod naive_kv;
mod naive_prepared;
mod naive_queries;
mod naive_txn;
mod queries;
mod snapshots;
mod steps;
mod steps_acl;
mod waking;

use proptest::prelude::ProptestConfig;

/// Settings of a property: so many random cases unless `PROPTEST_CASES` says how many, and no
/// files left behind.
fn cases(count: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(count),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
