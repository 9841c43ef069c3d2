//! How the layer behaves, with the values that agents have.

use std::net::SocketAddr;
use std::time::Duration;

use crate::packet::Incoming;

/// How the layer behaves. Times are of the roles LAN and WAN as agents have them.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub name: String,
    /// Where others reach it.
    pub advertise: SocketAddr,
    /// What it says about itself, encoded.
    pub meta: Vec<u8>,
    /// How often a node is probed.
    pub probe_interval: Duration,
    /// How long a direct answer is waited for.
    pub probe_timeout: Duration,
    /// How many others are asked when there is none.
    pub indirect_checks: usize,
    /// The shortest suspicion: this many intervals, times log₁₀ of the number of nodes.
    pub suspicion_multiplier: u32,
    /// The longest suspicion in shortest ones.
    pub suspicion_max: u32,
    /// Each message is sent this often, times log₁₀ of the number of nodes.
    pub retransmit_multiplier: u32,
    /// How often messages are sent on.
    pub gossip_interval: Duration,
    /// To how many nodes.
    pub gossip_nodes: usize,
    /// How long the dead are still told, so that those that are not can say so.
    pub gossip_to_dead: Duration,
    /// How often all that is known is exchanged with another node; longer in large clusters.
    pub push_pull_interval: Duration,
    /// How long a stream may take.
    pub stream_timeout: Duration,
    /// The worst own health.
    pub awareness_max: u32,
    /// How long after a node's death another address may take its name; `None`: never.
    pub reclaim: Option<Duration>,
    /// Whether others' messages have to be encrypted.
    pub incoming: Incoming,
    /// Whether own messages are.
    pub encrypt_outgoing: bool,
    /// Whether own messages are compressed where that pays.
    pub compress: bool,
}

impl Config {
    /// Times for nodes of one datacenter.
    #[must_use]
    pub fn lan(name: impl Into<String>, advertise: SocketAddr) -> Self {
        Self {
            name: name.into(),
            advertise,
            meta: Vec::new(),
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_checks: 3,
            suspicion_multiplier: 4,
            suspicion_max: 6,
            retransmit_multiplier: 4,
            gossip_interval: Duration::from_millis(200),
            gossip_nodes: 3,
            gossip_to_dead: Duration::from_secs(30),
            push_pull_interval: Duration::from_secs(30),
            stream_timeout: Duration::from_secs(10),
            awareness_max: 8,
            reclaim: Some(Duration::from_secs(30)),
            incoming: Incoming::Encrypted,
            encrypt_outgoing: true,
            compress: true,
        }
    }

    /// Times for servers of several datacenters.
    #[must_use]
    pub fn wan(name: impl Into<String>, advertise: SocketAddr) -> Self {
        Self {
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            suspicion_multiplier: 6,
            gossip_interval: Duration::from_millis(500),
            gossip_to_dead: Duration::from_secs(60),
            push_pull_interval: Duration::from_secs(60),
            stream_timeout: Duration::from_secs(30),
            ..Self::lan(name, advertise)
        }
    }
}
