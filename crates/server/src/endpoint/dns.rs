//! The catalog as the DNS interface reads it: one version of it, without waiting or copying.
//!
//! Names, records and answers are the `dns` crate's. Unlike the other reads these do not block and
//! are not counted as queries: an answer to a question is a few lookups in one version. With access
//! control a view shows what one token may see; questions over DNS bring none, so it is the agent's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::{Store, Table, View};
use lictor_types::Index;
use lictor_types::catalog::{CheckServiceNode, Node, StringMap};
use lictor_types::check::Status;
use lictor_types::error::EndpointError;
use parking_lot::Mutex;

use super::catalog::has_tag;
use crate::server::Server;

/// One version of the catalog, as far as a token may see it; it does not change while it is held.
#[derive(Clone, Debug)]
pub struct CatalogView {
    source: Source,
    seer: Seer,
}

/// Where rows come from.
#[derive(Clone, Debug)]
enum Source {
    /// The state of this server.
    Here(Arc<View>),
    /// What other servers were asked for.
    Told(Arc<Told>),
}

/// Rows that other servers gave, which have left out what may not be seen; and what was looked for
/// and is not among them.
#[derive(Debug, Default)]
pub struct Told {
    /// Instances by service, and whether those in the mesh are meant.
    pub services: HashMap<(String, bool), Vec<CheckServiceNode>>,
    /// Nodes by name in lower case.
    pub nodes: HashMap<String, Option<Arc<Node>>>,
    /// All nodes, once somebody needed them.
    pub everybody: Option<Vec<Arc<Node>>>,
    missing: Mutex<Vec<Missing>>,
}

/// What other servers have to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The instances of a service, or those that speak for it in the mesh.
    Service {
        /// Its name.
        name: String,
        /// Whether those in the mesh are meant.
        connect: bool,
    },
    /// A node by its name in lower case.
    Node(String),
    /// All nodes.
    Everybody,
}

impl Told {
    fn misses(&self, what: Missing) {
        let mut missing = self.missing.lock();
        if !missing.contains(&what) {
            missing.push(what);
        }
    }

    /// What was looked for in vain since the last time.
    pub fn take_missing(&self) -> Vec<Missing> {
        std::mem::take(&mut *self.missing.lock())
    }
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
        CatalogView { source: Source::Here(self.view()), seer }
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
        Self { source: Source::Here(view), seer: Seer::Everybody }
    }

    /// What other servers told.
    #[must_use]
    pub const fn told(told: Arc<Told>) -> Self {
        Self { source: Source::Told(told), seer: Seer::Everybody }
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
        match &self.source {
            Source::Here(view) => view.epoch(),
            Source::Told(_) => 0,
        }
    }

    /// Grows with each change of anything.
    #[must_use]
    pub fn index(&self) -> Index {
        match &self.source {
            Source::Here(view) => view.index(),
            Source::Told(_) => 0,
        }
    }

    /// Grows with each change of nodes or services.
    #[must_use]
    pub fn addresses_index(&self) -> Index {
        match &self.source {
            Source::Here(view) => view.table_index(&[Table::Nodes, Table::Services]),
            Source::Told(_) => 0,
        }
    }

    /// Whether it changes without any of its indexes: then nothing that was made of it may be kept.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        matches!(self.source, Source::Told(_))
    }

    /// Grows with each change of what [`CatalogView::healthy`] shows of a name; `None` when the
    /// name was never seen.
    #[must_use]
    pub fn service_index(&self, name: &str, connect: bool) -> Option<Index> {
        let Source::Here(view) = &self.source else { return None };
        if connect { view.connect_index(name) } else { view.service_index(name) }
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
        let mut rows = match &self.source {
            Source::Here(view) => view.check_service_nodes(name, connect).1,
            Source::Told(told) => match told.services.get(&(name.to_owned(), connect)) {
                Some(rows) => rows.clone(),
                None => {
                    told.misses(Missing::Service { name: name.to_owned(), connect });
                    Vec::new()
                }
            },
        };
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
        let found = match &self.source {
            Source::Here(view) => view.node(lower).1,
            Source::Told(told) => match told.nodes.get(lower) {
                Some(found) => found.clone(),
                None => {
                    told.misses(Missing::Node(lower.to_owned()));
                    None
                }
            },
        };
        found.filter(|node| self.sees(|who| who.node_read(&node.name)))
    }

    /// Calls `node` with the address and name of every node, then `service` with the address and
    /// name of every instance that has an own address, as far as the addresses are IPs and both may
    /// be seen. Of what other servers told there are nodes only.
    pub fn addresses(
        &self,
        mut node: impl FnMut(IpAddr, &Arc<str>),
        mut service: impl FnMut(IpAddr, &Arc<str>),
    ) {
        let mut services = None;
        let nodes = match &self.source {
            Source::Here(view) => {
                services = Some(view.all_services());
                view.nodes(&StringMap::new()).1
            }
            Source::Told(told) => {
                if told.everybody.is_none() {
                    told.misses(Missing::Everybody);
                }
                told.everybody.clone().unwrap_or_default()
            }
        };
        for row in nodes {
            if let Ok(address) = row.address.parse()
                && self.sees(|who| who.node_read(&row.name))
            {
                node(address, &row.name);
            }
        }
        for row in services.into_iter().flatten() {
            if let Ok(address) = row.address.parse()
                && self.sees(|who| who.service_read(&row.name))
            {
                service(address, &row.name);
            }
        }
    }
}
