//! What clients work on: pairs of keys and locks, each with its own history, replaced after some calls so
//! that every history is short enough to be judged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::checker::{Event, History};
use crate::model::{Holder, Key, KvAnswer, KvCall, Lock, LockAnswer, LockCall, Pair};

/// Calls of a history before its object is replaced.
const CALLS: usize = 90;
/// Calls without an answer before that: each doubles the number of orders.
const DOUBTFUL: usize = 8;
/// Sessions of a lock's history.
const HOLDERS: usize = 40;

/// How a read was asked to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Consistency {
    /// `?consistent`: the leader asks the others whether it still is.
    Consistent,
    /// By whoever thinks that it leads.
    Default,
    /// `?stale`: by any server.
    Stale,
}

impl Consistency {
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Consistent => "consistent",
            Self::Default => "d",
            Self::Stale => "stale",
        }
    }
}

/// The lock of a mutex: a client that panicked has been reported by its thread.
pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was called on an object.
#[derive(Debug, Clone)]
pub(crate) struct Calls<C, A>(Vec<(Consistency, Event<C, A>)>);

impl<C, A> Default for Calls<C, A> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<C: Clone, A: Clone> Calls<C, A> {
    pub(crate) fn push(&mut self, consistency: Consistency, event: Event<C, A>) {
        self.0.push((consistency, event));
    }

    /// Without the reads that were asked for with less consistency than this.
    pub(crate) fn history(&self, least: Consistency) -> Vec<Event<C, A>> {
        self.0.iter().filter(|(had, _)| *had <= least).map(|(_, event)| event.clone()).collect()
    }

    fn is_long(&self) -> bool {
        let doubtful = self.0.iter().filter(|(_, event)| event.returned.is_none()).count();
        self.0.len() >= CALLS || doubtful >= DOUBTFUL
    }
}

/// A version of a key, as a client has seen it: value and index.
pub(crate) type Version = (u64, u64);

/// Two keys.
#[derive(Debug)]
pub(crate) struct PairObject {
    pub(crate) number: usize,
    pub(crate) calls: Mutex<Calls<KvCall, KvAnswer>>,
    /// The newest version of each key that a client has seen.
    pub(crate) seen: Mutex<[Option<Version>; 2]>,
}

impl PairObject {
    pub(crate) fn path(&self, key: Key) -> String {
        format!("pair/{}/{key}", self.number)
    }

    pub(crate) fn history(&self, least: Consistency) -> History<Pair> {
        held(&self.calls).history(least)
    }
}

/// A session of a lock.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// When its time began to run for the last time, as far as is known; nothing without a limit.
    pub(crate) renewed: Option<u64>,
    /// Nobody has tried to destroy it.
    pub(crate) alive: bool,
}

/// A lock.
#[derive(Debug)]
pub(crate) struct LockObject {
    pub(crate) number: usize,
    pub(crate) calls: Mutex<Calls<LockCall, LockAnswer>>,
    pub(crate) sessions: Mutex<Vec<Session>>,
}

impl LockObject {
    pub(crate) fn path(&self) -> String {
        format!("lock/{}", self.number)
    }

    /// Whether its sessions have a limit of time.
    pub(crate) fn has_limit(&self) -> bool {
        self.number % 2 == 1
    }

    /// The number of a session in its history.
    pub(crate) fn holder(&self, id: &str) -> Option<Holder> {
        let at = held(&self.sessions).iter().position(|session| session.id == id)?;
        Holder::try_from(at).ok()
    }

    /// Its history, with the ends of sessions that time may have brought.
    pub(crate) fn history(&self, least: Consistency, limit: u64) -> History<Lock> {
        let mut history = held(&self.calls).history(least);
        for (at, session) in held(&self.sessions).iter().enumerate() {
            if let (Some(renewed), Ok(holder)) = (session.renewed, Holder::try_from(at)) {
                history.push(Event {
                    called: renewed + limit,
                    returned: None,
                    call: LockCall::Destroy(holder),
                    who: "its time is over".to_owned(),
                });
            }
        }
        history
    }
}

/// All objects of a run; some of them are in use.
#[derive(Debug)]
pub(crate) struct Objects {
    pairs: Mutex<Vec<Arc<PairObject>>>,
    locks: Mutex<Vec<Arc<LockObject>>>,
    in_use: usize,
}

impl Objects {
    pub(crate) fn new(in_use: usize) -> Self {
        let objects = Self { pairs: Mutex::default(), locks: Mutex::default(), in_use };
        (0..in_use).for_each(|_| {
            objects.add_pair(&mut held(&objects.pairs));
            objects.add_lock(&mut held(&objects.locks));
        });
        objects
    }

    fn add_pair(&self, pairs: &mut Vec<Arc<PairObject>>) {
        let number = pairs.len();
        pairs.push(Arc::new(PairObject {
            number,
            calls: Mutex::default(),
            seen: Mutex::default(),
        }));
    }

    fn add_lock(&self, locks: &mut Vec<Arc<LockObject>>) {
        let number = locks.len();
        let (calls, sessions) = (Mutex::default(), Mutex::default());
        locks.push(Arc::new(LockObject { number, calls, sessions }));
    }

    /// One of those in use.
    pub(crate) fn pair(&self, chance: &mut fastrand::Rng) -> Arc<PairObject> {
        let mut pairs = held(&self.pairs);
        loop {
            let at = pairs.len() - self.in_use + chance.usize(0..self.in_use);
            let pair = Arc::clone(&pairs[at]);
            if !held(&pair.calls).is_long() {
                return pair;
            }
            self.add_pair(&mut pairs);
        }
    }

    /// One of those in use.
    pub(crate) fn lock(&self, chance: &mut fastrand::Rng) -> Arc<LockObject> {
        let mut locks = held(&self.locks);
        loop {
            let at = locks.len() - self.in_use + chance.usize(0..self.in_use);
            let lock = Arc::clone(&locks[at]);
            let many = held(&lock.sessions).len() >= HOLDERS;
            if !many && !held(&lock.calls).is_long() {
                return lock;
            }
            self.add_lock(&mut locks);
        }
    }

    pub(crate) fn all_pairs(&self) -> Vec<Arc<PairObject>> {
        held(&self.pairs).clone()
    }

    pub(crate) fn all_locks(&self) -> Vec<Arc<LockObject>> {
        held(&self.locks).clone()
    }
}

/// The value of an entry of the key-value store, as our clients write them.
pub(crate) fn value_of(entry: &Value) -> Option<u64> {
    let encoded = entry["Value"].as_str()?;
    let digits = STANDARD.decode(encoded).ok()?;
    std::str::from_utf8(&digits).ok()?.parse().ok()
}
