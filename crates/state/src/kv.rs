//! The key/value store: entries in byte order, locks, and traces of what was deleted.
//!
//! A trace (tombstone) keeps the index of a prefix from going back; the leader has old ones
//! reaped. Whether a key is inside its lock-delay is decided by the proposer.

use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use lictor_types::Index;
use lictor_types::command::Refusal;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};

use crate::apply::Writer;
use crate::index::{IndexKey, Table};
use crate::view::{Two, View};
use crate::watch::Topic;

#[derive(Clone, Debug, Default)]
pub(crate) struct KvTable {
    rows: OrdMap<Arc<str>, Arc<KvEntry>>,
    /// Deleted key or prefix → index of its deletion.
    tombstones: OrdMap<Arc<str>, Index>,
    /// (session, key) of every lock.
    held: OrdSet<Two>,
}

fn under<'a, V>(
    map: &'a OrdMap<Arc<str>, V>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a Arc<str>, &'a V)> + 'a {
    map.range::<_, str>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
}

impl KvTable {
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<KvEntry>> {
        self.rows.get(key)
    }

    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<KvEntry>> {
        under(&self.rows, prefix).map(|(_, entry)| entry)
    }

    pub(crate) fn tombstones(&self) -> impl Iterator<Item = (&Arc<str>, Index)> {
        self.tombstones.iter().map(|(key, index)| (key, *index))
    }

    pub(crate) fn bury(&mut self, key: Arc<str>, at: Index) {
        self.tombstones.insert(key, at);
    }

    pub(crate) fn put(&mut self, entry: KvEntry) {
        if let Some(old) = self.rows.get(&entry.key)
            && old.session != entry.session
        {
            self.held.remove(&(Arc::clone(&old.session), Arc::clone(&entry.key)));
        }
        if !entry.session.is_empty() {
            self.held.insert((Arc::clone(&entry.session), Arc::clone(&entry.key)));
        }
        self.rows.insert(Arc::clone(&entry.key), Arc::new(entry));
    }

    fn remove(&mut self, key: &str) -> Option<Arc<KvEntry>> {
        let old = self.rows.remove(key)?;
        self.held.remove(&(Arc::clone(&old.session), Arc::clone(&old.key)));
        Some(old)
    }

    /// Keys that a session holds.
    pub(crate) fn held_by(&self, session: &Arc<str>) -> Vec<Arc<str>> {
        let from = (Bound::Included((Arc::clone(session), Arc::from(""))), Bound::Unbounded);
        self.held
            .range(from)
            .take_while(|(holder, _)| holder == session)
            .map(|(_, key)| Arc::clone(key))
            .collect()
    }
}

impl View {
    /// One key. The index is the entry's, or that of the tables when it is missing; never less
    /// than that of a restored archive.
    #[must_use]
    pub fn kv_get(&self, key: &str) -> (Index, Option<Arc<KvEntry>>) {
        match self.tables.kv.get(key) {
            Some(entry) => {
                let index = entry.modify_index.max(self.tables.indexes.restored());
                (index, Some(Arc::clone(entry)))
            }
            None => (self.table_index(&[Table::Kvs, Table::Tombstones]), None),
        }
    }

    /// Every entry whose key starts with `prefix`, in byte order.
    #[must_use]
    pub fn kv_list(&self, prefix: &str) -> (Index, Vec<Arc<KvEntry>>) {
        let rows: Vec<_> = self.tables.kv.under(prefix).cloned().collect();
        let newest = rows.iter().map(|entry| entry.modify_index).max();
        (self.kv_prefix_index(prefix, newest), rows)
    }

    /// The keys that start with `prefix`, each cut after the first `separator` that follows the
    /// prefix (an empty one does not cut), without repetitions.
    #[must_use]
    pub fn kv_keys(&self, prefix: &str, separator: &str) -> (Index, Vec<Arc<str>>) {
        let mut keys: Vec<Arc<str>> = Vec::new();
        let mut newest = None;
        for entry in self.tables.kv.under(prefix) {
            newest = newest.max(Some(entry.modify_index));
            let rest = &entry.key[prefix.len()..];
            let cut = (!separator.is_empty()).then(|| rest.find(separator)).flatten();
            let shown = cut.map(|at| &entry.key[..prefix.len() + at + separator.len()]);
            match shown {
                Some(shown) if keys.last().is_some_and(|last| **last == *shown) => {}
                Some(shown) => keys.push(shown.into()),
                None => keys.push(Arc::clone(&entry.key)),
            }
        }
        (self.kv_prefix_index(prefix, newest), keys)
    }

    fn kv_prefix_index(&self, prefix: &str, newest: Option<Index>) -> Index {
        let tables = self.table_index(&[Table::Kvs, Table::Tombstones]);
        if prefix.is_empty() {
            return tables;
        }
        let buried = under(&self.tables.kv.tombstones, prefix).map(|(_, index)| *index).max();
        // A trace that is gone may have been below this prefix, and shown.
        let reaped = self.tables.indexes.get(&IndexKey::Reaped).unwrap_or(0);
        let least = reaped.max(self.tables.indexes.restored());
        newest.max(buried).map_or(tables, |index| index.max(least))
    }

    /// The traces of deletions that are not newer than `up_to`: how many a reaping would forget.
    #[must_use]
    pub fn tombstones_up_to(&self, up_to: Index) -> usize {
        self.tables.kv.tombstones().filter(|(_, index)| *index <= up_to).count()
    }
}

impl Writer {
    pub(crate) fn kv_write(&mut self, write: &KvWrite) -> Result<bool, Refusal> {
        let entry = &write.entry;
        match write.op {
            KvOp::Set => {
                self.kv_set(entry);
                Ok(true)
            }
            KvOp::Cas => Ok(self.kv_cas(entry)),
            KvOp::Lock => self.kv_lock(entry, write.lock_delayed),
            KvOp::Unlock => self.kv_unlock(entry),
            KvOp::Delete => {
                self.kv_delete(&entry.key);
                Ok(true)
            }
            KvOp::DeleteCas => Ok(self.kv_delete_cas(&entry.key, entry.modify_index)),
            KvOp::DeleteTree => {
                self.kv_delete_tree(&entry.key);
                Ok(true)
            }
        }
    }

    /// Writes without looking at locks; the holder stays, the count of locks starts again.
    pub(crate) fn kv_set(&mut self, entry: &KvEntry) {
        let old = self.tables.kv.get(&entry.key);
        let session = old.map(|o| Arc::clone(&o.session)).unwrap_or_default();
        self.kv_store(KvEntry { lock_index: 0, session, ..entry.clone() });
    }

    /// Stores an entry as it is but for its indexes.
    fn kv_store(&mut self, mut entry: KvEntry) {
        let old = self.tables.kv.get(&entry.key);
        entry.create_index = old.map_or(self.index, |o| o.create_index);
        entry.modify_index = self.index;
        self.touched.push(Topic::KvKey(Arc::clone(&entry.key)));
        self.tables.kv.put(entry);
        self.touch_table(Table::Kvs);
    }

    pub(crate) fn kv_cas(&mut self, entry: &KvEntry) -> bool {
        let found = self.tables.kv.get(&entry.key).map_or(0, |o| o.modify_index);
        let holds = found == entry.modify_index;
        if holds {
            self.kv_set(entry);
        }
        holds
    }

    pub(crate) fn kv_lock(&mut self, entry: &KvEntry, delayed: bool) -> Result<bool, Refusal> {
        self.lock_session(&entry.session)?;
        let (lock_index, held) = match self.tables.kv.get(&entry.key) {
            None => (1, false),
            Some(old) if old.session == entry.session => (old.lock_index, true),
            Some(old) if old.session.is_empty() => (old.lock_index + 1, false),
            Some(_) => return Ok(false),
        };
        if delayed && !held {
            return Ok(false);
        }
        self.kv_store(KvEntry { lock_index, ..entry.clone() });
        Ok(true)
    }

    pub(crate) fn kv_unlock(&mut self, entry: &KvEntry) -> Result<bool, Refusal> {
        if entry.session.is_empty() {
            return Err(Refusal::MissingSession);
        }
        let Some(old) = self.tables.kv.get(&entry.key) else { return Ok(false) };
        if old.session != entry.session {
            return Ok(false);
        }
        let lock_index = old.lock_index;
        self.kv_store(KvEntry { lock_index, session: Arc::from(""), ..entry.clone() });
        Ok(true)
    }

    fn lock_session(&self, session: &Arc<str>) -> Result<(), Refusal> {
        if session.is_empty() {
            return Err(Refusal::MissingSession);
        }
        match self.tables.sessions.get(session) {
            Some(_) => Ok(()),
            None if crate::session::is_uuid(session) => {
                Err(Refusal::InvalidSession(session.to_string()))
            }
            None => Err(Refusal::SessionNotUuid),
        }
    }

    pub(crate) fn kv_delete(&mut self, key: &Arc<str>) {
        if self.tables.kv.remove(key).is_some() {
            self.tables.kv.bury(Arc::clone(key), self.index);
            self.touched.push(Topic::KvKey(Arc::clone(key)));
            self.touch_table(Table::Kvs);
            self.touch_table(Table::Tombstones);
        }
    }

    /// Deletes if the index matches; what is gone already counts as deleted.
    pub(crate) fn kv_delete_cas(&mut self, key: &Arc<str>, expected: Index) -> bool {
        match self.tables.kv.get(key).map(|entry| entry.modify_index) {
            None => true,
            Some(found) if found == expected => {
                self.kv_delete(key);
                true
            }
            Some(_) => false,
        }
    }

    pub(crate) fn kv_delete_tree(&mut self, prefix: &Arc<str>) {
        let keys: Vec<_> =
            self.tables.kv.under(prefix).map(|entry| Arc::clone(&entry.key)).collect();
        if keys.is_empty() {
            return;
        }
        for key in keys {
            self.tables.kv.remove(&key);
            self.touched.push(Topic::KvKey(key));
        }
        // One trace stands for the whole prefix; the empty prefix is answered by the tables. Older
        // traces below it go: a longer prefix, which this one is not below, would show their index.
        let older: Vec<_> =
            under(&self.tables.kv.tombstones, prefix).map(|(key, _)| Arc::clone(key)).collect();
        for key in older {
            self.tables.kv.tombstones.remove(&key);
        }
        if !prefix.is_empty() {
            self.tables.kv.bury(Arc::clone(prefix), self.index);
        }
        self.touch_table(Table::Kvs);
        self.touch_table(Table::Tombstones);
    }

    /// A session ended: its lock on `key` is released, or the key is deleted.
    pub(crate) fn kv_lose_session(&mut self, key: &Arc<str>, delete: bool) {
        if delete {
            self.kv_delete(key);
        } else if let Some(old) = self.tables.kv.get(key).cloned() {
            self.kv_store(KvEntry { session: Arc::from(""), ..(*old).clone() });
        }
    }

    pub(crate) fn reap_tombstones(&mut self, up_to: Index) {
        let old: Vec<_> = self
            .tables
            .kv
            .tombstones()
            .filter(|(_, index)| *index <= up_to)
            .map(|(key, index)| (Arc::clone(key), index))
            .collect();
        for (key, index) in old {
            self.tables.kv.tombstones.remove(&key);
            self.tables.indexes.raise(IndexKey::Reaped, index);
        }
    }
}

#[cfg(test)]
mod tests {
    use lictor_types::command::{Command, Outcome};

    use super::*;
    use crate::store::Store;

    fn write(store: &Store, op: KvOp, key: &str, value: &str, index: Index) -> Outcome {
        let entry = KvEntry {
            key: key.into(),
            value: value.to_owned().into(),
            modify_index: index,
            ..KvEntry::default()
        };
        let command = Command::Kv(KvWrite { op, entry, lock_delayed: false });
        store.apply_batch([command]).remove(0).outcome
    }

    #[test]
    fn compare_and_set_goes_by_the_index() {
        let store = Store::new();
        assert_eq!(write(&store, KvOp::Cas, "k", "a", 5), Outcome::Applied(false));
        assert_eq!(write(&store, KvOp::Cas, "k", "a", 0), Outcome::Applied(true));
        assert_eq!(write(&store, KvOp::Cas, "k", "b", 0), Outcome::Applied(false));
        let (index, _) = store.view().kv_get("k");
        assert_eq!(write(&store, KvOp::Cas, "k", "b", index), Outcome::Applied(true));
        assert_eq!(write(&store, KvOp::DeleteCas, "k", "", index), Outcome::Applied(false));
        assert_eq!(&store.view().kv_get("k").1.unwrap().value[..], b"b");
    }

    #[test]
    fn a_deleted_prefix_keeps_its_index() {
        let store = Store::new();
        write(&store, KvOp::Set, "a/1", "x", 0);
        write(&store, KvOp::Set, "a/2", "x", 0);
        write(&store, KvOp::Set, "b", "x", 0);
        assert_eq!(store.view().kv_list("a/").0, 2);
        write(&store, KvOp::Delete, "a/1", "", 0);
        assert_eq!(store.view().kv_list("a/").0, 4);
        write(&store, KvOp::DeleteTree, "a/", "", 0);
        assert_eq!((store.view().kv_list("a/").0, store.view().kv_list("b").0), (5, 3));
        store.apply_batch([Command::ReapTombstones(5)]);
        assert!(store.view().kv_list("a/").0 >= 5);
    }

    #[test]
    fn forgetting_a_trace_takes_no_index_back() {
        let store = Store::new();
        write(&store, KvOp::Set, "a/1", "x", 0);
        write(&store, KvOp::Set, "a/2", "x", 0);
        write(&store, KvOp::Delete, "a/1", "", 0);
        store.apply_batch([Command::ReapTombstones(3)]);
        assert_eq!(store.view().tombstones_up_to(9), 0);
        assert_eq!((store.view().kv_list("a/").0, store.view().kv_keys("a/", "").0), (3, 3));
    }

    #[test]
    fn a_deleted_prefix_is_news_to_longer_prefixes() {
        let store = Store::new();
        write(&store, KvOp::Set, "a/b/1", "x", 0);
        write(&store, KvOp::Delete, "a/b/1", "", 0);
        write(&store, KvOp::Set, "a/b/2", "x", 0);
        write(&store, KvOp::DeleteTree, "a/", "", 0);
        assert_eq!((store.view().kv_list("a/b/").0, store.view().kv_list("a/").0), (4, 4));
    }

    #[test]
    fn keys_are_cut_after_the_separator() {
        let store = Store::new();
        for key in ["a/b/1", "a/b/2", "a/c", "a/d/", "é/x"] {
            write(&store, KvOp::Set, key, "", 0);
        }
        let keys = |prefix, separator| -> Vec<String> {
            store.view().kv_keys(prefix, separator).1.iter().map(ToString::to_string).collect()
        };
        assert_eq!(keys("a/", "/"), ["a/b/", "a/c", "a/d/"]);
        assert_eq!(keys("", "/"), ["a/", "é/"]);
        assert_eq!(keys("a/b", ""), ["a/b/1", "a/b/2"]);
        assert_eq!(keys("zzz", "/"), Vec::<String>::new());
    }
}
