//! Clusters on a simulated network with a clock, disks and chance of their own: what holds
//! whatever gets lost, crashes, and comes back.
//!
//! A run is one seed. Servers are the real ones down to where bytes leave them: the log's and
//! the snapshots' files, and the transport. `RAFT_SEEDS` says how many runs there are, and
//! `RAFT_SEED` which comes first.

mod bell;
mod chance;
mod check;
mod disk;
mod network;
mod world;

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

pub(crate) use self::chance::Seeded;
pub(crate) use self::disk::{Disk, Writer, end};
use self::world::{Plan, World};

thread_local! {
    static SIMULATED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread simulates: nothing may then be done on others.
pub(crate) fn is_on() -> bool {
    SIMULATED.with(Cell::get)
}

/// Runs `what` with time and chance from `seed`.
fn simulate<T>(seed: u64, what: impl Future<Output = T>) -> T {
    SIMULATED.with(|held| held.set(true));
    chance::sow(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let outcome = runtime.block_on(what);
    SIMULATED.with(|held| held.set(false));
    outcome
}

/// Runs of each kind when nothing else is said.
const RUNS: u64 = 12;

/// All runs of a plan.
fn run_all(plan: Plan) {
    lictor_testkit::each_seed("RAFT", RUNS, |seed| {
        simulate(seed, World::run(seed, plan));
    });
}

#[test]
fn three_servers_agree_whatever_happens() {
    run_all(Plan { servers: 3, faults: Duration::from_secs(4), changes: false });
}

#[test]
fn five_servers_agree_while_their_cluster_changes() {
    run_all(Plan { servers: 5, faults: Duration::from_secs(4), changes: true });
}

#[test]
fn who_was_away_for_long_takes_over_a_snapshot() {
    let sent = std::sync::atomic::AtomicU64::new(0);
    lictor_testkit::each_seed("RAFT", RUNS, |seed| {
        let snapshots = simulate(seed, world::absence(seed));
        sent.fetch_add(snapshots, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(sent.into_inner() > 0, "nobody ever needed one");
}

#[test]
fn a_seed_is_one_story() {
    let plan = Plan { servers: 3, faults: Duration::from_secs(5), changes: true };
    for seed in 0..3 {
        let story = || simulate(seed, World::run(seed, plan));
        assert_eq!(story(), story(), "seed {seed}");
    }
}

#[test]
fn after_the_leader_has_died_another_leads_soon() {
    for (told, most) in [(true, 600), (false, 800)] {
        let gaps = std::sync::Mutex::new(Vec::new());
        lictor_testkit::each_seed("RAFT", RUNS, |seed| {
            let gap = simulate(seed, world::failover(seed, told));
            gaps.lock().unwrap().push(gap);
        });
        let mut gaps = gaps.into_inner().unwrap();
        gaps.sort_unstable();
        let at = |percent: usize| gaps[(gaps.len() - 1) * percent / 100];
        eprintln!(
            "write gap, its connections end: {told}: half {:?}, 99 % {:?}, most {:?}",
            at(50),
            at(99),
            at(100)
        );
        assert!(at(99) < Duration::from_millis(most), "{told}: {:?}", at(99));
    }
}
