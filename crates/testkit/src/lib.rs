//! What tests need and the product must not: free ports, waiting for a condition, a small HTTP
//! client, questions to DNS, runs from seeds, and started programs that end with the test.
//!
//! It knows nothing of the product's crates, only of its binary; it is never shipped.

mod coverage;
mod dns;
mod http;
mod process;
mod seeds;

use std::net::TcpListener;
use std::time::{Duration, Instant};

pub use coverage::{Row, check_coverage};
pub use dns::dns_question;
pub use http::{Failure, Reply, attempt, request, request_within};
pub use process::{Agent, Program, binary};
pub use rustix::process::Signal;
pub use seeds::each_seed;

/// `N` distinct TCP ports of the loopback interface that were free a moment ago.
///
/// # Panics
/// When the system has no free port.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held at once so that no two are equal; UDP of the same number is not checked.
    let held: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("the system has a free port"))
        .collect();
    std::array::from_fn(|i| held[i].local_addr().expect("a bound socket has an address").port())
}

/// Asks `probe` until it gives a value; panics with `what` when `limit` is over.
///
/// # Panics
/// When the condition did not come true in time.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < limit, "not in {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says loudly that a test could not run here, and why.
pub fn skipped(test: &str, why: &str) {
    eprintln!("\n*** SKIPPED {test}: {why} ***\n");
}
