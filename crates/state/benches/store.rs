//! How fast the store is: writes by size of their batch, and the reads that are asked most.
//!
//! Absent on purpose: the log, which a write waits for, and encodings of the API.

use std::sync::Arc;

use lictor_state::Store;
use lictor_types::catalog::Service;
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::{Command, RegisterRequest};
use lictor_types::kv::{KvEntry, KvOp, KvWrite};

const KEYS: usize = 10_000;
const NODES: usize = 1000;
/// Instances on each node, each of another service; so each service has 100 instances.
const ON_EACH: usize = 10;
const GROUPS: usize = 10;

fn main() {
    divan::main();
}

fn set(number: usize) -> Command {
    let key: Arc<str> = format!("app/{:02}/{number:06}", number % 10).into();
    let entry = KvEntry { key, value: vec![b'x'; 64].into(), ..KvEntry::default() };
    Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false })
}

fn with_keys() -> Store {
    let store = Store::new();
    store.apply_batch((0..KEYS).map(set));
    store
}

/// An instance of service `s<group>-<at>` on its node, with a check.
fn register(node: usize, at: usize, port: u16) -> Command {
    let name: Arc<str> = format!("s{}-{at}", node % GROUPS).into();
    Command::Register(Box::new(RegisterRequest {
        node: format!("node-{node:05}").into(),
        address: "10.0.0.1".into(),
        service: Some(Service {
            id: Arc::clone(&name),
            name: Arc::clone(&name),
            tags: vec!["v1".into()],
            port,
            ..Service::default()
        }),
        checks: vec![HealthCheck {
            check_id: format!("service:{name}").into(),
            service_id: name,
            status: Status::Passing,
            ..HealthCheck::default()
        }],
        ..RegisterRequest::default()
    }))
}

fn with_instances() -> Store {
    let store = Store::new();
    let all = (0..NODES).flat_map(|node| (0..ON_EACH).map(move |at| register(node, at, 80)));
    store.apply_batch(all);
    store
}

#[divan::bench(args = [1, 64])]
fn set_keys(bencher: divan::Bencher<'_, '_>, batch: usize) {
    let store = with_keys();
    let mut next = 0;
    bencher
        .counter(divan::counter::ItemsCount::new(batch))
        .with_inputs(|| {
            next = (next + 7919) % KEYS;
            (next..next + batch).map(|n| set(n % KEYS)).collect::<Vec<_>>()
        })
        .bench_local_values(|commands| store.apply_batch(commands));
}

#[divan::bench]
fn get_key(bencher: divan::Bencher<'_, '_>) {
    let store = with_keys();
    bencher.bench(|| store.view().kv_get("app/07/001237"));
}

#[divan::bench]
fn list_1000_keys(bencher: divan::Bencher<'_, '_>) {
    let store = with_keys();
    bencher.bench(|| store.view().kv_list("app/07/"));
}

#[divan::bench]
fn register_changed_service(bencher: divan::Bencher<'_, '_>) {
    let store = with_instances();
    let mut next = 0;
    bencher
        .with_inputs(|| {
            next += 1;
            let port = u16::try_from(next % 60_000).unwrap_or(0) + 81;
            register(next * 617 % NODES, 3, port)
        })
        .bench_local_values(|command| store.apply_batch([command]));
}

#[divan::bench]
fn register_unchanged_service(bencher: divan::Bencher<'_, '_>) {
    let store = with_instances();
    bencher
        .with_inputs(|| register(617, 3, 80))
        .bench_local_values(|command| store.apply_batch([command]));
}

#[divan::bench]
fn health_of_100_among_10000(bencher: divan::Bencher<'_, '_>) {
    let store = with_instances();
    assert_eq!(store.view().check_service_nodes("s7-3", false).1.len(), NODES / GROUPS);
    bencher.bench(|| store.view().check_service_nodes("s7-3", false));
}

#[divan::bench]
fn checks_of_100_among_10000(bencher: divan::Bencher<'_, '_>) {
    let store = with_instances();
    let none = Default::default();
    bencher.bench(|| store.view().service_checks("s7-3", &none));
}
