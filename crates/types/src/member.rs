//! Members of a gossip pool: agents of a datacenter, or servers of all datacenters.
//!
//! A member says by its tags what it is. Names of tags and their meaning are the original's.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How a member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberStatus {
    /// Nothing is known.
    #[default]
    None = 0,
    /// It answers.
    Alive = 1,
    /// It answers and has said that it leaves.
    Leaving = 2,
    /// It left.
    Left = 3,
    /// It does not answer.
    Failed = 4,
}

impl MemberStatus {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Alive => "alive",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }
}

/// A member of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name; in the pool of all datacenters with `.<datacenter>`.
    pub name: Arc<str>,
    /// Address of its gossip, which is that of its other interfaces too.
    pub address: IpAddr,
    /// Port of its gossip.
    pub port: u16,
    /// What it says about itself.
    pub tags: BTreeMap<String, String>,
    /// How it is.
    pub status: MemberStatus,
    /// Lowest, highest and spoken version of the membership layer.
    pub protocol: [u8; 3],
    /// Lowest, highest and spoken version of the event layer.
    pub delegate: [u8; 3],
}

/// Members of a pool by name.
pub type Members = Arc<Vec<Arc<Member>>>;

/// What a server says by its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerMember {
    /// Name of the node, without the datacenter.
    pub name: Arc<str>,
    /// UUID of the node; empty if it does not say.
    pub id: String,
    /// Datacenter.
    pub datacenter: String,
    /// Where it answers calls.
    pub address: SocketAddr,
    /// Whether it made itself the first server.
    pub bootstrap: bool,
    /// How many servers it waits for before the first election; 0 for none.
    pub expect: u32,
    /// Version of its program, `1.2.0`.
    pub version: String,
    /// Version of what agents say to each other.
    pub protocol: u32,
    /// Version of its consensus.
    pub raft_protocol: u32,
    /// Port of its gossip in the pool of all datacenters; `None` when it is off, or not said.
    pub wan_join_port: Option<u16>,
    /// Whether it wants calls to be encrypted.
    pub use_tls: bool,
    /// Whether it never votes.
    pub non_voter: bool,
    /// How it is.
    pub status: MemberStatus,
}

impl Member {
    /// A tag; empty when there is none.
    #[must_use]
    pub fn tag(&self, name: &str) -> &str {
        self.tags.get(name).map_or("", String::as_str)
    }

    /// UUID of the node; empty if it does not say.
    #[must_use]
    pub fn id(&self) -> &str {
        self.tag("id")
    }

    /// Datacenter.
    #[must_use]
    pub fn datacenter(&self) -> &str {
        self.tag("dc")
    }

    /// Whether it is an agent that is no server.
    #[must_use]
    pub fn is_client(&self) -> bool {
        self.tag("role") == "node"
    }

    /// What it says as a server; `None` when it is none, or its tags are not in order.
    #[must_use]
    pub fn server(&self) -> Option<ServerMember> {
        if self.tag("role") != "consul" {
            return None;
        }
        let number = |name: &str, usual: u32| match self.tags.get(name) {
            Some(text) => text.parse::<u32>().ok(),
            None => Some(usual),
        };
        let port = self.tag("port").parse().ok()?;
        let wan_join_port = match self.tags.get("wan_join_port") {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        let datacenter = self.datacenter().to_owned();
        let name = match self.name.strip_suffix(&*datacenter).and_then(|n| n.strip_suffix('.')) {
            Some(short) => short.into(),
            None => Arc::clone(&self.name),
        };
        Some(ServerMember {
            name,
            id: self.id().to_owned(),
            address: SocketAddr::new(self.address, port),
            bootstrap: self.tags.contains_key("bootstrap"),
            expect: number("expect", 0)?,
            version: version(self.tag("build"))?.to_owned(),
            protocol: self.tag("vsn").parse().ok()?,
            raft_protocol: number("raft_vsn", 0)?,
            wan_join_port,
            use_tls: self.tags.contains_key("use_tls"),
            non_voter: self.tags.contains_key("nonvoter") || self.tags.contains_key("read_replica"),
            status: self.status,
            datacenter,
        })
    }
}

/// The `1.2.0` of `1.2.0dev:0123abcd`; `None` when there is none.
fn version(build: &str) -> Option<&str> {
    let end = build.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(build.len());
    let version = build[..end].trim_end_matches('.');
    let parts = version.split('.').filter(|part| !part.is_empty()).count();
    (parts >= 3).then_some(version)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn member(name: &str, tags: &[(&str, &str)]) -> Member {
        Member {
            name: name.into(),
            address: IpAddr::from([10, 0, 0, 1]),
            port: 8301,
            tags: tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            status: MemberStatus::Alive,
            protocol: [1, 5, 2],
            delegate: [2, 5, 4],
        }
    }

    const SERVER: &[(&str, &str)] = &[
        ("role", "consul"),
        ("dc", "dc1"),
        ("port", "8300"),
        ("build", "1.2.0:28f1"),
        ("vsn", "2"),
    ];

    #[test]
    fn servers_say_what_they_are() {
        let more = [("expect", "3"), ("wan_join_port", "8302"), ("use_tls", "1"), ("id", "x")];
        let all = [SERVER, &more].concat();
        let server = member("a.dc1", &all).server().unwrap();
        assert_eq!((&*server.name, server.address.to_string()), ("a", "10.0.0.1:8300".to_owned()));
        assert_eq!((server.expect, server.wan_join_port, server.use_tls), (3, Some(8302), true));
        assert_eq!((server.version.as_str(), server.id.as_str()), ("1.2.0", "x"));
        assert_eq!(&*member("a", &all).server().unwrap().name, "a");
    }

    #[test]
    fn others_and_broken_ones_are_none() {
        assert_eq!(member("a", &[("role", "node")]).server(), None);
        assert!(member("a", &[("role", "node")]).is_client());
        for broken in [("port", "x"), ("build", "1.2"), ("vsn", ""), ("expect", "-1")] {
            let mut member = member("a", SERVER);
            member.tags.insert(broken.0.into(), broken.1.into());
            assert_eq!(member.server(), None, "{broken:?}");
        }
    }
}
