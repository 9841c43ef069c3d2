//! The servers of all datacenters, and which one is asked next.
//!
//! Whoever follows membership adds and removes them. A list is asked from its front; one that
//! failed goes to its end. So that the load of many agents spreads, lists are shuffled now and
//! then, by a task of [`crate::Servers`]: how often is [`Routes::rebalance_pause`].
//!
//! Source of the times: observed behaviour, `rpc.md`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::watch;

/// Least time between two shuffles of a list, and as much as half of it more at random.
const REBALANCE_LEAST: Duration = Duration::from_secs(120);
/// Connections that all agents of a datacenter together may move to a server in a second.
const MOVES_PER_SECOND: u64 = 64;

/// A server as its members know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Name of its node, without the datacenter.
    pub name: Arc<str>,
    /// UUID of its node; empty if it did not say.
    pub id: String,
    /// Its datacenter.
    pub datacenter: Arc<str>,
    /// Where it answers calls: of its own datacenter at the LAN address, of others at the WAN's.
    pub address: SocketAddr,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The datacenter of the server: certificates name it.
    pub datacenter: Arc<str>,
    /// Where it answers calls.
    pub address: SocketAddr,
}

/// Servers by datacenter.
#[derive(Debug)]
pub struct Routes {
    datacenter: Arc<str>,
    lists: RwLock<BTreeMap<Arc<str>, Vec<ServerInfo>>>,
    /// Members of the own datacenter, clients too.
    members: watch::Sender<usize>,
    /// Counts changes, for whoever waits for a server.
    changes: watch::Sender<u64>,
}

impl Routes {
    /// No servers yet; `datacenter` is the own one.
    #[must_use]
    pub fn new(datacenter: &str) -> Self {
        Self {
            datacenter: datacenter.into(),
            lists: RwLock::default(),
            members: watch::Sender::new(1),
            changes: watch::Sender::new(0),
        }
    }

    /// The own datacenter.
    #[must_use]
    pub const fn datacenter(&self) -> &Arc<str> {
        &self.datacenter
    }

    /// Adds a server, or takes over what it says of itself now. Where it comes in the list is left
    /// to chance.
    pub fn add(&self, server: ServerInfo) {
        let mut lists = self.lists.write();
        let list = lists.entry(Arc::clone(&server.datacenter)).or_default();
        match list.iter_mut().find(|one| one.name == server.name) {
            Some(known) if *known == server => return,
            Some(known) => *known = server,
            None => list.insert(fastrand::usize(..=list.len()), server),
        }
        drop(lists);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Removes a server: it has left or failed. Its datacenter stays known.
    pub fn remove(&self, datacenter: &str, name: &str) {
        let mut lists = self.lists.write();
        let Some(list) = lists.get_mut(datacenter) else { return };
        list.retain(|one| &*one.name != name);
        drop(lists);
        self.changes.send_modify(|count| *count += 1);
    }

    /// A datacenter is known though none of its servers may be there: they have failed and not left.
    pub fn know(&self, datacenter: &str) {
        if !self.knows(datacenter) {
            self.lists.write().entry(datacenter.into()).or_default();
        }
    }

    /// A datacenter whose servers have left is known no more.
    pub fn forget(&self, datacenter: &str) {
        self.lists.write().remove(datacenter);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Whether a datacenter is known.
    #[must_use]
    pub fn knows(&self, datacenter: &str) -> bool {
        self.lists.read().contains_key(datacenter)
    }

    /// The server that is asked next.
    #[must_use]
    pub fn next(&self, datacenter: &str) -> Option<Target> {
        let lists = self.lists.read();
        let first = lists.get(datacenter)?.first()?;
        Some(Target { datacenter: Arc::clone(&first.datacenter), address: first.address })
    }

    /// A call to it failed: others come first.
    pub fn failed(&self, target: &Target) {
        let mut lists = self.lists.write();
        let Some(list) = lists.get_mut(&target.datacenter) else { return };
        // Only the first is asked, so whoever failed elsewhere in the list is late with the news.
        if list.len() > 1 && list.first().is_some_and(|one| one.address == target.address) {
            list.rotate_left(1);
        }
    }

    /// Whether a server can be asked.
    pub(crate) fn has(&self, target: &Target) -> bool {
        let lists = self.lists.read();
        let list = lists.get(&target.datacenter);
        list.is_some_and(|list| list.iter().any(|one| one.address == target.address))
    }

    /// How many servers a datacenter has.
    #[must_use]
    pub fn count(&self, datacenter: &str) -> usize {
        self.lists.read().get(datacenter).map_or(0, Vec::len)
    }

    /// The servers of a datacenter in the order in which they are asked.
    #[must_use]
    pub fn servers(&self, datacenter: &str) -> Vec<ServerInfo> {
        self.lists.read().get(datacenter).cloned().unwrap_or_default()
    }

    /// Names of the datacenters that are known, the own one first, others by name.
    #[must_use]
    pub fn datacenters(&self) -> Vec<Arc<str>> {
        let others = self.lists.read();
        let others = others.keys().filter(|name| **name != self.datacenter).cloned();
        std::iter::once(Arc::clone(&self.datacenter)).chain(others).collect()
    }

    /// Says how many members the own datacenter has, clients too; from then on lists are shuffled
    /// as often as suits that number.
    pub fn set_members(&self, count: usize) {
        self.members.send_if_modified(|known| std::mem::replace(known, count) != count);
    }

    /// Brings every list into another order, so that its front is another one than before with the
    /// likelihood that makes all equally busy.
    pub fn shuffle(&self) {
        for list in self.lists.write().values_mut() {
            fastrand::shuffle(list);
        }
    }

    /// The time until the next shuffle: two to three minutes, longer in clusters so large that
    /// their servers would be busy with new connections.
    #[must_use]
    pub fn rebalance_pause(&self) -> Duration {
        let servers = u64::try_from(self.count(&self.datacenter)).unwrap_or(u64::MAX).max(1);
        let members = u64::try_from(*self.members.borrow()).unwrap_or(u64::MAX);
        let spread = Duration::from_secs(members / MOVES_PER_SECOND.saturating_mul(servers));
        let least = REBALANCE_LEAST + REBALANCE_LEAST.mul_f64(fastrand::f64() / 2.0);
        least.max(spread)
    }

    /// Follows changes of the lists.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(datacenter: &str, name: &str, port: u16) -> ServerInfo {
        ServerInfo {
            name: name.into(),
            id: String::new(),
            datacenter: datacenter.into(),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    #[test]
    fn who_failed_is_asked_last() {
        let routes = Routes::new("dc1");
        assert_eq!(routes.next("dc1"), None);
        for (name, port) in [("a", 1), ("b", 2), ("c", 3)] {
            routes.add(server("dc1", name, port));
        }
        let first = routes.next("dc1").unwrap();
        routes.failed(&first);
        let second = routes.next("dc1").unwrap();
        assert_ne!(first, second);
        // It is no longer the first: who hears of it late changes nothing.
        routes.failed(&first);
        assert_eq!(routes.next("dc1"), Some(second));
        assert_eq!(routes.servers("dc1").last().unwrap().address, first.address);
    }

    #[test]
    fn a_server_is_known_by_its_name_and_goes_with_it() {
        let routes = Routes::new("dc1");
        routes.add(server("dc1", "a", 1));
        routes.add(server("dc1", "a", 2));
        routes.add(server("dc2", "a", 3));
        assert_eq!((routes.count("dc1"), routes.count("dc2")), (1, 1));
        assert_eq!(routes.next("dc1").unwrap().address.port(), 2);
        assert_eq!(routes.datacenters(), ["dc1".into(), "dc2".into()]);
        routes.remove("dc2", "a");
        assert!(routes.knows("dc2") && routes.next("dc2").is_none());
        routes.forget("dc2");
        assert_eq!(routes.datacenters(), ["dc1".into()]);
        routes.remove("dc1", "a");
        // The own one is known whatever happens.
        assert_eq!(routes.datacenters(), ["dc1".into()]);
        let alone =
            Target { datacenter: "dc1".into(), address: SocketAddr::from(([127, 0, 0, 1], 1)) };
        routes.failed(&alone);
    }

    #[test]
    fn large_clusters_move_seldom() {
        let routes = Routes::new("dc1");
        for (name, port) in [("a", 1), ("b", 2), ("c", 3)] {
            routes.add(server("dc1", name, port));
        }
        for _ in 0..100 {
            let pause = routes.rebalance_pause();
            assert!((120..=180).contains(&pause.as_secs()), "{pause:?}");
        }
        routes.set_members(100_000);
        assert_eq!(routes.rebalance_pause(), Duration::from_secs(100_000 / 192));
        for _ in 0..20 {
            routes.shuffle();
            assert_eq!(routes.count("dc1"), 3);
        }
    }
}
