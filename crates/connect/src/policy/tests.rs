//! Which rule decides, and what happens without rules.

use lictor_pki::TrustDomain;
use proptest::prelude::*;

use super::*;
use crate::fixture::{rule, snapshot};

fn source(name: &str) -> ServiceId {
    let domain = TrustDomain::new("11111111-2222-3333-4444-555555555555.consul").unwrap();
    ServiceId::new(domain, "dc1", name)
}

fn policy(list: Vec<Rule>, default: Action) -> (watch::Sender<Option<PolicySnapshot>>, Policy) {
    let (sender, receiver) = watch::channel(Some(snapshot(7, list, default)));
    (sender, Policy::new(receiver))
}

#[test]
fn the_first_rule_that_covers_the_source_decides() {
    use Action::{Allow, Deny};
    let list = vec![rule("web", Allow), rule("*", Deny), rule("*/*", Allow)];
    let (_sender, policy) = policy(list, Allow);
    assert_eq!(policy.decide(&source("web")).action, Allow);
    let refused = policy.decide(&source("api"));
    assert_eq!((refused.action, refused.version), (Deny, 7));
    assert_eq!(
        refused.reason.to_string(),
        "Matched intention: DENY default/* => default/db (ID: id-*, Precedence: 9)"
    );
    // `*` covers its namespace alone.
    let foreign = ServiceId { namespace: "other".to_owned(), ..source("api") };
    assert_eq!(policy.decide(&foreign).action, Allow);
}

#[test]
fn without_a_rule_the_default_decides() {
    for default in [Action::Allow, Action::Deny] {
        let (_sender, policy) = policy(vec![rule("web", Action::Deny)], default);
        let decision = policy.decide(&source("api"));
        assert_eq!(decision.action, default);
        assert_eq!(decision.reason.to_string(), "Default behavior configured by ACLs");
    }
}

#[test]
fn without_rules_nobody_is_allowed() {
    let (sender, receiver) = watch::channel(None);
    let policy = Policy::new(receiver);
    assert_eq!(policy.decide(&source("web")).reason, Reason::NoPolicy);
    assert_eq!(policy.version(), 0);
    sender.send_replace(Some(snapshot(3, Vec::new(), Action::Allow)));
    assert_eq!(policy.decide(&source("web")).action, Action::Allow);
    assert_eq!(policy.version(), 3);
}

#[tokio::test(start_paused = true)]
async fn rules_end_with_their_lease() {
    let (sender, receiver) = watch::channel(Some(snapshot(3, Vec::new(), Action::Allow)));
    let policy = Policy::new(receiver);
    tokio::time::advance(Duration::from_secs(3599)).await;
    assert_eq!(policy.decide(&source("web")).action, Action::Allow);
    tokio::time::advance(Duration::from_secs(1)).await;
    let decision = policy.decide(&source("web"));
    assert_eq!((decision.action, decision.reason), (Action::Deny, Reason::LeaseEnded));
    sender.send_replace(Some(snapshot(3, Vec::new(), Action::Allow)));
    assert_eq!(policy.decide(&source("web")).action, Action::Allow);
}

/// What the index must agree with: trying one after the other.
fn slowly<'a>(list: &'a [Rule], namespace: &str, name: &str) -> Option<&'a Rule> {
    list.iter().find(|rule| match (rule.source_namespace.as_str(), rule.source_name.as_str()) {
        (WILDCARD, _) => true,
        (ns, WILDCARD) => ns == namespace,
        (ns, exact) => ns == namespace && exact == name,
    })
}

proptest! {
    #[test]
    fn the_index_decides_as_the_list_does(
        sources in prop::collection::vec("(default|b)/(x|y|z|[*])|[*]/[*]", 0..12),
        namespace in "default|b|c",
        name in "x|y|z|w",
    ) {
        let list: Vec<_> = sources
            .iter()
            .enumerate()
            .map(|(i, source)| Rule { id: i.to_string(), ..rule(source, Action::Allow) })
            .collect();
        let rules = Rules::new(list.clone(), Action::Deny);
        prop_assert_eq!(rules.matching(&namespace, &name), slowly(&list, &namespace, &name));
    }
}
