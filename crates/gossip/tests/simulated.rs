//! Clusters on a simulated network: what nodes come to know of each other, whatever gets lost.

mod network;

use std::time::Duration;

use lictor_gossip::keyring::Keyring;
use lictor_gossip::serf::{Event, KeyOperation, QueryParams, Serf, Status};
use network::{Network, address, cluster, name};

const STEP: Duration = Duration::from_millis(100);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn failures(network: &Network) -> Vec<String> {
    let all = network.events.iter().enumerate();
    all.flat_map(|(node, events)| {
        events.iter().filter_map(move |(at, event)| match event {
            Event::Failed(member) => Some(format!("{at:?}: {node} says {}", member.info.name)),
            _ => None,
        })
    })
    .collect()
}

#[test]
fn a_crash_is_known_to_all_and_nobody_else_is_taken_for_failed() {
    for seed in 0..5 {
        let mut network = cluster(30, seed, &Keyring::default());
        network.run_for(seconds(30));
        assert_eq!(failures(&network), [""; 0]);
        network.crash(7);
        let known = network.run_while(seconds(60), STEP, |n| n.seen_as(7, Status::Failed) == 29);
        // Within a round somebody probes it; 4 s · log₁₀ 30 of suspicion follow.
        let known = known.unwrap_or_else(|| panic!("seed {seed}: not known"));
        assert!(known > seconds(4) && known < seconds(25), "seed {seed}: {known:?}");
        assert_eq!(failures(&network).len(), 29, "seed {seed}");
        // It comes back under its name and address.
        network.start(7, &Keyring::default());
        network.act(7, |serf, _| serf.join(address(3)));
        let back = network.run_while(seconds(60), STEP, |n| n.converged());
        assert!(back.is_some(), "seed {seed}: it does not come back");
    }
}

#[test]
fn leaving_is_no_failure() {
    for seed in 0..5 {
        let mut network = cluster(15, seed, &Keyring::default());
        network.act(4, Serf::leave);
        let left = network.run_while(seconds(20), STEP, |n| {
            n.events[4].iter().any(|(_, event)| *event == Event::LeaveDone)
        });
        assert!(left.is_some(), "seed {seed}");
        network.crash(4);
        network.run_for(seconds(5));
        assert_eq!(network.seen_as(4, Status::Left), 14, "seed {seed}");
        assert_eq!(failures(&network), [""; 0], "seed {seed}");
    }
}

#[test]
fn a_failed_node_can_be_made_to_leave_and_be_forgotten() {
    let mut network = cluster(8, 1, &Keyring::default());
    network.crash(5);
    let failed = network.run_while(seconds(60), STEP, |n| n.seen_as(5, Status::Failed) == 7);
    assert!(failed.is_some());
    let gone = name(5);
    assert!(network.act(2, |serf, _| serf.force_leave("nobody", false)).is_err());
    network.act(2, |serf, _| serf.force_leave(&gone, false)).expect("it is known");
    let left = network.run_while(seconds(10), STEP, |n| n.seen_as(5, Status::Left) == 7);
    assert!(left.is_some());
    // Four times is how often each sends it: among eight, one in six such messages misses somebody.
    // Who missed it can be told again.
    for _ in 0..4 {
        let knows = |serf: &&Serf| serf.member(&gone).is_some();
        let Some(by) = network.nodes.iter().position(|n| n.as_ref().is_some_and(|n| knows(&n)))
        else {
            break;
        };
        network.act(by, |serf, _| serf.force_leave(&gone, true)).expect("it is known");
        network.run_for(seconds(5));
    }
    let nobody = network.nodes.iter().flatten().all(|serf| serf.member(&gone).is_none());
    assert!(nobody);
}

#[test]
fn one_is_forgotten_that_was_not_yet_seen_to_fail() {
    let mut network = cluster(8, 1, &Keyring::default());
    network.crash(5);
    let gone = name(5);
    network.act(2, |serf, _| serf.force_leave(&gone, true)).expect("it is known");
    assert_eq!(network.seen_as(5, Status::Leaving), 1, "it still seems to be there");
    let forgotten =
        |n: &mut Network| n.nodes[2].as_ref().is_some_and(|s| s.member(&gone).is_none());
    assert!(network.run_while(seconds(60), STEP, forgotten).is_some());
    // Whoever got the message forgets it too, and whoever did not takes it for failed.
    let settled = |n: &mut Network| {
        let others = n.nodes.iter().flatten().filter_map(|serf| serf.member(&gone));
        others.map(|member| member.status).all(|status| status == Status::Failed)
    };
    assert!(network.run_while(seconds(60), STEP, settled).is_some());
}

#[test]
fn lost_packets_make_no_failure() {
    for (loss, minutes) in [(0.01, 5), (0.10, 3)] {
        let mut network = cluster(50, 3, &Keyring::default());
        network.weather.loss = loss;
        network.run_for(seconds(60 * minutes));
        assert_eq!(failures(&network), [""; 0], "loss {loss}");
        assert!(network.converged());
    }
}

#[test]
fn a_slow_node_is_forgiven_and_hurts_nobody() {
    let mut network = cluster(40, 11, &Keyring::default());
    // It stops for two seconds of every five: it misses probes and answers late.
    for _ in 0..24 {
        network.paused[9] = true;
        network.run_for(seconds(2));
        network.paused[9] = false;
        network.run_for(seconds(3));
    }
    let wrong: Vec<_> =
        failures(&network).into_iter().filter(|text| !text.ends_with(&name(9))).collect();
    assert_eq!(wrong, [""; 0]);
    let back = network.run_while(seconds(60), STEP, |n| n.converged());
    assert!(back.is_some());
}

#[test]
fn two_halves_find_together_again() {
    for seed in 0..3 {
        let mut network = cluster(20, seed, &Keyring::default());
        for node in 0..10 {
            network.side[node] = 1;
        }
        let split = network.run_while(seconds(120), STEP, |n| {
            n.nodes.iter().flatten().all(|serf| serf.swim().present() == 10)
        });
        assert!(split.is_some(), "seed {seed}");
        // Longer than the dead are told that they are: only trying them again can help.
        network.run_for(seconds(120));
        network.side.fill(0);
        let whole = network.run_while(seconds(180), STEP, |n| n.converged());
        assert!(whole.is_some(), "seed {seed}: two halves stay");
    }
}

#[test]
fn an_event_comes_to_everybody_once() {
    let mut network = cluster(40, 5, &Keyring::default());
    network.weather.loss = 0.05;
    for n in 0..20 {
        let event = format!("deploy-{n}");
        let sent = network.act(n, |serf, _| serf.user_event(&event, b"now", false));
        sent.expect("it is small");
    }
    let large = vec![0; 600];
    let refused = network.act(0, |serf, _| serf.user_event("big", &large, false));
    assert_eq!(refused, Err("user event exceeds limit of 512 bytes".to_owned()));
    // Each sends it eight times, and now and then all of them miss somebody: an exchange of all that
    // is known, which each has within a minute, makes up for it.
    network.run_for(seconds(70));
    for (node, events) in network.events.iter().enumerate() {
        let mut got: Vec<&str> = events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::User { name, payload, .. } if payload == b"now" => Some(&**name),
                _ => None,
            })
            .collect();
        got.sort_unstable();
        assert_eq!(got.len(), 20, "node {node}: {got:?}");
        got.dedup();
        assert_eq!(got.len(), 20, "node {node}");
    }
}

#[test]
fn a_node_that_joins_is_not_told_old_events() {
    let mut network = cluster(5, 5, &Keyring::default());
    network.act(0, |serf, _| serf.user_event("old", b"", false)).expect("it is small");
    network.run_for(seconds(3));
    let late = network.add(&Keyring::default());
    network.act(late, |serf, _| serf.join(address(1)));
    network.run_for(seconds(60));
    network.act(0, |serf, _| serf.user_event("new", b"", false)).expect("it is small");
    network.run_for(seconds(3));
    let got = network.events[late].iter().filter_map(|(_, event)| match event {
        Event::User { name, .. } => Some(&**name),
        _ => None,
    });
    assert_eq!(got.collect::<Vec<_>>(), ["new"]);
}

#[test]
fn a_question_is_answered_by_all() {
    let mut network = cluster(25, 6, &Keyring::default());
    let params = QueryParams { acknowledge: true, ..QueryParams::default() };
    let id = network.act(3, |serf, now| serf.query("uptime", b"?", &params, now));
    let id = id.expect("it is small");
    let mut answers = Vec::new();
    for _ in 0..500 {
        network.run_for(Duration::from_millis(10));
        for node in 0..25 {
            for (_, event) in std::mem::take(&mut network.events[node]) {
                match event {
                    Event::Query(asked) => {
                        assert_eq!((&*asked.name, &*asked.payload), ("uptime", &b"?"[..]));
                        let answer = name(node).into_bytes();
                        let sent = network.act(node, |serf, now| serf.respond(&asked, answer, now));
                        sent.expect("in time");
                    }
                    Event::Answered { id: of, from, payload } => {
                        assert_eq!((node, of), (3, id));
                        assert_eq!(from.as_bytes(), payload);
                        answers.push(from);
                    }
                    _ => {}
                }
            }
        }
    }
    answers.sort_unstable();
    answers.dedup();
    assert_eq!(answers.len(), 25);
}

#[test]
fn keys_are_rotated_while_everybody_talks() {
    let (old, new) = ([1_u8; 16], [2_u8; 32]);
    let ring = Keyring::new([&old[..]]).expect("a proper key");
    let mut network = cluster(12, 8, &ring);
    let steps = [
        KeyOperation::Install(new.to_vec()),
        KeyOperation::Use(new.to_vec()),
        KeyOperation::Remove(old.to_vec()),
    ];
    for operation in steps {
        let id = network.act(2, |serf, now| serf.keys(&operation, 0, now)).expect("asked");
        network.run_for(seconds(10));
        let answers: Vec<_> = network.events[2]
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Answered { id: of, payload, .. } if *of == id => {
                    Some(Serf::key_answer(payload).expect("an answer about keys"))
                }
                _ => None,
            })
            .collect();
        assert_eq!(answers.len(), 12, "{operation:?}");
        assert!(answers.iter().all(|answer| answer.result), "{operation:?}: {answers:?}");
    }
    for node in 0..12 {
        let keys: Vec<Vec<u8>> =
            network.serf(node).swim().keyring().keys().map(<[u8]>::to_vec).collect();
        assert_eq!(keys, [new.to_vec()], "node {node}");
    }
    assert!(network.converged());
    assert_eq!(failures(&network), [""; 0]);
    // One with the old key is not let in.
    let stranger = network.add(&ring);
    network.act(stranger, |serf, _| serf.join(address(0)));
    network.run_for(seconds(15));
    let tried = network.events[stranger].iter().find_map(|(_, event)| match event {
        Event::JoinTried { result, .. } => Some(result.clone()),
        _ => None,
    });
    assert!(tried.expect("it was tried").is_err());
    assert_eq!(network.seen_as(stranger, Status::Alive), 1);
}

#[test]
fn whatever_happens_the_living_agree_in_the_end() {
    // More with GOSSIP_SEEDS, from GOSSIP_SEED on.
    lictor_testkit::each_seed("GOSSIP", 60, a_life_of_a_cluster);
}

fn a_life_of_a_cluster(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let count = rng.usize(3..14);
    let mut network = cluster(count, seed, &Keyring::default());
    for _ in 0..rng.usize(1..12) {
        let node = rng.usize(..count);
        match rng.u8(..6) {
            0 => network.crash(node),
            1 if network.nodes[node].is_none() => {
                network.start(node, &Keyring::default());
                let other = rng.usize(..count);
                network.act(node, |serf, _| serf.join(address(other)));
            }
            2 => network.weather.loss = rng.f64() * 0.3,
            3 => network.side[node] = rng.u8(..2),
            4 => network.paused[node] = rng.bool(),
            _ if network.nodes[node].is_some() => {
                let event = format!("e{}", rng.u32(..));
                network.act(node, |s, _| s.user_event(&event, b"", false)).expect("small");
            }
            _ => {}
        }
        network.run_for(Duration::from_millis(rng.u64(..20_000)));
    }
    // Everything heals; those that run are told of one another.
    network.weather.loss = 0.0;
    network.side.fill(0);
    network.paused.fill(false);
    let running: Vec<usize> = (0..count).filter(|node| network.nodes[*node].is_some()).collect();
    for node in &running {
        let first = address(running[0]);
        network.act(*node, |serf, _| serf.join(first));
    }
    let agreed = network.run_while(seconds(300), seconds(1), |n| n.converged());
    if agreed.is_none() {
        let views: Vec<_> = running
            .iter()
            .map(|node| {
                let members = network.nodes[*node].as_ref().expect("it runs").members();
                let view: Vec<_> = members
                    .iter()
                    .map(|m| format!("{} {}", m.info.name, m.status.as_str()))
                    .collect();
                format!("{}: {}", name(*node), view.join(", "))
            })
            .collect();
        panic!("seed {seed}: no agreement\n{}", views.join("\n"));
    }
}
