//! Large clusters on a simulated network: traffic at rest, how long a failure or an event takes to be
//! known, and whether anybody is taken for failed that is not.
//!
//! `cargo bench -p lictor-gossip --bench cluster -- 1000 10` takes the number of nodes, and for how
//! many minutes they have to bear lost packets and sick members; `sick` after them measures nothing
//! but the latter. Nodes know each other from the start; how up to a thousand come together is
//! measured in the end.

#[path = "../tests/network/mod.rs"]
mod network;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lictor_gossip::keyring::Keyring;
use lictor_gossip::serf::Event;
use lictor_gossip::stream::NodeState;
use network::{Network, address, name, together};

/// As agents have it; that of the C library takes most of the time with the lists of exchanges.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECOND: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody is suspected.
const LOOK: Duration = Duration::from_millis(20);
/// How long traffic at rest is measured, long enough for a part of all exchanges.
const REST: Duration = Duration::from_secs(60);

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|one| one.parse::<u32>().ok());
    let count = arguments.next().unwrap_or(500) as usize;
    let minutes = arguments.next().unwrap_or(1);
    let seed = u64::from(arguments.next().unwrap_or(1));
    if std::env::args().any(|one| one == "sick") {
        sick(count, seed + 2, SECOND * 60 * minutes);
        return;
    }
    let mut network = measured(|| together(count, seed), "nodes that know each other");
    rest(&mut network);
    events(&mut network);
    crashes(&mut network);
    many_crashes(&mut network);
    drop(network);
    for percent in [1, 10] {
        let mut network = together(count, seed + 1);
        network.weather.loss = f64::from(percent) / 100.0;
        let what = format!("{percent} % of packets lost");
        endure(&mut network, SECOND * 60 * minutes, &what, |_, _| ());
    }
    sick(count, seed + 2, SECOND * 60 * minutes);
    if count <= 1000 {
        join(count, seed);
    }
}

fn measured<T>(act: impl FnOnce() -> T, what: &str) -> T {
    let started = Instant::now();
    let value = act();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!(
        "    ({what}: {:.0?}, {} at most)",
        started.elapsed(),
        memory.map_or("unknown memory", str::trim)
    );
    value
}

fn join(count: usize, seed: u64) {
    let mut network = Network::new(seed);
    (network.keep_all, network.compressing) = (false, false);
    let from = network.now;
    let joined = measured(
        || {
            for node in 0..count {
                network.add(&Keyring::default());
                if node > 0 {
                    network.act(node, |serf, _| serf.join(address(node / 2)));
                }
                if node % 10 == 0 {
                    network.run_for(Duration::from_millis(10));
                }
            }
            network.run_while(SECOND * 600, SECOND / 5, |network| {
                network.nodes.iter().flatten().all(|serf| serf.swim().present() == count)
            })
        },
        "joining",
    );
    match joined {
        Some(_) => println!("{count} nodes join: all know all after {:.1?}", network.now - from),
        None => println!("{count} nodes join: not all know all after ten minutes"),
    }
}

fn rest(network: &mut Network) {
    network.run_for(SECOND * 5);
    let (before, from) = (network.traffic, network.now);
    measured(|| network.run_for(REST), "at rest");
    let time = (network.now - from).as_secs_f64() * network.running() as f64;
    let per = |now: u64, before: u64| (now - before) as f64 / time;
    let packets = per(network.traffic.packet_bytes, before.packet_bytes);
    let streams = per(network.traffic.stream_bytes, before.stream_bytes);
    println!(
        "at rest each node sends {:.0} B/s: {packets:.0} in {:.2} packets/s, {streams:.0} on streams",
        packets + streams,
        per(network.traffic.packets, before.packets),
    );
}

/// The times at which shares of all were reached.
fn shares(mut times: Vec<Duration>, all: usize) -> String {
    times.sort_unstable();
    let at = |share: f64| {
        let last = ((all as f64 * share).ceil() as usize).clamp(1, all.max(1)) - 1;
        times.get(last).map_or("never".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
    };
    format!("half {}, 99 % {}, all {}", at(0.5), at(0.99), at(1.0))
}

fn events(network: &mut Network) {
    let (rounds, mut times) = (3, Vec::new());
    let before = network.traffic;
    for round in 0..rounds {
        clear(network);
        let (from, event) = (network.now, format!("deploy-{round}"));
        let node = round * 7 + 1;
        network.act(node, |serf, _| serf.user_event(&event, b"now", false)).expect("it is small");
        network.run_for(SECOND * 10);
        times.extend(
            network
                .events
                .iter()
                .flatten()
                .filter(|(_, event)| matches!(event, Event::User { .. }))
                .map(|(at, _)| *at - from),
        );
    }
    let each = rounds * network.running();
    let packets = (network.traffic.packets - before.packets) as f64 / each as f64;
    println!(
        "a user event is known to: {}; {packets:.1} packets of each node in 10 s",
        shares(times, each)
    );
}

fn clear(network: &mut Network) {
    for events in &mut network.events {
        events.clear();
    }
}

/// When nodes heard of failures of `crashed` nodes.
fn failures(network: &Network, crashed: impl Fn(usize) -> bool) -> Vec<Duration> {
    let all = network.events.iter().flatten();
    all.filter_map(|(at, event)| match event {
        Event::Failed(member) if crashed(network::index(member.info.address)) => Some(*at),
        _ => None,
    })
    .collect()
}

fn crashes(network: &mut Network) {
    let rounds = if network.nodes.len() > 2000 { 10 } else { 50 };
    let (mut suspected, mut declared, mut known, mut last) = (vec![], vec![], vec![], vec![]);
    let mut all = 0;
    measured(
        || {
            for round in 0..rounds {
                clear(network);
                let node = network.nodes.len() - 1 - round;
                network.crash(node);
                let (from, name) = (network.now, name(node));
                let seen = network.run_while(SECOND * 60, LOOK, |network| {
                    network.nodes.iter().flatten().any(|serf| {
                        serf.swim().node(&name).is_none_or(|(_, s)| s != NodeState::Alive)
                    })
                });
                suspected.extend(seen);
                let running = network.running();
                network.run_while(SECOND * 120, SECOND / 2, |network| {
                    failures(network, |other| other == node).len() == running
                });
                let times = failures(network, |other| other == node);
                let times: Vec<_> = times.iter().map(|at| *at - from).collect();
                declared.extend(times.iter().min());
                last.extend(times.iter().max());
                known.extend(times);
                all += running;
            }
        },
        "crashes",
    );
    println!(
        "{rounds} crashes, one after the other; suspected by the first: {}",
        shares(suspected, rounds)
    );
    println!("    declared by the first: {}", shares(declared, rounds));
    println!("    known to: {}", shares(known, all));
    println!("    known to the last: {}", shares(last, rounds));
    let wrong = failures(network, |other| network.nodes[other].is_some());
    println!("    false failures: {}", wrong.len());
}

fn many_crashes(network: &mut Network) {
    clear(network);
    let crashed: BTreeSet<usize> =
        (0..network.nodes.len()).filter(|node| node % 100 == 50).collect();
    let alive: Vec<usize> =
        crashed.iter().copied().filter(|node| network.nodes[*node].is_some()).collect();
    for node in &alive {
        network.crash(*node);
    }
    let (from, running) = (network.now, network.running());
    measured(|| network.run_for(SECOND * 40), "crashes at once");
    let times = failures(network, |node| crashed.contains(&node));
    let first: Vec<_> = alive
        .iter()
        .filter_map(|node| failures(network, |other| other == *node).into_iter().min())
        .map(|at| at - from)
        .collect();
    println!("1 % crash at once; declared by the first: {}", shares(first, alive.len()));
    let times = times.iter().map(|at| *at - from).collect();
    println!("    known to: {}", shares(times, alive.len() * running));
    let wrong = failures(network, |node| network.nodes[node].is_some());
    println!("    false failures: {}", wrong.len());
}

/// Lets time go by under `step`, every tenth of a second, and tells who was taken for failed.
fn endure(
    network: &mut Network,
    time: Duration,
    what: &str,
    mut step: impl FnMut(&mut Network, usize),
) {
    network.run_for(SECOND);
    let before = network.traffic;
    measured(
        || {
            let steps = usize::try_from(time.as_millis() / 100).unwrap_or(usize::MAX);
            for at in 0..steps {
                step(network, at);
                network.run_for(Duration::from_millis(100));
            }
        },
        what,
    );
    let failed = |sick: bool| -> BTreeSet<usize> {
        let all = network.events.iter().flatten();
        all.filter_map(|(_, event)| match event {
            Event::Failed(member) => Some(network::index(member.info.address)),
            _ => None,
        })
        .filter(|node| (network.sick[*node] > 0.0) == sick)
        .collect()
    };
    let sent = network.traffic.packet_bytes + network.traffic.stream_bytes
        - before.packet_bytes
        - before.stream_bytes;
    println!(
        "{what}, {:.0} s: nodes taken for failed: {} well ones, {} sick ones; {:.0} B/s of each node",
        time.as_secs_f64(),
        failed(false).len(),
        failed(true).len(),
        sent as f64 / time.as_secs_f64() / network.nodes.len() as f64,
    );
}

/// One of a hundred members loses 10 to 50 % of what it sends and gets, and stops for up to four
/// seconds after two to eight in which it runs.
fn sick(count: usize, seed: u64, time: Duration) {
    let mut network = together(count, seed);
    let mut rng = fastrand::Rng::with_seed(seed);
    let patients: Vec<usize> = (0..count).filter(|node| node % 100 == 50).collect();
    for node in &patients {
        network.sick[*node] = 0.1 + 0.4 * rng.f64();
    }
    let mut turns: Vec<usize> = patients.iter().map(|_| rng.usize(0..80)).collect();
    endure(&mut network, time, "1 % of members sick", |network, now| {
        for (node, turn) in patients.iter().zip(&mut turns) {
            if now < *turn {
                continue;
            }
            let stops = !network.paused[*node];
            network.paused[*node] = stops;
            *turn = now + if stops { rng.usize(5..40) } else { rng.usize(20..80) };
        }
    });
}
