//! The state, written as simply as can be: plain maps, every query a scan, no indexes kept.
//!
//! A command that is refused is undone by going back to a copy. Key/value rules are in
//! `naive_kv`, prepared queries in `naive_prepared`, access control in `naive_acl`, queries in
//! `naive_queries`.

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_types::Index;
use lictor_types::autopilot::AutopilotConfig;
use lictor_types::catalog::{Node, Service};
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::{
    Command, DeregisterRequest, IntentionPair, IntentionWrite, Outcome, Refusal, RegisterRequest,
    SessionWrite,
};
use lictor_types::config_entry::{ConfigEntry, ConfigEntryWrite};
use lictor_types::coordinate::NodeCoordinate;
use lictor_types::intention::Intention;
use lictor_types::kv::KvEntry;
use lictor_types::prepared_query::PreparedQuery;
use lictor_types::session::{Session, SessionBehavior};

use crate::naive_acl::NaiveAcl;

type Name = String;

#[derive(Clone, Debug, Default)]
pub(crate) struct Naive {
    pub(crate) index: Index,
    pub(crate) kv: BTreeMap<Name, KvEntry>,
    pub(crate) nodes: BTreeMap<Name, Node>,
    /// By node and ID, as checks are.
    pub(crate) services: BTreeMap<(Name, Name), Service>,
    pub(crate) checks: BTreeMap<(Name, Name), HealthCheck>,
    pub(crate) sessions: BTreeMap<Name, Session>,
    pub(crate) prepared: BTreeMap<Name, PreparedQuery>,
    pub(crate) intentions: BTreeMap<Name, Intention>,
    pub(crate) acl: NaiveAcl,
    /// By node and segment.
    pub(crate) coordinates: BTreeMap<(Name, Name), NodeCoordinate>,
    pub(crate) autopilot: Option<AutopilotConfig>,
    /// By kind and name; intentions are not among them.
    pub(crate) entries: BTreeMap<(&'static str, Name), ConfigEntry>,
    /// Locks that the last command took away.
    pub(crate) released: Vec<(Arc<str>, i64)>,
}

impl Naive {
    pub(crate) fn apply(&mut self, command: &Command) -> Outcome {
        self.index += 1;
        self.released.clear();
        let before = self.clone();
        let outcome = self.run(command).unwrap_or_else(Outcome::Refused);
        if matches!(outcome, Outcome::Refused(_) | Outcome::TxnFailed(_)) {
            *self = before;
        }
        outcome
    }

    fn run(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        match command {
            Command::Kv(write) => return self.kv_write(write).map(Outcome::Applied),
            Command::Txn(operations) => {
                return Ok(match self.txn(operations) {
                    Ok(found) => Outcome::Txn(found),
                    Err(errors) => Outcome::TxnFailed(errors),
                });
            }
            Command::CatalogTxn(steps) => {
                return Ok(match self.catalog_txn(steps) {
                    Ok(found) => Outcome::CatalogTxn(found),
                    Err(errors) => Outcome::TxnFailed(errors),
                });
            }
            Command::Register(request) => self.register(request)?,
            Command::Deregister(request) => self.deregister(request),
            Command::Session(SessionWrite::Create(session)) => self.create(session)?,
            Command::Session(SessionWrite::Destroy(id)) => self.destroy(id),
            Command::Intention(write) => match &**write {
                IntentionWrite::Upsert(intention) => self.intention(intention)?,
                IntentionWrite::Delete(id) => drop(self.intentions.remove(id)),
                IntentionWrite::UpsertPair(intention) => {
                    let mut intention = (**intention).clone();
                    if let Some(old) = self.of_pair(&pair(&intention)) {
                        intention.id = old;
                    }
                    self.intention(&intention)?;
                }
                IntentionWrite::DeletePair(pair) => {
                    if let Some(old) = self.of_pair(pair) {
                        self.intentions.remove(&old);
                    }
                }
                IntentionWrite::Replicate(replica) => {
                    self.intentions.retain(|id, _| !replica.delete.contains(id));
                    for new in &replica.set {
                        let other = |old: &Intention| old.id != new.id && pair(old) == pair(new);
                        self.intentions.retain(|_, old| !other(old));
                        self.intention(new)?;
                    }
                }
            },
            Command::PreparedQuery(write) => self.prepared(write)?,
            Command::Coordinates(updates) => {
                for update in updates.iter().filter(|update| self.nodes.contains_key(&*update.node))
                {
                    let key = (update.node.to_string(), update.segment.to_string());
                    self.coordinates.insert(key, update.clone());
                }
            }
            Command::Autopilot(write) => {
                let old = self.autopilot.as_ref();
                let present = old.map_or(0, |old| old.modify_index);
                if write.cas.is_some_and(|index| index != present) {
                    return Ok(Outcome::Applied(false));
                }
                let create_index = old.map_or(self.index, |old| old.create_index);
                let modify_index = self.index;
                self.autopilot =
                    Some(AutopilotConfig { create_index, modify_index, ..write.config.clone() });
                return Ok(Outcome::Applied(true));
            }
            Command::ConfigEntry(write) => return self.entry_write(write).map(Outcome::Applied),
            Command::ReapTombstones(_) | Command::Noop => {}
            Command::Acl(write) => self.acl_write(write)?,
            Command::Ca(_) | Command::Restore(_) => {
                unreachable!("no step makes these")
            }
        }
        Ok(Outcome::Done)
    }

    fn register(&mut self, request: &RegisterRequest) -> Result<(), Refusal> {
        let name = request.node.to_string();
        if !self.nodes.contains_key(&name) || !request.skip_node_update {
            self.node(request)?;
        }
        if let Some(service) = &request.service {
            self.service(&name, service);
        }
        for check in &request.checks {
            self.check(&name, check)?;
        }
        Ok(())
    }

    pub(crate) fn node(&mut self, request: &RegisterRequest) -> Result<(), Refusal> {
        let holder = self.nodes.values().find(|n| !n.id.is_empty() && n.id == request.id);
        if let Some(holder) = holder
            && holder.name != request.node
        {
            return Err(Refusal::NodeIdTaken {
                id: request.id.clone(),
                name: request.node.to_string(),
                holder: holder.name.to_string(),
            });
        }
        let old = self.nodes.get(&*request.node);
        let mut node = Node {
            id: request.id.clone(),
            name: Arc::clone(&request.node),
            address: request.address.clone(),
            datacenter: request.datacenter.clone(),
            tagged_addresses: request.tagged_addresses.clone(),
            meta: request.node_meta.clone(),
            create_index: old.map_or(self.index, |o| o.create_index),
            modify_index: old.map_or(self.index, |o| o.modify_index),
        };
        if old != Some(&node) {
            node.modify_index = self.index;
            self.nodes.insert(node.name.to_string(), node);
        }
        Ok(())
    }

    pub(crate) fn service(&mut self, node: &str, service: &Service) {
        let key = (node.to_owned(), service.id.to_string());
        let old = self.services.get(&key);
        let mut service = service.clone();
        service.create_index = old.map_or(self.index, |o| o.create_index);
        service.modify_index = old.map_or(self.index, |o| o.modify_index);
        if old == Some(&service) {
            return;
        }
        service.modify_index = self.index;
        for ((on, _), check) in &mut self.checks {
            let stale = check.service_name != service.name || check.service_tags != service.tags;
            if on == node && check.service_id == service.id && stale {
                check.service_name = Arc::clone(&service.name);
                check.service_tags.clone_from(&service.tags);
                check.modify_index = self.index;
            }
        }
        self.services.insert(key, service);
    }

    pub(crate) fn check(&mut self, node: &str, check: &HealthCheck) -> Result<(), Refusal> {
        let mut check = HealthCheck { node: node.into(), ..check.clone() };
        if !check.service_id.is_empty() {
            let service = self.services.get(&(node.to_owned(), check.service_id.to_string()));
            let service = service.ok_or(Refusal::MissingService)?;
            check.service_name = Arc::clone(&service.name);
            check.service_tags.clone_from(&service.tags);
        }
        let key = (node.to_owned(), check.check_id.to_string());
        let old = self.checks.get(&key);
        check.create_index = old.map_or(self.index, |o| o.create_index);
        check.modify_index = old.map_or(self.index, |o| o.modify_index);
        if old == Some(&check) {
            return Ok(());
        }
        check.modify_index = self.index;
        if check.status == Status::Critical {
            self.end_sessions(node, Some(&check.check_id));
        }
        self.checks.insert(key, check);
        Ok(())
    }

    pub(crate) fn deregister(&mut self, request: &DeregisterRequest) {
        let node = &*request.node;
        if !request.service_id.is_empty() {
            let key = (node.to_owned(), request.service_id.to_string());
            if self.services.remove(&key).is_some() {
                self.remove_checks(node, |check| check.service_id == request.service_id);
            }
        } else if !request.check_id.is_empty() {
            self.remove_checks(node, |check| check.check_id == request.check_id);
        } else {
            self.nodes.remove(node);
            self.coordinates.retain(|(on, _), _| on != node);
            self.services.retain(|(on, _), _| on != node);
            self.checks.retain(|(on, _), _| on != node);
            self.end_sessions(node, None);
        }
    }

    fn remove_checks(&mut self, node: &str, which: impl Fn(&HealthCheck) -> bool) {
        let gone: Vec<_> = self
            .checks
            .iter()
            .filter(|((on, _), check)| on == node && which(check))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.checks.remove(&key);
            self.end_sessions(node, Some(&key.1));
        }
    }

    fn create(&mut self, session: &Session) -> Result<(), Refusal> {
        if !self.nodes.contains_key(&*session.node) {
            return Err(Refusal::MissingNode);
        }
        for id in &session.checks {
            match self.checks.get(&(session.node.to_string(), id.clone())) {
                None => return Err(Refusal::MissingCheck(id.clone())),
                Some(check) if check.status == Status::Critical => {
                    return Err(Refusal::CriticalCheck(id.clone()));
                }
                Some(_) => {}
            }
        }
        let mut session = session.clone();
        session.create_index = self.index;
        session.modify_index = self.index;
        self.sessions.insert(session.id.to_string(), session);
        Ok(())
    }

    fn end_sessions(&mut self, node: &str, check: Option<&str>) {
        let ended: Vec<_> = self
            .sessions
            .values()
            .filter(|s| &*s.node == node)
            .filter(|s| check.is_none_or(|check| s.checks.iter().any(|c| c == check)))
            .map(|s| Arc::clone(&s.id))
            .collect();
        for id in ended {
            self.destroy(&id);
        }
    }

    fn destroy(&mut self, id: &str) {
        let Some(session) = self.sessions.remove(id) else { return };
        self.prepared.retain(|_, query| &*query.session != id);
        for (key, entry) in &mut self.kv {
            if &*entry.session == id {
                entry.session = Arc::from("");
                if session.lock_delay > 0 {
                    self.released.push((key.as_str().into(), session.lock_delay));
                }
                entry.modify_index = self.index;
                // Marks those that go.
                if session.behavior == SessionBehavior::Delete {
                    entry.modify_index = 0;
                }
            }
        }
        self.kv.retain(|_, entry| entry.modify_index != 0);
    }

    /// The id of the intention of a pair.
    fn entry_write(&mut self, write: &ConfigEntryWrite) -> Result<bool, Refusal> {
        let changed = |model: &Self, key: &(&'static str, Name)| {
            model.entries.get(key).map_or(0, |held| held.modify_index)
        };
        match write {
            ConfigEntryWrite::Upsert { entry, cas } => {
                let key = (entry.kind.as_str(), entry.name.clone());
                if cas.is_some_and(|index| index != changed(self, &key)) {
                    return Ok(false);
                }
                let held = self.entries.get(&key);
                if held.is_none_or(|held| held.fields != entry.fields) {
                    let create_index = held.map_or(self.index, |held| held.create_index);
                    let modify_index = self.index;
                    let entry = ConfigEntry { create_index, modify_index, ..(**entry).clone() };
                    self.entries.insert(key, entry);
                }
            }
            ConfigEntryWrite::Delete { kind, name, cas } => {
                let key = (kind.as_str(), name.clone());
                if cas.is_some_and(|index| index != changed(self, &key)) {
                    return Ok(false);
                }
                self.entries.remove(&key);
            }
            ConfigEntryWrite::Intentions { name, sources, .. } => {
                let to = ("default".to_owned(), name.clone());
                self.intentions.retain(|_, old| {
                    pair(old).destination != to
                        || sources.iter().any(|new| new.source_name == old.source_name)
                        || old.destination_ns != "default"
                });
                for new in sources {
                    let mut new = new.clone();
                    if let Some(old) = self.of_pair(&pair(&new)) {
                        let held = &self.intentions[&old];
                        if (held.action, &held.description, &held.meta)
                            == (new.action, &new.description, &new.meta)
                        {
                            continue;
                        }
                        new.id = old;
                    }
                    self.intention(&new)?;
                }
            }
            ConfigEntryWrite::Replicate { delete, set } => {
                for (kind, name) in delete {
                    self.entries.remove(&(kind.as_str(), name.clone()));
                }
                for new in set {
                    let key = (new.kind.as_str(), new.name.clone());
                    let held = self.entries.get(&key);
                    let create_index = held.map_or(self.index, |held| held.create_index);
                    let modify_index = self.index;
                    self.entries
                        .insert(key, ConfigEntry { create_index, modify_index, ..new.clone() });
                }
            }
        }
        Ok(true)
    }

    fn of_pair(&self, of: &IntentionPair) -> Option<String> {
        self.intentions.values().find(|one| pair(one) == *of).map(|one| one.id.clone())
    }

    fn intention(&mut self, intention: &Intention) -> Result<(), Refusal> {
        let other = self.intentions.values().find(|i| pair(i) == pair(intention));
        if let Some(other) = other
            && other.id != intention.id
        {
            return Err(Refusal::DuplicateIntention(other.describe()));
        }
        let mut new = intention.clone();
        new.create_index = self.index;
        new.modify_index = self.index;
        if let Some(old) = self.intentions.get(&new.id) {
            new.create_index = old.create_index;
            new.created_at = old.created_at;
        }
        new.precedence = precedence(&new);
        self.intentions.insert(new.id.clone(), new);
        Ok(())
    }
}

pub(crate) fn pair(i: &Intention) -> IntentionPair {
    IntentionPair {
        source: (i.source_ns.clone(), i.source_name.clone()),
        destination: (i.destination_ns.clone(), i.destination_name.clone()),
    }
}

/// The table of the reference, written out.
fn precedence(i: &Intention) -> i64 {
    let exact = |ns: &str, name: &str| match (ns, name) {
        ("*", "*") => "none",
        (_, "*") => "namespace",
        _ => "both",
    };
    let source = exact(&i.source_ns, &i.source_name);
    match (source, exact(&i.destination_ns, &i.destination_name)) {
        ("both", "both") => 9,
        ("namespace", "both") => 8,
        ("none", "both") => 7,
        ("both", "namespace") => 6,
        ("namespace", "namespace") => 5,
        ("none", "namespace") => 4,
        ("both", "none") => 3,
        ("namespace", "none") => 2,
        _ => 1,
    }
}
