//! How long nothing can be written when the leader is gone, and that stale reads go on meanwhile.
//!
//! `CLUSTER_KILLS=50 cargo test -p lictor-tests --test cluster failover -- --nocapture` measures as often, at the
//! default timings: every other time the process is killed, or (where nodes have networks of their own) the
//! leader's cables are cut, of which nobody is told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lictor_testkit::{attempt, wait_for};
use serde_json::json;

use crate::cluster::{Cluster, Shape};
use crate::nemesis::{Fault, Nemesis};
use crate::node::Door;
use crate::objects::held;
use crate::{alone, setting};

/// What the median of the gaps, and a single one on a busy machine, may be at most.
const MEDIAN: Duration = Duration::from_secs(2);
const WORST: Duration = Duration::from_secs(10);
/// How long a server that is not the leader may be silent to stale reads; a busy machine is slow.
const SILENCE: Duration = Duration::from_secs(3);
/// Between two writes at a server, and how long each waits for its answer.
const EVERY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a failover may take before this is given up.
const LIMIT: Duration = Duration::from_secs(60);

/// What was seen while a leader was gone.
struct Gap {
    /// From its end to the first write that was sent after it and succeeded.
    writes: Duration,
    /// The longest time between two answers to stale reads at one of the others.
    reads: Duration,
}

/// One write, which keeps the time when it is the first that succeeds.
fn write(door: &Door, first: &Mutex<Option<Instant>>) {
    let reply = attempt(&door.http, "PUT", "/v1/kv/failover", b"x", PATIENCE);
    if reply.is_ok_and(|reply| reply.status == 200 && reply.text().trim() == "true") {
        let now = Instant::now();
        held(first).get_or_insert(now);
    }
}

/// Reads from `door` until told to end; the longest time without an answer.
fn read(door: &Door, stop: &AtomicBool) -> Duration {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let reply =
            attempt(&door.http, "GET", "/v1/kv/failover?stale", b"", Duration::from_secs(5));
        if reply.is_ok_and(|reply| reply.status == 200) {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    longest.max(last.elapsed())
}

/// Does `fault` to the leader and looks what the others say.
fn measure(cluster: &mut Cluster, nemesis: &mut Nemesis, leader: usize, fault: &Fault) -> Gap {
    let doors = cluster.doors();
    let others: Vec<&Door> =
        cluster.servers().filter(|at| *at != leader).map(|at| &doors[at]).collect();
    let (first, stop) = (Mutex::new(None), AtomicBool::new(false));
    let (gone, silences) = std::thread::scope(|scope| {
        let stop = &stop;
        let readers: Vec<_> =
            others.iter().map(|door| scope.spawn(move || read(door, stop))).collect();
        nemesis.begin(cluster, fault);
        let gone = Instant::now();
        // As many clients would: one after the other asks, and none waits for those before, which may have
        // been sent to the one that is gone.
        std::thread::scope(|scope| {
            while held(&first).is_none() && gone.elapsed() < LIMIT {
                for door in &others {
                    let first = &first;
                    scope.spawn(move || write(door, first));
                }
                std::thread::sleep(EVERY);
            }
        });
        stop.store(true, Ordering::Relaxed);
        let silences: Vec<_> = readers.into_iter().filter_map(|t| t.join().ok()).collect();
        (gone, silences)
    });
    let written = held(&first).expect("somebody leads in the end");
    Gap {
        writes: written.saturating_duration_since(gone),
        reads: silences.into_iter().max().unwrap_or_default(),
    }
}

#[test]
fn failover_is_quick_and_stale_reads_go_on() {
    let _alone = alone();
    let kills = setting("CLUSTER_KILLS", 2);
    // The timings are the product's own.
    let config = json!({"performance": {}});
    let shape = Shape { servers: 3, clients: 0, seed: 3, clocks: false, config, binary: None };
    let mut cluster = Cluster::start(&shape);
    let doors = cluster.doors();
    let put = attempt(&doors[0].http, "PUT", "/v1/kv/failover", b"0", LIMIT);
    assert!(put.is_ok_and(|reply| reply.status == 200));
    for door in &doors {
        // What a follower has not heard of before the leader dies, it cannot show.
        wait_for("the key everywhere", LIMIT, || {
            let path = "/v1/kv/failover?stale";
            let reply = attempt(&door.http, "GET", path, b"", Duration::from_secs(5)).ok()?;
            (reply.status == 200).then_some(())
        });
    }
    let mut nemesis = Nemesis::new(3, Instant::now());
    let mut gaps = [Vec::new(), Vec::new()];
    let mut silence = Duration::ZERO;
    for round in 0..kills {
        let leader = cluster.leader().expect("a leader");
        let cut = round % 2 == 1 && cluster.network.is_separate();
        let fault = if cut { Fault::Split(vec![leader]) } else { Fault::Kill(vec![leader]) };
        let gap = measure(&mut cluster, &mut nemesis, leader, &fault);
        assert!(gap.reads < SILENCE, "stale reads stopped for {:?}: {fault:?}", gap.reads);
        silence = silence.max(gap.reads);
        nemesis.note(&format!("written again after {:.3?}", gap.writes));
        gaps[usize::from(cut)].push(gap.writes);
        nemesis.end(&mut cluster, &fault);
        cluster.wait_until_ready();
        let value = round.to_string();
        let put = attempt(&doors[0].http, "PUT", "/v1/kv/round", value.as_bytes(), LIMIT);
        assert!(put.is_ok_and(|reply| reply.status == 200));
        for door in &doors {
            // Otherwise two of three are away.
            wait_for("everybody to follow again", LIMIT, || {
                let path = "/v1/kv/round?stale&raw";
                let reply = attempt(&door.http, "GET", path, b"", Duration::from_secs(5)).ok()?;
                (reply.text() == value).then_some(())
            });
        }
    }
    if std::env::var_os("CLUSTER_VERBOSE").is_some() {
        println!("  {}", nemesis.done.join("\n  "));
    }
    println!("stale reads were answered at least every {silence:.3?}");
    for (kind, mut gaps) in ["killed", "cut off"].into_iter().zip(gaps) {
        gaps.sort_unstable();
        let (Some(worst), false) = (gaps.last(), gaps.is_empty()) else { continue };
        let (median, high) =
            (gaps[gaps.len() / 2], gaps[(gaps.len() * 99 / 100).min(gaps.len() - 1)]);
        println!(
            "writes after the leader was {kind}, {} times: median {median:.3?}, p99 {high:.3?}, \
             worst {worst:.3?}",
            gaps.len()
        );
        if std::env::var_os("CLUSTER_LOOSE").is_none() {
            assert!(median <= MEDIAN && *worst <= WORST, "{kind}: {gaps:?}");
        }
    }
}
