//! The checker on histories of which it is known what they are: some by hand, and thousands by chance,
//! which are compared with trying every order.

use std::time::Duration;

use proptest::prelude::*;

use crate::checker::{Event, History, Model, Verdict, check, explain, show};
use crate::model::{KvAnswer, KvCall, Lock, LockAnswer, LockCall, Pair, Verb};

const BUDGET: Duration = Duration::from_secs(20);

fn event<C, A>(called: u64, returned: u64, call: C, answer: A) -> Event<C, A> {
    Event { called, returned: Some((returned, answer)), call, who: String::new() }
}

fn open<C, A>(called: u64, call: C) -> Event<C, A> {
    Event { called, returned: None, call, who: String::new() }
}

fn is_good<M: Model>(history: &History<M>) -> bool {
    match check::<M>(history, BUDGET) {
        Verdict::Linearizable => true,
        Verdict::Violated(_) => false,
        Verdict::Undecided => panic!("undecided:\n{}", show::<M>(history)),
    }
}

fn put(from: u64, to: u64, value: u64) -> Event<KvCall, KvAnswer> {
    event(from, to, KvCall::Put(0, value), KvAnswer::Done(true))
}

fn get(from: u64, to: u64, value: impl Into<Option<u64>>) -> Event<KvCall, KvAnswer> {
    event(from, to, KvCall::Get(0), KvAnswer::Value(value.into()))
}

#[test]
fn what_one_key_may_have_shown() {
    assert!(is_good::<Pair>(&vec![]));
    assert!(is_good::<Pair>(&vec![put(0, 10, 1), get(11, 12, 1)]));
    assert!(is_good::<Pair>(&vec![put(0, 10, 1), get(5, 6, None), get(7, 8, 1)]));
    // A write without an answer may come late, or never.
    let late = vec![open(0, KvCall::Put(0, 1)), get(10, 11, None), get(12, 13, 1)];
    assert!(is_good::<Pair>(&late));
    assert!(is_good::<Pair>(&vec![open(0, KvCall::Put(0, 1)), get(10, 11, None)]));
    // Two that overlap come in either order, but for everybody in the same.
    assert!(is_good::<Pair>(&vec![put(0, 10, 1), put(0, 10, 2), get(11, 12, 1)]));
}

#[test]
fn what_one_key_may_not_have_shown() {
    let stale = vec![put(0, 10, 1), put(11, 20, 2), get(21, 22, 1)];
    let lost = vec![put(0, 10, 1), get(11, 12, None)];
    let back = vec![put(0, 10, 1), put(0, 30, 2), get(11, 12, 2), get(13, 14, 1), get(15, 16, 2)];
    let two = vec![put(0, 9, 1), put(0, 9, 2), get(10, 11, 1), get(12, 13, 2)];
    let phantom = vec![open(20, KvCall::Put(0, 1)), get(10, 11, 1)];
    for history in [stale, lost, back, two, phantom] {
        assert!(!is_good::<Pair>(&history), "{}", show::<Pair>(&history));
    }
    let cas = |from, to, expected, value, fits| {
        event(from, to, KvCall::Cas(0, expected, value), KvAnswer::Done(fits))
    };
    // Only one of two that were made from the same version.
    let both = vec![put(0, 1, 1), cas(2, 9, Some(1), 2, true), cas(2, 9, Some(1), 3, true)];
    assert!(!is_good::<Pair>(&both));
    let one = vec![put(0, 1, 1), cas(2, 9, Some(1), 2, true), cas(2, 9, Some(1), 3, false)];
    assert!(is_good::<Pair>(&one));
}

#[test]
fn a_transaction_is_one_step() {
    let write = KvCall::Transaction(vec![Verb::Set(0, 1), Verb::Set(1, 2)]);
    let write = event(0, 10, write, KvAnswer::Transaction(Some(vec![])));
    let second = |from, to, value| event(from, to, KvCall::Get(1), KvAnswer::Value(value));
    let whole = vec![write.clone(), get(1, 2, None), second(3, 4, Some(2)), get(5, 6, 1)];
    assert!(is_good::<Pair>(&whole));
    let torn = vec![write, get(1, 2, 1), second(3, 4, None)];
    assert!(!is_good::<Pair>(&torn));
}

#[test]
fn a_lock_has_one_holder() {
    let acquire =
        |from, to, who, got| event(from, to, LockCall::Acquire(who), LockAnswer::Done(got));
    let release = |from, to, who| event(from, to, LockCall::Release(who), LockAnswer::Done(true));
    let good = vec![
        acquire(0, 1, 0, true),
        acquire(2, 3, 1, false),
        release(4, 9, 0),
        acquire(5, 6, 1, true),
    ];
    assert!(is_good::<Lock>(&good));
    let two = vec![acquire(0, 1, 0, true), acquire(2, 3, 1, true), release(4, 9, 0)];
    assert!(!is_good::<Lock>(&two));
    // The end of a session that nobody asked for frees its lock, but not before its time.
    let ended = |at| open(at, LockCall::Destroy(0));
    assert!(is_good::<Lock>(&vec![acquire(0, 1, 0, true), ended(2), acquire(2, 3, 1, true)]));
    assert!(!is_good::<Lock>(&vec![acquire(0, 1, 0, true), ended(4), acquire(2, 3, 1, true)]));
    let invalid = event(2, 3, LockCall::Acquire(0), LockAnswer::Invalid);
    assert!(!is_good::<Lock>(&vec![acquire(0, 1, 0, true), invalid]));
}

#[test]
fn a_counterexample_is_small() {
    let mut history = vec![];
    for n in 0..60 {
        history.push(put(n * 10, n * 10 + 4, n + 1));
        history.push(get(n * 10 + 5, n * 10 + 6, n + 1));
    }
    history[61] = get(305, 306, 3);
    match check::<Pair>(&history, BUDGET) {
        Verdict::Violated(small) => {
            // The only call that matters, after a state that it does not show.
            assert_eq!(small.starts, vec![[Some(31), None]]);
            assert_eq!(small.history.iter().map(|e| e.called).collect::<Vec<_>>(), [305]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_decided_is_said() {
    // Many writes at once of which nobody knows, and a look that none of them explains.
    let mut history: History<Pair> = (0..40).map(|n| open(n, KvCall::Put(0, n + 1))).collect();
    history.extend((0..40).map(|n| open(n, KvCall::Cas(1, (n > 0).then_some(n), n + 1))));
    history.extend((0..40).map(|n| {
        event(
            100,
            200,
            KvCall::Transaction(vec![Verb::Get(0), Verb::Get(1)]),
            KvAnswer::Transaction(Some(vec![n + 1, 40 - n])),
        )
    }));
    history.push(get(300, 301, 99));
    assert!(matches!(check::<Pair>(&history, Duration::from_millis(50)), Verdict::Undecided));
}

/// Every order, without any cleverness.
fn tries_every_order<M: Model>(
    history: &History<M>,
    done: &mut Vec<usize>,
    state: &M::State,
) -> bool {
    let open = |at: &usize| !done.contains(at);
    let left: Vec<usize> = (0..history.len()).filter(open).collect();
    if left.iter().all(|at| history[*at].returned.is_none()) {
        return true;
    }
    for at in &left {
        let event = &history[*at];
        let too_late = left.iter().any(|other| {
            history[*other].returned.as_ref().is_some_and(|(end, _)| *end < event.called)
        });
        let (next, answer) = M::apply(state, &event.call);
        let fits = event.returned.as_ref().is_none_or(|(_, recorded)| *recorded == answer);
        if !too_late && fits {
            done.push(*at);
            let found = tries_every_order::<M>(history, done, &next);
            done.pop();
            if found {
                return true;
            }
        }
    }
    false
}

/// A history as a real object would give it: every call takes effect at a moment between its two ends.
/// With `lies`, some answers are another call's.
fn by_chance(seed: u64, calls: usize, lies: bool) -> History<Pair> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let span = calls as u64 * 4;
    let mut moments: Vec<(u64, u64, u64)> = (0..calls)
        .map(|_| {
            let at = chance.u64(0..span);
            (at, at.saturating_sub(chance.u64(0..12)), at + chance.u64(0..12))
        })
        .collect();
    moments.sort_unstable();
    let mut state = Pair::start();
    let mut history = vec![];
    for (value, (_, called, returned)) in (1_u64..).zip(moments) {
        let key = chance.usize(0..2);
        let old = 1 + chance.u64(0..value);
        let call = match chance.u8(0..10) {
            0..=3 => KvCall::Get(key),
            4..=5 => KvCall::Put(key, value),
            6 => KvCall::Cas(key, state[key], value),
            7 => KvCall::Cas(key, Some(old), value),
            8 => KvCall::DeleteCas(key, state[key].unwrap_or(old)),
            _ => KvCall::Transaction(vec![Verb::Set(key, value), Verb::Get(1 - key)]),
        };
        let (next, answer) = Pair::apply(&state, &call);
        // Those nobody hears of again happen every other time.
        let silent = chance.u8(0..8) == 0;
        if !silent || chance.bool() {
            state = next;
        }
        history.push(if silent {
            open(called, call)
        } else {
            event(called, returned, call, answer)
        });
    }
    if lies {
        let values: Vec<u64> = (1..=calls as u64).collect();
        for event in &mut history {
            if let Some((_, answer)) = &mut event.returned
                && chance.u8(0..4) == 0
            {
                match answer {
                    KvAnswer::Value(value) => *value = chance.choice(&values).copied(),
                    KvAnswer::Done(done) => *done = !*done,
                    KvAnswer::Transaction(seen) => *seen = None,
                }
            }
        }
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_an_object_did_is_linearizable(seed: u64, calls in 1_usize..150) {
        prop_assert!(is_good::<Pair>(&by_chance(seed, calls, false)));
    }

    #[test]
    fn it_agrees_with_trying_every_order(seed: u64, calls in 1_usize..8) {
        let history = by_chance(seed, calls, true);
        let wanted = tries_every_order::<Pair>(&history, &mut vec![], &Pair::start());
        prop_assert_eq!(is_good::<Pair>(&history), wanted, "{}", show::<Pair>(&history));
    }

    #[test]
    fn a_counterexample_is_one(seed: u64, calls in 2_usize..8) {
        if let Verdict::Violated(small) = check::<Pair>(&by_chance(seed, calls, true), BUDGET) {
            for start in &small.starts {
                let good = tries_every_order::<Pair>(&small.history, &mut vec![], start);
                prop_assert!(!good, "{}", explain::<Pair>(&small));
            }
        }
    }
}
