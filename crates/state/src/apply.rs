//! Applying commands: a function of state, command and index, without clock or I/O.
//!
//! The writer works on its own copy of the tables (which shares everything with the published
//! version), notes what it touches, and is asked for the result at the end.

use std::collections::HashSet;
use std::sync::Arc;

use lictor_types::Index;
use lictor_types::command::{
    Command, DeregisterRequest, IntentionWrite, Outcome, Refusal, RegisterRequest, SessionWrite,
};

use crate::index::{IndexKey, Table};
use crate::snapshot;
use crate::store::Applied;
use crate::view::{Tables, View, lower};
use crate::watch::Topic;

/// The next version in the making.
pub(crate) struct Writer {
    epoch: u64,
    pub(crate) index: Index,
    pub(crate) tables: Tables,
    /// With repetitions.
    pub(crate) touched: Vec<Topic>,
    pub(crate) released: Vec<(Arc<str>, i64)>,
    /// Everything was replaced: whoever watches anything is concerned.
    pub(crate) restored: bool,
}

impl Writer {
    pub(crate) fn new(view: &View) -> Self {
        Self {
            epoch: view.epoch,
            index: view.index,
            tables: view.tables.clone(),
            touched: Vec::new(),
            released: Vec::new(),
            restored: false,
        }
    }

    pub(crate) fn finish(self) -> (View, HashSet<Topic>) {
        let view = View { index: self.index, epoch: self.epoch, tables: self.tables };
        (view, self.touched.into_iter().collect())
    }

    /// Applies one command at the next index.
    pub(crate) fn apply(&mut self, command: Command) -> Applied {
        self.index += 1;
        // Of several parts a later one may be refused; all other commands are before they change
        // anything. A copy has its price: while it is held, every change copies what it meets.
        let partly = matches!(
            command,
            Command::Register(_)
                | Command::Txn(_)
                | Command::CatalogTxn(_)
                | Command::Ca(_)
                | Command::ConfigEntry(_)
        );
        let before = partly.then(|| self.tables.clone());
        let touched = self.touched.len();
        let outcome = self.outcome(command).unwrap_or_else(Outcome::Refused);
        if matches!(outcome, Outcome::Refused(_) | Outcome::TxnFailed(_)) {
            // What was done before the refusal is undone, and nobody is woken for it.
            if let Some(before) = before {
                self.tables = before;
            }
            self.touched.truncate(touched);
            self.released.clear();
        }
        Applied { index: self.index, outcome, released: std::mem::take(&mut self.released) }
    }

    fn outcome(&mut self, command: Command) -> Result<Outcome, Refusal> {
        match command {
            Command::Register(request) => self.register(*request)?,
            Command::Deregister(request) => self.deregister(&request),
            Command::Kv(write) => return self.kv_write(&write).map(Outcome::Applied),
            Command::Session(SessionWrite::Create(session)) => self.session_create(session)?,
            Command::Session(SessionWrite::Destroy(id)) => self.session_destroy(&id),
            Command::PreparedQuery(write) => self.prepared_query_write(write)?,
            Command::Txn(operations) => {
                return Ok(match self.txn(&operations) {
                    Ok(results) => Outcome::Txn(results),
                    Err(errors) => Outcome::TxnFailed(errors),
                });
            }
            Command::CatalogTxn(steps) => {
                return Ok(match self.catalog_txn(&steps) {
                    Ok(results) => Outcome::CatalogTxn(results),
                    Err(errors) => Outcome::TxnFailed(errors),
                });
            }
            Command::Intention(write) => match *write {
                IntentionWrite::Upsert(intention) => self.intention_upsert(*intention)?,
                IntentionWrite::Delete(id) => self.intention_delete(&id),
                IntentionWrite::UpsertPair(intention) => {
                    self.intention_upsert_pair(*intention)?;
                }
                IntentionWrite::DeletePair(pair) => self.intention_delete_pair(&pair),
                IntentionWrite::Replicate(replica) => self.intention_replicate(*replica)?,
            },
            Command::Ca(write) => self.ca_write(*write)?,
            Command::Acl(write) => self.acl_write(*write)?,
            Command::Coordinates(updates) => self.coordinates_update(updates),
            Command::Autopilot(write) => {
                return Ok(Outcome::Applied(self.autopilot_write(*write)));
            }
            Command::ConfigEntry(write) => {
                return self.config_entry_write(*write).map(Outcome::Applied);
            }
            Command::ReapTombstones(up_to) => self.reap_tombstones(up_to),
            Command::Restore(state) => self.restore(&state)?,
            Command::Noop => {}
        }
        Ok(Outcome::Done)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Refusal> {
        let (read, _) = snapshot::read_bytes(state, self.epoch + 1)
            .map_err(|error| Refusal::BadSnapshot(error.to_string()))?;
        let View { index, epoch, tables } = snapshot::follow(read, self.index - 1);
        (self.index, self.epoch, self.tables) = (index, epoch, tables);
        self.restored = true;
        Ok(())
    }

    fn register(&mut self, mut request: RegisterRequest) -> Result<(), Refusal> {
        request.node = self.tables.nodes.spelled(&request.node);
        let node = Arc::clone(&request.node);
        let known = self.tables.nodes.get(&node).is_some();
        let RegisterRequest { service, checks, skip_node_update, .. } = request.clone();
        if !(known && skip_node_update) {
            self.node_upsert(request)?;
        }
        if let Some(service) = service {
            self.service_upsert(&node, service)?;
        }
        for check in checks {
            self.check_upsert(&node, check)?;
        }
        Ok(())
    }

    fn deregister(&mut self, request: &DeregisterRequest) {
        let node = self.tables.nodes.spelled(&request.node);
        if !request.service_id.is_empty() {
            self.service_remove(&node, &request.service_id);
        } else if !request.check_id.is_empty() {
            self.check_remove(&node, &request.check_id);
        } else {
            self.node_remove(&node);
        }
    }

    /// Marks a table as changed by this command.
    pub(crate) fn touch_table(&mut self, table: Table) {
        self.tables.indexes.raise(IndexKey::Table(table), self.index);
        self.touched.push(Topic::Table(table));
    }

    /// Marks what is shown of a service name (lower case) as changed.
    pub(crate) fn touch_service(&mut self, name: Arc<str>) {
        self.tables.indexes.raise(IndexKey::Service(Arc::clone(&name)), self.index);
        self.touched.push(Topic::Service(name));
    }

    /// Marks what is shown of a mesh name (lower case) as changed.
    pub(crate) fn touch_connect(&mut self, name: Arc<str>) {
        self.tables.indexes.raise(IndexKey::Connect(Arc::clone(&name)), self.index);
        self.touched.push(Topic::Connect(name));
    }

    /// Marks a node with what is on it as changed.
    pub(crate) fn touch_node(&mut self, name: &Arc<str>) {
        self.touched.push(Topic::Node(lower(name)));
    }
}
