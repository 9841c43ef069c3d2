//! Policies, the merging of several, and decisions against a model that looks at every rule.

use proptest::prelude::*;

use super::*;

fn authorizer(default: DefaultPolicy, policies: &[&str]) -> Authorizer {
    let rules: Vec<Rules> = policies.iter().map(|text| Rules::parse(text).unwrap()).collect();
    Authorizer::new(&rules, default)
}

#[test]
fn the_fixed_ones() {
    let manage = Authorizer::manage_all();
    assert!(manage.allows_everything() && manage.acl_write() && manage.snapshot());
    assert!(manage.key_write_prefix("") && manage.node_read_all() && manage.keyring_write());
    let allow = Authorizer::by_default(DefaultPolicy::Allow);
    assert!(!allow.allows_everything() && allow.key_write("a") && allow.operator_write());
    assert!(!allow.acl_read() && !allow.snapshot());
    let deny = Authorizer::by_default(DefaultPolicy::Deny);
    assert!(!deny.key_read("a") && !deny.operator_read() && !deny.node_read_all());
    assert!(!deny.key_write_prefix(""));
}

#[test]
fn exact_beats_prefix_and_longer_beats_shorter() {
    let token = authorizer(
        DefaultPolicy::Deny,
        &[r#"
        key_prefix "" { policy = "read" }
        key_prefix "a/" { policy = "write" }
        key "a/b" { policy = "deny" }
        key_prefix "a/b" { policy = "list" }
        "#],
    );
    assert!(token.key_read("x") && !token.key_write("x") && !token.key_list("x"));
    assert!(token.key_write("a/") && token.key_write("a/c"));
    assert!(!token.key_read("a/b"));
    assert!(token.key_list("a/bc") && !token.key_write("a/bc"));
    assert!(!token.key_write_prefix("a/") && !token.key_write_prefix("a/b"));
    assert!(token.key_write_prefix("a/c") && !token.key_write_prefix(""));
}

#[test]
fn policies_are_merged() {
    let read = r#"node_prefix "" { policy = "read" } operator = "read" keyring = "write""#;
    let write = r#"node_prefix "" { policy = "write" } operator = "write""#;
    let deny = r#"node_prefix "" { policy = "deny" } keyring = "deny""#;
    let both = authorizer(DefaultPolicy::Deny, &[read, write]);
    assert!(both.node_write("n") && both.operator_write() && both.keyring_write());
    let all = authorizer(DefaultPolicy::Allow, &[deny, write, read]);
    assert!(!all.node_read("n") && !all.keyring_read() && all.operator_write());
}

#[test]
fn intentions_follow_from_the_service_unless_told() {
    let token = authorizer(
        DefaultPolicy::Deny,
        &[r#"
        service "web" { policy = "write" }
        service "db" { policy = "read" intentions = "write" }
        service "no" { policy = "deny" }
        "#],
    );
    assert!(token.intention_read("web") && !token.intention_write("web"));
    assert!(token.intention_write("db") && !token.service_write("db"));
    assert!(!token.intention_read("no") && !token.intention_read("other"));
    assert!(token.intention_read("*") && !token.intention_write("*"));
    let all = authorizer(
        DefaultPolicy::Deny,
        &[r#"service_prefix "" { policy = "read" intentions = "write" }"#],
    );
    assert!(all.intention_write("*") && all.service_read_all() && !all.service_write_any());
}

#[test]
fn identities() {
    let service = Authorizer::new([&Rules::service_identity("web")], DefaultPolicy::Deny);
    assert!(service.service_write("web") && service.service_write("web-sidecar-proxy"));
    assert!(!service.service_write("web2") && service.service_read("db"));
    assert!(service.node_read_all() && !service.node_write("n"));
    let node = Authorizer::new([&Rules::node_identity("n")], DefaultPolicy::Deny);
    assert!(node.node_write("n") && !node.node_read("m") && node.service_read_all());
    let recovery = Authorizer::new([&Rules::agent_recovery("n")], DefaultPolicy::Deny);
    assert!(recovery.agent_write("n") && !recovery.agent_read("m") && recovery.node_read_all());
}

/// The decision about one name, by looking at every rule.
fn naive(rules: &[Rule], name: &str, wanted: Level, rest: bool) -> bool {
    let same = |a: &&Rule, b: &&Rule| (a.prefix, &a.segment) == (b.prefix, &b.segment);
    let merged = |rule: &Rule| {
        let alike = rules.iter().filter(|other| same(&rule, other));
        alike.map(|other| other.level).reduce(Level::merged).unwrap()
    };
    let exact = rules.iter().find(|rule| !rule.prefix && rule.segment == name);
    let longest = rules
        .iter()
        .filter(|rule| rule.prefix && name.starts_with(&rule.segment))
        .max_by_key(|rule| rule.segment.len());
    exact.or(longest).map_or(rest, |rule| merged(rule).grants(wanted))
}

fn rule() -> impl Strategy<Value = Rule> {
    let level =
        prop_oneof![Just(Level::Deny), Just(Level::Read), Just(Level::List), Just(Level::Write)];
    ("[ab]{0,4}", any::<bool>(), level).prop_map(|(segment, prefix, level)| Rule {
        prefix,
        ..Rule::exact(Segmented::Key, segment, level)
    })
}

proptest! {
    #[test]
    fn as_if_every_rule_were_looked_at(
        rules in prop::collection::vec(rule(), 0..14),
        split in 0..14_usize,
        names in prop::collection::vec("[abc]{0,5}", 1..8),
        allow: bool,
    ) {
        let default = if allow { DefaultPolicy::Allow } else { DefaultPolicy::Deny };
        let (one, two) = rules.split_at(split.min(rules.len()));
        let policies = [one, two].map(|rules| Rules { rules: rules.to_vec(), ..Rules::default() });
        let token = Authorizer::new(&policies, default);
        for name in &names {
            for wanted in [Level::Read, Level::List, Level::Write] {
                let resource = Resource::Segmented(Segmented::Key);
                prop_assert_eq!(
                    token.permits(resource, name, wanted),
                    naive(&rules, name, wanted, allow),
                    "{} {}", name, wanted
                );
            }
            // All keys below may be written only if each one may.
            if token.key_write_prefix(name) {
                for rest in ["", "a", "b", "c", "ab", "ba", "aaa"] {
                    let key = format!("{name}{rest}");
                    prop_assert!(token.key_write(&key));
                }
            }
        }
        if token.permits_all(Segmented::Key, Level::Read) {
            for name in &names {
                prop_assert!(token.key_read(name));
            }
        }
        if !token.permits_any(Segmented::Key, Level::Write) && !rules.is_empty() {
            for rule in &rules {
                prop_assert!(!token.key_write(&rule.segment));
            }
        }
    }
}
