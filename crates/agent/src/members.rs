//! What this agent says about itself as a member, and members as the pools know them.
//!
//! Tags follow the original's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lictor_gossip::message::Versions;
use lictor_gossip::serf;
pub use lictor_types::member::Member;
use lictor_types::member::MemberStatus;

use crate::config::AgentConfig;

/// This agent as a member that gossips at `port`.
pub(crate) fn own(config: &AgentConfig, wan: bool, port: u16) -> Member {
    let name = match wan {
        true => wan_name(&config.node_name, &config.datacenter).into(),
        false => config.node_name.clone(),
    };
    let address = config.advertise_address.parse().unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let (protocol, delegate) = versions(Versions::OURS);
    let tags = tags(config, (!wan).then_some(config.ports.serf_wan));
    Member { name, address, port, tags, status: MemberStatus::Alive, protocol, delegate }
}

/// The name of a server in the pool of all datacenters.
pub(crate) fn wan_name(node: &str, datacenter: &str) -> String {
    format!("{node}.{datacenter}")
}

/// What this agent says about itself; to the agents of its datacenter also the port of a server's
/// gossip with those of others, if that is not 0.
pub(crate) fn tags(config: &AgentConfig, wan_port: Option<u16>) -> BTreeMap<String, String> {
    let revision: String = config.build.revision.chars().take(8).collect();
    let mut tags = BTreeMap::new();
    let mut tag = |key: &str, value: String| tags.insert(key.to_owned(), value);
    tag("build", format!("{}{}:{revision}", config.build.version, config.build.prerelease));
    tag("dc", config.datacenter.clone());
    tag("id", config.node_id.clone());
    tag("segment", String::new());
    tag("vsn", "2".to_owned());
    tag("vsn_max", "3".to_owned());
    tag("vsn_min", "2".to_owned());
    if !config.server {
        tag("role", "node".to_owned());
        return tags;
    }
    tag("role", "consul".to_owned());
    // Client agents of 1.4 and later ask in the language of today once all servers say so.
    tag("acls", if config.gossip.acl { "1" } else { "0" }.to_owned());
    tag("port", config.ports.server.to_string());
    tag("raft_vsn", "3".to_owned());
    if config.bootstrap {
        tag("bootstrap", "1".to_owned());
    }
    if config.gossip.expect > 0 {
        tag("expect", config.gossip.expect.to_string());
    }
    if config.gossip.use_tls {
        tag("use_tls", "1".to_owned());
    }
    if let Some(port) = wan_port.filter(|port| *port > 0) {
        tag("wan_join_port", port.to_string());
    }
    tags
}

/// A member as a pool knows it.
pub(crate) fn known(member: &serf::Member) -> Member {
    let (protocol, delegate) = versions(member.info.versions);
    Member {
        name: member.info.name.clone(),
        address: member.info.address.ip(),
        port: member.info.address.port(),
        tags: member.tags(),
        status: status(member.status),
        protocol,
        delegate,
    }
}

fn versions(Versions([a, b, c, d, e, f]): Versions) -> ([u8; 3], [u8; 3]) {
    ([a, b, c], [d, e, f])
}

const fn status(status: serf::Status) -> MemberStatus {
    match status {
        serf::Status::None => MemberStatus::None,
        serf::Status::Alive => MemberStatus::Alive,
        serf::Status::Leaving => MemberStatus::Leaving,
        serf::Status::Left => MemberStatus::Left,
        serf::Status::Failed => MemberStatus::Failed,
    }
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
        let lan = own(&config, false, 2);
        assert_eq!((&*lan.name, lan.port), ("n", 2));
        assert_eq!(lan.tags["wan_join_port"], "3");
        assert_eq!(lan.tags["build"], "1.2.0:01234567");
        assert!(!lan.tags.contains_key("expect") && !lan.tags.contains_key("use_tls"));
        let wan = own(&config, true, 3);
        assert_eq!((&*wan.name, wan.port), ("n.dc1", 3));
        assert!(!wan.tags.contains_key("wan_join_port"));
        config.gossip.expect = 3;
        assert_eq!(lan.tags["acls"], "0");
        config.gossip.use_tls = true;
        config.gossip.acl = true;
        assert_eq!(own(&config, false, 2).tags["acls"], "1");
        let server = own(&config, true, 3).server().unwrap();
        assert_eq!((server.expect, server.use_tls, &*server.name), (3, true, "n"));
        config.server = false;
        assert_eq!(own(&config, false, 2).tags["role"], "node");
    }
}
