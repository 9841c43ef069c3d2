//! Names of addresses: a table of all of them, made again when nodes or services changed.
//!
//! Making it costs a walk through the catalog, so it is made when somebody asks, not at each change.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use lictor_server::{CatalogView, Eyes};
use lictor_types::Index;
use parking_lot::Mutex;

/// Who has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A node.
    Node(Arc<str>),
    /// A service, on an address of its own.
    Service(Arc<str>),
}

#[derive(Debug, Default)]
struct Table {
    version: (u64, Index),
    eyes: Eyes,
    holders: HashMap<IpAddr, Holder>,
}

/// The table.
#[derive(Debug, Default)]
pub struct Reverse(Mutex<Option<Arc<Table>>>);

impl Reverse {
    /// Who has `address`; nodes come first.
    pub fn find(&self, view: &CatalogView, address: IpAddr) -> Option<Holder> {
        if view.is_told() {
            return holders(view).remove(&address);
        }
        let version = (view.epoch(), view.addresses_index());
        // Held while the table is made: whoever asks meanwhile needs the same.
        let mut held = self.0.lock();
        let table = match &*held {
            Some(table) if table.version == version && view.is_seen_with(&table.eyes) => {
                Arc::clone(table)
            }
            _ => {
                let table = Table { version, eyes: view.eyes(), holders: holders(view) };
                let table = Arc::new(table);
                *held = Some(Arc::clone(&table));
                table
            }
        };
        drop(held);
        table.holders.get(&address).cloned()
    }
}

fn holders(view: &CatalogView) -> HashMap<IpAddr, Holder> {
    let (mut nodes, mut services) = (HashMap::new(), HashMap::new());
    view.addresses(
        |address, name| {
            nodes.entry(address).or_insert_with(|| Holder::Node(Arc::clone(name)));
        },
        |address, name| {
            services.entry(address).or_insert_with(|| Holder::Service(Arc::clone(name)));
        },
    );
    services.extend(nodes);
    services
}
