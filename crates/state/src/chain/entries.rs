//! The entries that chains are made of, read once.
//!
//! Names are found whatever the size of their letters, as everywhere in the catalog; each entry
//! remembers how its own was written.

use std::sync::Arc;

use imbl::OrdMap;
use lictor_types::chain::entry::{
    self, EntryError, GLOBAL, IngressGateway, ProxyDefaults, ServiceDefaults, ServiceIntentions,
    ServiceResolver, ServiceRouter, ServiceSplitter, kind,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// An entry and its name.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub(super) name: String,
    pub(super) entry: T,
}

/// Entries of a kind by their names in small letters.
pub(super) type Kind<T> = OrdMap<Arc<str>, Arc<Named<T>>>;

/// A set of entries. A copy costs next to nothing, so that a change can be tried on one.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    pub(super) defaults: Kind<ServiceDefaults>,
    pub(super) routers: Kind<ServiceRouter>,
    pub(super) splitters: Kind<ServiceSplitter>,
    pub(super) resolvers: Kind<ServiceResolver>,
    pub(super) ingress: Kind<IngressGateway>,
    pub(super) terminating: Kind<()>,
    pub(super) intentions: Kind<ServiceIntentions>,
    pub(super) global: Option<Arc<ProxyDefaults>>,
}

impl Entries {
    /// Adds an entry, in place of one of that kind and name. Kinds that no chain depends on are
    /// passed over.
    ///
    /// # Errors
    /// When a field is not of its type; then nothing has changed.
    pub fn insert(
        &mut self,
        kind: &str,
        name: &str,
        fields: &Map<String, Value>,
    ) -> Result<(), EntryError> {
        match kind {
            kind::SERVICE_DEFAULTS => put(&mut self.defaults, kind, name, fields),
            kind::SERVICE_ROUTER => put(&mut self.routers, kind, name, fields),
            kind::SERVICE_SPLITTER => put(&mut self.splitters, kind, name, fields),
            kind::SERVICE_RESOLVER => put(&mut self.resolvers, kind, name, fields),
            kind::INGRESS_GATEWAY => put(&mut self.ingress, kind, name, fields),
            kind::SERVICE_INTENTIONS => put(&mut self.intentions, kind, name, fields),
            kind::TERMINATING_GATEWAY => {
                let named = Named { name: name.to_owned(), entry: () };
                self.terminating.insert(key(name), Arc::new(named));
                Ok(())
            }
            kind::PROXY_DEFAULTS if name.eq_ignore_ascii_case(GLOBAL) => {
                self.global = Some(Arc::new(entry::view(kind, name, fields)?));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes an entry out, if it is there.
    pub fn remove(&mut self, kind: &str, name: &str) {
        let key = &*key(name);
        match kind {
            kind::SERVICE_DEFAULTS => drop(self.defaults.remove(key)),
            kind::SERVICE_ROUTER => drop(self.routers.remove(key)),
            kind::SERVICE_SPLITTER => drop(self.splitters.remove(key)),
            kind::SERVICE_RESOLVER => drop(self.resolvers.remove(key)),
            kind::INGRESS_GATEWAY => drop(self.ingress.remove(key)),
            kind::SERVICE_INTENTIONS => drop(self.intentions.remove(key)),
            kind::TERMINATING_GATEWAY => drop(self.terminating.remove(key)),
            kind::PROXY_DEFAULTS if key == GLOBAL => self.global = None,
            _ => {}
        }
    }

    /// What a service speaks, in small letters.
    pub(super) fn protocol(&self, service: &str) -> String {
        let protocol = match (find(&self.defaults, service), &self.global) {
            (Some(own), _) => own.entry.protocol.to_lowercase(),
            (None, Some(global)) => global.protocol().to_lowercase(),
            (None, None) => String::new(),
        };
        if protocol.is_empty() { lictor_types::chain::PROTOCOL.to_owned() } else { protocol }
    }
}

fn key(name: &str) -> Arc<str> {
    name.to_lowercase().into()
}

/// The entry of this name.
pub(super) fn find<'a, T>(entries: &'a Kind<T>, name: &str) -> Option<&'a Named<T>> {
    if entries.is_empty() {
        return None;
    }
    entries.get(&*key(name)).map(|found| &**found)
}

fn put<T: DeserializeOwned>(
    entries: &mut Kind<T>,
    kind: &str,
    name: &str,
    fields: &Map<String, Value>,
) -> Result<(), EntryError> {
    let entry = entry::view(kind, name, fields)?;
    entries.insert(key(name), Arc::new(Named { name: name.to_owned(), entry }));
    Ok(())
}
