//! Client agents and servers, without sockets: what is asked arrives where it should, and what
//! fails is tried again exactly when it may be.

#![allow(clippy::unwrap_used)]

mod federation;
mod scene;

use std::sync::atomic::Ordering;
use std::time::Duration;

use lictor_forward::{CallFailure, ServeError, ServerInfo, WriteOptions};
use lictor_types::error::ErrorKind;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use lictor_types::query::QueryOptions;
use lictor_types::session::Session;

use scene::Scene;

fn set(key: &str, value: &str) -> KvWrite {
    let value = value.to_owned().into();
    let entry = KvEntry { key: key.into(), value, ..KvEntry::default() };
    KvWrite { op: KvOp::Set, entry, lock_delayed: false }
}

#[tokio::test]
async fn a_client_agent_has_what_its_servers_have() {
    let scene = Scene::start().await;
    let (client, to, options) = (&scene.client, WriteOptions::default(), QueryOptions::default());
    assert!(client.kv_apply(&to, set("a/b", "1")).await.unwrap());
    let cas = KvWrite { op: KvOp::Cas, ..set("a/b", "2") };
    assert!(!client.kv_apply(&to, cas).await.unwrap());
    let reply = client.kv_get(&options, "a/b").await.unwrap();
    let entry = reply.result.value.clone().unwrap();
    assert_eq!((&entry.value[..], reply.meta.index), (&b"1"[..], entry.modify_index));
    assert!(reply.meta.known_leader);
    assert_eq!(client.kv_keys(&options, "", "/").await.unwrap().result.value, ["a/".into()]);
    assert_eq!(client.kv_get(&options, "none").await.unwrap().result.value, None);
    let session = Session { node: "n1".into(), ttl: "10s".into(), ..Session::default() };
    let id = client.session_create(&to, session).await.unwrap();
    assert_eq!(client.session_renew(&to, &id).await.unwrap().unwrap().id, id);
    assert_eq!(client.session_list(&options).await.unwrap().result.value.len(), 1);
    client.session_destroy(&to, &id).await.unwrap();
    assert!(client.session_list(&options).await.unwrap().result.value.is_empty());
    let nodes = client.catalog_nodes(&options, "", &Default::default()).await.unwrap();
    assert_eq!(&*nodes.result.value[0].name, "n1");
    assert_eq!(client.datacenters().await.unwrap(), ["dc1", "dc3", "dc2"]);
    assert_eq!(client.status_leader("").await.unwrap(), "127.0.0.1:8300");
    scene.end().await;
}

#[tokio::test]
async fn a_refusal_keeps_its_kind_and_its_words() {
    let scene = Scene::start().await;
    let to = WriteOptions::default();
    let error = scene.client.kv_apply(&to, set("", "x")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(error.text, "rpc error making call: Must provide key");
    let elsewhere = QueryOptions { datacenter: "dc9".into(), ..QueryOptions::default() };
    for servers in [&scene.client, &scene.server] {
        let error = servers.kv_get(&elsewhere, "a").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoPathToDatacenter, "{error}");
    }
    let lonely = scene.without_servers();
    let error = lonely.kv_get(&QueryOptions::default(), "a").await.unwrap_err();
    assert_eq!(error.text, "No known Consul servers");
    for (method, expected) in [
        ("Nothing.Get", ServeError::NoService),
        ("KVS.Nothing", ServeError::NoMethod),
        ("plain", ServeError::NoService),
    ] {
        assert_eq!(scene.server.serve(method, vec![0x80]).await, Err(expected));
    }
    assert!(matches!(
        scene.server.serve("KVS.Get", vec![0xc1]).await,
        Err(ServeError::Failed(text)) if text.starts_with("codec.decoder")
    ));
    scene.end().await;
}

#[tokio::test]
async fn what_never_left_is_asked_of_the_next_server_whatever_it_does() {
    let scene = Scene::start().await;
    let to = WriteOptions::default();
    for _ in 0..10 {
        scene.faults.fail_next(CallFailure::Unsent("refused".into()));
        scene.client.kv_apply(&to, set("a", "1")).await.unwrap();
    }
    scene.end().await;
}

#[tokio::test]
async fn a_write_that_was_lost_on_the_way_is_not_made_again() {
    let scene = Scene::start().await;
    let to = WriteOptions::default();
    scene.faults.fail_next(CallFailure::Lost("EOF".into()));
    let before = scene.faults.calls.load(Ordering::SeqCst);
    let error = scene.client.kv_apply(&to, set("a", "1")).await.unwrap_err();
    assert_eq!(error.text, "rpc error making call: EOF");
    assert_eq!(scene.faults.calls.load(Ordering::SeqCst), before + 1);
    scene.faults.fail_next(CallFailure::Lost("EOF".into()));
    scene.client.kv_get(&QueryOptions::default(), "a").await.unwrap();
    scene.end().await;
}

#[tokio::test]
async fn without_a_leader_both_are_tried_for_a_while() {
    let scene = Scene::start().await;
    let to = WriteOptions::default();
    for _ in 0..3 {
        scene.faults.fail_next(CallFailure::Remote("No cluster leader".into()));
    }
    scene.client.kv_apply(&to, set("a", "1")).await.unwrap();
    scene.faults.fail_always(CallFailure::Remote("No cluster leader".into()));
    let started = tokio::time::Instant::now();
    let error = scene.client.kv_apply(&to, set("a", "1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoLeader);
    assert!(started.elapsed() >= scene::HOLD, "{:?}", started.elapsed());
    scene.end().await;
}

#[tokio::test]
async fn a_blocking_read_waits_at_the_server_and_goes_on_when_that_is_lost() {
    let scene = Scene::start().await;
    let to = WriteOptions::default();
    scene.client.kv_apply(&to, set("a", "1")).await.unwrap();
    let first = scene.client.kv_get(&QueryOptions::default(), "a").await.unwrap();
    let options = QueryOptions {
        min_index: first.meta.index,
        max_wait: Duration::from_secs(30),
        ..QueryOptions::default()
    };
    let waiting = scene.client.kv_get(&options, "a");
    let change = async {
        scene.faults.waits_for_call("KVS.Get").await;
        scene.faults.lose_what_waits();
        scene.faults.waits_for_call("KVS.Get").await;
        scene.server.kv_apply(&to, set("a", "2")).await.unwrap();
    };
    let (reply, ()) = tokio::join!(waiting, change);
    assert_eq!(&reply.unwrap().result.value.clone().unwrap().value[..], b"2");
    scene.end().await;
}

#[tokio::test]
async fn other_datacenters_are_asked_through_their_servers() {
    let scene = Scene::start().await;
    let to = WriteOptions { datacenter: "dc2".into(), token: String::new() };
    scene.client.kv_apply(&to, set("there", "1")).await.unwrap();
    let options = QueryOptions { datacenter: "dc2".into(), ..QueryOptions::default() };
    for servers in [&scene.client, &scene.server] {
        let found = servers.kv_get(&options, "there").await.unwrap();
        assert!(found.result.value.is_some());
        let here = servers.kv_get(&QueryOptions::default(), "there").await.unwrap();
        assert!(here.result.value.is_none());
    }
    scene.end().await;
}

#[tokio::test]
async fn a_server_that_is_lost_keeps_nobody_waiting() {
    let scene = Scene::start().await;
    let one = scene.client.routes().servers("dc1").remove(0);
    let (to, options) = (WriteOptions::default(), QueryOptions::default());
    // What is asked is never answered, and gossip finds the server dead.
    scene.faults.hang(true);
    let hangs = scene.faults.waits_for_call("KVS.Apply");
    let lost = async {
        hangs.await;
        scene.client.routes().remove("dc1", "n1");
    };
    let started = std::time::Instant::now();
    let (error, ()) = tokio::join!(scene.client.kv_apply(&to, set("a", "1")), lost);
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal, "it may have been carried out: {error}");
    assert!(error.text.contains("lost before it answered"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
    // A read is made again of who can be asked then: a server that knows the way.
    let address = scene.server.routes().servers("dc2").remove(0).address;
    let other = ServerInfo { name: "n2".into(), address, ..one.clone() };
    scene.client.routes().add(one);
    let found = async {
        scene.faults.waits_for_call("KVS.Get").await;
        scene.faults.hang(false);
        scene.client.routes().add(other);
        scene.client.routes().remove("dc1", "n1");
    };
    let (reply, ()) = tokio::join!(scene.client.kv_get(&options, "a"), found);
    assert_eq!(reply.unwrap().result.value, None);
    scene.end().await;
}

#[tokio::test]
async fn a_client_agent_calls_as_often_as_it_may() {
    let scene = Scene::start().await;
    let options = QueryOptions::default();
    for servers in [&scene.client, &scene.server] {
        servers.set_rate(0.0, 2);
    }
    for _ in 0..2 {
        scene.client.kv_get(&options, "a").await.unwrap();
    }
    let error = scene.client.kv_get(&options, "a").await.unwrap_err();
    assert_eq!((error.kind, &*error.text), (ErrorKind::RateLimited, "RPC rate limit exceeded"));
    let far = QueryOptions { datacenter: "dc2".into(), ..QueryOptions::default() };
    for _ in 0..5 {
        scene.server.kv_get(&far, "a").await.unwrap();
    }
    scene.client.set_rate(-1.0, 0);
    scene.client.kv_get(&options, "a").await.unwrap();
    scene.end().await;
}
