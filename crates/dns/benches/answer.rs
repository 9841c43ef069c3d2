//! How long an answer takes, from the bytes of a question to the bytes of the answer.
//!
//! Absent on purpose: sockets, which cost several times as much.

use std::sync::Arc;

use lictor_dns::Settings;
use lictor_dns::answer::Context;
use lictor_dns::engine::Engine;
use lictor_dns::fit::Transport;
use lictor_dns::name;
use lictor_dns::query::kind;
use lictor_dns::reverse::Reverse;
use lictor_server::CatalogView;
use lictor_state::Store;
use lictor_types::catalog::Service;
use lictor_types::command::{Command, RegisterRequest};

fn main() {
    divan::main();
}

/// A service with so many instances.
fn catalog(instances: u8) -> CatalogView {
    let store = Store::new();
    let commands = (0..instances).map(|at| {
        Command::Register(Box::new(RegisterRequest {
            node: Arc::from(format!("node-{at}")),
            address: format!("10.0.0.{at}"),
            service: Some(Service {
                id: "web".into(),
                name: "web".into(),
                port: 80,
                ..Service::default()
            }),
            ..RegisterRequest::default()
        }))
    });
    store.apply_batch(commands);
    CatalogView::new(store.view())
}

fn question(text: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(&name::parse(text).expect("a name"));
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1, 0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
    message
}

fn ask(bencher: divan::Bencher<'_, '_>, instances: u8, name: &str, kind: u16) {
    let (view, reverse) = (catalog(instances), Reverse::default());
    let settings = Arc::new(Settings::default());
    let mut engine = Engine::default();
    engine.use_settings(&settings);
    let context =
        Context { settings: &settings, datacenter: "dc1", view: &view, reverse: &reverse, now: 1 };
    let (message, mut out) = (question(name, kind), Vec::new());
    bencher.counter(divan::counter::ItemsCount::new(1_usize)).bench_local(|| {
        out.clear();
        let _ = engine.respond(context, &message, Transport::Udp, &mut out);
        out.len()
    });
}

#[divan::bench(args = [3, 100])]
fn addresses(bencher: divan::Bencher<'_, '_>, instances: u8) {
    ask(bencher, instances, "web.service.consul", kind::A);
}

#[divan::bench(args = [3, 10])]
fn instances(bencher: divan::Bencher<'_, '_>, instances: u8) {
    ask(bencher, instances, "web.service.consul", kind::SRV);
}

#[divan::bench]
fn node(bencher: divan::Bencher<'_, '_>) {
    ask(bencher, 3, "node-1.node.consul", kind::A);
}

#[divan::bench]
fn nothing(bencher: divan::Bencher<'_, '_>) {
    ask(bencher, 3, "nosuch.service.consul", kind::A);
}

#[divan::bench]
fn reverse(bencher: divan::Bencher<'_, '_>) {
    ask(bencher, 3, "1.0.0.10.in-addr.arpa", kind::PTR);
}
