//! Intentions: by ID, by their pair of names, and by whom they may concern.
//!
//! Names are looked up without regard to case, as the original's indexes do, and shown as written.
//! Precedence is computed when one is written; deciding is the `acl` crate's.

use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use lictor_types::Index;
use lictor_types::command::{IntentionPair, IntentionReplica, Refusal};
use lictor_types::intention::{DEFAULT_NAMESPACE, Intention, WILDCARD};

use crate::apply::Writer;
use crate::index::{IndexKey, Table};
use crate::session::is_uuid;
use crate::view::View;
use crate::watch::Topic;

/// The side of an intention that is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchBy {
    /// Who connects.
    Source,
    /// Who is connected to.
    Destination,
}

/// Namespace and name in lower case, and ID.
type Side = (String, String, String);

#[derive(Clone, Debug, Default)]
pub(crate) struct IntentionTable {
    rows: OrdMap<String, Arc<Intention>>,
    by_pair: OrdMap<(String, String, String, String), String>,
    by_source: OrdSet<Side>,
    by_destination: OrdSet<Side>,
}

fn pair(i: &Intention) -> (String, String, String, String) {
    let (source, destination) = (source(i), destination(i));
    (source.0, source.1, destination.0, destination.1)
}

fn pair_key(of: &IntentionPair) -> (String, String, String, String) {
    let lower = |(ns, name): &(String, String)| (ns.to_lowercase(), name.to_lowercase());
    let (source, destination) = (lower(&of.source), lower(&of.destination));
    (source.0, source.1, destination.0, destination.1)
}

fn source(i: &Intention) -> Side {
    (i.source_ns.to_lowercase(), i.source_name.to_lowercase(), i.id.clone())
}

fn destination(i: &Intention) -> Side {
    (i.destination_ns.to_lowercase(), i.destination_name.to_lowercase(), i.id.clone())
}

impl IntentionTable {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Intention>> {
        self.rows.values()
    }

    pub(crate) fn put(&mut self, intention: Intention) {
        self.remove(&intention.id);
        self.by_pair.insert(pair(&intention), intention.id.clone());
        self.by_source.insert(source(&intention));
        self.by_destination.insert(destination(&intention));
        self.rows.insert(intention.id.clone(), Arc::new(intention));
    }

    fn remove(&mut self, id: &str) -> Option<Arc<Intention>> {
        let old = self.rows.remove(id)?;
        self.by_pair.remove(&pair(&old));
        self.by_source.remove(&source(&old));
        self.by_destination.remove(&destination(&old));
        Some(old)
    }
}

impl View {
    /// One intention.
    #[must_use]
    pub fn intention(&self, id: &str) -> (Index, Option<Arc<Intention>>) {
        (
            self.table_index(&[Table::ConnectIntentions]),
            self.tables.intentions.rows.get(id).cloned(),
        )
    }

    /// The intention for exactly this source and this destination.
    #[must_use]
    pub fn intention_of_pair(&self, of: &IntentionPair) -> (Index, Option<Arc<Intention>>) {
        let table = &self.tables.intentions;
        let found = table.by_pair.get(&pair_key(of)).and_then(|id| table.rows.get(id).cloned());
        (self.table_index(&[Table::ConnectIntentions]), found)
    }

    /// All intentions, in the order in which they are tried.
    #[must_use]
    pub fn intentions(&self) -> (Index, Vec<Arc<Intention>>) {
        let mut rows: Vec<_> = self.tables.intentions.iter().cloned().collect();
        rows.sort_by(|a, b| a.order(b));
        (self.table_index(&[Table::ConnectIntentions]), rows)
    }

    /// The destinations of the default namespace that intentions name, in order.
    pub(crate) fn intention_destinations(&self) -> Vec<String> {
        let rows = self.tables.intentions.by_destination.iter();
        let mut names: Vec<String> = rows
            .filter(|(ns, ..)| ns == DEFAULT_NAMESPACE)
            .map(|(_, name, _)| name.clone())
            .collect();
        names.dedup();
        names
    }

    /// The intentions that may concern a service, in the order in which they are tried.
    #[must_use]
    pub fn intention_match(
        &self,
        by: MatchBy,
        namespace: &str,
        name: &str,
    ) -> (Index, Vec<Arc<Intention>>) {
        let table = &self.tables.intentions;
        let side = match by {
            MatchBy::Source => &table.by_source,
            MatchBy::Destination => &table.by_destination,
        };
        let (namespace, name) = (&*namespace.to_lowercase(), &*name.to_lowercase());
        let mut wanted = vec![(WILDCARD, WILDCARD), (namespace, WILDCARD), (namespace, name)];
        wanted.dedup();
        let mut rows: Vec<Arc<Intention>> = Vec::new();
        for (namespace, name) in wanted {
            let first = (namespace.to_owned(), name.to_owned(), String::new());
            let ids = side
                .range((Bound::Included(first), Bound::Unbounded))
                .take_while(|(ns, n, _)| ns == namespace && n == name);
            rows.extend(ids.filter_map(|(_, _, id)| table.rows.get(id).cloned()));
        }
        rows.sort_by(|a, b| a.order(b));
        (self.table_index(&[Table::ConnectIntentions]), rows)
    }

    /// Whether a lookup by this text can succeed at all.
    #[must_use]
    pub fn is_intention_id(text: &str) -> bool {
        is_uuid(text)
    }
}

impl Writer {
    pub(crate) fn intention_upsert(&mut self, mut intention: Intention) -> Result<(), Refusal> {
        let table = &self.tables.intentions;
        if let Some(holder) = table.by_pair.get(&pair(&intention))
            && *holder != intention.id
        {
            let text = table.rows.get(holder).map(|i| i.describe()).unwrap_or_default();
            return Err(Refusal::DuplicateIntention(text));
        }
        intention.precedence = intention.computed_precedence();
        intention.create_index = self.index;
        intention.modify_index = self.index;
        if let Some(old) = table.rows.get(&intention.id).cloned() {
            intention.create_index = old.create_index;
            intention.created_at = old.created_at;
            self.touch_intention(&old);
        }
        self.touch_intention(&intention);
        self.tables.intentions.put(intention);
        self.touch_table(Table::ConnectIntentions);
        Ok(())
    }

    pub(crate) fn intention_delete(&mut self, id: &str) {
        if let Some(old) = self.tables.intentions.remove(id) {
            self.touch_intention(&old);
            self.touch_table(Table::ConnectIntentions);
        }
    }

    /// Writes what its pair says from now on; an intention of that pair keeps its id.
    pub(crate) fn intention_upsert_pair(
        &mut self,
        mut intention: Intention,
    ) -> Result<(), Refusal> {
        if let Some(holder) = self.tables.intentions.by_pair.get(&pair(&intention)) {
            holder.clone_into(&mut intention.id);
        }
        self.intention_upsert(intention)
    }

    pub(crate) fn intention_delete_pair(&mut self, of: &IntentionPair) {
        if let Some(id) = self.tables.intentions.by_pair.get(&pair_key(of)).cloned() {
            self.intention_delete(&id);
        }
    }

    /// Takes over what another datacenter decides; readers see all of it or nothing.
    pub(crate) fn intention_replicate(&mut self, replica: IntentionReplica) -> Result<(), Refusal> {
        replica.delete.iter().for_each(|id| self.intention_delete(id));
        for intention in replica.set {
            let holder = self.tables.intentions.by_pair.get(&pair(&intention)).cloned();
            if let Some(holder) = holder.filter(|holder| *holder != intention.id) {
                self.intention_delete(&holder);
            }
            self.intention_upsert(intention)?;
        }
        Ok(())
    }

    fn touch_intention(&mut self, i: &Intention) {
        let destination: Arc<str> = i.destination_name.to_lowercase().into();
        self.tables.indexes.raise(IndexKey::Intentions(destination), self.index);
        let side = |ns: &str, name: &str| Arc::<str>::from(topic_key(ns, name));
        self.touched.push(Topic::Source(side(&i.source_ns, &i.source_name)));
        self.touched.push(Topic::Destination(side(&i.destination_ns, &i.destination_name)));
    }
}

/// What a side is called among the topics.
fn topic_key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}").to_lowercase()
}

/// The topics of a match: the service itself and the wildcards that cover it.
#[must_use]
pub(crate) fn match_topics(by: MatchBy, namespace: &str, name: &str) -> Vec<Topic> {
    [(WILDCARD, WILDCARD), (namespace, WILDCARD), (namespace, name)]
        .into_iter()
        .map(|(ns, name)| {
            let side: Arc<str> = topic_key(ns, name).into();
            match by {
                MatchBy::Source => Topic::Source(side),
                MatchBy::Destination => Topic::Destination(side),
            }
        })
        .collect()
}

impl Topic {
    /// The topics to watch for [`View::intention_match`].
    #[must_use]
    pub fn intention_match(by: MatchBy, namespace: &str, name: &str) -> Vec<Self> {
        match_topics(by, namespace, name)
    }
}
