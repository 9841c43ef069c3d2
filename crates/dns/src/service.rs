//! Instances of a service, prepared for answers, and kept until the catalog changes them.
//!
//! Preparing is parsing addresses and spelling names, once for many questions. What is kept is
//! valid as long as the service's index in the catalog is the same.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use lictor_server::{CatalogView, Eyes};
use lictor_types::Index;
use lictor_types::catalog::CheckServiceNode;
use lictor_types::check::Status;

use crate::name::{self, Name, NameBuf};
use crate::text::texts;

/// Names that are kept. One more makes room by forgetting all.
const KEPT_NAMES: usize = 4096;
/// Instances that are kept in all.
const KEPT_INSTANCES: usize = 100_000;

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address.
    Ip(IpAddr),
    /// A host name.
    Host(Name),
    /// Neither: there is nothing to answer.
    Nowhere,
}

impl Place {
    /// Reads an address of the catalog.
    #[must_use]
    pub fn parse(address: &str) -> Self {
        if let Ok(ip) = address.parse() {
            return Self::Ip(ip);
        }
        name::parse(address).map_or(Self::Nowhere, |host| Self::Host(Arc::from(&host[..])))
    }
}

/// An address of a service; each is there once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The instance's own, or its node's.
    pub place: Place,
    /// The node's.
    pub node: Place,
}

/// An instance for SRV records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Share of the load, compared with other instances.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Name of the place.
    pub target: Name,
    /// The place.
    pub address: Address,
    /// Metadata of the node, if the target is the node's name.
    pub texts: Arc<[Arc<[u8]>]>,
}

/// Healthy instances of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instances {
    /// Every address once.
    pub addresses: Vec<Address>,
    /// Those that are IPv4.
    pub v4: Vec<Ipv4Addr>,
    /// Those that are IPv6.
    pub v6: Vec<Ipv6Addr>,
    /// For SRV records.
    pub instances: Vec<Instance>,
    /// Metadata of the nodes.
    pub texts: Vec<Arc<[u8]>>,
    /// TTL of the records.
    pub ttl: u32,
}

impl Instances {
    /// Prepares `rows`, keeping their order. Names are spelled below `domain`.
    #[must_use]
    pub fn new(rows: &[CheckServiceNode], datacenter: &str, domain: &[u8], ttl: u32) -> Self {
        let mut all = Self { ttl, ..Self::default() };
        let (mut addresses, mut instances, mut nodes) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for row in rows {
            let (node, service) = (&row.node, &row.service);
            let own = if service.address.is_empty() { &node.address } else { &service.address };
            let address = Address { place: Place::parse(own), node: Place::parse(&node.address) };
            let meta: Arc<[_]> = texts(&node.meta).into();
            if addresses.insert(own) {
                match address.place {
                    Place::Ip(IpAddr::V4(ip)) => all.v4.push(ip),
                    Place::Ip(IpAddr::V6(ip)) => all.v6.push(ip),
                    Place::Host(_) | Place::Nowhere => {}
                }
                all.addresses.push(address.clone());
            }
            if nodes.insert(&node.name) {
                all.texts.extend(meta.iter().cloned());
            }
            if instances.insert((&node.name, &service.address, service.port)) {
                let spelled = match address.place {
                    Place::Ip(ip) if *own != node.address => Some(spelled(ip)),
                    _ => None,
                };
                let parts = match &spelled {
                    Some(digits) => [digits, "addr", datacenter],
                    None => [&*node.name, "node", datacenter],
                };
                // A node whose name cannot be a name has no target.
                if let Some(target) = name::join(&parts, domain) {
                    all.instances.push(Instance {
                        weight: weight(row),
                        port: service.port,
                        target: Arc::from(&target[..]),
                        address,
                        texts: if spelled.is_some() { Arc::from([]) } else { meta },
                    });
                }
            }
        }
        all
    }

    /// Whether all addresses are IPs.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.v4.len() + self.v6.len() == self.addresses.len()
    }

    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
}

/// The weight of an instance: less when a check warns, as it may say.
fn weight(row: &CheckServiceNode) -> u16 {
    let weights = row.service.weights;
    let warned = row.checks.iter().any(|check| check.status == Status::Warning);
    u16::try_from(if warned { weights.warning } else { weights.passing }).unwrap_or(u16::MAX)
}

/// An address as the label of a name.
fn spelled(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{:08x}", u32::from(ip)),
        IpAddr::V6(ip) => format!("{:032x}", u128::from(ip)),
    }
}

/// Which instances of a service are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Name of the service.
    pub name: &'a str,
    /// With this tag only.
    pub tag: Option<&'a str>,
    /// By mesh name.
    pub connect: bool,
}

struct Kept {
    epoch: u64,
    /// Of the catalog when it was last found valid.
    seen: Index,
    /// Of the service.
    index: Index,
    name: Box<str>,
    connect: bool,
    eyes: Eyes,
    instances: Arc<Instances>,
}

/// What is kept, by the name of the question in lower case.
#[derive(Default)]
pub struct Cache {
    kept: HashMap<NameBuf, Kept>,
    size: usize,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("names", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Cache {
    /// The instances that are kept for a name, if they are still those of the catalog.
    pub fn get(&mut self, question: &[u8], view: &CatalogView) -> Option<&Arc<Instances>> {
        let kept = self.kept.get_mut(question)?;
        if kept.epoch != view.epoch() || !view.is_seen_with(&kept.eyes) {
            return None;
        }
        let now = view.index();
        if kept.seen != now {
            if view.service_index(&kept.name, kept.connect) != Some(kept.index) {
                return None;
            }
            kept.seen = now;
        }
        Some(&kept.instances)
    }

    /// Keeps instances. Those of a name that the catalog has never seen are not.
    pub fn put(
        &mut self,
        question: &[u8],
        view: &CatalogView,
        wanted: Wanted<'_>,
        instances: &Arc<Instances>,
    ) {
        let Some(index) = view.service_index(wanted.name, wanted.connect) else { return };
        let size = instances.instances.len().max(1);
        if self.kept.len() >= KEPT_NAMES || self.size + size > KEPT_INSTANCES {
            self.clear();
        }
        let kept = Kept {
            epoch: view.epoch(),
            seen: view.index(),
            index,
            name: wanted.name.into(),
            connect: wanted.connect,
            eyes: view.eyes(),
            instances: Arc::clone(instances),
        };
        self.size += size;
        if let Some(old) = self.kept.insert(NameBuf::from_slice(question), kept) {
            self.size -= old.instances.instances.len().max(1);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.size = 0;
    }
}
