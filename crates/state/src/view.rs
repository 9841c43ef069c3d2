//! One immutable version of all tables.
//!
//! Queries are in the files of their tables; each gives the index that the endpoint reports with
//! the data.

use std::sync::Arc;

use lictor_types::Index;
use lictor_types::autopilot::AutopilotConfig;

use crate::acl::AclTable;
use crate::ca::CaTable;
use crate::check::CheckTable;
use crate::config_entry::ConfigEntryTable;
use crate::coordinate::CoordinateTable;
use crate::index::{Indexes, Table};
use crate::intention::IntentionTable;
use crate::kv::KvTable;
use crate::node::NodeTable;
use crate::prepared_query::PreparedQueryTable;
use crate::service::ServiceTable;
use crate::session::SessionTable;

/// A version of the state.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub(crate) index: Index,
    pub(crate) epoch: u64,
    pub(crate) tables: Tables,
}

/// The tables; cloning shares everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub(crate) indexes: Indexes,
    pub(crate) nodes: NodeTable,
    pub(crate) services: ServiceTable,
    pub(crate) checks: CheckTable,
    pub(crate) kv: KvTable,
    pub(crate) sessions: SessionTable,
    pub(crate) prepared_queries: PreparedQueryTable,
    pub(crate) intentions: IntentionTable,
    pub(crate) ca: CaTable,
    pub(crate) acl: AclTable,
    pub(crate) coordinates: CoordinateTable,
    pub(crate) autopilot: Option<Arc<AutopilotConfig>>,
    pub(crate) config_entries: ConfigEntryTable,
}

impl View {
    /// Index of the last command that is part of this version; 0 when there was none.
    #[must_use]
    pub const fn index(&self) -> Index {
        self.index
    }

    /// Grows with each restore: results from before are worth nothing after it.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The largest index of these tables.
    #[must_use]
    pub fn table_index(&self, tables: &[Table]) -> Index {
        tables.iter().map(|table| self.tables.indexes.table(*table)).max().unwrap_or(0)
    }
}

/// A key of two names.
pub(crate) type Two = (Arc<str>, Arc<str>);
/// A key of three names.
pub(crate) type Three = (Arc<str>, Arc<str>, Arc<str>);

/// Lower case without a copy where nothing changes.
pub(crate) fn lower(name: &Arc<str>) -> Arc<str> {
    if name.chars().any(char::is_uppercase) { name.to_lowercase().into() } else { Arc::clone(name) }
}
