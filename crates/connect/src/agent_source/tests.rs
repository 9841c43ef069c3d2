//! What is made of an agent's answers. Asking again and again is tested with whole proxies.

use std::sync::Arc;

use lictor_api::client::Response;
use lictor_api::intentions::DEFAULT_INTENTION_HEADER;
use tokio::sync::watch;

use super::endpoints::{path, read};
use super::identity::{Parts, take_leaf, take_roots};
use super::intentions::{next, rules};
use super::*;
use crate::endpoint::ExpectedService;
use crate::fixture::Mesh;
use crate::identity::LocalIdentity;
use crate::policy::{Action, Rules};

fn answer(body: &str) -> Response {
    let body = body.as_bytes().to_vec().into();
    Response { status: 200, headers: Default::default(), body }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn roots_of(mesh: &Mesh) -> Response {
    let (domain, pem) = (quoted(mesh.domain.as_str()), quoted(mesh.root.cert_pem()));
    answer(&format!(
        r#"{{"ActiveRootID":"a","TrustDomain":{domain},"Roots":[{{"ID":"a","RootCert":{pem},
            "IntermediateCerts":null,"Active":true}}]}}"#
    ))
}

fn leaf_of(mesh: &Mesh, name: &str) -> Response {
    let (cert, key) = mesh.leaf(name);
    let (cert, key) = (quoted(&cert), quoted(&key));
    answer(&format!(r#"{{"CertPEM":{cert},"PrivateKeyPEM":{key},"Service":"{name}"}}"#))
}

type Held = watch::Sender<Option<Arc<LocalIdentity>>>;

fn held(into: &Held) -> Option<Arc<LocalIdentity>> {
    into.borrow().clone()
}

#[test]
fn leaf_and_roots_may_come_in_any_order() {
    let mesh = Mesh::new();
    for leaf_first in [true, false] {
        let (mut parts, into) = (Parts::default(), Held::new(None));
        if leaf_first {
            take_leaf(&mut parts, &leaf_of(&mesh, "web"), &into).unwrap();
        }
        assert!(held(&into).is_none());
        take_roots(&mut parts, &roots_of(&mesh), &into).unwrap();
        if !leaf_first {
            assert!(held(&into).is_none());
            take_leaf(&mut parts, &leaf_of(&mesh, "web"), &into).unwrap();
        }
        assert_eq!(held(&into).unwrap().id(), &mesh.service("web"));
    }
}

#[test]
fn only_a_change_makes_a_new_identity() {
    let mesh = Mesh::new();
    let (mut parts, into) = (Parts::default(), Held::new(None));
    let (roots, leaf) = (roots_of(&mesh), leaf_of(&mesh, "web"));
    take_roots(&mut parts, &roots, &into).unwrap();
    take_leaf(&mut parts, &leaf, &into).unwrap();
    let first = held(&into).unwrap();
    take_roots(&mut parts, &roots, &into).unwrap();
    take_leaf(&mut parts, &leaf, &into).unwrap();
    assert!(Arc::ptr_eq(&first, &held(&into).unwrap()));
    take_leaf(&mut parts, &leaf_of(&mesh, "web"), &into).unwrap();
    assert!(!Arc::ptr_eq(&first, &held(&into).unwrap()));
}

#[test]
fn answers_of_no_use_change_nothing() {
    let mesh = Mesh::new();
    let (mut parts, into) = (Parts::default(), Held::new(None));
    take_roots(&mut parts, &roots_of(&mesh), &into).unwrap();
    take_leaf(&mut parts, &leaf_of(&mesh, "web"), &into).unwrap();
    let first = held(&into).unwrap();
    for body in ["", "{}", r#"{"TrustDomain":"x.consul","Roots":[]}"#, r#"{"CertPEM":"x"}"#] {
        assert!(take_roots(&mut parts, &answer(body), &into).is_err(), "{body}");
        assert!(take_leaf(&mut parts, &answer(body), &into).is_err(), "{body}");
    }
    // A leaf of another cluster than the roots'.
    let other = Mesh::of("99999999-2222-3333-4444-555555555555.consul");
    assert!(take_leaf(&mut parts, &leaf_of(&other, "web"), &into).is_err());
    assert!(Arc::ptr_eq(&first, &held(&into).unwrap()));
    // The roots of that other cluster make it whole.
    take_roots(&mut parts, &roots_of(&other), &into).unwrap();
    assert_eq!(held(&into).unwrap().id(), &other.service("web"));
}

#[test]
fn intentions_become_rules_and_the_default_is_the_headers() {
    let body = r#"{"db":[{"ID":"1","SourceNS":"default","SourceName":"web","DestinationNS":
        "default","DestinationName":"db","Action":"deny","Precedence":9},
        {"ID":"2","SourceNS":"default","SourceName":"*","DestinationNS":"default",
        "DestinationName":"db","Action":"odd","Precedence":8}]}"#;
    let read = rules(&answer(body), "db").unwrap();
    assert_eq!(read.matching("default", "web").unwrap().id, "1");
    assert_eq!(read.matching("default", "api").unwrap().action, Action::Deny);
    assert!(rules(&answer(body), "cache").is_err());

    let mut none = answer(r#"{"db":null}"#);
    assert_eq!(rules(&none, "db").unwrap(), Rules::new(Vec::new(), Action::Allow));
    for (word, default) in
        [("allow", Action::Allow), ("deny", Action::Deny), ("else", Action::Deny)]
    {
        none.headers.insert(
            DEFAULT_INTENTION_HEADER.to_ascii_lowercase().leak() as &'static str,
            word.parse().unwrap(),
        );
        assert_eq!(rules(&none, "db").unwrap(), Rules::new(Vec::new(), default), "{word}");
    }
}

#[test]
fn the_version_of_rules_follows_the_index_or_counts() {
    let valid_until = Instant::now();
    let allow = || Rules::new(Vec::new(), Action::Allow);
    let first = next(None, allow(), 0, valid_until);
    assert_eq!(first.version, 1);
    let same = next(Some(first), allow(), 0, valid_until);
    assert_eq!(same.version, 1);
    let changed = next(Some(same), Rules::new(Vec::new(), Action::Deny), 0, valid_until);
    assert_eq!(changed.version, 2);
    let later = next(Some(changed), allow(), 40, valid_until);
    assert_eq!(later.version, 40);
}

#[test]
fn instances_are_those_that_speak_for_the_service() {
    let body = r#"[
        {"Node":{"Address":"10.0.0.1","Datacenter":"dc1"},
         "Service":{"Kind":"connect-proxy","Service":"db-proxy","Port":20000,
                    "ProxyDestination":"db"},"Checks":null},
        {"Node":{"Address":"10.0.0.2","Datacenter":"dc1"},
         "Service":{"Service":"db","Address":"10.9.9.9","Port":1,"Connect":{"Native":true}}},
        {"Node":{"Address":"10.0.0.3","Datacenter":"dc1"},"Service":{"Service":"db","Port":2}},
        {"Node":{"Address":"10.0.0.4","Datacenter":"dc1"},
         "Service":{"Kind":"connect-proxy","Port":0,"ProxyDestination":"db"}}]"#;
    let found = read(&answer(body), false).unwrap();
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.1:20000", "10.9.9.9:1"]);
    assert!(found.iter().all(|e| e.expected == ExpectedService::new("dc1", "db")));
    assert_eq!(read(&answer("null"), false).unwrap(), []);
    let query = format!(r#"{{"Service":"db","Nodes":{body}}}"#);
    assert_eq!(read(&answer(&query), true).unwrap(), found);
}

#[test]
fn names_are_encoded_in_paths() {
    let service = Target::Service { name: "a b".to_owned(), datacenter: "dc&2".to_owned() };
    let (asked, every) = path(&service);
    assert_eq!(asked, "/v1/health/connect/a%20b?passing=1&stale=&dc=dc%262");
    assert_eq!(every, None);
    let query = Target::Query { name: "q".to_owned(), datacenter: String::new() };
    let expected = ("/v1/query/q/execute?connect=true".to_owned(), Some(QUERY_POLL));
    assert_eq!(path(&query), expected);
}

#[test]
fn pauses_grow_and_stay_bounded() {
    let mut failures = Backoff::default();
    for round in 0..40_u32 {
        let full = BACKOFF_MIN.saturating_mul(1 << round.min(16)).min(BACKOFF_MAX);
        let pause = failures.pause();
        assert!(pause >= full / 2 && pause <= full, "{round}: {pause:?}");
    }
}
