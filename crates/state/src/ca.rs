//! State of the certificate authority: configuration, roots, keys of the built-in provider.
//!
//! The list of roots is replaced as a whole, and only by a writer that knew the present one.

use std::sync::Arc;

use imbl::OrdMap;
use lictor_types::Index;
use lictor_types::ca::{CaConfig, CaProviderState, CaRoot, CaWrite};
use lictor_types::command::Refusal;

use crate::apply::Writer;
use crate::index::Table;
use crate::view::View;

#[derive(Clone, Debug, Default)]
pub(crate) struct CaTable {
    pub(crate) config: Option<Arc<CaConfig>>,
    pub(crate) roots: Arc<Vec<CaRoot>>,
    pub(crate) providers: OrdMap<String, Arc<CaProviderState>>,
}

impl View {
    /// The configuration, if there is one yet.
    #[must_use]
    pub fn ca_config(&self) -> (Index, Option<Arc<CaConfig>>) {
        (self.table_index(&[Table::ConnectCaConfig]), self.tables.ca.config.clone())
    }

    /// All roots, the active one among them.
    #[must_use]
    pub fn ca_roots(&self) -> (Index, Arc<Vec<CaRoot>>) {
        (self.table_index(&[Table::ConnectCaRoots]), Arc::clone(&self.tables.ca.roots))
    }

    /// Key and certificate of a provider.
    #[must_use]
    pub fn ca_provider_state(&self, id: &str) -> Option<Arc<CaProviderState>> {
        self.tables.ca.providers.get(id).cloned()
    }

    /// Key and certificate of whichever provider has the key of this root (PEM).
    #[must_use]
    pub fn ca_provider_state_of(&self, root_cert: &str) -> Option<Arc<CaProviderState>> {
        let wanted = root_cert.trim();
        let mut states = self.tables.ca.providers.values();
        let own = |state: &&Arc<CaProviderState>| {
            state.intermediate_cert.is_empty() && state.root_cert.trim() == wanted
        };
        states.find(own).filter(|_| !wanted.is_empty()).cloned()
    }

    /// Key and certificate of the provider that signs below a root (PEM) of another datacenter.
    #[must_use]
    pub fn ca_intermediate_below(&self, root_cert: &str) -> Option<Arc<CaProviderState>> {
        let wanted = root_cert.trim();
        let mut states = self.tables.ca.providers.values();
        let below = |state: &&Arc<CaProviderState>| {
            !state.intermediate_cert.is_empty() && state.root_cert.trim() == wanted
        };
        states.find(below).cloned()
    }
}

impl Writer {
    pub(crate) fn ca_write(&mut self, write: CaWrite) -> Result<(), Refusal> {
        match write {
            CaWrite::SetConfig { config, expect } => {
                let found = self.tables.ca.config.as_ref().map_or(0, |c| c.modify_index);
                check(expect.unwrap_or(found), found)?;
                self.ca_set_config(config);
            }
            CaWrite::SetRoots { roots, expect } => self.ca_set_roots(roots, expect)?,
            CaWrite::SetRootsAndConfig { roots, expect, config, provider } => {
                self.ca_set_roots(roots, expect)?;
                self.ca_set_config(config);
                if let Some(provider) = provider {
                    self.ca_set_provider(provider);
                }
            }
            CaWrite::SetProviderState(state) => self.ca_set_provider(state),
            CaWrite::DeleteProviderState { id } => {
                if self.tables.ca.providers.remove(&id).is_some() {
                    self.touch_table(Table::ConnectCaBuiltin);
                }
            }
        }
        Ok(())
    }

    fn ca_set_config(&mut self, mut config: CaConfig) {
        let old = self.tables.ca.config.as_ref();
        config.create_index = old.map_or(self.index, |c| c.create_index);
        config.modify_index = self.index;
        if config.cluster_id.is_empty()
            && let Some(old) = old
        {
            config.cluster_id.clone_from(&old.cluster_id);
        }
        self.tables.ca.config = Some(Arc::new(config));
        self.touch_table(Table::ConnectCaConfig);
    }

    fn ca_set_roots(&mut self, mut roots: Vec<CaRoot>, expect: Index) -> Result<(), Refusal> {
        check(expect, self.tables.indexes.table(Table::ConnectCaRoots))?;
        if roots.iter().filter(|root| root.active).count() != 1 {
            return Err(Refusal::NotOneActiveRoot);
        }
        for root in &mut roots {
            let old = self.tables.ca.roots.iter().find(|old| old.id == root.id);
            root.create_index = old.map_or(self.index, |old| old.create_index);
            root.modify_index = self.index;
        }
        self.tables.ca.roots = Arc::new(roots);
        self.touch_table(Table::ConnectCaRoots);
        Ok(())
    }

    fn ca_set_provider(&mut self, mut state: CaProviderState) {
        let old = self.tables.ca.providers.get(&state.id);
        state.create_index = old.map_or(self.index, |old| old.create_index);
        state.modify_index = self.index;
        self.tables.ca.providers.insert(state.id.clone(), Arc::new(state));
        self.touch_table(Table::ConnectCaBuiltin);
    }
}

const fn check(expected: Index, found: Index) -> Result<(), Refusal> {
    if expected == found { Ok(()) } else { Err(Refusal::CaIndexMismatch { expected, found }) }
}
