//! One server through its life: writes, snapshots, restarts, crashes, damage.

use std::path::Path;

use lictor_types::command::Outcome;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};

use super::*;
use crate::error::LogError;

fn config(storage: Storage) -> RaftConfig {
    RaftConfig {
        metrics: lictor_metrics::Metrics::default(),
        node_id: Uuid::from_u128(7),
        address: "127.0.0.1:8300".into(),
        storage,
        bootstrap: true,
        timing: Timing::default(),
        transport: None,
    }
}

fn set(key: &str, value: &[u8]) -> Command {
    let entry = KvEntry { key: key.into(), value: value.to_vec().into(), ..KvEntry::default() };
    Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false })
}

async fn start(storage: Storage) -> (Raft, Store) {
    let store = Store::new();
    let raft = Raft::start(config(storage), store.clone()).await.unwrap();
    let mut leadership = raft.leadership();
    let led = leadership.wait_for(|leadership| leadership.is_self);
    tokio::time::timeout(Duration::from_secs(10), led).await.unwrap().unwrap();
    (raft, store)
}

fn disk(dir: &Path) -> Storage {
    Storage::Disk(dir.join("raft"))
}

#[tokio::test]
async fn a_single_server_leads_at_once_and_counts_indexes() {
    let (raft, store) = start(Storage::Memory).await;
    for n in 1..=3 {
        let applied = raft.propose(set("a", b"x")).await.unwrap();
        assert_eq!((applied.index, applied.outcome), (n, Outcome::Applied(true)));
    }
    raft.barrier().await.unwrap();
    assert_eq!(store.view().index(), 3);
    let status = raft.status();
    assert_eq!(status.role, crate::Role::Leader);
    assert_eq!(status.voters, [(Uuid::from_u128(7), "127.0.0.1:8300".to_owned())]);
    raft.shutdown().await;
    assert!(matches!(raft.propose(Command::Noop).await, Err(ProposeError::Stopped(_))));
}

#[tokio::test]
async fn many_at_once_share_entries() {
    let (raft, store) = start(Storage::Memory).await;
    let before = raft.status().last_log_index;
    let writes = (0..500).map(|n| {
        let raft = raft.clone();
        async move { raft.propose(set(&format!("k{n}"), b"")).await.unwrap().index }
    });
    let mut indexes = futures_util::future::join_all(writes).await;
    indexes.sort_unstable();
    assert_eq!(indexes, (1..=500).collect::<Vec<_>>());
    assert_eq!(store.view().kv_list("").1.len(), 500);
    assert!(raft.status().last_log_index - before < 500);
    raft.shutdown().await;
}

#[tokio::test]
async fn large_values_do_not_share_an_entry_without_end() {
    let (raft, store) = start(Storage::Memory).await;
    let before = raft.status().last_log_index;
    let value = vec![7; 300_000];
    let writes = (0..12).map(|n| {
        let (raft, write) = (raft.clone(), set(&format!("k{n}"), &value));
        async move { raft.propose(write).await.unwrap().index }
    });
    let indexes = futures_util::future::join_all(writes).await;
    assert_eq!(indexes, (1..=12).collect::<Vec<_>>());
    assert_eq!(store.view().kv_list("").1.len(), 12);
    assert!(raft.status().last_log_index - before >= 4, "three at a time");
    raft.shutdown().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, _) = start(disk(dir.path())).await;
    let index = raft.propose(set("a", b"1")).await.unwrap().index;
    raft.shutdown().await;

    let (raft, store) = start(disk(dir.path())).await;
    assert_eq!(store.view().kv_get("a").1.unwrap().value, b"1"[..]);
    assert_eq!(store.view().kv_get("a").1.unwrap().modify_index, index);
    assert!(raft.propose(set("b", b"2")).await.unwrap().index > index);
    raft.shutdown().await;
    let folder = dir.path().join("raft").metadata().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&folder.permissions());
    assert_eq!(mode & 0o077, 0, "others can read the log");
}

#[tokio::test]
async fn a_snapshot_replaces_the_log_and_indexes_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, _) = start(disk(dir.path())).await;
    for n in 0..100 {
        raft.propose(set(&format!("k{n}"), b"v")).await.unwrap();
    }
    raft.take_snapshot().await.unwrap();
    let mut metrics = raft.engine.metrics();
    while metrics.borrow_watched().snapshot.is_none() {
        metrics.changed().await.unwrap();
    }
    let last = raft.propose(set("after", b"v")).await.unwrap().index;
    raft.shutdown().await;

    let (raft, store) = start(disk(dir.path())).await;
    assert_eq!(store.view().kv_list("k").1.len(), 100);
    assert_eq!(store.view().kv_get("after").1.unwrap().modify_index, last);
    assert_eq!(raft.propose(set("next", b"v")).await.unwrap().index, last + 1);
    raft.shutdown().await;
}

fn log_file(dir: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(dir.join("raft")).unwrap().map(|e| e.unwrap().path());
    files.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap()
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_damage_before_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, _) = start(disk(dir.path())).await;
    for n in 0..20 {
        raft.propose(set(&format!("k{n}"), &[b'v'; 100])).await.unwrap();
    }
    raft.shutdown().await;
    let path = log_file(dir.path());
    let whole = std::fs::read(&path).unwrap();

    std::fs::write(&path, [&whole[..], &[1, 2, 3, 4, 5]].concat()).unwrap();
    let (raft, store) = start(disk(dir.path())).await;
    assert_eq!(store.view().kv_list("").1.len(), 20);
    raft.shutdown().await;

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    std::fs::write(&path, flipped).unwrap();
    let refused = Raft::start(config(disk(dir.path())), Store::new()).await;
    let Err(StartError::Log(LogError::Damaged { at, .. })) = refused else {
        panic!("damage was not noticed")
    };
    assert!(at > 0 && at <= whole.len() as u64 / 2);
}

#[tokio::test]
async fn two_servers_do_not_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, _) = start(disk(dir.path())).await;
    let second = Raft::start(config(disk(dir.path())), Store::new()).await;
    assert!(matches!(second, Err(StartError::Log(LogError::InUse(_)))));
    raft.shutdown().await;
}

#[tokio::test]
async fn a_server_whose_disk_fails_says_so_and_leads_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, store) = start(disk(dir.path())).await;
    raft.propose(set("kept", b"x")).await.unwrap();
    // The next file of the log cannot be made.
    std::fs::remove_dir_all(dir.path().join("raft")).unwrap();
    let value = vec![7; 1 << 20];
    let mut acknowledged = 0;
    let error = loop {
        match raft.propose(set(&acknowledged.to_string(), &value)).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 100, "files do not end");
    };
    assert!(matches!(error, ProposeError::Stopped(_)), "{error}");
    let mut leadership = raft.leadership();
    let lost = leadership.wait_for(|leadership| leadership.leader.is_none());
    tokio::time::timeout(Duration::from_secs(10), lost).await.unwrap().unwrap();
    assert!(raft.barrier().await.is_err());
    assert_eq!(&*store.view().kv_get("kept").1.unwrap().value, b"x");
    assert!(store.view().kv_get(&acknowledged.to_string()).1.is_none());
    tokio::time::timeout(Duration::from_secs(10), raft.shutdown()).await.unwrap();
}
