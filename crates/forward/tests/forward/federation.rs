//! Several datacenters: queries that fail over, events and keys of others, and what is not there.

use std::net::SocketAddr;

use lictor_forward::{KeyringArgs, KeyringOp, ServerInfo, Servers, WriteOptions};
use lictor_server::{QueryRequest, QueryResult};
use lictor_types::catalog::Service;
use lictor_types::command::RegisterRequest;
use lictor_types::error::ErrorKind;
use lictor_types::prepared_query::PreparedQuery;
use lictor_types::query::QueryOptions;

use crate::scene::Scene;

fn of(datacenter: &str) -> WriteOptions {
    WriteOptions { datacenter: datacenter.to_owned(), token: String::new() }
}

/// Registers an instance of `web` in a datacenter, through the client agent of another one.
async fn register(servers: &Servers, datacenter: &str, node: &str) {
    let request = RegisterRequest {
        node: node.into(),
        address: "10.0.0.1".into(),
        datacenter: datacenter.into(),
        service: Some(Service { id: "web".into(), name: "web".into(), ..Service::default() }),
        ..RegisterRequest::default()
    };
    servers.catalog_register(&of(datacenter), request).await.unwrap();
}

async fn define(servers: &Servers, name: &str, nearest_n: i64, datacenters: &[&str]) {
    let mut query = PreparedQuery { name: name.into(), ..PreparedQuery::default() };
    query.service.service = "web".into();
    query.service.failover.nearest_n = nearest_n;
    query.service.failover.datacenters = datacenters.iter().map(|one| (*one).into()).collect();
    servers.prepared_query_create(&WriteOptions::default(), query).await.unwrap();
}

async fn execute(servers: &Servers, name: &str, limit: usize) -> QueryResult {
    let request = QueryRequest { name, limit, ..QueryRequest::default() };
    let reply = servers.prepared_query_execute(&QueryOptions::default(), &request).await.unwrap();
    reply.result.value.clone()
}

#[tokio::test]
async fn a_query_that_finds_nothing_goes_to_other_datacenters() {
    let scene = Scene::start().await;
    define(&scene.client, "nowhere", 0, &[]).await;
    define(&scene.client, "nearest", 1, &[]).await;
    define(&scene.client, "named", 0, &["dc9", "dc2", "dc3"]).await;
    define(&scene.client, "both", 1, &["dc3", "dc2"]).await;
    for name in ["nowhere", "nearest", "named", "both"] {
        let found = execute(&scene.client, name, 0).await;
        let tried = match name {
            "nowhere" => 0,
            "nearest" => 1,
            _ => 2,
        };
        assert_eq!((found.nodes.len(), found.failovers), (0, tried), "{name}");
    }
    register(&scene.client, "dc2", "a").await;
    register(&scene.client, "dc2", "b").await;
    for servers in [&scene.client, &scene.server] {
        for (name, nodes, failovers, datacenter) in [
            ("nowhere", 0, 0, "dc1"),
            // Only `dc3` was asked, and its answer is the last one.
            ("nearest", 0, 1, "dc3"),
            ("named", 2, 1, "dc2"),
            ("both", 2, 2, "dc2"),
        ] {
            let found = execute(servers, name, 0).await;
            let seen = (found.nodes.len(), found.failovers, &*found.datacenter);
            assert_eq!(seen, (nodes, failovers, datacenter), "{name}");
        }
        assert_eq!(execute(servers, "both", 1).await.nodes.len(), 1);
    }
    // Who is nearer, or at home, is asked first.
    register(&scene.client, "dc3", "c").await;
    let found = execute(&scene.client, "both", 0).await;
    assert_eq!((found.failovers, &*found.datacenter), (1, "dc3"));
    register(&scene.client, "dc1", "d").await;
    let found = execute(&scene.client, "both", 0).await;
    assert_eq!((found.failovers, &*found.datacenter, found.nodes.len()), (0, "dc1", 1));
    scene.end().await;
}

#[tokio::test]
async fn a_datacenter_that_is_silent_is_passed_over() {
    let scene = Scene::start().await;
    define(&scene.client, "both", 1, &["dc2"]).await;
    register(&scene.client, "dc2", "a").await;
    // Nobody answers there, though gossip has not found out yet.
    scene.server.routes().remove("dc3", "n1");
    scene.server.routes().add(ServerInfo {
        name: "gone".into(),
        id: String::new(),
        datacenter: "dc3".into(),
        address: SocketAddr::from(([127, 0, 0, 1], 9)),
    });
    let found = execute(&scene.client, "both", 0).await;
    assert_eq!((found.failovers, &*found.datacenter), (2, "dc2"));
    // Now it has.
    scene.server.routes().remove("dc3", "gone");
    let found = execute(&scene.client, "both", 0).await;
    assert_eq!((found.failovers, &*found.datacenter), (2, "dc2"));
    let there = QueryOptions { datacenter: "dc3".into(), ..QueryOptions::default() };
    let error = scene.server.kv_get(&there, "a").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoPathToDatacenter);
    assert_eq!(error.text, "Remote DC has no server currently reachable");
    scene.end().await;
}

#[tokio::test]
async fn events_are_fired_in_other_datacenters_once() {
    let scene = Scene::start().await;
    for servers in [&scene.client, &scene.server] {
        servers.event_fire(&of("dc2"), "deploy", b"x".to_vec()).await.unwrap();
        servers.event_fire(&of(""), "here", b"y".to_vec()).await.unwrap();
        let error = servers.event_fire(&of("dc9"), "e", Vec::new()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoPathToDatacenter);
    }
    let fired: Vec<_> = scene.pools.iter().map(|pools| pools.fired()).collect();
    let twice = |name: &str, payload: &[u8]| vec![(name.to_owned(), payload.to_vec()); 2];
    assert_eq!(fired, [twice("here", b"y"), twice("deploy", b"x"), Vec::new()]);
    scene.end().await;
}

#[tokio::test]
async fn keys_of_gossip_are_those_of_all_datacenters() {
    let scene = Scene::start().await;
    let args = KeyringArgs { op: KeyringOp::Install, key: "k".into(), ..KeyringArgs::default() };
    let shown = async |args: &KeyringArgs| {
        let replies = scene.server.keyring("", args.clone()).await.unwrap();
        replies.into_iter().map(|one| (one.wan, one.datacenter)).collect::<Vec<_>>()
    };
    let all = [(true, "dc1"), (false, "dc1"), (false, "dc2"), (false, "dc3")];
    assert_eq!(shown(&args).await, all.map(|(wan, name)| (wan, name.to_owned())));
    let own = [(false, "dc1".to_owned())];
    let list = KeyringArgs { local_only: true, op: KeyringOp::List, ..args.clone() };
    assert_eq!(shown(&list).await, own);
    let asked = KeyringArgs { forwarded: true, ..args.clone() };
    assert_eq!(shown(&asked).await, own);
    let wrong = KeyringArgs { local_only: true, ..args.clone() };
    assert!(scene.server.keyring("", wrong).await.is_err());
    let error = scene.client.keyring("", args.clone()).await.unwrap_err();
    assert_eq!(error.text, "keyring operations must run against a server node");
    // A datacenter that cannot be asked is named; the others have done it.
    scene.server.routes().remove("dc2", "n1");
    let error = scene.server.keyring("", args).await.unwrap_err();
    assert_eq!(error.text, "dc2: Remote DC has no server currently reachable");
    scene.end().await;
}

#[tokio::test]
async fn the_whole_catalog_of_a_datacenter_can_be_had() {
    let scene = Scene::start().await;
    register(&scene.client, "dc2", "a").await;
    for servers in [&scene.client, &scene.server] {
        let options = QueryOptions { datacenter: "dc2".into(), ..QueryOptions::default() };
        let names = async |kind| {
            let reply = servers.service_dump(&options, kind).await.unwrap();
            let rows = reply.result.value.iter();
            rows.map(|row| row.service.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(None).await, ["web", "consul"]);
        assert_eq!(names(Some("")).await, ["web", "consul"]);
        assert!(names(Some("connect-proxy")).await.is_empty());
    }
    scene.end().await;
}
