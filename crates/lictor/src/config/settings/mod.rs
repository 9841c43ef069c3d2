//! The one table of all settings: what files and flags may say, and what it does.
//!
//! Values are read by [`super::decode`], decided by [`super::decide`]. Keys and their meaning
//! follow the original's agent configuration, version 1.2, with keys of later versions where
//! there is something for them to say.

mod cluster;
mod node;
mod operation;
mod security;

use super::schema::{Key, count, join};

/// A part of the table with its heading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// What they are about; said in `docs/coverage.md` alone.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) title: &'static str,
    /// Its settings.
    pub(crate) keys: &'static [Key],
}

const NO_UI: &str = "there is no web UI yet";
const NO_GRPC: &str = "there is no gRPC interface yet";
const ENTERPRISE: &str = "belongs to the original's commercial edition";

/// All settings by section.
pub(crate) const SECTIONS: &[Section] = &[
    Section { title: "Node and addresses", keys: node::NODE },
    Section { title: "Ports", keys: node::PORTS },
    Section { title: "Cluster", keys: cluster::CLUSTER },
    Section { title: "Consensus and servers", keys: cluster::SERVERS },
    Section { title: "Limits", keys: cluster::LIMITS },
    Section { title: "Gossip encryption and TLS", keys: security::TLS },
    Section { title: "Access control", keys: security::ACL },
    Section { title: "HTTP interface", keys: security::HTTP },
    Section { title: "Services, checks and watches", keys: operation::DEFINITIONS },
    Section { title: "Service mesh", keys: operation::CONNECT },
    Section { title: "DNS", keys: operation::DNS },
    Section { title: "Logs and the process", keys: operation::LOGS },
    Section { title: "Telemetry", keys: operation::TELEMETRY },
    Section { title: "Accepted constants", keys: operation::CONSTANTS },
];

const PARTS: &[&[Key]] = &{
    let mut parts = [SECTIONS[0].keys; SECTIONS.len()];
    let mut at = 0;
    while at < SECTIONS.len() {
        parts[at] = SECTIONS[at].keys;
        at += 1;
    }
    parts
};

/// All settings in one slice.
pub(crate) const SETTINGS: &[Key] = &join::<{ count(PARTS) }>(PARTS);

/// The setting of that name.
pub(crate) fn setting(name: &str) -> Option<&'static Key> {
    SETTINGS.iter().find(|key| key.name == name)
}
