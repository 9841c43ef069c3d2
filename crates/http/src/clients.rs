//! How many connections each client has, so that one of them cannot have all.
//!
//! Clients are told apart by their address. Those of local sockets are not counted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The number of connections by address. Clones share it; it holds no address without connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    clients: Clients,
    address: Option<IpAddr>,
}

impl Clients {
    /// Counts a connection of `address`; `None` if it has `limit` already. 0 is no limit.
    pub(crate) fn admit(&self, address: Option<IpAddr>, limit: usize) -> Option<Counted> {
        if let Some(address) = address {
            let mut open = self.0.lock();
            let count = open.entry(address).or_insert(0);
            if limit > 0 && *count >= limit {
                return None;
            }
            *count += 1;
        }
        Some(Counted { clients: self.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        if let Entry::Occupied(mut count) = self.clients.0.lock().entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_count() {
        let clients = Clients::default();
        let [one, two] = ["10.0.0.1", "10.0.0.2"].map(|a| a.parse::<IpAddr>().ok());
        let first = clients.admit(one, 2);
        let second = clients.admit(one, 2);
        assert!(first.is_some() && second.is_some());
        assert!(clients.admit(one, 2).is_none());
        assert!(clients.admit(one, 0).is_some());
        let other = clients.admit(two, 1);
        assert!(other.is_some() && clients.admit(two, 1).is_none());
        assert!(clients.admit(None, 1).is_some() && clients.admit(None, 1).is_some());
        drop(first);
        assert!(clients.admit(one, 2).is_some());
        drop((second, other));
        assert!(clients.0.lock().is_empty());
    }
}
