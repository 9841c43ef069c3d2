//! Configuration entries: settings that servers keep for all proxies, services and gateways, as
//! versions from 1.5 on have them.
//!
//! An entry is kept as its fields by the names that the original gives them; durations are whole
//! nanoseconds, and what is empty is left out. Which fields a kind has is in [`schema`], reading
//! what people write in [`read`], and how an entry is shown in [`shown`]. Whether one is in order
//! is the server's to judge.
//!
//! Entries of the kind `service-intentions` are the intentions of a destination: those are kept as
//! intentions, and the entry is made from them when it is asked for.

pub mod fields;
pub mod read;
pub mod schema;
pub mod shown;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Index;

/// Name of the only entry of the kind `proxy-defaults`.
pub const GLOBAL: &str = "global";
/// Name of the only entry of the kind `mesh`.
pub const MESH: &str = "mesh";

/// Kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// How traffic enters the mesh from outside.
    IngressGateway,
    /// What holds for the whole mesh.
    Mesh,
    /// What holds for all proxies.
    ProxyDefaults,
    /// What holds for a service.
    ServiceDefaults,
    /// Who may connect to a service.
    ServiceIntentions,
    /// Which instances a service has.
    ServiceResolver,
    /// Where requests go by what they are.
    ServiceRouter,
    /// Where requests go by chance.
    ServiceSplitter,
    /// How services outside the mesh are reached.
    TerminatingGateway,
}

impl Kind {
    /// Every kind, in the order of their names.
    pub const ALL: [Self; 9] = [
        Self::IngressGateway,
        Self::Mesh,
        Self::ProxyDefaults,
        Self::ServiceDefaults,
        Self::ServiceIntentions,
        Self::ServiceResolver,
        Self::ServiceRouter,
        Self::ServiceSplitter,
        Self::TerminatingGateway,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IngressGateway => "ingress-gateway",
            Self::Mesh => "mesh",
            Self::ProxyDefaults => "proxy-defaults",
            Self::ServiceDefaults => "service-defaults",
            Self::ServiceIntentions => "service-intentions",
            Self::ServiceResolver => "service-resolver",
            Self::ServiceRouter => "service-router",
            Self::ServiceSplitter => "service-splitter",
            Self::TerminatingGateway => "terminating-gateway",
        }
    }

    /// The kind of a name.
    ///
    /// # Errors
    /// In the words that clients know, when there is none.
    pub fn parse(name: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        found.ok_or_else(|| UnknownKind(name.to_owned()))
    }

    /// The name that an entry of this kind has in any case.
    #[must_use]
    pub const fn only_name(self) -> Option<&'static str> {
        match self {
            Self::ProxyDefaults => Some(GLOBAL),
            Self::Mesh => Some(MESH),
            _ => None,
        }
    }
}

/// There is no kind of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid config entry kind: {0}")]
pub struct UnknownKind(pub String);

/// An entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfigEntry {
    /// Kind.
    pub kind: Kind,
    /// Name: mostly that of the service that it is about.
    pub name: String,
    /// Everything else, see the [module](self).
    pub fields: Map<String, Value>,
    /// Index of its creation.
    #[serde(default)]
    pub create_index: Index,
    /// Index of its last change.
    #[serde(default)]
    pub modify_index: Index,
}

/// A write to configuration entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ConfigEntryWrite {
    /// Creates or replaces an entry; gives whether the condition held.
    Upsert {
        /// The entry.
        entry: Box<ConfigEntry>,
        /// The index of its last change if it is to be replaced only as that; 0: only if it is
        /// not there.
        cas: Option<Index>,
    },
    /// Deletes an entry; gives whether the condition held. One that is not there is ignored.
    Delete {
        /// Kind.
        kind: Kind,
        /// Name.
        name: String,
        /// The index of its last change if it is to be deleted only as that.
        cas: Option<Index>,
    },
    /// Replaces the intentions of a destination by these, or, without any, deletes them all. Those
    /// of a pair that has one keep its ID and the time of its creation.
    Intentions {
        /// Name of the destination.
        name: String,
        /// What holds from now on.
        sources: Vec<crate::intention::Intention>,
        /// As for others.
        cas: Option<Index>,
    },
    /// Takes over what another datacenter decides; it is not judged again.
    Replicate {
        /// Entries that are gone.
        delete: Vec<(Kind, String)>,
        /// Entries as they are there.
        set: Vec<ConfigEntry>,
    },
}
