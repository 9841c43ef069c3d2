//! Expressions as clients write them, their mistakes, and whatever else may come.

use std::sync::Arc;

use lictor_types::catalog::{CheckServiceNode, Node, Service, ServiceAddress, ServiceNode};
use lictor_types::check::{HealthCheck, Status};
use proptest::prelude::*;

use crate::{DEPTH_MAX, Filter, LENGTH_MAX, MATCHES_MAX};

fn node(name: &str, rack: &str) -> Node {
    Node {
        name: name.into(),
        address: "10.50.0.1".to_owned(),
        meta: [("rack".to_owned(), rack.to_owned())].into(),
        ..Node::default()
    }
}

fn keeps(text: &str) -> bool {
    Filter::<Node>::new(text).unwrap().matches(&node("f1", "r1"))
}

fn error(text: &str) -> String {
    let error = Filter::<Node>::new(text).unwrap_err().to_string();
    let beginning = "Failed to create boolean expression evaluator: ";
    error.strip_prefix(beginning).expect("errors begin alike").to_owned()
}

#[test]
fn every_operator() {
    for (text, expected) in [
        ("", true),
        ("Node == f1", true),
        ("Node==f1", true),
        ("Node == `f1`", true),
        ("Node != \"f1\"", false),
        ("Meta.rack == r1", true),
        ("Meta[\"rack\"] == r1", true),
        ("Meta[ `rack` ] == r1", true),
        ("rack in Meta", true),
        ("row not in Meta", true),
        ("Meta contains rack", true),
        ("Meta not contains rack", false),
        ("Meta is empty", false),
        ("Meta is not empty", true),
        ("TaggedAddresses is empty", true),
        ("Node matches `^f.$`", true),
        ("Node not matches `^f.$`", false),
        ("Address contains `10.50`", true),
        ("\"10.50\" in Address", true),
        ("Meta.none == x", false),
        ("Meta.none != x", true),
        ("x in Meta.none", false),
        ("Meta.none not contains x", true),
        ("Meta.none matches `.*`", false),
        ("Meta.none not matches `.*`", true),
    ] {
        assert_eq!(keeps(text), expected, "{text}");
    }
}

#[test]
fn and_binds_closer_than_or_and_not_closest() {
    for (text, expected) in [
        ("Node == f1 or Node == f2 and Node == f3", true),
        ("(Node == f1 or Node == f2) and Node == f3", false),
        ("not Node == f2 and Node == f1", true),
        ("not (Node == f1 and Meta.rack == r1)", false),
        ("not not Node == f1", true),
        ("  ( Node == f1 )  ", true),
        ("((Node == f2)) or (Node == f1)", true),
        ("(Node == f2) or (Node == f1)", true),
        ("Node == f1 and\n(Meta.rack == r2 or\tMeta.rack == r1)", true),
    ] {
        assert_eq!(keeps(text), expected, "{text}");
    }
}

#[test]
fn syntax_errors_say_what_was_expected() {
    for (text, expected) in [
        (
            "Node",
            "1:5 (4): no match found, expected: \"!=\", \".\", \"==\", \"[\", [ \\t\\r\\n] or \
             [a-zA-Z0-9_]",
        ),
        (
            "  ",
            "1:3 (2): no match found, expected: \"(\", \"-\", \"0\", \"\\\"\", \"`\", \"not\", \
             [ \\t\\r\\n], [1-9] or [a-zA-Z]",
        ),
        ("(Node == f1", "1:12 (11): rule \"grouping\": Unmatched parentheses"),
        ("Meta[x] == y", "1:6 (5): rule \"index\": Invalid index"),
        ("Meta[\"x\" == y", "1:10 (9): rule \"index\": Unclosed index expression"),
        ("Node == \"f", "1:11 (10): rule \"string\": Unterminated string literal"),
        ("Node == \"\\d\"", "1:9 (8): rule \"string\": invalid syntax"),
        ("Node == 3x", "1:10 (9): rule \"number\": Invalid number literal"),
        ("x in 3", "1:6 (5): rule \"match\": Invalid selector"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn fields_must_exist_and_allow_the_comparison() {
    for (text, expected) in [
        ("Nosuch == x", "Selector \"Nosuch\" is not valid"),
        ("Node.x == x", "Selector \"Node.x\" is not valid"),
        ("Meta.a.b == x", "Selector \"Meta.a.b\" is not valid"),
        ("Meta == x", "Invalid match operator \"Equal\" for selector \"Meta\""),
        ("Node is empty", "Invalid match operator \"Is Empty\" for selector \"Node\""),
        ("Meta matches x", "Invalid match operator \"Matches\" for selector \"Meta\""),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    assert!(error("Node matches \"(\"").starts_with("Failed to compile regular expression \"(\""));
    let port = Filter::<ServiceNode>::new("ServicePort == abc").unwrap_err().to_string();
    assert!(port.ends_with(
        "Failed to coerce value \"abc\" for selector \"ServicePort\": strconv.ParseInt: parsing \
         \"abc\": invalid syntax"
    ));
}

#[test]
fn numbers_flags_lists_and_what_is_inside() {
    let service = Service {
        id: "w1".into(),
        name: "web".into(),
        tags: vec!["a".to_owned()],
        port: 80,
        tagged_addresses: [(
            "lan".to_owned(),
            ServiceAddress { address: "10.0.0.9".to_owned(), port: 5 },
        )]
        .into(),
        ..Service::default()
    };
    let check = |status| Arc::new(HealthCheck { status, ..HealthCheck::default() });
    let row = CheckServiceNode {
        node: Arc::new(node("f1", "r1")),
        service: Arc::new(service),
        checks: vec![check(Status::Passing), check(Status::Critical)],
    };
    for (text, expected) in [
        ("Service.Port == 80", true),
        ("Service.Port == `0x50`", true),
        ("Service.Port != 81", true),
        ("Service.Tags contains a", true),
        ("b in Service.Tags", false),
        ("Service.EnableTagOverride == false", true),
        ("Service.Connect.Native == true", false),
        ("Service.Weights.Passing == 1", true),
        ("Service.TaggedAddresses.lan.Port == 5", true),
        ("Service.TaggedAddresses.wan.Port == 5", false),
        ("Service.TaggedAddresses contains lan", true),
        ("Service.Proxy.DestinationServiceName == \"\"", true),
        ("Service.Proxy.Upstreams is empty", true),
        ("Service.Proxy.Upstreams.DestinationName == x", false),
        ("Checks.Status == critical", true),
        // Any of the records, so that this holds as well.
        ("Checks.Status != critical", true),
        ("Checks is not empty", true),
        ("Node.Meta.rack == r1", true),
    ] {
        assert_eq!(
            Filter::<CheckServiceNode>::new(text).unwrap().matches(&row),
            expected,
            "{text}"
        );
    }
}

#[test]
fn limits() {
    let deep = |levels: usize| format!("{}Node == f1{}", "(".repeat(levels), ")".repeat(levels));
    assert!(keeps(&deep(DEPTH_MAX)));
    assert!(error(&deep(DEPTH_MAX + 2)).contains("deeper than the limit"));
    assert!(error(&"not ".repeat(LENGTH_MAX / 8)).contains("deeper than the limit"));
    let many = |matches: usize| vec!["Node == f1"; matches].join(" or ");
    assert!(keeps(&many(MATCHES_MAX)));
    assert!(error(&many(MATCHES_MAX + 1)).contains("exceeds the limit"));
    assert!(error(&" ".repeat(LENGTH_MAX + 1)).contains("exceeds the limit"));
    assert!(error("Node matches `a{1000}{1000}`").contains("regular expression"));
}

/// Parts of expressions, so that many of what is made of them are expressions.
const PARTS: &[&str] = &[
    "Node",
    "Meta",
    ".rack",
    "[\"rack\"]",
    " == ",
    "!=",
    " in ",
    " not in ",
    " is empty",
    " is not empty",
    " matches ",
    " contains ",
    "f1",
    "`f1`",
    "\"r1\"",
    "(",
    ")",
    " and ",
    " or ",
    "not ",
    " ",
    "1",
    "-0.5",
    "é",
    "\n",
];

proptest! {
    #[test]
    fn any_text_is_an_expression_or_an_error(text in "\\PC{0,60}") {
        let _ = Filter::<Node>::new(&text).map(|filter| filter.matches(&node("f1", "r1")));
    }

    #[test]
    fn any_parts_are_an_expression_or_an_error(
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..24),
    ) {
        match Filter::<CheckServiceNode>::new(&parts.concat()) {
            Ok(_) => {}
            Err(error) => prop_assert!(!error.to_string().ends_with(": ")),
        }
        let _ = Filter::<Node>::new(&parts.concat()).map(|filter| filter.matches(&node("f1", "r1")));
    }

    #[test]
    fn what_holds_does_not_hold_negated(
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..8),
    ) {
        let text = parts.concat();
        let row = node("f1", "r1");
        let not = format!("not ({text})");
        if let (Ok(plain), Ok(not)) = (Filter::<Node>::new(&text), Filter::<Node>::new(&not))
            && !plain.is_empty()
        {
            prop_assert_eq!(plain.matches(&row), !not.matches(&row));
        }
    }

    #[test]
    fn any_value_can_be_written(value in "\\PC{0,20}") {
        let quoted = format!("Node == {}", lictor_quoted(&value));
        let filter = Filter::<Node>::new(&quoted).unwrap();
        prop_assert!(filter.matches(&node(&value, "r1")));
        let unlike = format!("{value}x");
        prop_assert!(!filter.matches(&node(&unlike, "r1")));
    }
}

/// `value` between double quotes, everything unusual being escaped.
fn lictor_quoted(value: &str) -> String {
    let escaped = value.chars().map(|c| match c {
        'a'..='z' | ' ' => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
