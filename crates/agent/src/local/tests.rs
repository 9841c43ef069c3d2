//! Tests of the parent module without a catalog; with one they are in `sync`.

use lictor_types::definition::CheckDefinition;

use super::*;
use crate::testing::{check_definition, tokens, ttl};

fn state() -> LocalState {
    let node = NodeFacts { name: "n".into(), ..NodeFacts::default() };
    LocalState::new(node, tokens(), Duration::from_secs(300), false)
}

fn service(id: &str, tags: &[&str]) -> Service {
    Service {
        id: id.into(),
        name: "web".into(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Service::default()
    }
}

fn for_service(id: &str, service: &str) -> CheckDefinition {
    CheckDefinition { service_id: service.to_owned(), ..check_definition(id, ttl(1)) }
}

fn add(local: &LocalState, definition: &CheckDefinition) -> bool {
    local.set_check(CheckEntry::defined(definition, Origin::Api))
}

#[tokio::test]
async fn checks_know_their_service() {
    let local = state();
    assert!(!add(&local, &for_service("c", "w")), "there is no such service yet");
    local.set_service(service("w", &["a"]), String::new(), Origin::Api);
    assert!(add(&local, &for_service("c", "w")));
    let check = local.check("c").unwrap().check;
    assert_eq!((&*check.node, &*check.service_name), ("n", "web"));
    assert_eq!(check.service_tags, ["a"]);
    local.set_service(service("w", &["b"]), String::new(), Origin::Api);
    assert_eq!(local.check("c").unwrap().check.service_tags, ["b"]);
    assert_eq!(local.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_defined_again_keeps_its_state() {
    let local = state();
    add(&local, &check_definition("c", ttl(1)));
    local.update_check("c", Status::Warning, "hot".to_owned());
    let again = CheckDefinition {
        notes: "new".to_owned(),
        status: Some(Status::Passing),
        ..check_definition("c", ttl(2))
    };
    add(&local, &again);
    let check = local.check("c").unwrap().check;
    assert_eq!((check.status, &*check.output, &*check.notes), (Status::Warning, "hot", "new"));
}

#[tokio::test]
async fn results_of_removed_checks_are_ignored() {
    let local = state();
    add(&local, &check_definition("c", ttl(1)));
    assert!(local.remove_check("c"));
    assert!(!local.remove_check("c"));
    local.update_check("c", Status::Passing, String::new());
    assert!(local.checks().is_empty());
}

#[tokio::test]
async fn outputs_can_be_thrown_away() {
    let local = state();
    add(&local, &check_definition("c", ttl(1)));
    local.set_discard_output(true);
    local.update_check("c", Status::Passing, "secret".to_owned());
    assert_eq!(local.check("c").unwrap().check.output, "");
}

#[tokio::test]
async fn a_change_during_a_push_stays_due() {
    let local = state();
    local.set_service(service("w", &[]), "own".to_owned(), Origin::Api);
    let token_less = for_service("c", "w");
    add(&local, &token_less);
    let pushes = local.pending("agent");
    // The check has no token of its own while its service has one: two registrations.
    assert_eq!(pushes.len(), 2);
    local.update_check("c", Status::Passing, String::new());
    for push in &pushes {
        local.settle(push, Settled::Done);
    }
    let left = local.pending("agent");
    assert_eq!(left.len(), 1);
    assert!(matches!(&left[0], Push::Register { checks, service: None, .. } if checks.len() == 1));
    local.settle(&left[0], Settled::Done);
    assert!(local.pending("agent").is_empty());
}

#[tokio::test]
async fn a_service_that_comes_back_is_not_removed() {
    let local = state();
    local.set_service(service("w", &[]), String::new(), Origin::Api);
    local.remove_service("w");
    local.set_service(service("w", &[]), String::new(), Origin::Api);
    let removals = local.pending("agent");
    assert!(removals.iter().all(|push| matches!(push, Push::Register { .. })), "{removals:?}");
}

#[tokio::test(start_paused = true)]
async fn services_with_a_long_critical_check_are_overdue() {
    let local = state();
    local.set_service(service("w", &[]), String::new(), Origin::Api);
    let mut definition = for_service("c", "w");
    definition.deregister_critical_service_after = 60_000_000_000;
    add(&local, &definition);
    let mut of_node = check_definition("node", ttl(1));
    of_node.deregister_critical_service_after = 1;
    add(&local, &of_node);
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(local.overdue_services(Instant::now()).is_empty());
    local.update_check("c", Status::Passing, String::new());
    local.update_check("c", Status::Critical, String::new());
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(local.overdue_services(Instant::now()).is_empty());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(local.overdue_services(Instant::now()), ["w".into()]);
}
