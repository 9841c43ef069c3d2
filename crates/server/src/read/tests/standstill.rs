//! A leader that stands still in the middle of a read, while others make another one leader: when it
//! goes on, it must not show what was before.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::*;
use crate::rights::Anybody;
use crate::testing::cluster::{Cluster, until};

/// Reads `a` of the leader, or waits for a change of it. It stands still when it is to return what it
/// has looked up; then it is cut off, another leads, and `a` is written there. Gives what the read gives,
/// and what it looked up.
async fn read_and_stand_still(
    consistency: Consistency,
    waits: bool,
) -> (Result<Reply<String>, EndpointError>, String) {
    let hold_timeout = Duration::from_millis(100);
    let cluster = Cluster::start(|config| ServerConfig { hold_timeout, ..config }).await;
    let leader = cluster.leader().await;
    put(&leader, "a", "old").await;
    let index = leader.kv_get(&QueryOptions::default(), "a").await.unwrap().result.index;
    let min_index = if waits { index } else { 0 };
    let wait = after(min_index, Duration::from_secs(60));
    let options = QueryOptions { consistency, ..wait };
    let at = if waits { 2 } else { 1 };
    let (evaluations, goes_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let seen = Arc::new(parking_lot::Mutex::new(String::new()));
    let (answer, read) = oneshot::channel();
    {
        let (leader, seen) = (leader.clone(), Arc::clone(&seen));
        let (evaluations, goes_on) = (Arc::clone(&evaluations), Arc::clone(&goes_on));
        // On a thread of its own, in effect: what goes on meanwhile must not stand still with it.
        cluster.servers[0].tasks().spawn("a read", async move {
            let evaluate = |view: &View| {
                let (index, entry) = view.kv_get("a");
                let value = entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap());
                let value = value.unwrap_or_default();
                seen.lock().clone_from(&value);
                if evaluations.fetch_add(1, Ordering::SeqCst) + 1 == at {
                    tokio::task::block_in_place(|| {
                        while !goes_on.load(Ordering::SeqCst) {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    });
                }
                Ok(Evaluated::new(index, value))
            };
            let topics = || vec![Topic::KvKey("a".into())];
            let read = Read { evaluate, topics, rights: Anybody, options: &options };
            let _ = answer.send(leader.read(read).await);
        });
    }
    until("the first look", || evaluations.load(Ordering::SeqCst) > 0).await;
    if waits {
        // It waits for a change, and here it is.
        put(&leader, "a", "newer").await;
    }
    until("the look", || evaluations.load(Ordering::SeqCst) == at).await;
    cluster.cut(&leader);
    until("the end of the lease", || !leader.leads()).await;
    let next = cluster.leader().await;
    put(&next, "a", "newest").await;
    goes_on.store(true, Ordering::SeqCst);
    let reply = read.await.unwrap();
    cluster.shutdown().await;
    let seen = seen.lock().clone();
    (reply, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_that_was_replaced_meanwhile_answers_nothing() {
    let (reply, seen) = read_and_stand_still(Consistency::Leader, false).await;
    assert_eq!((reply.unwrap_err(), &*seen), (EndpointError::no_leader(), "old"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn neither_does_one_whose_reader_waited() {
    let (reply, seen) = read_and_stand_still(Consistency::Leader, true).await;
    assert_eq!((reply.unwrap_err(), &*seen), (EndpointError::no_leader(), "newer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_takes_what_is_old_gets_it() {
    for (waits, old) in [(false, "old"), (true, "newer")] {
        let (reply, _) = read_and_stand_still(Consistency::Stale, waits).await;
        assert_eq!(reply.unwrap().result.value, old);
    }
}
