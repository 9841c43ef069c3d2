//! Results of queries that many ask: evaluated once, encoded once, until their index changes.
//!
//! A result is good as long as the store has the same epoch and the query's index is the same;
//! every index that is used here grows whenever what the query shows may have changed. Of what is
//! kept, a part that some may see is kept as well: those who wait with the same token share it.

use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Weak};

use lictor_acl::Authorizer;
use lictor_types::Index;
use lictor_types::query::Evaluated;
use parking_lot::Mutex;

/// Results that are kept. One more makes room by forgetting half of them.
const KEPT: usize = 4096;

/// Which query: its kind and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) kind: &'static str,
    pub(crate) arguments: Box<str>,
}

impl Identity {
    /// A query without arguments.
    pub(crate) fn plain(kind: &'static str) -> Self {
        Self { kind, arguments: Box::default() }
    }

    /// A query with arguments. Their lengths keep them apart: clients choose what is in them, and
    /// nobody may be given the result of another query.
    pub(crate) fn with(kind: &'static str, arguments: &[&str]) -> Self {
        let mut text = String::new();
        arguments.iter().for_each(|argument| push_argument(&mut text, argument));
        Self { kind, arguments: text.into() }
    }
}

/// Appends a text that any client may have chosen, with its length.
pub(crate) fn push_argument(out: &mut String, argument: &str) {
    // Writing to a text cannot fail.
    let _ = write!(out, "{}:", argument.len());
    out.push_str(argument);
}

struct Kept {
    epoch: u64,
    index: Index,
    result: Arc<dyn Any + Send + Sync>,
}

/// Parts that are kept. Those of results that nobody has any more make room first.
const PARTS: usize = 1024;

/// What somebody may see of a result.
struct Part {
    /// They keep the addresses, which are the key, from being used for others.
    of: Weak<dyn Any + Send + Sync>,
    _who: Weak<Authorizer>,
    /// `None` when that is all of it.
    seen: Option<Arc<dyn Any + Send + Sync>>,
}

/// The results. Bounded.
#[derive(Default)]
pub(crate) struct Cache {
    results: Mutex<HashMap<Identity, Kept>>,
    /// By the addresses of the result and of the rights.
    parts: Mutex<HashMap<(usize, usize), Part>>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("results", &self.results.lock().len()).finish()
    }
}

impl Cache {
    /// The kept result, or a fresh one.
    pub(crate) fn get<T: Send + Sync + 'static>(
        &self,
        identity: Identity,
        epoch: u64,
        index: Index,
        evaluate: impl FnOnce() -> T,
    ) -> Arc<Evaluated<T>> {
        let Ok(result) = self.try_get(identity, epoch, index, || Ok::<_, Infallible>(evaluate()));
        result
    }

    /// The same where there may be none.
    ///
    /// # Errors
    /// Those of `evaluate`, which are not kept.
    pub(crate) fn try_get<T: Send + Sync + 'static, E>(
        &self,
        identity: Identity,
        epoch: u64,
        index: Index,
        evaluate: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<Evaluated<T>>, E> {
        let held = self.results.lock().get(&identity).and_then(|kept| {
            let good = kept.epoch == epoch && kept.index == index;
            good.then(|| Arc::clone(&kept.result))
        });
        if let Some(Ok(result)) = held.map(Arc::downcast::<Evaluated<T>>) {
            return Ok(result);
        }
        // Evaluated without the lock: others go on, and twice is no harm.
        let fresh = Evaluated::new(index, evaluate()?);
        let mut results = self.results.lock();
        if results.len() >= KEPT && !results.contains_key(&identity) {
            let mut keep = false;
            results.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        let result: Arc<dyn Any + Send + Sync> = Arc::clone(&fresh) as _;
        results.insert(identity, Kept { epoch, index, result });
        Ok(fresh)
    }

    /// The part of a result that somebody may see, as `filter` finds it; `None` when that is all. A
    /// result is always filtered by the same rules.
    pub(crate) fn part<T: Send + Sync + 'static>(
        &self,
        result: &Arc<Evaluated<T>>,
        who: &Arc<Authorizer>,
        filter: impl FnOnce() -> Option<T>,
    ) -> Option<Arc<Evaluated<T>>> {
        let fresh = |seen| Evaluated::new(result.index, seen);
        if Arc::strong_count(result) == 1 {
            // Nobody else has it, and nobody else will.
            return filter().map(fresh);
        }
        let key = (Arc::as_ptr(result).addr(), Arc::as_ptr(who).addr());
        let held = self.parts.lock().get(&key).map(|part| part.seen.clone());
        match held {
            Some(None) => return None,
            Some(Some(seen)) => {
                if let Ok(seen) = seen.downcast() {
                    return Some(seen);
                }
            }
            None => {}
        }
        let seen = filter().map(fresh);
        let of: Arc<dyn Any + Send + Sync> = Arc::clone(result) as _;
        let part = Part {
            of: Arc::downgrade(&of),
            _who: Arc::downgrade(who),
            seen: seen.clone().map(|seen| seen as _),
        };
        let mut parts = self.parts.lock();
        if parts.len() >= PARTS {
            parts.retain(|_, part| part.of.strong_count() > 0);
        }
        if parts.len() >= PARTS {
            parts.clear();
        }
        parts.insert(key, part);
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_shared_until_its_index_changes() {
        let cache = Cache::default();
        let ask = |epoch, index, value: &str| {
            cache.get(Identity::with("q", &["a"]), epoch, index, || value.to_owned())
        };
        let first = ask(1, 5, "old");
        assert!(Arc::ptr_eq(&first, &ask(1, 5, "never evaluated")));
        assert_eq!(ask(1, 6, "new").value, "new");
        assert_eq!(ask(2, 6, "restored").value, "restored");
        let other = cache.get(Identity::with("q", &["b"]), 2, 6, || 7_u8);
        assert_eq!(other.value, 7);
    }

    #[test]
    fn arguments_are_kept_apart_whatever_they_hold() {
        let with = |arguments: &[&str]| Identity::with("q", arguments);
        for (one, other) in [
            (&["a\0b"][..], &["a", "b"][..]),
            (&["1:a"], &["a"]),
            (&["", "a"], &["a", ""]),
            (&["a", "1:b"], &["a1", ":b"]),
        ] {
            assert_ne!(with(one), with(other));
        }
    }

    #[test]
    fn those_with_the_same_rights_share_what_they_may_see() {
        let cache = Cache::default();
        let result = cache.get(Identity::plain("q"), 1, 1, || vec![1, 2, 3]);
        let rights = || Arc::new(Authorizer::manage_all());
        let (one, other) = (rights(), rights());
        let first = cache.part(&result, &one, || Some(vec![1])).unwrap();
        let again = cache.part(&result, &one, || panic!("it was looked at before")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(cache.part(&result, &other, || Some(vec![2])).unwrap().value, [2]);
        assert!(cache.part(&result, &rights(), || None).is_none());
        let next = cache.get(Identity::plain("q"), 1, 2, || vec![1, 2, 3, 4]);
        assert_eq!(cache.part(&next, &one, || Some(vec![4])).unwrap().value, [4]);
        let alone = Evaluated::new(1, vec![5]);
        let parts = cache.parts.lock().len();
        assert_eq!(cache.part(&alone, &one, || Some(vec![])).unwrap().value, Vec::<i32>::new());
        assert_eq!(cache.parts.lock().len(), parts);
        for n in 0..PARTS * 2 {
            let result = cache.get(Identity::plain("q"), 1, n as u64 + 3, || vec![n]);
            cache.part(&result, &one, || Some(vec![]));
        }
        assert!(cache.parts.lock().len() <= PARTS);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let cache = Cache::default();
        for n in 0..KEPT * 2 {
            cache.get(Identity::with("q", &[&n.to_string()]), 1, 1, || n);
        }
        assert!(cache.results.lock().len() <= KEPT);
    }
}
