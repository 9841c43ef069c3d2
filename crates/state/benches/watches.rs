//! What waiting costs: a write while others wait for something else, and a watch of one's own.
//!
//! The figures must not grow with the number of those who wait for something else.

use lictor_state::{Store, Table, Topic, Watch};
use lictor_types::command::Command;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};

fn main() {
    divan::main();
}

const OTHERS: [usize; 3] = [1, 1000, 10_000];

/// A store with so many watchers of keys, prefixes and services that are never written.
fn crowded(others: usize) -> (Store, Vec<Watch>) {
    let store = Store::new();
    let watches = (0..others)
        .map(|n| {
            let topic = match n % 3 {
                0 => Topic::KvKey(format!("other/{n}").into()),
                1 => Topic::KvPrefix(format!("other/{n:05}/").into()),
                _ => Topic::Service(format!("service-{n}").into()),
            };
            store.watch(&[topic])
        })
        .collect();
    (store, watches)
}

fn set() -> Command {
    let entry = KvEntry { key: "app/key".into(), value: "x".into(), ..KvEntry::default() };
    Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false })
}

#[divan::bench(args = OTHERS)]
fn write_among_others(bencher: divan::Bencher<'_, '_>, others: usize) {
    let (store, _watches) = crowded(others);
    let _mine = store.watch(&[Topic::KvKey("app/key".into())]);
    bencher.with_inputs(set).bench_local_values(|command| store.apply_batch([command]));
}

#[divan::bench(args = [1, 1000, 10_000])]
fn wake_all_of_one_key(bencher: divan::Bencher<'_, '_>, concerned: usize) {
    let store = Store::new();
    let _watches: Vec<_> =
        (0..concerned).map(|_| store.watch(&[Topic::KvKey("app/key".into())])).collect();
    bencher.with_inputs(set).bench_local_values(|command| store.apply_batch([command]));
}

#[divan::bench(args = OTHERS)]
fn watch_and_drop(bencher: divan::Bencher<'_, '_>, others: usize) {
    let (store, _watches) = crowded(others);
    let topics = [Topic::Service("web".into()), Topic::Table(Table::Nodes)];
    bencher.bench(|| store.watch(&topics));
}
