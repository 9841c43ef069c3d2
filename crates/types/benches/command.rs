//! How fast commands go into the log and come out of it.
//!
//! Absent on purpose: framing, checksums and the disk, which are the log's.

use lictor_types::catalog::Service;
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::{Command, RegisterRequest};
use lictor_types::kv::{KvEntry, KvOp, KvWrite};

const BATCH: usize = 64;

fn main() {
    divan::main();
}

fn batch() -> Vec<Command> {
    let set = |n| {
        let key = format!("app/config/{n:06}").into();
        let entry = KvEntry { key, value: vec![b'x'; 256].into(), ..KvEntry::default() };
        Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false })
    };
    (0..BATCH).map(set).collect()
}

fn register() -> Command {
    let checks = ["serfHealth", "service:web"].map(|id| HealthCheck {
        node: "node-00017".into(),
        check_id: id.into(),
        name: id.into(),
        status: Status::Passing,
        output: "Agent alive and reachable".into(),
        ..HealthCheck::default()
    });
    Command::Register(Box::new(RegisterRequest {
        id: "11111111-2222-3333-4444-555555555555".into(),
        node: "node-00017".into(),
        address: "10.0.0.17".into(),
        service: Some(Service {
            id: "web".into(),
            name: "web".into(),
            tags: vec!["v1".into(), "canary".into()],
            port: 8080,
            ..Service::default()
        }),
        checks: checks.to_vec(),
        ..RegisterRequest::default()
    }))
}

fn encoded(command: &Command) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.encode_into(&mut bytes).expect("it can be expressed");
    bytes
}

#[divan::bench]
fn encode_64_keys(bencher: divan::Bencher<'_, '_>) {
    let commands = batch();
    let mut out = Vec::new();
    bencher.counter(divan::counter::ItemsCount::new(BATCH)).bench_local(|| {
        out.clear();
        for command in &commands {
            command.encode_into(&mut out).expect("it can be expressed");
        }
        out.len()
    });
}

#[divan::bench]
fn decode_64_keys(bencher: divan::Bencher<'_, '_>) {
    let all: Vec<_> = batch().iter().map(encoded).collect();
    bencher
        .counter(divan::counter::ItemsCount::new(BATCH))
        .bench(|| all.iter().map(|bytes| Command::decode(bytes)).collect::<Vec<_>>());
}

#[divan::bench]
fn encode_register(bencher: divan::Bencher<'_, '_>) {
    let command = register();
    bencher.bench(|| encoded(&command));
}

#[divan::bench]
fn decode_register(bencher: divan::Bencher<'_, '_>) {
    let bytes = encoded(&register());
    bencher.bench(|| Command::decode(&bytes));
}
