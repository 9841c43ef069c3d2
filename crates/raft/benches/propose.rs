//! How long a write takes until it is agreed on and applied, and how many there are in a second:
//! one server, with its log in memory and on disk.
//!
//! `cargo bench -p lictor-raft --bench propose -- FOLDER` has the log in a folder of another disk.
//! Beside it stands what that disk can do: appends of the same size, each synced.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lictor_raft::{Raft, RaftConfig, Storage, Timing};
use lictor_state::Store;
use lictor_types::command::Command;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};

const SECONDS: u64 = 2;
const ROUNDS: usize = 3;

fn set(writer: usize) -> Command {
    let key = format!("bench/{writer}").into();
    let entry = KvEntry { key, value: vec![b'x'; 100].into(), ..KvEntry::default() };
    Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false })
}

fn report(what: &str, mut times: Vec<Duration>, took: Duration) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    let rate = times.len() as f64 / took.as_secs_f64();
    println!("{what:32} {rate:8.0}/s   p50 {:7.0} µs   p99 {:7.0} µs", at(50), at(99));
}

fn folder() -> tempfile::TempDir {
    let place = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let place = place.map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(place).expect("a folder")
}

/// What the disk can do: overwriting zeros, and appending.
fn bare(dir: &Path, what: &str, room: usize) {
    let file = File::create(dir.join("bare")).expect("a file");
    file.write_all_at(&vec![0; room], 0).and_then(|()| file.sync_all()).expect("space");
    let (start, mut times, mut at) = (Instant::now(), Vec::new(), 0);
    while start.elapsed() < Duration::from_secs(SECONDS) {
        let began = Instant::now();
        file.write_all_at(&[7; 220], at).and_then(|()| file.sync_data()).expect("space");
        at += 220;
        times.push(began.elapsed());
    }
    report(what, times, start.elapsed());
}

async fn writers(storage: Storage, what: &str, writers: usize) {
    let config = RaftConfig {
        node_id: uuid::Uuid::from_u128(1),
        address: "127.0.0.1:8300".into(),
        storage,
        bootstrap: true,
        timing: Timing::default(),
        transport: None,
        metrics: lictor_metrics::Metrics::default(),
    };
    let raft = Raft::start(config, Store::new()).await.expect("a server");
    raft.until_leading().await;
    let start = Instant::now();
    let end = start + Duration::from_secs(SECONDS);
    let tasks = lictor_task::TaskSet::new("writers");
    let (sender, mut receiver) = tokio::sync::mpsc::channel(writers);
    for writer in 0..writers {
        let (raft, sender) = (raft.clone(), sender.clone());
        tasks.spawn("writer", async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                raft.propose(set(writer)).await.expect("it is alone");
                times.push(began.elapsed());
            }
            let _ = sender.send(times).await;
        });
    }
    drop(sender);
    let mut times = Vec::new();
    while let Some(of_one) = receiver.recv().await {
        times.extend(of_one);
    }
    report(&format!("{what}, {writers} writers"), times, start.elapsed());
    raft.shutdown().await;
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for _ in 0..ROUNDS {
        let dir = folder();
        bare(dir.path(), "the disk, overwriting", 8 << 20);
        bare(dir.path(), "the disk, appending", 0);
        for count in [1, 64] {
            runtime.block_on(writers(Storage::Memory, "memory", count));
            let place = dir.path().join(count.to_string());
            runtime.block_on(writers(Storage::Disk(place), "disk", count));
        }
    }
}
