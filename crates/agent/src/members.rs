//! The members that this agent knows: so far itself.
//!
//! There is no gossip here; what a member says of itself follows the original's tags.

use std::collections::BTreeMap;

use crate::config::AgentConfig;

/// State of a member that is there.
const ALIVE: i64 = 1;

/// A member of the LAN or WAN pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name; in the WAN pool with `.<datacenter>`.
    pub name: String,
    /// Address.
    pub address: String,
    /// Port of its gossip.
    pub port: u16,
    /// What it says about itself.
    pub tags: BTreeMap<String, String>,
    /// 1 alive, 2 leaving, 3 left, 4 failed.
    pub status: i64,
    /// Lowest, highest and spoken version of the gossip protocol.
    pub protocol: [u8; 3],
    /// Lowest, highest and spoken version of what is built on it.
    pub delegate: [u8; 3],
}

/// This agent as a member.
pub(crate) fn own(config: &AgentConfig, wan: bool) -> Member {
    let revision: String = config.build.revision.chars().take(8).collect();
    let mut tags = BTreeMap::new();
    let mut tag = |key: &str, value: String| tags.insert(key.to_owned(), value);
    tag("build", format!("{}:{revision}", config.build.version));
    tag("dc", config.datacenter.clone());
    tag("id", config.node_id.clone());
    tag("segment", String::new());
    tag("vsn", "2".to_owned());
    tag("vsn_max", "3".to_owned());
    tag("vsn_min", "2".to_owned());
    if config.server {
        tag("role", "consul".to_owned());
        tag("port", config.ports.server.to_string());
        tag("raft_vsn", "3".to_owned());
        if config.bootstrap {
            tag("bootstrap", "1".to_owned());
        }
        if !wan {
            tag("wan_join_port", config.ports.serf_wan.to_string());
        }
    } else {
        tag("role", "node".to_owned());
    }
    let (name, port) = if wan {
        (format!("{}.{}", config.node_name, config.datacenter), config.ports.serf_wan)
    } else {
        (config.node_name.to_string(), config.ports.serf_lan)
    };
    Member {
        name,
        address: config.advertise_address.clone(),
        port,
        tags,
        status: ALIVE,
        protocol: [1, 5, 2],
        delegate: [2, 5, 4],
    }
}

/// Whether `address` (with or without a port) is this agent's own gossip address: the only one
/// that can be joined while there is no gossip.
pub(crate) fn is_own_address(config: &AgentConfig, address: &str, wan: bool) -> bool {
    let own_port = if wan { config.ports.serf_wan } else { config.ports.serf_lan };
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().unwrap_or(0))
        }
        _ => (address, own_port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    port == own_port && (host == config.advertise_address || host == config.bind_address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Build, MemberPorts};
    use crate::testing::config;

    #[test]
    fn a_server_in_both_pools() {
        let mut config = config();
        config.ports = MemberPorts { server: 1, serf_lan: 2, serf_wan: 3 };
        let build = Build {
            version: "1.2.0".to_owned(),
            revision: "0123456789".to_owned(),
            ..Build::default()
        };
        config.build = build;
        let lan = own(&config, false);
        assert_eq!((lan.name.as_str(), lan.port), ("n", 2));
        assert_eq!(lan.tags["wan_join_port"], "3");
        assert_eq!(lan.tags["build"], "1.2.0:01234567");
        let wan = own(&config, true);
        assert_eq!((wan.name.as_str(), wan.port), ("n.dc1", 3));
        assert!(!wan.tags.contains_key("wan_join_port"));
        config.server = false;
        assert_eq!(own(&config, false).tags["role"], "node");
    }

    #[test]
    fn own_addresses() {
        let mut config = config();
        config.ports = MemberPorts { server: 1, serf_lan: 2, serf_wan: 3 };
        assert!(is_own_address(&config, "127.0.0.1:2", false));
        assert!(is_own_address(&config, "127.0.0.1", false));
        assert!(is_own_address(&config, "127.0.0.1:3", true));
        assert!(!is_own_address(&config, "127.0.0.1:1", false));
        assert!(!is_own_address(&config, "", false));
        assert!(!is_own_address(&config, "127.0.0.1:x", false));
    }
}
