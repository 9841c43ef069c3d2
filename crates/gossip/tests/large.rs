//! Large clusters on a simulated network: how fast a failure is known, and who is forgiven.
//!
//! `cargo bench -p lictor-gossip --bench cluster` measures larger ones for longer.

mod network;

use std::time::Duration;

use lictor_gossip::keyring::Keyring;
use lictor_gossip::serf::{Event, Status};
use lictor_gossip::stream::{NodeState, PushPull, StreamMessage};
use network::{Network, cluster, index, name, together};

const STEP: Duration = Duration::from_millis(100);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Who was taken for failed, by how many.
fn failed(network: &Network) -> Vec<(usize, usize)> {
    let all = network.events.iter().flatten().filter_map(|(_, event)| match event {
        Event::Failed(member) => Some(index(member.info.address)),
        _ => None,
    });
    let mut counts = std::collections::BTreeMap::new();
    for node in all {
        *counts.entry(node).or_default() += 1;
    }
    counts.into_iter().collect()
}

#[test]
fn a_crash_among_a_thousand_is_known_to_all_in_seconds() {
    let mut network = together(1000, 3);
    network.run_for(seconds(2));
    network.crash(500);
    let known = network.run_while(seconds(30), STEP, |n| n.seen_as(500, Status::Failed) == 999);
    // Two intervals until it is probed, one until it is suspected, and as long as in a small
    // cluster until it is given up. The original needs 12 s from the suspicion alone.
    let known = known.expect("it is known");
    assert!(known > seconds(4) && known < seconds(8), "{known:?}");
    assert_eq!(failed(&network), [(500, 999)]);
}

#[test]
fn who_stops_for_seconds_is_no_failure_and_gets_longer_the_next_time() {
    for seed in 0..2 {
        let mut network = together(150, seed);
        network.run_for(seconds(2));
        network.paused[7] = true;
        network.run_for(seconds(4));
        network.paused[7] = false;
        network.run_for(seconds(20));
        assert_eq!(failed(&network), [], "seed {seed}");
        // Longer than a node of which nothing is known may be silent.
        network.paused[7] = true;
        network.run_for(seconds(8));
        network.paused[7] = false;
        network.run_for(seconds(20));
        assert_eq!(failed(&network), [], "seed {seed}");
        network.crash(7);
        let known = network.run_while(seconds(60), STEP, |n| n.seen_as(7, Status::Failed) == 149);
        assert!(known.is_some(), "seed {seed}: it is gone all the same");
    }
}

#[test]
fn those_that_were_stopped_accuse_nobody() {
    for seed in 0..3 {
        let mut network = together(60, seed);
        network.run_for(seconds(2));
        // A suspicion that is denied while they cannot hear of it.
        network.paused[3] = true;
        network.run_for(seconds(2));
        network.paused[10..20].fill(true);
        network.run_for(seconds(1));
        network.paused[3] = false;
        network.run_for(seconds(9));
        network.paused[10..20].fill(false);
        network.run_for(seconds(30));
        let wrong: Vec<_> =
            failed(&network).into_iter().filter(|(node, _)| !(10..20).contains(node)).collect();
        assert_eq!(wrong, [], "seed {seed}");
    }
}

/// The answer of node 1 when node 0 exchanges all it knows.
fn exchange(network: &mut Network, change: impl FnOnce(&mut PushPull)) -> PushPull {
    let now = network.now;
    let question = PushPull { join: true, ..PushPull::default() };
    let question = StreamMessage::PushPull(question);
    let all = network.serf(1).stream(question, now).expect("an answer");
    let read = network.serf(1).read_stream(&all).expect("it can be read");
    let StreamMessage::PushPull(mut state) = read else { panic!("{read:?}") };
    state.join = false;
    change(&mut state);
    let answer = network.serf(1).stream(StreamMessage::PushPull(state), now);
    match network.serf(1).read_stream(&answer.expect("an answer")).expect("it can be read") {
        StreamMessage::PushPull(state) => state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_exchange_is_answered_with_what_was_not_said() {
    let mut network = cluster(6, 4, &Keyring::default());
    let names = |state: &PushPull| state.nodes.iter().map(|n| n.name.clone()).collect::<Vec<_>>();
    assert!(exchange(&mut network, |_| ()).nodes.is_empty());
    let missing = exchange(&mut network, |state| state.nodes.retain(|n| n.name != name(4)));
    assert_eq!(names(&missing), [name(4)]);
    let older = exchange(&mut network, |state| {
        let node = state.nodes.iter_mut().find(|node| node.name == name(3));
        node.expect("it is known").incarnation -= 1;
    });
    assert_eq!(names(&older), [name(3)]);
    let suspected = exchange(&mut network, |state| {
        let node = state.nodes.iter_mut().find(|node| node.name == name(2));
        node.expect("it is known").state = NodeState::Suspect;
    });
    assert_eq!(names(&suspected), [name(2)]);
    // What the layer above knows is left out likewise, and told where it is not said.
    let same = exchange(&mut network, |_| ()).user_state.len();
    let silent = exchange(&mut network, |state| state.user_state.clear()).user_state.len();
    assert!(same < silent, "{same} {silent}");
}
