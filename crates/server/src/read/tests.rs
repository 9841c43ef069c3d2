//! Blocking reads: woken by what they read, not by anything else, and always in time.

use lictor_types::kv::{KvEntry, KvOp, KvWrite};

use super::*;
use crate::config::ServerConfig;
use crate::testing;

mod standstill;

async fn put(server: &Server, key: &str, value: &str) {
    let entry =
        KvEntry { key: key.into(), value: value.as_bytes().to_vec().into(), ..KvEntry::default() };
    let write = KvWrite { op: KvOp::Set, entry, lock_delayed: false };
    assert!(server.kv_apply("", write).await.unwrap());
}

fn after(index: u64, wait: Duration) -> QueryOptions {
    QueryOptions { min_index: index, max_wait: wait, ..QueryOptions::default() }
}

#[tokio::test]
async fn a_change_wakes_and_equal_readers_share_its_result() {
    let server = testing::start().await;
    put(&server, "a", "1").await;
    let index = server.kv_get(&QueryOptions::default(), "a").await.unwrap().result.index;
    let wait = after(index, Duration::from_secs(60));
    let readers = (0..50).map(|_| server.kv_get(&wait, "a"));
    let change = async {
        // Somebody else's key wakes nobody.
        put(&server, "b", "x").await;
        put(&server, "a", "2").await;
    };
    let (replies, ()) = tokio::join!(futures_util::future::join_all(readers), change);
    let first = replies[0].as_ref().unwrap();
    assert_eq!(first.result.value.as_ref().unwrap().value, b"2"[..]);
    assert!(first.meta.index > index);
    for reply in &replies {
        assert!(Arc::ptr_eq(&reply.as_ref().unwrap().result, &first.result));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn without_a_change_it_returns_at_the_end_of_its_time() {
    let server = testing::start().await;
    put(&server, "a", "1").await;
    let index = server.kv_get(&QueryOptions::default(), "a").await.unwrap().result.index;
    let started = Instant::now();
    let wait = after(index, Duration::from_millis(100));
    let reply = server.kv_get(&wait, "a").await.unwrap();
    let took = started.elapsed();
    assert_eq!(reply.result.index, index);
    assert!(took >= Duration::from_millis(100), "{took:?}");
    // An index from the future waits just the same.
    let reply = server.kv_get(&after(index + 1000, Duration::from_millis(1)), "a").await;
    assert_eq!(reply.unwrap().result.index, index);
    server.shutdown().await;
}

#[tokio::test]
async fn the_end_of_the_server_releases_readers() {
    let server = testing::start().await;
    put(&server, "a", "1").await;
    let index = server.kv_get(&QueryOptions::default(), "a").await.unwrap().result.index;
    let wait = after(index, Duration::from_secs(600));
    let reader = server.kv_get(&wait, "a");
    let (reply, ()) = tokio::join!(reader, server.shutdown());
    assert_eq!(reply.unwrap().result.index, index);
}

#[tokio::test]
async fn other_datacenters_are_not_known() {
    let server = testing::start().await;
    let options = QueryOptions { datacenter: "dc9".into(), ..QueryOptions::default() };
    let error = server.kv_get(&options, "a").await.unwrap_err();
    assert_eq!(error, EndpointError::no_path_to_datacenter());
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_filter_leaves_out_is_no_news() {
    use lictor_types::command::RegisterRequest;
    let server = testing::start().await;
    let register = async |node: &str, rack: &str| {
        let request = RegisterRequest {
            node: node.into(),
            address: "10.0.0.1".to_owned(),
            node_meta: [("rack".to_owned(), rack.to_owned())].into(),
            ..RegisterRequest::default()
        };
        server.catalog_register("", request).await.unwrap();
    };
    let filtered = |index| QueryOptions {
        filter: "Meta.rack == r1".to_owned(),
        ..after(index, Duration::from_secs(60))
    };
    let none = lictor_types::catalog::StringMap::new();
    register("a", "r1").await;
    let index = server.catalog_nodes(&filtered(0), &none).await.unwrap().result.index;
    let wait = filtered(index);
    let reader = server.catalog_nodes(&wait, &none);
    let change = async {
        register("b", "r2").await;
        register("c", "r1").await;
    };
    let (reply, ()) = tokio::join!(reader, change);
    let names: Vec<_> = reply.unwrap().result.value.iter().map(|n| n.name.to_string()).collect();
    assert_eq!(names, ["a", "c"]);
    let bad = QueryOptions { filter: "Meta ==".to_owned(), ..QueryOptions::default() };
    let error = server.catalog_nodes(&bad, &none).await.unwrap_err();
    assert!(error.text.starts_with("Failed to create boolean expression evaluator: "));
    server.shutdown().await;
}
