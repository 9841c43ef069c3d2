//! Prepared queries: by ID, by name, by the beginning that a template answers to, by session.
//!
//! Names are looked up without regard to case, as the original's indexes do. A template whose text
//! cannot be understood is refused above, not here: what a library of expressions takes may differ
//! between versions, and the state must not. Such a row stays and fails when it is asked for.

mod template;

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use lictor_types::Index;
use lictor_types::command::{PreparedQueryWrite, Refusal};
use lictor_types::prepared_query::PreparedQuery;

use crate::apply::Writer;
use crate::index::Table;
use crate::session::is_uuid;
use crate::view::{Two, View};
use crate::watch::Topic;
pub use template::TemplateError;
use template::{Scope, Template};

/// Why a name does not mean a query that can be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A template has nothing to fill in when it is asked for by its ID.
    #[error("prepared query templates can only be resolved up by name, not by ID")]
    TemplateById,
    /// The template cannot be filled in.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

#[derive(Debug)]
struct Row {
    query: Arc<PreparedQuery>,
    /// For templates: ready to be filled in, or why it cannot be.
    template: Option<Result<Template, TemplateError>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct PreparedQueryTable {
    rows: OrdMap<Arc<str>, Arc<Row>>,
    /// Name in lower case to ID; nameless ones are not in it.
    by_name: OrdMap<String, Arc<str>>,
    /// The same of templates only, the nameless one included.
    templates: OrdMap<String, Arc<str>>,
    /// (session, ID)
    by_session: OrdSet<Two>,
}

/// IDs are compared as the numbers that they stand for.
fn key(id: &str) -> Arc<str> {
    id.to_lowercase().into()
}

impl PreparedQueryTable {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<PreparedQuery>> {
        self.rows.values().map(|row| &row.query)
    }

    fn get(&self, id: &str) -> Option<&Arc<PreparedQuery>> {
        self.rows.get(&key(id)).map(|row| &row.query)
    }

    pub(crate) fn put(&mut self, query: PreparedQuery) {
        let id = key(&query.id);
        self.remove(&id);
        let name = query.name.to_lowercase();
        if query.is_template() {
            self.templates.insert(name.clone(), Arc::clone(&id));
        }
        if !name.is_empty() {
            self.by_name.insert(name, Arc::clone(&id));
        }
        if !query.session.is_empty() {
            self.by_session.insert((Arc::clone(&query.session), Arc::clone(&id)));
        }
        let template = query.is_template().then(|| Template::compile(&query));
        self.rows.insert(id, Arc::new(Row { query: Arc::new(query), template }));
    }

    fn remove(&mut self, id: &str) -> Option<Arc<PreparedQuery>> {
        let id = key(id);
        let old = Arc::clone(&self.rows.remove(&id)?.query);
        let name = old.name.to_lowercase();
        // In a damaged snapshot two may have the same name: the entry may be the other's.
        if self.by_name.get(&name) == Some(&id) {
            self.by_name.remove(&name);
        }
        if self.templates.get(&name) == Some(&id) {
            self.templates.remove(&name);
        }
        self.by_session.remove(&(Arc::clone(&old.session), id));
        Some(old)
    }

    fn of_session(&self, session: &Arc<str>) -> Vec<Arc<str>> {
        let first: Two = (Arc::clone(session), Arc::from(""));
        let following = self.by_session.range(first..);
        following.take_while(|(of, _)| of == session).map(|(_, id)| Arc::clone(id)).collect()
    }

    /// The query that answers to a name: one that is called so, or else the template that shares
    /// the longest beginning with it.
    fn named(&self, name: &str) -> Option<&Arc<Row>> {
        let name = name.to_lowercase();
        let exact = self.by_name.get(&name);
        let begins = || {
            let ends = (0..=name.len()).rev().filter_map(|end| name.get(..end));
            ends.into_iter().find_map(|beginning| self.templates.get(beginning))
        };
        exact.or_else(begins).and_then(|id| self.rows.get(id))
    }
}

impl View {
    /// One prepared query, as it was written.
    #[must_use]
    pub fn prepared_query(&self, id: &str) -> (Index, Option<Arc<PreparedQuery>>) {
        let found = self.tables.prepared_queries.get(id).cloned();
        (self.table_index(&[Table::PreparedQueries]), found)
    }

    /// All prepared queries in ID order, as they were written.
    #[must_use]
    pub fn prepared_queries(&self) -> (Index, Vec<Arc<PreparedQuery>>) {
        let rows = self.tables.prepared_queries.iter().cloned().collect();
        (self.table_index(&[Table::PreparedQueries]), rows)
    }

    /// The query that an ID or a name means; a template is filled in. IDs come first, so that
    /// nobody can take over a query by calling another one like it.
    ///
    /// # Errors
    /// When it means a template that cannot be filled in.
    pub fn prepared_query_resolve(
        &self,
        id_or_name: &str,
        segment: &str,
    ) -> Result<Option<Arc<PreparedQuery>>, ResolveError> {
        let table = &self.tables.prepared_queries;
        if is_uuid(id_or_name)
            && let Some(query) = table.get(id_or_name)
        {
            if query.is_template() {
                return Err(ResolveError::TemplateById);
            }
            return Ok(Some(Arc::clone(query)));
        }
        let found = if id_or_name.is_empty() { None } else { table.named(id_or_name) };
        let Some(row) = found else { return Ok(None) };
        match &row.template {
            None => Ok(Some(Arc::clone(&row.query))),
            Some(Ok(template)) => {
                let scope = Scope { name: id_or_name, segment };
                Ok(Some(Arc::new(template.fill(&row.query, &scope)?)))
            }
            Some(Err(error)) => Err(error.clone().into()),
        }
    }

    /// Whether a lookup by this text can succeed at all.
    #[must_use]
    pub fn is_prepared_query_id(text: &str) -> bool {
        is_uuid(text)
    }

    /// Whether a template can be understood; any other query can.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_template(query: &PreparedQuery) -> Result<(), TemplateError> {
        if query.is_template() { Template::compile(query).map(drop) } else { Ok(()) }
    }
}

impl Writer {
    pub(crate) fn prepared_query_write(
        &mut self,
        write: PreparedQueryWrite,
    ) -> Result<(), Refusal> {
        match write {
            PreparedQueryWrite::Set(query) => self.prepared_query_set(*query),
            PreparedQueryWrite::Delete(id) => {
                self.prepared_query_remove(&id);
                Ok(())
            }
        }
    }

    fn prepared_query_set(&mut self, mut query: PreparedQuery) -> Result<(), Refusal> {
        let table = &self.tables.prepared_queries;
        let (id, name) = (key(&query.id), query.name.to_lowercase());
        let taken = |holder: Option<&Arc<str>>| holder.is_some_and(|holder| *holder != id);
        if !name.is_empty() && taken(table.by_name.get(&name)) {
            return Err(Refusal::QueryNameTaken(query.name));
        }
        if name.is_empty() && query.is_template() && taken(table.templates.get(&name)) {
            return Err(Refusal::EmptyTemplateTaken);
        }
        if is_uuid(&name) && table.get(&name).is_some() {
            return Err(Refusal::QueryNameIsId(query.name));
        }
        if !query.session.is_empty() {
            if !is_uuid(&query.session) {
                return Err(Refusal::SessionNotUuid);
            }
            if self.tables.sessions.get(&query.session).is_none() {
                return Err(Refusal::InvalidSession(query.session.to_string()));
            }
        }
        query.create_index = table.get(&id).map_or(self.index, |old| old.create_index);
        query.modify_index = self.index;
        self.touched.push(Topic::PreparedQuery(id));
        self.tables.prepared_queries.put(query);
        self.touch_table(Table::PreparedQueries);
        Ok(())
    }

    fn prepared_query_remove(&mut self, id: &str) {
        if self.tables.prepared_queries.remove(id).is_some() {
            self.touched.push(Topic::PreparedQuery(key(id)));
            self.touch_table(Table::PreparedQueries);
        }
    }

    /// A session ended.
    pub(crate) fn prepared_queries_lose_session(&mut self, session: &Arc<str>) {
        for id in self.tables.prepared_queries.of_session(session) {
            self.prepared_query_remove(&id);
        }
    }
}

impl Topic {
    /// The topic to watch for [`View::prepared_query`].
    #[must_use]
    pub fn prepared_query(id: &str) -> Self {
        Self::PreparedQuery(key(id))
    }
}
