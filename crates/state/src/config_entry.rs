//! Configuration entries, by kind and name. Intentions have a table of their own: their entries are
//! made from it.

mod proxy;

use std::sync::Arc;

use imbl::OrdMap;
use lictor_types::Index;
use lictor_types::command::{IntentionPair, Refusal};
use lictor_types::config_entry::{ConfigEntry, ConfigEntryWrite, Kind};
use lictor_types::intention::{DEFAULT_NAMESPACE, Intention};
use serde_json::{Map, Value, json};

use crate::apply::Writer;
use crate::chain::{Entries, check};
use crate::index::{IndexKey, Table};
use crate::intention::MatchBy;
use crate::view::View;
use crate::watch::Topic;

/// Chains are compiled for a datacenter; whether they make sense does not depend on which.
const ANY_DATACENTER: &str = "dc1";

pub use proxy::{ProxyDefaults, ProxyQuery};

#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigEntryTable {
    rows: OrdMap<(Kind, String), Arc<ConfigEntry>>,
    /// The same as far as discovery chains depend on them.
    chains: Entries,
}

impl ConfigEntryTable {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<ConfigEntry>> {
        self.rows.values()
    }

    pub(crate) fn put(&mut self, entry: ConfigEntry) {
        // Fields have their types since the entry was read; one that had not would lead nowhere.
        if self.chains.insert(entry.kind.as_str(), &entry.name, &entry.fields).is_err() {
            self.chains.remove(entry.kind.as_str(), &entry.name);
        }
        self.rows.insert((entry.kind, entry.name.clone()), Arc::new(entry));
    }

    fn remove(&mut self, kind: Kind, name: &str) -> bool {
        self.chains.remove(kind.as_str(), name);
        self.rows.remove(&(kind, name.to_owned())).is_some()
    }

    fn get(&self, kind: Kind, name: &str) -> Option<&Arc<ConfigEntry>> {
        self.rows.get(&(kind, name.to_owned()))
    }
}

/// The topics to watch for entries of some kinds.
#[must_use]
pub fn config_entry_topics(kinds: &[Kind]) -> Vec<Topic> {
    let mut tables: Vec<_> = kinds.iter().map(|kind| table_of(*kind)).collect();
    tables.dedup();
    tables.into_iter().map(Topic::Table).collect()
}

fn table_of(kind: Kind) -> Table {
    match kind {
        Kind::ServiceIntentions => Table::ConnectIntentions,
        _ => Table::ConfigEntries,
    }
}

impl View {
    /// What discovery chains are compiled from, and the index of the last change to it.
    #[must_use]
    pub fn chain_entries(&self) -> (Index, &Entries) {
        (self.table_index(&[Table::ConfigEntries]), &self.tables.config_entries.chains)
    }

    /// One entry.
    #[must_use]
    pub fn config_entry(&self, kind: Kind, name: &str) -> (Index, Option<Arc<ConfigEntry>>) {
        let found = match kind {
            Kind::ServiceIntentions => self.intentions_entry(name).map(Arc::new),
            _ => self.tables.config_entries.get(kind, name).cloned(),
        };
        (self.table_index(&[table_of(kind)]), found)
    }

    /// The entries of some kinds, by kind and name.
    #[must_use]
    pub fn config_entries(&self, kinds: &[Kind]) -> (Index, Vec<Arc<ConfigEntry>>) {
        let tables: Vec<_> = kinds.iter().map(|kind| table_of(*kind)).collect();
        let mut found: Vec<_> = self.tables.config_entries.iter().cloned().collect();
        found.retain(|entry| kinds.contains(&entry.kind));
        if kinds.contains(&Kind::ServiceIntentions) {
            let all = self.intention_destinations();
            let entries = all.iter().filter_map(|name| self.intentions_entry(name));
            found.extend(entries.map(Arc::new));
            found.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        }
        (self.table_index(&tables), found)
    }

    /// The index of the last change to the intentions of a destination; 0 when it has none.
    fn intentions_changed(&self, name: &str, rows: &[Arc<Intention>]) -> Index {
        let key = IndexKey::Intentions(name.to_lowercase().into());
        let newest = rows.iter().map(|row| row.modify_index).max();
        newest.map_or(0, |newest| newest.max(self.tables.indexes.get(&key).unwrap_or(0)))
    }

    /// The intentions that name a destination, in the order in which they are tried.
    fn intentions_to(&self, name: &str) -> Vec<Arc<Intention>> {
        let (_, mut rows) = self.intention_match(MatchBy::Destination, DEFAULT_NAMESPACE, name);
        rows.retain(|row| {
            row.destination_ns == DEFAULT_NAMESPACE
                && row.destination_name.eq_ignore_ascii_case(name)
        });
        rows
    }

    /// The intentions of a destination as an entry.
    fn intentions_entry(&self, name: &str) -> Option<ConfigEntry> {
        let rows = self.intentions_to(name);
        let first = rows.first()?;
        let sources = rows.iter().map(|row| {
            let mut source = Map::new();
            source.insert("Name".to_owned(), row.source_name.as_str().into());
            source.insert("Action".to_owned(), row.action.as_str().into());
            source.insert("Precedence".to_owned(), row.precedence.into());
            source.insert("Type".to_owned(), row.source_type.as_str().into());
            if !row.description.is_empty() {
                source.insert("Description".to_owned(), row.description.as_str().into());
            }
            Value::Object(source)
        });
        let mut fields = Map::new();
        fields.insert("Sources".to_owned(), sources.collect());
        if !first.meta.is_empty() {
            fields.insert("Meta".to_owned(), json!(first.meta));
        }
        Some(ConfigEntry {
            kind: Kind::ServiceIntentions,
            name: first.destination_name.clone(),
            fields,
            create_index: rows.iter().map(|row| row.create_index).min().unwrap_or_default(),
            modify_index: self.intentions_changed(name, &rows),
        })
    }
}

impl Writer {
    /// What is there before a write is finished.
    fn unfinished(&self) -> View {
        View { index: self.index, epoch: 0, tables: self.tables.clone() }
    }

    /// Carries out a write; gives whether its condition held.
    pub(crate) fn config_entry_write(&mut self, write: ConfigEntryWrite) -> Result<bool, Refusal> {
        match write {
            ConfigEntryWrite::Upsert { entry, cas } => {
                let (kind, name) = (entry.kind, entry.name.clone());
                let held = self.tables.config_entries.get(kind, &name).cloned();
                let changed = held.as_ref().map_or(0, |held| held.modify_index);
                if cas.is_some_and(|index| index != changed) {
                    return Ok(false);
                }
                let mut entry = *entry;
                entry.create_index = held.as_ref().map_or(self.index, |held| held.create_index);
                entry.modify_index = self.index;
                // What changes nothing wakes nobody.
                if held.is_some_and(|held| held.fields == entry.fields) {
                    return Ok(true);
                }
                self.tables.config_entries.put(entry);
                self.judge_entries(kind, &name)?;
                self.touch_table(Table::ConfigEntries);
                Ok(true)
            }
            ConfigEntryWrite::Delete { kind, name, cas } => {
                let held = self.tables.config_entries.get(kind, &name);
                let changed = held.map_or(0, |held| held.modify_index);
                if cas.is_some_and(|index| index != changed) {
                    return Ok(false);
                }
                if self.tables.config_entries.remove(kind, &name) {
                    self.judge_entries(kind, &name)?;
                    self.touch_table(Table::ConfigEntries);
                }
                Ok(true)
            }
            ConfigEntryWrite::Intentions { name, sources, cas } => {
                self.intentions_write(&name, sources, cas)
            }
            ConfigEntryWrite::Replicate { delete, set } => {
                for (kind, name) in delete {
                    self.tables.config_entries.remove(kind, &name);
                }
                for mut entry in set {
                    let held = self.tables.config_entries.get(entry.kind, &entry.name);
                    entry.create_index = held.map_or(self.index, |held| held.create_index);
                    entry.modify_index = self.index;
                    self.tables.config_entries.put(entry);
                }
                self.touch_table(Table::ConfigEntries);
                Ok(true)
            }
        }
    }

    /// Refuses what does not fit the other entries.
    fn judge_entries(&self, kind: Kind, name: &str) -> Result<(), Refusal> {
        let chains = &self.tables.config_entries.chains;
        check(chains, kind.as_str(), name, ANY_DATACENTER)
            .map_err(|error| Refusal::ConfigEntry(error.to_string()))
    }

    fn intentions_write(
        &mut self,
        name: &str,
        sources: Vec<Intention>,
        cas: Option<Index>,
    ) -> Result<bool, Refusal> {
        let view = self.unfinished();
        let held = view.intentions_to(name);
        if cas.is_some_and(|index| index != view.intentions_changed(name, &held)) {
            return Ok(false);
        }
        let stays = |row: &Intention| {
            sources.iter().any(|one| one.source_name.eq_ignore_ascii_case(&row.source_name))
        };
        for row in held.iter().filter(|row| !stays(row)) {
            self.intention_delete(&row.id);
        }
        for intention in sources {
            let pair = IntentionPair {
                source: (intention.source_ns.clone(), intention.source_name.clone()),
                destination: (intention.destination_ns.clone(), intention.destination_name.clone()),
            };
            let (_, before) = self.unfinished().intention_of_pair(&pair);
            let same = before.is_some_and(|before| {
                before.action == intention.action
                    && before.description == intention.description
                    && before.meta == intention.meta
            });
            if !same {
                self.intention_upsert_pair(intention)?;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
