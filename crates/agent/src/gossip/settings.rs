//! What the pools of an agent must be told.

use std::net::SocketAddr;
use std::time::Duration;

use lictor_gossip::packet::Incoming;
use lictor_gossip::swim;

/// Settings of the pools.
#[derive(Clone, Debug)]
pub struct GossipSettings {
    /// The pool of the datacenter's agents.
    pub lan: PoolSettings,
    /// The pool of all datacenters' servers; `None` when it is off.
    pub wan: Option<PoolSettings>,
    /// Whether members of a pool that was left are tried again at the next start.
    pub rejoin_after_leave: bool,
    /// Whether packets in plain text are refused where there are keys.
    pub verify_incoming: bool,
    /// Whether packets are encrypted where there are keys.
    pub verify_outgoing: bool,
    /// Whether it says that its calls are to be encrypted.
    pub use_tls: bool,
    /// Whether it says that access control is on.
    pub acl: bool,
    /// How many servers it waits for before the first election; 0 for none.
    pub expect: u32,
}

/// Settings of one pool.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Where others reach it; port 0 is the one that it listens on.
    pub advertise: SocketAddr,
    /// How long a failed member is remembered.
    pub reconnect_timeout: Duration,
    /// How it behaves, where that is not the usual.
    pub tuning: Tuning,
    /// What is joined at the start; without success the start fails.
    pub join: Vec<String>,
    /// What is tried to be joined again and again.
    pub retry: Retry,
}

/// Joining that is tried until it succeeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Addresses, with or without a port.
    pub addresses: Vec<String>,
    /// The pause between two rounds.
    pub interval: Duration,
    /// After how many more rounds the agent gives up and ends; 0 for never.
    pub most: u32,
}

/// What may be changed of how a pool behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Members that are told in each round.
    pub gossip_nodes: Option<usize>,
    /// The pause between rounds.
    pub gossip_interval: Option<Duration>,
    /// The pause between probes.
    pub probe_interval: Option<Duration>,
    /// How long a direct answer to a probe is waited for.
    pub probe_timeout: Option<Duration>,
    /// The factor of the time of suspicion.
    pub suspicion_multiplier: Option<u32>,
    /// The factor of repetitions.
    pub retransmit_multiplier: Option<u32>,
}

impl Tuning {
    /// Changes what is to be changed.
    pub(crate) fn apply(&self, config: &mut swim::Config) {
        let Self { gossip_nodes, gossip_interval, probe_interval, probe_timeout, .. } = self;
        set(&mut config.gossip_nodes, *gossip_nodes);
        set(&mut config.gossip_interval, *gossip_interval);
        set(&mut config.probe_interval, *probe_interval);
        set(&mut config.probe_timeout, *probe_timeout);
        set(&mut config.suspicion_multiplier, self.suspicion_multiplier);
        set(&mut config.retransmit_multiplier, self.retransmit_multiplier);
    }
}

fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

impl GossipSettings {
    /// What this says of encryption.
    pub(crate) fn encryption(&self, config: &mut swim::Config) {
        config.incoming = if self.verify_incoming { Incoming::Encrypted } else { Incoming::Either };
        config.encrypt_outgoing = self.verify_outgoing;
    }
}
