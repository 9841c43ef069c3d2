//! Ports of managed proxies: a free one at random from the configured range.
//!
//! Ports that a definition names itself are not handed out here.

use std::io;
use std::net::TcpListener;
use std::ops::RangeInclusive;

use crate::jitter;

/// No port is left.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no port provided for proxy bind_port and none left in the allocated range [{min}, {max}]")]
pub(super) struct NoPort {
    min: u16,
    max: u16,
}

/// Chooses a port of `range` that no other proxy has: `kept` if possible, since its proxy may be
/// running, else one that nothing on this host listens on at `address`.
pub(super) fn choose(
    range: RangeInclusive<u16>,
    used: &[u16],
    kept: u16,
    address: &str,
) -> Result<u16, NoPort> {
    if kept != 0 && range.contains(&kept) && !used.contains(&kept) {
        return Ok(kept);
    }
    let mut free: Vec<u16> =
        range.clone().filter(|port| *port != 0 && !used.contains(port)).collect();
    while !free.is_empty() {
        let port = free.swap_remove(jitter::index(free.len()));
        if !is_taken(address, port) {
            return Ok(port);
        }
    }
    Err(NoPort { min: *range.start(), max: *range.end() })
}

fn is_taken(address: &str, port: u16) -> bool {
    let bound = TcpListener::bind((address, port));
    bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_kept_or_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let only = port..=port;
        let none = NoPort { min: port, max: port };
        assert_eq!(choose(only.clone(), &[], 0, "127.0.0.1"), Err(none));
        assert_eq!(choose(only.clone(), &[], port, "127.0.0.1"), Ok(port), "it may be ours");
        assert!(choose(only.clone(), &[port], port, "127.0.0.1").is_err());
        drop(taken);
        assert_eq!(choose(only, &[], 0, "127.0.0.1"), Ok(port));
        assert_eq!(
            choose(0..=0, &[], 0, "127.0.0.1").unwrap_err().to_string(),
            "no port provided for proxy bind_port and none left in the allocated range [0, 0]"
        );
    }
}
