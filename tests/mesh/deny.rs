//! An intention that denies refuses new connections and ends exactly the open ones it concerns.

use std::io::Read as _;
use std::time::{Duration, Instant};

use lictor_testkit::free_ports;

use crate::scene;

/// The promise of the product: from the answer to the write until the connection is closed.
const LIMIT: Duration = Duration::from_millis(100);

#[test]
fn a_deny_ends_open_connections_within_100_ms() {
    let pair = scene::pair(scene::echo(), scene::reaches);
    let [other] = free_ports::<1>();
    let upstream = format!("db:127.0.0.1:{other}");
    let _api = scene::proxy(&pair.agent, "api", &["-service", "api", "-upstream", &upstream]);
    scene::wait_until_reaches(other, true);

    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let mut open: Vec<_> = (0..10)
            .map(|_| {
                let mut stream = scene::connect(pair.local).expect("the upstream listens");
                scene::round_trip(&mut stream, b"before").expect("allowed");
                stream
            })
            .collect();
        let mut unconcerned = scene::connect(other).expect("the other upstream listens");
        scene::round_trip(&mut unconcerned, b"before").expect("allowed");

        scene::intend(&pair.agent, "-deny", "web", "db");
        let denied = Instant::now();
        for stream in &mut open {
            let mut rest = Vec::new();
            // Closed cleanly or reset: either way the connection is over.
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.is_empty());
            slowest = slowest.max(denied.elapsed());
        }
        assert!(slowest <= LIMIT, "closed after {slowest:?}");
        assert!(!scene::reaches(pair.local), "a new connection passed");
        scene::round_trip(&mut unconcerned, b"after").expect("api was not denied");

        scene::forget(&pair.agent, "web", "db");
        scene::wait_until_reaches(pair.local, true);
    }
    println!("deny to closed, slowest of 50 connections: {slowest:?}");
}

#[test]
fn the_precedence_of_intentions_holds_on_the_wire() {
    let pair = scene::pair(scene::echo(), scene::reaches);
    scene::intend(&pair.agent, "-deny", "*", "*");
    scene::wait_until_reaches(pair.local, false);
    scene::intend(&pair.agent, "-allow", "*", "db");
    scene::wait_until_reaches(pair.local, true);
    scene::intend(&pair.agent, "-deny", "web", "db");
    scene::wait_until_reaches(pair.local, false);
    scene::forget(&pair.agent, "web", "db");
    scene::wait_until_reaches(pair.local, true);
}

#[test]
fn a_proxy_goes_on_while_its_agent_is_away_and_hears_of_changes_after() {
    let pair = scene::pair(scene::echo(), scene::reaches);
    let mut open = scene::connect(pair.local).expect("the upstream listens");
    scene::round_trip(&mut open, b"before").expect("allowed");
    pair.agent.program.signal(lictor_testkit::Signal::STOP);
    scene::round_trip(&mut open, b"while").expect("an open connection needs no agent");
    assert!(scene::reaches(pair.local), "a new connection needs no agent");
    pair.agent.program.signal(lictor_testkit::Signal::CONT);
    scene::intend(&pair.agent, "-deny", "web", "db");
    scene::wait_until_reaches(pair.local, false);
}
