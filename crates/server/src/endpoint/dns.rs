//! The catalog as the DNS interface reads it: one version of it, without waiting or copying.
//!
//! Names, records and answers are the `dns` crate's. Unlike the other reads these do not block and
//! are not counted as queries: an answer to a question is a few lookups in one version.

use std::net::IpAddr;
use std::sync::Arc;

use lictor_state::{Table, View};
use lictor_types::Index;
use lictor_types::catalog::{CheckServiceNode, Node, StringMap};
use lictor_types::check::Status;
use lictor_types::error::EndpointError;

use super::catalog::has_tag;
use crate::server::Server;

/// One version of the catalog; it does not change while it is held.
#[derive(Clone, Debug)]
pub struct CatalogView(Arc<View>);

impl Server {
    /// The catalog as it is now.
    #[must_use]
    pub fn catalog_view(&self) -> CatalogView {
        CatalogView(self.view())
    }

    /// Whether this server leads, so that its catalog is the latest there is.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leadership().borrow().is_self
    }

    /// Waits until this server leads, for as long as other reads would.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn lead(&self) -> Result<(), EndpointError> {
        self.wait_for_leadership().await
    }
}

impl CatalogView {
    /// A version of the store.
    #[must_use]
    pub const fn new(view: Arc<View>) -> Self {
        Self(view)
    }

    /// Grows with each restore.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    /// Grows with each change of anything.
    #[must_use]
    pub fn index(&self) -> Index {
        self.0.index()
    }

    /// Grows with each change of nodes or services.
    #[must_use]
    pub fn addresses_index(&self) -> Index {
        self.0.table_index(&[Table::Nodes, Table::Services])
    }

    /// Grows with each change of what [`CatalogView::healthy`] shows of a name; `None` when the
    /// name was never seen.
    #[must_use]
    pub fn service_index(&self, name: &str, connect: bool) -> Option<Index> {
        if connect { self.0.connect_index(name) } else { self.0.service_index(name) }
    }

    /// The instances of a service, or with `connect` those that speak for it in the mesh, that
    /// have the tag, if one is given, and no critical check; with `passing` no warning either.
    #[must_use]
    pub fn healthy(
        &self,
        name: &str,
        connect: bool,
        tag: Option<&str>,
        passing: bool,
    ) -> Vec<CheckServiceNode> {
        let worst = if passing { Status::Passing } else { Status::Warning };
        let mut rows = self.0.check_service_nodes(name, connect).1;
        rows.retain(|row| {
            has_tag(&row.service, tag) && row.checks.iter().all(|check| check.status <= worst)
        });
        rows
    }

    /// The node with this name, given in lower case.
    #[must_use]
    pub fn node(&self, lower: &str) -> Option<Arc<Node>> {
        self.0.node(lower).1
    }

    /// Calls `node` with the address and name of every node, then `service` with the address and
    /// name of every instance that has an own address, as far as the addresses are IPs.
    pub fn addresses(
        &self,
        mut node: impl FnMut(IpAddr, &Arc<str>),
        mut service: impl FnMut(IpAddr, &Arc<str>),
    ) {
        for row in self.0.nodes(&StringMap::new()).1 {
            if let Ok(address) = row.address.parse() {
                node(address, &row.name);
            }
        }
        for row in self.0.all_services() {
            if let Ok(address) = row.address.parse() {
                service(address, &row.name);
            }
        }
    }
}
