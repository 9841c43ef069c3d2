//! Indexes of tables, services and mesh names: what endpoints report and cached results go by.
//!
//! An index is never removed, so that a lookup of something that is gone does not go back; only a
//! restored archive begins anew, with indexes above all from before.

use std::sync::Arc;

use imbl::OrdMap;
use lictor_types::Index;
use serde::{Deserialize, Serialize};

/// A table; its name is the one that snapshots of the original use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Nodes.
    Nodes,
    /// Service instances.
    Services,
    /// Health checks.
    Checks,
    /// Key/value entries.
    Kvs,
    /// Traces of deleted keys.
    Tombstones,
    /// Sessions.
    Sessions,
    /// Prepared queries.
    PreparedQueries,
    /// Intentions.
    ConnectIntentions,
    /// Roots of the certificate authority.
    ConnectCaRoots,
    /// Configuration of the certificate authority.
    ConnectCaConfig,
    /// Keys of the built-in certificate authority.
    ConnectCaBuiltin,
    /// Tokens.
    AclTokens,
    /// Policies.
    AclPolicies,
    /// Roles.
    AclRoles,
    /// Ways to log in.
    AclAuthMethods,
    /// What they give.
    AclBindingRules,
    /// Network coordinates.
    Coordinates,
    /// Settings of autopilot.
    AutopilotConfig,
    /// Configuration entries.
    ConfigEntries,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 19] = [
        Self::Nodes,
        Self::Services,
        Self::Checks,
        Self::Kvs,
        Self::Tombstones,
        Self::Sessions,
        Self::PreparedQueries,
        Self::ConnectIntentions,
        Self::ConnectCaRoots,
        Self::ConnectCaConfig,
        Self::ConnectCaBuiltin,
        Self::AclTokens,
        Self::AclPolicies,
        Self::AclRoles,
        Self::AclAuthMethods,
        Self::AclBindingRules,
        Self::Coordinates,
        Self::AutopilotConfig,
        Self::ConfigEntries,
    ];

    /// The name in snapshots.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Services => "services",
            Self::Checks => "checks",
            Self::Kvs => "kvs",
            Self::Tombstones => "tombstones",
            Self::Sessions => "sessions",
            Self::PreparedQueries => "prepared-queries",
            Self::ConnectIntentions => "connect-intentions",
            Self::ConnectCaRoots => "connect-ca-roots",
            Self::ConnectCaConfig => "connect-ca-config",
            Self::ConnectCaBuiltin => "connect-ca-builtin",
            Self::AclTokens => "acl-tokens",
            Self::AclPolicies => "acl-policies",
            Self::AclRoles => "acl-roles",
            Self::AclAuthMethods => "acl-auth-methods",
            Self::AclBindingRules => "acl-binding-rules",
            Self::Coordinates => "coordinates",
            Self::AutopilotConfig => "autopilot-config",
            Self::ConfigEntries => "config-entries",
        }
    }
}

/// What has an index of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IndexKey {
    /// A whole table.
    Table(Table),
    /// Everything that `health/service` and `catalog/service` show of a name (lower case).
    Service(Arc<str>),
    /// Everything that `health/connect` and `catalog/connect` show of a name (lower case).
    Connect(Arc<str>),
    /// The intentions of a destination (lower case), taken together.
    Intentions(Arc<str>),
    /// The newest trace of a deleted key that was forgotten: no prefix is older.
    Reaped,
    /// When an archive was restored last: no key is older.
    Restored,
    /// When the first token with all rights was made.
    AclBootstrap,
}

/// All indexes of one version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Indexes(pub(crate) OrdMap<IndexKey, Index>);

impl Indexes {
    pub(crate) fn get(&self, key: &IndexKey) -> Option<Index> {
        self.0.get(key).copied()
    }

    pub(crate) fn table(&self, table: Table) -> Index {
        self.get(&IndexKey::Table(table)).unwrap_or(0)
    }

    /// The index of a restored archive, 0 when none was.
    pub(crate) fn restored(&self) -> Index {
        self.get(&IndexKey::Restored).unwrap_or(0)
    }

    /// Raises an index; a smaller value leaves it.
    pub(crate) fn raise(&mut self, key: IndexKey, to: Index) {
        let entry = self.0.entry(key).or_insert(0);
        *entry = (*entry).max(to);
    }
}
