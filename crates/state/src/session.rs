//! Sessions: bound to a node and its checks; their end releases or deletes what they hold.

use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use lictor_types::Index;
use lictor_types::check::Status;
use lictor_types::command::Refusal;
use lictor_types::session::{Session, SessionBehavior};

use crate::apply::Writer;
use crate::index::Table;
use crate::view::{Three, Two, View};
use crate::watch::Topic;

#[derive(Clone, Debug, Default)]
pub(crate) struct SessionTable {
    rows: OrdMap<Arc<str>, Arc<Session>>,
    /// (node, session)
    by_node: OrdSet<Two>,
    /// (node, check, session)
    by_check: OrdSet<Three>,
}

/// Whether the text has the form of a UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

impl SessionTable {
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Session>> {
        self.rows.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.rows.values()
    }

    pub(crate) fn on_node(&self, node: &Arc<str>) -> Vec<Arc<str>> {
        let from = (Bound::Included((Arc::clone(node), Arc::from(""))), Bound::Unbounded);
        self.by_node
            .range(from)
            .take_while(|(on, _)| on == node)
            .map(|(_, session)| Arc::clone(session))
            .collect()
    }

    fn with_check(&self, node: &Arc<str>, check: &Arc<str>) -> Vec<Arc<str>> {
        let first = (Arc::clone(node), Arc::clone(check), Arc::from(""));
        self.by_check
            .range((Bound::Included(first), Bound::Unbounded))
            .take_while(|(on, of, _)| on == node && of == check)
            .map(|(_, _, session)| Arc::clone(session))
            .collect()
    }

    pub(crate) fn put(&mut self, session: Session) {
        let id = Arc::clone(&session.id);
        // One that is created again may be bound to another node and other checks.
        self.remove(&id);
        self.by_node.insert((Arc::clone(&session.node), Arc::clone(&id)));
        for check in &session.checks {
            let check: Arc<str> = check.as_str().into();
            self.by_check.insert((Arc::clone(&session.node), check, Arc::clone(&id)));
        }
        self.rows.insert(id, Arc::new(session));
    }

    fn remove(&mut self, id: &Arc<str>) -> Option<Arc<Session>> {
        let old = self.rows.remove(id)?;
        self.by_node.remove(&(Arc::clone(&old.node), Arc::clone(id)));
        for check in &old.checks {
            let check: Arc<str> = check.as_str().into();
            self.by_check.remove(&(Arc::clone(&old.node), check, Arc::clone(id)));
        }
        Some(old)
    }
}

impl View {
    /// One session.
    #[must_use]
    pub fn session(&self, id: &str) -> (Index, Option<Arc<Session>>) {
        (self.table_index(&[Table::Sessions]), self.tables.sessions.get(id).cloned())
    }

    /// All sessions in ID order.
    #[must_use]
    pub fn sessions(&self) -> (Index, Vec<Arc<Session>>) {
        (self.table_index(&[Table::Sessions]), self.tables.sessions.iter().cloned().collect())
    }

    /// The sessions bound to a node.
    #[must_use]
    pub fn node_sessions(&self, node: &str) -> (Index, Vec<Arc<Session>>) {
        let ids = self.tables.sessions.on_node(&self.tables.nodes.spelled(&node.into()));
        let rows = ids.iter().filter_map(|id| self.tables.sessions.get(id).cloned()).collect();
        (self.table_index(&[Table::Sessions]), rows)
    }
}

impl Writer {
    pub(crate) fn session_create(&mut self, mut session: Session) -> Result<(), Refusal> {
        let Some(node) = self.tables.nodes.get(&session.node) else {
            return Err(Refusal::MissingNode);
        };
        session.node = Arc::clone(&node.name);
        for id in &session.checks {
            let check = self.tables.checks.get(&session.node, &id.as_str().into());
            match check.map(|c| c.status) {
                None => return Err(Refusal::MissingCheck(id.clone())),
                Some(Status::Critical) => return Err(Refusal::CriticalCheck(id.clone())),
                Some(Status::Passing | Status::Warning) => {}
            }
        }
        session.create_index = self.index;
        session.modify_index = self.index;
        self.touched.push(Topic::Session(Arc::clone(&session.id)));
        self.tables.sessions.put(session);
        self.touch_table(Table::Sessions);
        Ok(())
    }

    pub(crate) fn session_destroy(&mut self, id: &Arc<str>) {
        let Some(session) = self.tables.sessions.remove(id) else { return };
        for key in self.tables.kv.held_by(id) {
            self.kv_lose_session(&key, session.behavior == SessionBehavior::Delete);
            if session.lock_delay > 0 {
                self.released.push((key, session.lock_delay));
            }
        }
        self.prepared_queries_lose_session(id);
        self.touched.push(Topic::Session(Arc::clone(id)));
        self.touch_table(Table::Sessions);
    }

    /// A check turned critical or is gone.
    pub(crate) fn sessions_lose_check(&mut self, node: &Arc<str>, check: &Arc<str>) {
        for session in self.tables.sessions.with_check(node, check) {
            self.session_destroy(&session);
        }
    }
}
