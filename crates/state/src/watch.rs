//! Who waits for what, and waking exactly those.
//!
//! A watcher registers the topics of what it is about to read, reads, and sleeps. A change wakes
//! the watchers of the topics that it touched, at a cost that depends on them alone: topics are
//! found by hash, prefixes only at the lengths that somebody watches.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::index::Table;

/// Something that can change. Names of services, mesh services and nodes are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Any row of a table.
    Table(Table),
    /// One key.
    KvKey(Arc<str>),
    /// Any key that starts with this.
    KvPrefix(Arc<str>),
    /// What is shown of a service name.
    Service(Arc<str>),
    /// What is shown of a mesh name.
    Connect(Arc<str>),
    /// A node, its services or its checks.
    Node(Arc<str>),
    /// Intentions with this service (`namespace/name`) as destination, wildcards included.
    Destination(Arc<str>),
    /// Intentions with this service (`namespace/name`) as source, wildcards included.
    Source(Arc<str>),
    /// One session.
    Session(Arc<str>),
    /// One prepared query.
    PreparedQuery(Arc<str>),
    /// The coordinates of a node.
    Coordinate(Arc<str>),
}

type Waiters = HashMap<u64, Arc<Notify>>;

#[derive(Default)]
struct Inner {
    next: u64,
    keys: HashMap<Arc<str>, Waiters>,
    prefixes: HashMap<Arc<str>, Waiters>,
    /// How many prefixes of each length are watched.
    lengths: BTreeMap<usize, usize>,
    others: HashMap<Topic, Waiters>,
}

/// All watchers of a store.
#[derive(Default)]
pub(crate) struct Registry {
    /// Taken by every wake-up, even if nobody watches: this orders it with a registration. One
    /// that comes after it sees the version that was published before it.
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// A registration. It hears of every change to its topics that is published after it was made,
/// also of those that come before [`Watch::changed`] is called; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    registry: Arc<Registry>,
    notify: Arc<Notify>,
    topics: SmallVec<[Topic; 2]>,
    id: u64,
}

impl Watch {
    /// Waits for a change. Cancel-safe. A change may turn out to be without effect on what was
    /// read: evaluate again.
    pub async fn changed(&mut self) {
        self.notify.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.registry.remove(self.id, &self.topics);
    }
}

fn enter<K: Hash + Eq>(map: &mut HashMap<K, Waiters>, key: K, id: u64, one: &Arc<Notify>) -> bool {
    let waiters = map.entry(key).or_default();
    let first = waiters.is_empty();
    waiters.insert(id, Arc::clone(one));
    first
}

fn leave<K, Q>(map: &mut HashMap<K, Waiters>, key: &Q, id: u64) -> bool
where
    K: Hash + Eq + std::borrow::Borrow<Q>,
    Q: Hash + Eq + ?Sized,
{
    let Some(waiters) = map.get_mut(key) else { return false };
    waiters.remove(&id);
    let last = waiters.is_empty();
    if last {
        map.remove(key);
    }
    last
}

impl Registry {
    pub(crate) fn watch(self: &Arc<Self>, topics: &[Topic]) -> Watch {
        let notify = Arc::new(Notify::new());
        let mut inner = self.inner.lock();
        let id = inner.next;
        inner.next += 1;
        for topic in topics {
            match topic {
                Topic::KvKey(key) => {
                    enter(&mut inner.keys, Arc::clone(key), id, &notify);
                }
                Topic::KvPrefix(prefix) => {
                    if enter(&mut inner.prefixes, Arc::clone(prefix), id, &notify) {
                        *inner.lengths.entry(prefix.len()).or_insert(0) += 1;
                    }
                }
                other => {
                    enter(&mut inner.others, other.clone(), id, &notify);
                }
            }
        }
        drop(inner);
        Watch { registry: Arc::clone(self), notify, topics: topics.into(), id }
    }

    fn remove(&self, id: u64, topics: &[Topic]) {
        let mut inner = self.inner.lock();
        for topic in topics {
            match topic {
                Topic::KvKey(key) => {
                    leave(&mut inner.keys, &**key, id);
                }
                Topic::KvPrefix(prefix) => {
                    if leave(&mut inner.prefixes, &**prefix, id)
                        && let Some(count) = inner.lengths.get_mut(&prefix.len())
                    {
                        *count -= 1;
                        if *count == 0 {
                            inner.lengths.remove(&prefix.len());
                        }
                    }
                }
                other => {
                    leave(&mut inner.others, other, id);
                }
            }
        }
        drop(inner);
    }

    /// Wakes whoever watches one of `touched`. The change must be published already.
    pub(crate) fn wake(&self, touched: &HashSet<Topic>) {
        let mut woken: Vec<Arc<Notify>> = Vec::new();
        let inner = self.inner.lock();
        for topic in touched {
            if let Topic::KvKey(key) = topic {
                woken.extend(inner.keys.get(key).into_iter().flat_map(|w| w.values().cloned()));
                for &length in inner.lengths.range(..=key.len()).map(|(length, _)| length) {
                    let Some(prefix) = key.get(..length) else { continue };
                    let waiters = inner.prefixes.get(prefix);
                    woken.extend(waiters.into_iter().flat_map(|w| w.values().cloned()));
                }
            } else if let Some(waiters) = inner.others.get(topic) {
                woken.extend(waiters.values().cloned());
            }
        }
        drop(inner);
        for one in woken {
            one.notify_one();
        }
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&self) {
        let inner = self.inner.lock();
        let maps = [&inner.keys, &inner.prefixes];
        let all = maps.into_iter().flat_map(|m| m.values()).chain(inner.others.values());
        let woken: Vec<_> = all.flat_map(|w| w.values().cloned()).collect();
        drop(inner);
        for one in woken {
            one.notify_one();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let inner = self.inner.lock();
        inner.keys.is_empty()
            && inner.prefixes.is_empty()
            && inner.lengths.is_empty()
            && inner.others.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn key(name: &str) -> Topic {
        Topic::KvKey(name.into())
    }

    fn woken(watch: &mut Watch) -> bool {
        watch.changed().now_or_never().is_some()
    }

    #[test]
    fn only_those_concerned_are_woken_and_nothing_is_left_behind() {
        let registry = Arc::new(Registry::default());
        let mut exact = registry.watch(&[key("a/b")]);
        let mut other = registry.watch(&[key("a/c"), Topic::Table(Table::Nodes)]);
        let mut prefix = registry.watch(&[Topic::KvPrefix("a/".into())]);
        let mut everything = registry.watch(&[Topic::KvPrefix("".into())]);
        let mut longer = registry.watch(&[Topic::KvPrefix("a/b/".into())]);
        registry.wake(&HashSet::from([key("a/b")]));
        assert!(woken(&mut exact) && woken(&mut prefix) && woken(&mut everything));
        assert!(!woken(&mut other) && !woken(&mut longer));
        assert!(!woken(&mut exact), "once");
        registry.wake(&HashSet::from([Topic::Table(Table::Nodes)]));
        assert!(woken(&mut other) && !woken(&mut exact));
        registry.wake_all();
        assert!(woken(&mut longer));
        drop((exact, other, prefix, everything, longer));
        assert!(registry.is_empty());
    }

    #[test]
    fn prefixes_inside_a_character_are_no_prefixes() {
        let registry = Arc::new(Registry::default());
        let mut watch = registry.watch(&[Topic::KvPrefix("x".into())]);
        registry.wake(&HashSet::from([key("é")]));
        assert!(!woken(&mut watch));
    }
}
