//! Large clusters on a simulated network: traffic at rest, and how long a failure takes to be known.
//!
//! `cargo bench -p lictor-gossip --bench cluster -- 1000` takes the number of nodes.

#[path = "../tests/network/mod.rs"]
mod network;

use std::time::{Duration, Instant};

use lictor_gossip::keyring::Keyring;
use lictor_gossip::serf::{Event, Status};
use network::{Network, address};

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|one| one.parse().ok());
    let count: usize = arguments.next().unwrap_or(500);
    let loss = arguments.next().unwrap_or(0) as f64 / 100.0;
    let started = Instant::now();
    let mut network = Network::new(1);
    network.keep_all = false;
    for node in 0..count {
        network.add(&Keyring::default());
        if node > 0 {
            let through = node / 2;
            network.act(node, |serf, _| serf.join(address(through)));
        }
        if node % 10 == 0 {
            network.run_for(Duration::from_millis(10));
        }
    }
    let joined = network.run_while(Duration::from_secs(3600), Duration::from_secs(1), |network| {
        network.nodes.iter().flatten().all(|serf| serf.swim().present() == count)
    });
    println!("{count} nodes, loss {loss}: together after {joined:?} ({:?})", started.elapsed());
    network.run_for(Duration::from_secs(60));
    network.weather.loss = loss;

    let (before, from) = (network.traffic, network.now);
    network.run_for(Duration::from_secs(120));
    let per = |bytes: u64| bytes as f64 / (network.now - from).as_secs_f64() / count as f64;
    println!(
        "at rest, sent by each node: {:.0} B/s in {:.2} packets/s, {:.0} B/s on streams",
        per(network.traffic.packet_bytes - before.packet_bytes),
        per(network.traffic.packets - before.packets),
        per(network.traffic.stream_bytes - before.stream_bytes),
    );
    for events in &mut network.events {
        events.clear();
    }
    let (crashes, mut known) = (10, Vec::new());
    for crash in 0..crashes {
        let node = count - 1 - crash;
        network.crash(node);
        let at = network.now;
        network.run_while(Duration::from_secs(120), Duration::from_secs(1), |network| {
            network.seen_as(node, Status::Failed) == network.running()
        });
        for events in &network.events {
            known.extend(events.iter().filter_map(|(when, event)| match event {
                Event::Failed(member) if member.info.address == address(node) => Some(*when - at),
                _ => None,
            }));
        }
    }
    known.sort_unstable();
    let failures: usize = network
        .events
        .iter()
        .flatten()
        .filter(|(_, event)| {
            matches!(event, Event::Failed(member)
            if member.info.address < address(count - crashes))
        })
        .count();
    let at = |share: f64| known[((known.len() - 1) as f64 * share) as usize];
    println!(
        "{crashes} crashes known: median {:?}, p99 {:?}, last {:?}; false failures {failures} ({:?})",
        at(0.5),
        at(0.99),
        at(1.0),
        started.elapsed(),
    );
}
