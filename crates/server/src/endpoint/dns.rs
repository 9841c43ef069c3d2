//! The catalog as the DNS interface reads it: one version of it, without waiting or copying.
//!
//! Names, records and answers are the `dns` crate's. Unlike the other reads these do not block and
//! are not counted as queries: an answer to a question is a few lookups in one version. With access
//! control a view shows what one token may see; questions over DNS bring none, so it is the agent's.

use std::net::IpAddr;
use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::{Store, Table, View};
use lictor_types::Index;
use lictor_types::catalog::{CheckServiceNode, Node, StringMap};
use lictor_types::check::Status;
use lictor_types::error::EndpointError;

use super::catalog::has_tag;
use crate::server::Server;

/// One version of the catalog, as far as a token may see it; it does not change while it is held.
#[derive(Clone, Debug)]
pub struct CatalogView {
    view: Arc<View>,
    seer: Seer,
}

/// Who looks at a catalog.
#[derive(Clone, Debug, Default)]
enum Seer {
    /// Somebody who may see everything.
    #[default]
    Everybody,
    /// The bearer of a token.
    Bearer(Arc<Authorizer>),
    /// The bearer of a token that there is not.
    Nobody,
}

/// With whose eyes a catalog was seen; what was found with others' says nothing.
#[derive(Clone, Debug, Default)]
pub struct Eyes(Seer);

impl Server {
    /// The catalog as it is now and as the bearer of a token may see it.
    #[must_use]
    pub fn catalog_view(&self, token: &str) -> CatalogView {
        if !self.acl_enabled() {
            return CatalogView::new(self.view());
        }
        let seer = match self.authorizer(token) {
            Ok(who) if who.allows_everything() => Seer::Everybody,
            Ok(who) => Seer::Bearer(who),
            Err(_) => Seer::Nobody,
        };
        CatalogView { view: self.view(), seer }
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
    /// A version of the store, for somebody who may see everything.
    #[must_use]
    pub const fn new(view: Arc<View>) -> Self {
        Self { view, seer: Seer::Everybody }
    }

    /// A version with nothing in it, for whoever has no catalog.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Store::new().view())
    }

    /// The same version as somebody sees it who has these rights.
    #[must_use]
    pub fn seen_by(self, who: Arc<Authorizer>) -> Self {
        Self { seer: Seer::Bearer(who), ..self }
    }

    /// Whether the token was no good, so that nothing can be said.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self.seer, Seer::Nobody)
    }

    /// With whose eyes it is seen.
    #[must_use]
    pub fn eyes(&self) -> Eyes {
        Eyes(self.seer.clone())
    }

    /// Whether these are the eyes that it is seen with.
    #[must_use]
    pub fn is_seen_with(&self, eyes: &Eyes) -> bool {
        match (&self.seer, &eyes.0) {
            (Seer::Everybody, Seer::Everybody) => true,
            (Seer::Bearer(one), Seer::Bearer(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    fn sees(&self, right: impl FnOnce(&Authorizer) -> bool) -> bool {
        match &self.seer {
            Seer::Everybody => true,
            Seer::Bearer(who) => right(who),
            Seer::Nobody => false,
        }
    }

    /// Grows with each restore.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.view.epoch()
    }

    /// Grows with each change of anything.
    #[must_use]
    pub fn index(&self) -> Index {
        self.view.index()
    }

    /// Grows with each change of nodes or services.
    #[must_use]
    pub fn addresses_index(&self) -> Index {
        self.view.table_index(&[Table::Nodes, Table::Services])
    }

    /// Grows with each change of what [`CatalogView::healthy`] shows of a name; `None` when the
    /// name was never seen.
    #[must_use]
    pub fn service_index(&self, name: &str, connect: bool) -> Option<Index> {
        if connect { self.view.connect_index(name) } else { self.view.service_index(name) }
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
        // The instances have names of their own; what they stand for has another.
        if connect && !self.sees(|who| who.service_read(name)) {
            return Vec::new();
        }
        let mut rows = self.view.check_service_nodes(name, connect).1;
        if !matches!(self.seer, Seer::Everybody) {
            rows.retain(|row| {
                self.sees(|who| {
                    who.node_read(&row.node.name) && who.service_read(&row.service.name)
                })
            });
        }
        rows.retain(|row| {
            has_tag(&row.service, tag) && row.checks.iter().all(|check| check.status <= worst)
        });
        rows
    }

    /// The node with this name, given in lower case.
    #[must_use]
    pub fn node(&self, lower: &str) -> Option<Arc<Node>> {
        self.view.node(lower).1.filter(|node| self.sees(|who| who.node_read(&node.name)))
    }

    /// Calls `node` with the address and name of every node, then `service` with the address and
    /// name of every instance that has an own address, as far as the addresses are IPs and both may
    /// be seen.
    pub fn addresses(
        &self,
        mut node: impl FnMut(IpAddr, &Arc<str>),
        mut service: impl FnMut(IpAddr, &Arc<str>),
    ) {
        for row in self.view.nodes(&StringMap::new()).1 {
            if let Ok(address) = row.address.parse()
                && self.sees(|who| who.node_read(&row.name))
            {
                node(address, &row.name);
            }
        }
        for row in self.view.all_services() {
            if let Ok(address) = row.address.parse()
                && self.sees(|who| who.service_read(&row.name))
            {
                service(address, &row.name);
            }
        }
    }
}
