//! Prepared queries from the endpoint's side: what is refused, what is found, and waiting.

use std::time::Duration;

use lictor_types::catalog::{Service, ServiceKind};
use lictor_types::check::HealthCheck;
use lictor_types::command::RegisterRequest;
use lictor_types::session::Session;

use super::*;
use crate::testing;

/// What a case changes of a query.
type Change = fn(&mut ServiceQuery);

fn named(name: &str, service: &str) -> PreparedQuery {
    let mut query = PreparedQuery { name: name.into(), ..PreparedQuery::default() };
    query.service.service = service.into();
    query
}

async fn instance(server: &Server, node: &str, tags: &[&str], status: Status) {
    let number = node.trim_start_matches(char::is_alphabetic);
    let check = |id: &str, status| HealthCheck {
        check_id: id.into(),
        service_id: "w".into(),
        status,
        ..HealthCheck::default()
    };
    let request = RegisterRequest {
        node: node.into(),
        address: format!("10.0.0.{number}"),
        datacenter: "dc1".into(),
        node_meta: StringMap::from([("node".to_owned(), node.to_owned())]),
        service: Some(Service {
            id: "w".into(),
            name: "web".into(),
            meta: StringMap::from([("of".to_owned(), node.to_owned())]),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Service::default()
        }),
        checks: vec![check("c", status), check("d", Status::Passing)],
        ..RegisterRequest::default()
    };
    server.propose(Command::Register(Box::new(request))).await.unwrap();
}

/// Nodes of a result in the order of names.
async fn found(server: &Server, request: QueryRequest<'_>) -> Vec<String> {
    let reply = server.prepared_query_execute(&QueryOptions::default(), &request).await.unwrap();
    let nodes = reply.reply.result.value.nodes.iter();
    let mut names: Vec<String> = nodes.map(|row| row.node.name.to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn instances_are_chosen_by_what_the_query_says() {
    let server = testing::start().await;
    instance(&server, "a1", &["One"], Status::Passing).await;
    instance(&server, "a2", &["one", "two"], Status::Warning).await;
    instance(&server, "a3", &[], Status::Critical).await;
    let cases: [(&str, Change, &[&str]); 10] = [
        ("all", |_| {}, &["a1", "a2"]),
        ("passing", |q| q.only_passing = true, &["a1"]),
        ("ignoring", |q| q.ignore_check_ids = vec!["c".into()], &["a1", "a2", "a3"]),
        ("ignoring another", |q| q.ignore_check_ids = vec!["x".into()], &["a1", "a2"]),
        ("tags", |q| q.tags = vec!["ONE".into()], &["a1", "a2"]),
        ("no tag", |q| q.tags = vec!["one".into(), "!TWO".into()], &["a1"]),
        ("meta", |q| drop(q.node_meta.insert("node".into(), "a2".into())), &["a2"]),
        ("its meta", |q| drop(q.service_meta.insert("of".into(), "a2".into())), &["a2"]),
        ("other meta", |q| drop(q.service_meta.insert("to".into(), "a2".into())), &[]),
        ("mesh", |q| q.connect = true, &[]),
    ];
    for (name, change, expected) in cases {
        let mut query = named(name, "Web");
        change(&mut query.service);
        server.prepared_query_create("", query).await.unwrap();
        let request = QueryRequest { name, ..QueryRequest::default() };
        assert_eq!(found(&server, request).await, expected, "{name}");
    }
    let limited = QueryRequest { name: "all", limit: 1, ..QueryRequest::default() };
    assert_eq!(found(&server, limited).await.len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn instances_of_the_mesh_are_found_by_their_destination() {
    let server = testing::start().await;
    instance(&server, "a1", &[], Status::Passing).await;
    let service = Service {
        id: "p".into(),
        name: "web-proxy".into(),
        kind: ServiceKind::ConnectProxy,
        proxy_destination: "web".into(),
        ..Service::default()
    };
    let request =
        RegisterRequest { node: "p1".into(), service: Some(service), ..RegisterRequest::default() };
    server.propose(Command::Register(Box::new(request))).await.unwrap();
    server.prepared_query_create("", named("q", "web")).await.unwrap();
    let mut request = QueryRequest { name: "q", ..QueryRequest::default() };
    assert_eq!(found(&server, request).await, ["a1"]);
    request.connect = true;
    assert_eq!(found(&server, request).await, ["p1"]);
    server.shutdown().await;
}

#[tokio::test]
async fn the_near_node_comes_first() {
    let server = testing::start().await;
    for number in 1..30 {
        instance(&server, &format!("a{number}"), &[], Status::Passing).await;
    }
    let mut query = named("q", "web");
    query.service.near = "a7".into();
    server.prepared_query_create("", query).await.unwrap();
    let address = "10.0.0.9".parse().ok();
    let plain = QueryRequest { name: "q", agent: "a8", address, limit: 1, ..Default::default() };
    for (near, expected) in [("", "a7"), ("_agent", "a8"), ("_ip", "a9"), ("a6", "a6")] {
        let request = QueryRequest { near, ..plain };
        assert_eq!(found(&server, request).await, [expected], "{near}");
    }
    let lost = QueryRequest { near: "_ip", address: None, ..plain };
    assert_eq!(found(&server, lost).await.len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_is_kept_but_not_the_sign_for_a_hidden_one() {
    let server = testing::start().await;
    let mut query = named("q", "web");
    query.token = HIDDEN_TOKEN.into();
    let error = server.prepared_query_create("", query.clone()).await.unwrap_err();
    assert!(error.text.starts_with("Invalid prepared query: Bad Token '<hidden>', "), "{error}");
    query.token = "secret".into();
    let id = server.prepared_query_create("", query).await.unwrap();
    let reply = server.prepared_query_get(&QueryOptions::default(), &id).await.unwrap();
    assert_eq!(reply.result.value.token, "secret");
    server.shutdown().await;
}

#[tokio::test]
async fn a_reader_hears_of_a_change_and_of_the_end_of_its_session() {
    let server = testing::start().await;
    instance(&server, "a1", &[], Status::Passing).await;
    let session = Session { node: "a1".into(), ..Session::default() };
    let session = server.session_create("", session).await.unwrap();
    let query = PreparedQuery { session: Arc::clone(&session), ..named("q", "web") };
    let id = server.prepared_query_create("", query.clone()).await.unwrap();
    let now = server.prepared_query_get(&QueryOptions::default(), &id).await.unwrap();
    let mut wait = QueryOptions {
        min_index: now.result.index,
        max_wait: Duration::from_secs(60),
        ..QueryOptions::default()
    };
    let mut changed = PreparedQuery { id: Arc::clone(&id), ..query };
    changed.service.service = "api".into();
    let change = async {
        // Another query wakes nobody.
        server.prepared_query_create("", named("other", "web")).await.unwrap();
        server.prepared_query_update("", changed).await.unwrap();
    };
    let (reply, ()) = tokio::join!(server.prepared_query_get(&wait, &id), change);
    let reply = reply.unwrap();
    assert_eq!(reply.result.value.service.service, "api");
    wait.min_index = reply.result.index;
    let end = server.session_destroy("", &session);
    let (reply, ended) = tokio::join!(server.prepared_query_get(&wait, &id), end);
    ended.unwrap();
    assert_eq!(reply.unwrap_err().kind, ErrorKind::NotFound);
    server.shutdown().await;
}

#[test]
fn every_instance_comes_first_about_as_often() {
    let mut first = [0; 4];
    for _ in 0..4000 {
        let mut rows = [0, 1, 2, 3];
        shuffle(&mut rows, uuid::Uuid::new_v4().as_u128());
        first[rows[0]] += 1;
    }
    assert!(first.iter().all(|count| (800..1200).contains(count)), "{first:?}");
}
