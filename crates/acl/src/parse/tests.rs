//! Texts of policies in both languages and both notations, and what is said of mistakes.

use proptest::prelude::*;

use super::*;

fn error(text: &str) -> String {
    Rules::parse(text).unwrap_err().to_string()
}

#[test]
fn all_that_can_be_said() {
    let rules = Rules::parse(
        r#"
        acl = "read" keyring = "write" operator = "deny"
        agent "n" { policy = "read" }
        agent_prefix "" { policy = "write" }
        event_prefix "e" { policy = "deny" }
        key "a" { policy = "list" }
        key_prefix "a/" { policy = "Write" }
        node "n" { policy = "read" }
        query "q" { policy = "write" }
        service "web" { policy = "write" intentions = "deny" }
        service_prefix "" { policy = "read" }
        session_prefix "" { policy = "write" }
        unknown "x" { policy = "nonsense" }
        "#,
    )
    .unwrap();
    assert_eq!((rules.acl, rules.keyring), (Some(Level::Read), Some(Level::Write)));
    assert_eq!(rules.operator, Some(Level::Deny));
    use Segmented::{Agent, Event, Key, Node, Query, Service, Session};
    let web = Rule { intentions: Some(Level::Deny), ..Rule::exact(Service, "web", Level::Write) };
    assert_eq!(
        rules.rules,
        [
            Rule::exact(Agent, "n", Level::Read),
            Rule::prefix(Agent, "", Level::Write),
            Rule::prefix(Event, "e", Level::Deny),
            Rule::exact(Key, "a", Level::List),
            Rule::prefix(Key, "a/", Level::Write),
            Rule::exact(Node, "n", Level::Read),
            Rule::exact(Query, "q", Level::Write),
            web,
            Rule::prefix(Service, "", Level::Read),
            Rule::prefix(Session, "", Level::Write),
        ]
    );
}

#[test]
fn json_says_the_same() {
    let hcl = r#"key "a" { policy = "read" } key "b" { policy = "write" } operator = "read""#;
    let json = r#"{"key":{"a":{"policy":"read"},"b":{"policy":"write"}},"operator":"read"}"#;
    let listed =
        r#"{"key":[{"a":[{"policy":"read"}]},{"b":{"Policy":"write"}}],"operator":"read"}"#;
    let rules = Rules::parse(hcl).unwrap();
    assert_eq!(Rules::parse(json).unwrap(), rules);
    assert_eq!(Rules::parse(listed).unwrap(), rules);
    assert_eq!(Rules::parse("").unwrap(), Rules::default());
    assert_eq!(Rules::parse("{}").unwrap(), Rules::default());
}

#[test]
fn of_old_every_block_is_about_beginnings() {
    let rules = Rules::parse_legacy(
        r#"key "a" { policy = "write" } key_prefix "b" { policy = "read" } acl = "write""#,
    );
    let rules = rules.unwrap();
    assert_eq!(rules.rules, [Rule::prefix(Segmented::Key, "a", Level::Write)]);
    assert_eq!(rules.acl, None);
}

#[test]
fn mistakes_are_told_as_the_original_does() {
    assert_eq!(
        error(r#"key "a" { policy = "bad" }"#),
        r#"Invalid key policy: &acl.KeyRule{Prefix:"a", Policy:"bad", EnterpriseRule:acl.EnterpriseRule{}}"#
    );
    assert_eq!(
        error(r#"node_prefix "" { }"#),
        r#"Invalid node_prefix policy: &acl.NodeRule{Name:"", Policy:"", EnterpriseRule:acl.EnterpriseRule{}}"#
    );
    assert_eq!(
        error(r#"agent "n" { policy = "list" }"#),
        r#"Invalid agent policy: &acl.AgentRule{Node:"n", Policy:"list"}"#
    );
    assert_eq!(
        error(r#"service "s" { policy = "read" intentions = "foo" }"#),
        r#"Invalid service intentions policy: &acl.ServiceRule{Name:"s", Policy:"read", Intentions:"foo", EnterpriseRule:acl.EnterpriseRule{}}"#
    );
    assert_eq!(error(r#"operator = "list""#), r#"Invalid operator policy: "list""#);
    assert_eq!(error(r#"acl = "nope""#), r#"Invalid acl policy: "nope""#);
    for text in
        [r#"key "a" {"#, "key = \"a\"", "key { policy = \"read\" }", "keyring = []", "{\"key\": 5}"]
    {
        let error = error(text);
        assert!(error.starts_with("Failed to parse ACL rules: At 1:"), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}|[a-z{}\"= _\n,]{0,60}|((key|service|node_prefix|acl) *=? *\"?[a-c]?\"? *\\{?(policy|intentions)? *= *\"(read|write|deny|list|x)\" *\\}?\n?){0,4}") {
        let _ = (Rules::parse(&text), Rules::parse_legacy(&text), crate::translate(&text));
    }

    /// What is written is read again, and a translation of the old means the same today.
    #[test]
    fn rules_are_read_as_written(
        rules in prop::collection::vec((0..7_usize, "[a-z/]{0,4}", 0..3_usize), 0..8),
        json: bool,
    ) {
        let levels = [Level::Deny, Level::Read, Level::Write];
        let mut text = String::new();
        let mut expected = Vec::new();
        for (resource, segment, level) in &rules {
            let (resource, level) = (Segmented::ALL[*resource], levels[*level]);
            let (key, policy) = (resource.as_str(), level.as_str());
            if json {
                text = format!("{{\"{key}\":{{\"{segment}\":{{\"policy\":\"{policy}\"}}}}}}");
                expected.clear();
            } else {
                text.push_str(&format!("{key} \"{segment}\" {{\n  policy = \"{policy}\"\n}}\n"));
            }
            expected.push(Rule::exact(resource, segment.as_str(), level));
        }
        let of = |rules: &[Rule]| {
            let mut rules = rules.to_vec();
            rules.sort_by_key(|rule| {
                (rule.resource as usize, rule.segment.clone(), rule.level)
            });
            rules
        };
        prop_assert_eq!(of(&Rules::parse(&text).unwrap().rules), of(&expected));
        let legacy = Rules::parse_legacy(&text).unwrap();
        prop_assert_eq!(Rules::parse(&crate::translate(&text).unwrap()).unwrap(), legacy);
    }
}
