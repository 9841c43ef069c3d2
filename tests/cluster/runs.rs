//! Runs: a cluster, clients, faults, and the judgement.
//!
//! `CLUSTER_RUNS=200 CLUSTER_SECONDS=60 cargo test -p lictor-tests --test cluster runs -- --nocapture` makes
//! many; `CLUSTER_SEED=n` begins with another seed, and one seed has the same faults in the same order (not at the
//! same moments). `CLUSTER_SERVERS=5` and `CLUSTER_CLIENTS=1` are for all of them, else every third has
//! five servers and every second a client agent.
//! `LICTOR_BINARY` names another program to run; `CLUSTER_VERBOSE` shows what was done to it, and
//! `CLUSTER_KEEP` keeps the logs.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{Cluster, Shape};
use crate::evidence::{Findings, judge};
use crate::nemesis::{Fault, Nemesis};
use crate::workload::Workload;
use crate::{alone, setting};

/// Threads that ask.
const CLIENTS: usize = 6;

/// Asks a cluster while `faults` are done to it; gives what was found, and what was done.
pub(crate) fn run(
    cluster: &mut Cluster,
    seed: u64,
    faults: impl FnOnce(&mut Nemesis, &mut Cluster),
) -> (Findings, Vec<String>) {
    let start = Instant::now();
    let work = Workload::new(cluster.doors(), start);
    let mut nemesis = Nemesis::new(seed, start);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let work = &work;
            let own = seed.wrapping_mul(1000).wrapping_add(number as u64);
            scope.spawn(move || work.client(number, own));
        }
        // Clients end with the faults, even if these fail.
        let stop = Stop(&work);
        faults(&mut nemesis, cluster);
        cluster.wait_until_ready();
        drop(stop);
    });
    let mut found = judge(&work);
    for node in &cluster.nodes {
        let log = node.log();
        if let Some(at) = log.find("panicked") {
            let from = log[..at].rfind('\n').unwrap_or(0);
            let text: Vec<&str> = log[from..].lines().take(8).collect();
            found.violations.push(format!("{} has panicked:\n{}", node.name, text.join("\n")));
        }
    }
    found.ended = nemesis.ended;
    (found, nemesis.done)
}

struct Stop<'a>(&'a Workload);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Fails with all that is known of a run, unless it was good. With `CLUSTER_LOOSE`, for other programs,
/// reads of the default consistency may be stale and agents may end by themselves.
pub(crate) fn require(found: &Findings, done: &[String], seed: u64) {
    let mut bad = found.violations.clone();
    if std::env::var_os("CLUSTER_LOOSE").is_none() {
        bad.extend(found.default_reads.iter().chain(&found.ended).cloned());
    }
    assert!(
        bad.is_empty(),
        "seed {seed}: {}\n{}\nwhat was done:\n  {}",
        found.summary(),
        bad.join("\n"),
        done.join("\n  ")
    );
}

#[test]
fn runs_with_faults_are_one_history() {
    let _alone = alone();
    let runs = setting("CLUSTER_RUNS", 1);
    let time = Duration::from_secs(setting("CLUSTER_SECONDS", 12));
    let first = setting("CLUSTER_SEED", 1);
    for seed in first..first + runs {
        let servers = setting("CLUSTER_SERVERS", if seed % 3 == 2 { 5 } else { 3 });
        let servers = usize::try_from(servers).unwrap_or(3);
        let clients = usize::try_from(setting("CLUSTER_CLIENTS", seed % 2)).unwrap_or(1);
        let clocks = seed % 2 == 0;
        let shape = Shape { servers, clients, seed, clocks, config: json!({}), binary: None };
        let mut cluster = Cluster::start(&shape);
        let (found, done) = run(&mut cluster, seed, |nemesis, cluster| {
            nemesis.run(cluster, Instant::now() + time);
        });
        println!("seed {seed}, {servers} servers, {clients} clients: {}", found.summary());
        if std::env::var_os("CLUSTER_VERBOSE").is_some() {
            println!("  {}", done.join("\n  "));
            found.default_reads.iter().for_each(|text| println!("default reads of {text}"));
        }
        require(&found, &done, seed);
    }
}

/// The proof that the harness sees something: a server that is cut off goes on to tell what was. On a busy
/// machine few reads get there while it is: then it is cut off again.
#[test]
fn stale_reads_of_a_split_cluster_are_seen_as_such() {
    let _alone = alone();
    let mut seen = Vec::new();
    for seed in 7..13 {
        let shape =
            Shape { servers: 3, clients: 0, seed, clocks: false, config: json!({}), binary: None };
        let mut cluster = Cluster::start(&shape);
        if !cluster.network.is_separate() {
            return;
        }
        let (found, done) = run(&mut cluster, seed, |nemesis, cluster| {
            let leader = cluster.leader().expect("a leader");
            let fault = Fault::Split(vec![(leader + 1) % 3]);
            // Some time of calls before and meanwhile.
            std::thread::sleep(Duration::from_secs(1));
            nemesis.begin(cluster, &fault);
            std::thread::sleep(Duration::from_secs(4));
            nemesis.end(cluster, &fault);
        });
        println!("one server cut off: {}", found.summary());
        require(&found, &done, seed);
        if found.stale_reads > 0 {
            return;
        }
        seen.push(format!("{}\n{}", found.summary(), done.join("\n")));
    }
    panic!("nothing was seen:\n{}", seen.join("\n"));
}
