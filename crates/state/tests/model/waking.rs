//! Wake-ups: everybody whose answer changed, and nobody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use lictor_state::{MatchBy, Store, Topic, Watch};
use lictor_types::command::Command;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::cases;
use crate::life::Life;
use crate::queries::{Query, all};
use crate::steps::command;

fn woken(watch: &mut Watch) -> bool {
    watch.changed().now_or_never().is_some()
}

/// Whether a query watches just what it shows, so that it sleeps unless its answer changes.
/// Others watch whole tables.
fn exact(query: Query, topics: &[Topic]) -> bool {
    let tables = topics.iter().any(|topic| matches!(topic, Topic::Table(_)));
    // Checks and instances are watched together.
    let whole = matches!(
        query,
        Query::KvGet(_)
            | Query::KvList(_)
            | Query::NodeInfos(_)
            | Query::Session(_)
            | Query::Prepared(_)
            | Query::Health(_, true)
            | Query::Match(MatchBy::Source | MatchBy::Destination, ..)
    );
    whole && !tables
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn those_are_woken_whose_answer_changed(commands in vec(command(), 1..50)) {
        let mut life = Life::default();
        let mut before = life.ask_all();
        for command in commands {
            let view = life.store.view();
            let watched: Vec<_> = all()
                .into_iter()
                .map(|query| {
                    let topics = query.topics(&view);
                    (exact(query, &topics), life.store.watch(&topics))
                })
                .collect();
            let (command, _) = life.apply(command);
            let after = life.ask_all();
            let rows = before.iter().zip(&after).zip(watched);
            for (((query, _, was), (_, _, is)), (exact, mut watch)) in rows {
                let (woken, changed) = (woken(&mut watch), was != is);
                prop_assert!(woken || !changed, "{query:?} sleeps on at {command:?}");
                // A transaction may undo what it did.
                if exact && !matches!(command, Command::Txn(_) | Command::CatalogTxn(_)) {
                    prop_assert!(!woken || changed, "{query:?} is woken in vain by {command:?}");
                }
            }
            before = after;
        }
    }
}

fn set(key: &str, value: u64) -> Command {
    let value = value.to_be_bytes().to_vec().into();
    let entry = KvEntry { key: key.into(), value, ..KvEntry::default() };
    Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false })
}

#[test]
fn no_wake_up_is_lost_between_threads() {
    const WRITES: u64 = 3000;
    const WATCHERS: usize = 6;
    let store = Store::new();
    let late = AtomicBool::new(false);
    // Each registers, looks, and sleeps only on what it saw: a lost wake-up leaves it asleep.
    let watcher = |number: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let topic = if number.is_multiple_of(2) {
            Topic::KvKey("a/k".into())
        } else {
            Topic::KvPrefix("a/".into())
        };
        runtime.block_on(async {
            let (mut last, mut rounds) = (0, 0_u64);
            while last < WRITES {
                // Every other one keeps its registration, as a reader that was woken in vain does.
                let mut watch = store.watch(std::slice::from_ref(&topic));
                for _ in 0..=number % 3 {
                    let entry = store.view().kv_get("a/k").1;
                    let seen =
                        entry.map_or(0, |e| u64::from_be_bytes(e.value[..].try_into().unwrap()));
                    assert!(seen >= last, "a version went back");
                    let slept = seen == last && last < WRITES;
                    last = seen;
                    if slept {
                        let change = tokio::time::timeout(Duration::from_secs(20), watch.changed());
                        if change.await.is_err() {
                            late.store(true, Ordering::SeqCst);
                            return rounds;
                        }
                    }
                }
                rounds += 1;
            }
            rounds
        })
    };
    let started = Instant::now();
    std::thread::scope(|scope| {
        let watchers: Vec<_> =
            (0..WATCHERS).map(|number| scope.spawn(move || watcher(number))).collect();
        let writer = scope.spawn(|| {
            for value in 1..=WRITES {
                store.apply_batch([set("b", value), set("a/k", value)]);
                if value.is_multiple_of(8) {
                    // Lets watchers fall asleep, which is where a wake-up can be lost.
                    std::thread::yield_now();
                }
            }
        });
        writer.join().unwrap();
        for watcher in watchers {
            assert!(watcher.join().unwrap() > 0);
        }
    });
    assert!(!late.load(Ordering::SeqCst), "a watcher slept on after {:?}", started.elapsed());
}
