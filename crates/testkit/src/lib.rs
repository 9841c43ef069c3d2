//! What tests need and the product must not: free ports, waiting for a condition, a small HTTP
//! client, questions to DNS, runs from seeds, and started programs that end with the test.
//!
//! It knows nothing of the product's crates, only of its binary; it is never shipped.

mod coverage;
mod dns;
mod http;
mod process;
mod seeds;

use std::net::{TcpListener, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use coverage::{Row, check_coverage};
pub use dns::dns_question;
pub use http::{Failure, Reply, attempt, request, request_within};
pub use process::{Agent, Program, binary};
pub use rustix::process::Signal;
pub use seeds::each_seed;

/// Ports of the loopback that nobody uses, for TCP and UDP, all different.
///
/// They lie below those that the system gives to outgoing connections, which could take one before the
/// program under test does, and above those that agents give to proxies by themselves. A process gives
/// each of them once.
///
/// # Panics
/// When there is no free port.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| free_port())
}

/// The first port that may be given.
const FIRST: u16 = 22_000;
/// One past the last, unless outgoing connections begin below.
const END: u16 = 32_000;

fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    static START: OnceLock<u32> = OnceLock::new();
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let outgoing: Option<u16> =
        range.ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
    let end = outgoing.filter(|first| *first > FIRST + 1000).unwrap_or(END).min(END);
    let count = u32::from(end - FIRST);
    // Test programs that run beside each other begin at different places.
    let start = *START.get_or_init(|| std::process::id().wrapping_mul(7919));
    for _ in 0..count {
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        let offset = start.wrapping_add(taken) % count;
        let port = FIRST + u16::try_from(offset).unwrap_or_default();
        let at = ("127.0.0.1", port);
        if TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} to {end} is free");
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
