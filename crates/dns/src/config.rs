//! What the DNS interface must be told: all decided, nothing left to default.
//!
//! Where the values come from is the binary's matter. [`Settings`] can change while it runs; where
//! it listens cannot.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::name::{self, Name};

/// Settings of the DNS interface.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Where it listens, over UDP and TCP.
    pub listeners: Vec<SocketAddr>,
    /// What can change.
    pub settings: Settings,
    /// What outsiders can make grow.
    pub limits: Limits,
}

/// Limits of what outsiders can make grow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open TCP connections.
    pub connections: usize,
    /// Questions that wait for others: recursors, a leader, a prepared query.
    pub waiting: usize,
    /// How long a TCP connection may be without a whole question, and take for an answer.
    pub idle: Duration,
    /// Sockets for each UDP address.
    pub sockets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            connections: 1024,
            waiting: 1024,
            idle: Duration::from_secs(10),
            sockets: cores.clamp(1, 8),
        }
    }
}

/// Numbers of the start of authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoaSettings {
    /// Seconds.
    pub refresh: u32,
    /// Seconds.
    pub retry: u32,
    /// Seconds.
    pub expire: u32,
    /// TTL of negative answers, seconds.
    pub min_ttl: u32,
}

impl Default for SoaSettings {
    fn default() -> Self {
        Self { refresh: 3600, retry: 600, expire: 86_400, min_ttl: 0 }
    }
}

/// The order in which recursors are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecursorOrder {
    /// As configured.
    #[default]
    Sequential,
    /// Another one each time.
    Random,
}

/// What can change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Our domains, the first of which is used where no question tells.
    pub domains: Vec<Name>,
    /// Who is asked about everything else.
    pub recursors: Vec<SocketAddr>,
    /// How long each may take.
    pub recursor_timeout: Duration,
    /// Who is asked first.
    pub recursor_order: RecursorOrder,
    /// Whether a server that does not lead may answer.
    pub allow_stale: bool,
    /// How old its answer may be; what is older is asked of the leader.
    pub max_stale: Duration,
    /// TTL of nodes, seconds.
    pub node_ttl: u32,
    /// TTL of services, seconds, by name in lower case.
    pub service_ttl: BTreeMap<String, u32>,
    /// Whether instances with warnings are left out.
    pub only_passing: bool,
    /// Whether a shortened answer says so.
    pub enable_truncate: bool,
    /// Whether names are compressed.
    pub compress: bool,
    /// Most records over UDP without EDNS.
    pub udp_answer_limit: usize,
    /// Most addresses of a service; 0 is any number.
    pub a_record_limit: usize,
    /// Whether metadata of nodes goes into the additional section.
    pub node_meta_txt: bool,
    /// Whether nodes and services of other datacenters have their addresses for the WAN.
    pub translate_wan: bool,
    /// Start of authority.
    pub soa: SoaSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domains: vec![Arc::from(&b"\x06consul\0"[..])],
            recursors: Vec::new(),
            recursor_timeout: Duration::from_secs(2),
            recursor_order: RecursorOrder::Sequential,
            allow_stale: true,
            max_stale: Duration::from_secs(87_600 * 3600),
            node_ttl: 0,
            service_ttl: BTreeMap::new(),
            only_passing: false,
            enable_truncate: false,
            compress: true,
            udp_answer_limit: 3,
            a_record_limit: 0,
            node_meta_txt: true,
            translate_wan: false,
            soa: SoaSettings::default(),
        }
    }
}

/// The wire form of a domain, in lower case; `None` when it is none.
#[must_use]
pub fn domain(text: &str) -> Option<Name> {
    name::parse(&text.to_ascii_lowercase()).map(|name| Arc::from(&name[..]))
}

impl Settings {
    /// TTL of a service, by its name in lower case: its own; that of the longest beginning that is
    /// configured as `beginning*`; that of all.
    #[must_use]
    pub fn service_ttl(&self, name: &str) -> u32 {
        if let Some(ttl) = self.service_ttl.get(name) {
            return *ttl;
        }
        let beginnings = self.service_ttl.iter().filter_map(|(key, ttl)| {
            let start = key.strip_suffix('*')?;
            name.starts_with(start).then_some((start.len(), *ttl))
        });
        beginnings.max_by_key(|(length, _)| *length).map_or(0, |(_, ttl)| ttl)
    }
}

/// Settings in use, to be exchanged while it runs. Clones are the same.
#[derive(Clone, Debug)]
pub struct LiveSettings(Arc<ArcSwap<Settings>>);

impl LiveSettings {
    /// Settings to begin with.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// Exchanges them.
    pub fn set(&self, settings: Settings) {
        self.0.store(Arc::new(settings));
    }

    /// Those of now.
    #[must_use]
    pub fn get(&self) -> Arc<Settings> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_counts() {
        let ttl = [("web", 1), ("web-*", 2), ("w*", 3), ("*", 4)];
        let service_ttl = ttl.iter().map(|(name, ttl)| ((*name).to_owned(), *ttl)).collect();
        let settings = Settings { service_ttl, ..Settings::default() };
        let of = |name| settings.service_ttl(name);
        assert_eq!([of("web"), of("web-a"), of("webb"), of("db")], [1, 2, 3, 4]);
        assert_eq!(Settings::default().service_ttl("web"), 0);
    }
}
