//! Prepared queries of the simple model: names are found by looking at all.

use std::sync::Arc;

use lictor_types::command::{PreparedQueryWrite, Refusal};
use lictor_types::prepared_query::{NAME_PREFIX_MATCH, PreparedQuery};

use crate::naive::Naive;

/// What a name means: a query, or why not.
pub(crate) type Resolved = Result<Option<Arc<PreparedQuery>>, String>;

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

impl Naive {
    pub(crate) fn prepared(&mut self, write: &PreparedQueryWrite) -> Result<(), Refusal> {
        let query = match write {
            PreparedQueryWrite::Delete(id) => {
                self.prepared.remove(&**id);
                return Ok(());
            }
            PreparedQueryWrite::Set(query) => query,
        };
        let mut others = self.prepared.values().filter(|other| other.id != query.id);
        if !query.name.is_empty() && others.clone().any(|other| same(&other.name, &query.name)) {
            return Err(Refusal::QueryNameTaken(query.name.clone()));
        }
        let for_all = |query: &PreparedQuery| query.is_template() && query.name.is_empty();
        if for_all(query) && others.any(for_all) {
            return Err(Refusal::EmptyTemplateTaken);
        }
        if self.prepared.contains_key(&query.name) {
            return Err(Refusal::QueryNameIsId(query.name.clone()));
        }
        match &*query.session {
            "" => {}
            "short" => return Err(Refusal::SessionNotUuid),
            id if self.sessions.contains_key(id) => {}
            id => return Err(Refusal::InvalidSession(id.to_owned())),
        }
        let mut query = (**query).clone();
        let old = self.prepared.get(&*query.id);
        query.create_index = old.map_or(self.index, |old| old.create_index);
        query.modify_index = self.index;
        self.prepared.insert(query.id.to_string(), query);
        Ok(())
    }

    pub(crate) fn resolve(&self, name: &str) -> Resolved {
        if let Some(query) = self.prepared.get(name) {
            if query.is_template() {
                let text = "prepared query templates can only be resolved up by name, not by ID";
                return Err(text.to_owned());
            }
            return Ok(Some(Arc::new(query.clone())));
        }
        if name.is_empty() {
            return Ok(None);
        }
        let named = self.prepared.values().find(|query| same(&query.name, name));
        let begins = |query: &&PreparedQuery| {
            query.is_template() && name.to_lowercase().starts_with(&query.name.to_lowercase())
        };
        let longest = || self.prepared.values().filter(begins).max_by_key(|q| q.name.len());
        let Some(found) = named.or_else(longest) else { return Ok(None) };
        let mut query = found.clone();
        if query.is_template() {
            if query.template.kind != NAME_PREFIX_MATCH {
                return Err(format!("Bad Template.Type '{}'", query.template.kind));
            }
            let suffix = name.strip_prefix(&*query.name).unwrap_or(name);
            query.service.service = query.service.service.replace("${name.suffix}", suffix);
        }
        Ok(Some(Arc::new(query)))
    }
}
