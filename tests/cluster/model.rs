//! What the cluster promises, as objects that do one call at a time: two keys that transactions change
//! together, and a lock of sessions.
//!
//! Every written value is written once only, so that a value stands for the version of its key: the indexes
//! that checks-and-sets go by are told apart by it (`evidence` checks that one value has one index).
//! The answers are those that the API documents and the original gives.

use crate::checker::Model;

/// Which of the two keys.
pub(crate) type Key = usize;

/// A part of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Set(Key, u64),
    /// Fails when the key is not there.
    Get(Key),
    Cas(Key, Option<u64>, u64),
    /// Fails unless the key is at the version of this value.
    CheckIndex(Key, u64),
    DeleteCas(Key, u64),
}

/// A request about a pair of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KvCall {
    Get(Key),
    Put(Key, u64),
    /// Only if the key is at the version of this value (or is not there).
    Cas(Key, Option<u64>, u64),
    Delete(Key),
    DeleteCas(Key, u64),
    Transaction(Vec<Verb>),
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KvAnswer {
    Value(Option<u64>),
    Done(bool),
    /// What its gets saw; nothing when it was rolled back.
    Transaction(Option<Vec<u64>>),
}

/// Two keys.
#[derive(Debug)]
pub(crate) enum Pair {}

impl Model for Pair {
    type State = [Option<u64>; 2];
    type Call = KvCall;
    type Answer = KvAnswer;

    fn start() -> Self::State {
        [None; 2]
    }

    fn apply(state: &Self::State, call: &KvCall) -> (Self::State, KvAnswer) {
        let mut next = *state;
        let answer = match call {
            KvCall::Get(key) => KvAnswer::Value(state[*key]),
            KvCall::Put(key, value) => {
                next[*key] = Some(*value);
                KvAnswer::Done(true)
            }
            KvCall::Cas(key, expected, value) => {
                let fits = state[*key] == *expected;
                if fits {
                    next[*key] = Some(*value);
                }
                KvAnswer::Done(fits)
            }
            KvCall::Delete(key) => {
                next[*key] = None;
                KvAnswer::Done(true)
            }
            KvCall::DeleteCas(key, expected) => {
                // What is not there needs no deletion, whatever was expected.
                let fits = state[*key].is_none_or(|value| value == *expected);
                if fits {
                    next[*key] = None;
                }
                KvAnswer::Done(fits)
            }
            KvCall::Transaction(verbs) => match transact(*state, verbs) {
                Some((after, seen)) => {
                    next = after;
                    KvAnswer::Transaction(Some(seen))
                }
                None => KvAnswer::Transaction(None),
            },
        };
        (next, answer)
    }

    fn only_looks(call: &KvCall) -> bool {
        match call {
            KvCall::Get(_) => true,
            KvCall::Transaction(verbs) => {
                verbs.iter().all(|verb| matches!(verb, Verb::Get(_) | Verb::CheckIndex(..)))
            }
            _ => false,
        }
    }
}

/// All of it, with what was seen, or nothing.
fn transact(mut state: [Option<u64>; 2], verbs: &[Verb]) -> Option<([Option<u64>; 2], Vec<u64>)> {
    let mut seen = Vec::new();
    for verb in verbs {
        match verb {
            Verb::Set(key, value) => state[*key] = Some(*value),
            Verb::Get(key) => seen.push(state[*key]?),
            Verb::Cas(key, expected, value) => {
                if state[*key] != *expected {
                    return None;
                }
                state[*key] = Some(*value);
            }
            Verb::CheckIndex(key, expected) => {
                if state[*key] != Some(*expected) {
                    return None;
                }
            }
            Verb::DeleteCas(key, expected) => {
                if state[*key].is_some_and(|value| value != *expected) {
                    return None;
                }
                state[*key] = None;
            }
        }
    }
    Some((state, seen))
}

/// A session of a lock's history, by its number there (less than 64).
pub(crate) type Holder = u8;

/// A request about a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockCall {
    Acquire(Holder),
    Release(Holder),
    /// By a request, or because its time was over: then nobody has asked, and it may happen or not.
    Destroy(Holder),
    Look,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockAnswer {
    Done(bool),
    /// There is no such session.
    Invalid,
    Held(Option<Holder>),
}

/// A key that sessions without a delay take as a lock.
#[derive(Debug)]
pub(crate) enum Lock {}

/// Who holds a lock, and which sessions are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct LockState {
    holder: Option<Holder>,
    over: u64,
}

impl Model for Lock {
    type State = LockState;
    type Call = LockCall;
    type Answer = LockAnswer;

    fn start() -> LockState {
        LockState::default()
    }

    fn apply(state: &LockState, call: &LockCall) -> (LockState, LockAnswer) {
        let mut next = *state;
        let answer = match call {
            LockCall::Acquire(session) if state.over & (1 << session) != 0 => LockAnswer::Invalid,
            LockCall::Acquire(session) => {
                let free = state.holder.is_none_or(|holder| holder == *session);
                if free {
                    next.holder = Some(*session);
                }
                LockAnswer::Done(free)
            }
            LockCall::Release(session) => {
                let own = state.holder == Some(*session);
                if own {
                    next.holder = None;
                }
                LockAnswer::Done(own)
            }
            LockCall::Destroy(session) => {
                next.over |= 1 << session;
                if state.holder == Some(*session) {
                    next.holder = None;
                }
                LockAnswer::Done(true)
            }
            LockCall::Look => LockAnswer::Held(state.holder),
        };
        (next, answer)
    }

    fn only_looks(call: &LockCall) -> bool {
        *call == LockCall::Look
    }
}
