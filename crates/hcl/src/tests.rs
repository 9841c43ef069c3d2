//! What is read and what is refused, in both languages; nothing makes the readers panic.

use proptest::prelude::*;

use crate::{Data, MAX_BYTES, MAX_DEPTH, Object, Value, parse_hcl, parse_json};

/// A value as short text: `{a:1 b:[x]}`, objects in `<>` when they are a list's.
fn short(value: &Value) -> String {
    let join = |items: &[Value]| items.iter().map(short).collect::<Vec<_>>().join(" ");
    match &value.data {
        Data::Null => "null".to_owned(),
        Data::Bool(b) => b.to_string(),
        Data::Int(n) => n.to_string(),
        Data::Float(n) => format!("{n:?}"),
        Data::Text(text) => format!("{text:?}"),
        Data::List(items) => format!("[{}]", join(items)),
        Data::Objects { objects, listed } => {
            let all = objects.iter().map(short_object).collect::<Vec<_>>().join(" ");
            if *listed { format!("<{all}>") } else { all }
        }
    }
}

fn short_object(object: &Object) -> String {
    let fields: Vec<_> =
        object.fields.iter().map(|f| format!("{}:{}", f.key, short(&f.value))).collect();
    format!("{{{}}}", fields.join(" "))
}

fn hcl(text: &str) -> String {
    parse_hcl(text).map_or_else(|e| format!("error: {e}"), |v| short(&v))
}

fn json(text: &str) -> String {
    parse_json(text).map_or_else(|e| format!("error: {e}"), |v| short(&v))
}

#[test]
fn hcl_values() {
    for (text, expected) in [
        ("", "{}"),
        (" \r\n\t", "{}"),
        ("a = 1", "{a:1}"),
        ("a=-3 b=0x1F c=0644 d=-0x10 e=-0 f=007", "{a:-3 b:31 c:420 d:-16 e:0 f:7}"),
        ("a=1.5 b=1e3 c=1E-2 d=-.5 e=1.", "{a:1.5 b:1000.0 c:0.01 d:-0.5 e:1.0}"),
        ("a=9223372036854775807 b=-9223372036854775808", {
            "{a:9223372036854775807 b:-9223372036854775808}"
        }),
        ("a = true b = false", "{a:true b:false}"),
        (r#"a = "x" b = """#, r#"{a:"x" b:""}"#),
        (r#"a="\"\\\n\t\x41\101\u00e9\U0001F600""#, r#"{a:"\"\\\n\tAAé😀"}"#),
        (r#"a="\ud800""#, "{a:\"\u{fffd}\"}"),
        ("a=\"x\ny\"", r#"{a:"x\ny"}"#),
        (r#"a="x${"q"}y""#, r#"{a:"x${\"q\"}y"}"#),
        (r#"a="${x("\"")}" b=1"#, r#"{a:"${x(\"\\\"\")}" b:1}"#),
        (r#"a="${f({x})}" b="}""#, r#"{a:"${f({x})}" b:"}"}"#),
        ("a=\n1", "{a:1}"),
        ("a\n=1", "{a:1}"),
    ] {
        assert_eq!(hcl(text), expected, "{text}");
    }
}

#[test]
fn hcl_heredocs() {
    for (text, expected) in [
        ("a=<<X\n l1\n  l2\nX\n", r#"{a:" l1\n  l2\n"}"#),
        ("a=<<X\nX\nb=1", r#"{a:"" b:1}"#),
        ("a=<<X\nfoo\nX", r#"{a:"foo\n"}"#),
        ("a=<<X\nfoo X\n X\n", r#"{a:"foo X\n"}"#),
        ("a=<<X\r\nfoo\r\nX\r\n", r#"{a:"foo\r\n"}"#),
        ("a=<<-X\n  l1\n    l2\n  X\n", r#"{a:"l1\n  l2\n"}"#),
        ("a=<<-X\n  l1\n l2\n   X\n", r#"{a:"  l1\n l2\n"}"#),
        ("a=<<-X\n\tfoo\n\n\tbar\n\tX\n", r#"{a:"\tfoo\n\n\tbar\n"}"#),
        ("aa=[<<A\nfoo\nA\n, 2]", r#"{aa:["foo\n" 2]}"#),
        ("a=<<X\n${\"x\"} \\n\nX\n", r#"{a:"${\"x\"} \\n\n"}"#),
    ] {
        assert_eq!(hcl(text), expected, "{text}");
    }
}

#[test]
fn hcl_objects_and_lists() {
    for (text, expected) in [
        ("service {}", "{service:{}}"),
        ("service { name = \"web\" port = 80 }", "{service:{name:\"web\" port:80}}"),
        ("ports { http = 1, dns = -1, }", "{ports:{http:1 dns:-1}}"),
        ("connect { proxy { } }", "{connect:{proxy:{}}}"),
        ("p{x=1} p{x=2}", "{p:{x:1} {x:2}}"),
        ("p={x=1} p={x=2} p{}", "{p:{x:1} {x:2} {}}"),
        ("p=[{x=1}] p{x=2}", "{p:<{x:1} {x:2}>}"),
        ("p=[{x=1},{x=2}]", "{p:<{x:1} {x:2}>}"),
        ("p=[] p{x=2}", "{p:{x:2}}"),
        ("p{x=2} p=[]", "{p:{x:2}}"),
        ("n \"a\" \"b\" {x=1}", "{n:{a:{b:{x:1}}}}"),
        ("n a {x=1} n b {x=2}", "{n:{a:{x:1}} {b:{x:2}}}"),
        ("\"a/b\" = \"x\" a.b = 1 a-b = 2 é=3", "{a/b:\"x\" a.b:1 a-b:2 é:3}"),
        ("\"a\" \"b\" {}", "{a:{b:{}}}"),
        ("a=1 b=2 a=3", "{a:3 b:2}"),
        ("a=[1] a=[2]", "{a:[1 2]}"),
        ("a=1,b=2,", "{a:1 b:2}"),
        ("l=[1,\"a\",true] m=[]", "{l:[1 \"a\" true] m:[]}"),
        ("a=[1,] b=[1,,2]", "{a:[1] b:[1 2]}"),
        ("x=[1,{y=1}] z=[[1],[{y=1}]]", "{x:[1 {y:1}] z:[[1] <{y:1}>]}"),
        ("# c\n// d\n/* e\n f */ a /* g */ = # h\n 1 # end", "{a:1}"),
        ("a=[ # c\n 1, // d\n 2 /* e */ ]", "{a:[1 2]}"),
        ("a = 1\r\nb {\r\n c = 2\r\n}\r\n", "{a:1 b:{c:2}}"),
        (" {\"a\": {\"b\": [1]}} ", "{a:{b:[1]}}"),
    ] {
        assert_eq!(hcl(text), expected, "{text}");
    }
}

#[test]
fn hcl_refuses_with_line_and_column() {
    for (text, expected) in [
        ("a = \"x", "1:5: the text has no closing quote"),
        ("a = \"${x\"", "1:5: the text has no closing quote"),
        ("a=1\n/* x", "2:1: the comment has no end"),
        ("a = foo", "1:5: a value is expected, not the bare word foo"),
        ("a = null", "1:5: a value is expected, not the bare word null"),
        ("a = True", "1:5: a value is expected, not the bare word True"),
        ("a: 1", "1:2: after \"a\" = or { must follow, not ':'"),
        ("a", "1:2: after \"a\" = or { must follow, not the end of the text"),
        ("a }", "1:3: after \"a\" = or { must follow, not '}'"),
        ("a b = 1", "1:5: after \"a\" { must follow, not '='"),
        ("a {", "1:4: a closing } is missing"),
        ("}", "1:1: a key is expected, not '}'"),
        ("= 1", "1:1: a key is expected, not '='"),
        ("a = {b=1,,c=2}", "1:10: a key is expected, not ','"),
        ("a = [1 2]", "1:8: a comma or ] is expected, not '2'"),
        ("a = [1", "1:7: a comma or ] is expected, not the end of the text"),
        ("a = 99999999999999999999", "1:5: 99999999999999999999 is out of range"),
        ("a = 9223372036854775808", "1:5: 9223372036854775808 is out of range"),
        ("a = 08", "1:5: \"08\" is not a number"),
        ("a = 0x", "1:5: \"0x\" is not a number"),
        ("a = 1.2.3", "1:5: \"1.2.3\" is not a number"),
        ("a = 1e999", "1:5: \"1e999\" is not a number"),
        ("a = 1_000", "1:5: \"1_000\" is not a number"),
        ("a = -", "1:5: \"\" is not a number"),
        ("a = +1", "1:5: a value is expected, not '+'"),
        ("a = 'x'", "1:5: a value is expected, not '\\''"),
        ("a = \"\\q\"", "1:6: unknown escape in a text"),
        ("a = \"\\xff\"", "1:6: a byte escape above 0x7f is no character; use \\u"),
        ("a = <<\nfoo\n", "1:7: a name and a line end must follow <<"),
        ("a = << X\nfoo\nX\n", "1:7: a name and a line end must follow <<"),
        ("a = <<X\nfoo\n", "1:5: no line with \"X\" alone ends the text"),
        ("\u{feff}a=1", "1:1: a key is expected, not '\\u{feff}'"),
        ("datacenter = \"x\"\nports { http = }\n", "2:16: a value is expected, not '}'"),
        ("a = ", "1:5: a value is expected, not the end of the text"),
        ("s = 1\n s { x = 1 }", "2:2: \"s\" is of another kind before"),
        ("a=\"é\" b=\u{1}", "1:9: a value is expected, not '\\u{1}'"),
        ("a\n b\0", "2:3: a NUL character is not allowed"),
    ] {
        assert_eq!(hcl(text), format!("error: At {expected}"), "{text:?}");
    }
}

#[test]
fn json_values() {
    for (text, expected) in [
        ("{}", "{}"),
        ("null", "null"),
        (" [1, -2.5, 1e3, true, null, \"x\"] ", "[1 -2.5 1000.0 true null \"x\"]"),
        ("{\"a\": {\"b\": [{\"c\": 1}]}}", "{a:{b:<{c:1}>}}"),
        ("{\"a\": [{\"c\": 1}, {}], \"b\": [[{}]], \"d\": []}", "{a:<{c:1} {}> b:[<{}>] d:[]}"),
        ("{\"a\": 1, \"b\": 2, \"a\": {\"c\": 3}}", "{a:{c:3} b:2}"),
        (r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800""#, {
            "\"\\\"\\\\/\\u{8}\\u{c}\\n\\r\\té😀\u{fffd}\""
        }),
        ("99999999999999999999", "1e20"),
        ("{\"\": 0}", "{:0}"),
    ] {
        assert_eq!(json(text), expected, "{text}");
    }
}

#[test]
fn json_refuses_with_line_and_column() {
    for (text, expected) in [
        ("", "1:1: a value is expected, not the end of the text"),
        ("{", "1:2: a quoted key is expected, not the end of the text"),
        ("{\"a\":}", "1:6: a value is expected, not '}'"),
        ("{\"a\":1,}", "1:8: a quoted key is expected, not '}'"),
        ("[1,]", "1:4: a value is expected, not ']'"),
        ("[1 2]", "1:4: a comma or ] is expected, not '2'"),
        ("{\"a\" 1}", "1:6: a colon must follow \"a\", not '1'"),
        ("{\"a\":1} x", "1:9: nothing may follow, but 'x' does"),
        ("// c\n{}", "1:1: a value is expected, not '/'"),
        ("{\"a\": yes}", "1:7: a value is expected, not the bare word yes"),
        ("01", "1:1: \"01\" is not a number"),
        ("1.", "1:1: \"1.\" is not a number"),
        ("1e", "1:1: \"1e\" is not a number"),
        ("-", "1:1: \"-\" is not a number"),
        ("0x10", "1:1: \"0x10\" is not a number"),
        ("1e999", "1:1: \"1e999\" is not a number"),
        ("\"a\nb\"", "1:3: a control character in a text must be escaped"),
        ("\"\\q\"", "1:2: unknown escape in a text"),
        ("\"abc", "1:1: the text has no closing quote"),
        ("\u{feff}{}", "1:1: a value is expected, not '\\u{feff}'"),
        ("{\n \"a\": [1,\n 2}", "3:3: a comma or ] is expected, not '}'"),
    ] {
        assert_eq!(json(text), format!("error: At {expected}"), "{text:?}");
    }
}

#[test]
fn lines_are_kept() {
    let root = parse_hcl("a = 1\n\nservice {\n  name = \"x\"\n}\nl = [\n 1,\n 2]\n").unwrap();
    let object = &root.objects()[0];
    let lines: Vec<_> = object.fields.iter().map(|f| (f.key.as_str(), f.line)).collect();
    assert_eq!(lines, [("a", 1), ("service", 3), ("l", 6)]);
    let service = object.get("service").unwrap();
    assert_eq!(service.objects()[0].fields[0].line, 4);
    assert_eq!(service.objects()[0].get("name").and_then(Value::as_text), Some("x"));
    let Data::List(items) = &object.get("l").unwrap().data else { panic!("a list") };
    assert_eq!(items[1].line, 8);
    let root = parse_json("{\n \"a\": {\n  \"b\": 1\n }\n}").unwrap();
    assert_eq!(root.objects()[0].get("a").unwrap().objects()[0].fields[0].line, 3);
}

#[test]
fn both_languages_give_the_same_tree() {
    let a = hcl("service { name = \"x\" tags = [\"a\"] check { ttl = \"1s\" } } n = -1");
    let b = json(
        "{\"service\": {\"name\": \"x\", \"tags\": [\"a\"], \"check\": {\"ttl\": \"1s\"}}, \
         \"n\": -1}",
    );
    assert_eq!(a, b);
}

#[test]
fn depth_and_size_are_limited() {
    let n = usize::try_from(MAX_DEPTH).unwrap();
    assert!(parse_hcl(&format!("a={}{}", "[".repeat(n), "]".repeat(n))).is_ok());
    assert!(parse_json(&format!("{}{}", "[".repeat(n), "]".repeat(n))).is_ok());
    for text in [
        format!("a={}{}", "[".repeat(n + 1), "]".repeat(n + 1)),
        "a {".repeat(100_000),
        format!("{} {{}}", "a ".repeat(100_000)),
        format!("a = {}", "{ a = ".repeat(100_000)),
    ] {
        let error = parse_hcl(&text).unwrap_err();
        assert!(error.reason.contains("nested deeper than 64"), "{error}");
    }
    for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        let error = parse_json(&text).unwrap_err();
        assert!(error.reason.contains("nested deeper than 64"), "{error}");
    }
    let long = " ".repeat(MAX_BYTES + 1);
    assert!(parse_hcl(&long).unwrap_err().reason.contains("longer than"));
    assert!(parse_json(&long).unwrap_err().reason.contains("longer than"));
}

#[test]
fn many_keys_are_read_in_linear_time() {
    let text: String = (0..50_000).map(|n| format!("k{n} = {n}\n")).collect();
    assert_eq!(parse_hcl(&text).unwrap().objects()[0].fields.len(), 50_000);
}

/// A tree without lines, as a test writes it in either language.
#[derive(Clone, Debug)]
enum Tree {
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Tree::Bool),
        any::<i64>().prop_map(Tree::Int),
        "[^\\x00]{0,12}".prop_map(Tree::Text),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::List),
            prop::collection::btree_map("[^\\x00]{1,6}", inner, 0..5)
                .prop_map(|map| Tree::Object(map.into_iter().collect())),
        ]
    })
}

fn escaped(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '$' => out.push_str("\\u0024"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

fn write(tree: &Tree, json: bool) -> String {
    let comma = |parts: Vec<String>| parts.join(", ");
    match tree {
        Tree::Bool(b) => b.to_string(),
        Tree::Int(n) => n.to_string(),
        Tree::Text(text) => escaped(text),
        Tree::List(items) => format!("[{}]", comma(items.iter().map(|t| write(t, json)).collect())),
        Tree::Object(fields) => {
            let sign = if json { ":" } else { " =" };
            let field =
                |(key, t): &(String, Tree)| format!("{}{sign} {}", escaped(key), write(t, json));
            format!("{{{}}}", comma(fields.iter().map(field).collect()))
        }
    }
}

/// Whether the reader's tree is the one that was written.
fn same(tree: &Tree, value: &Value) -> bool {
    match (tree, &value.data) {
        (Tree::Bool(a), Data::Bool(b)) => a == b,
        (Tree::Int(a), Data::Int(b)) => a == b,
        (Tree::Text(a), Data::Text(b)) => a == b,
        (Tree::List(a), Data::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Tree::List(a), Data::Objects { objects, listed: true }) => {
            a.len() == objects.len() && a.iter().zip(objects).all(|(a, b)| same_object(a, b))
        }
        (tree, Data::Objects { objects, listed: false }) => {
            objects.len() == 1 && same_object(tree, &objects[0])
        }
        _ => false,
    }
}

fn same_object(tree: &Tree, object: &Object) -> bool {
    let Tree::Object(fields) = tree else { return false };
    fields.len() == object.fields.len()
        && fields.iter().zip(&object.fields).all(|((k, t), f)| *k == f.key && same(t, &f.value))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_readers_panic(text in ".{0,200}") {
        let _ = parse_hcl(&text);
        let _ = parse_json(&text);
    }

    #[test]
    fn no_likely_text_makes_the_readers_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "a", "b ", "=", "{", "}", "[", "]", ",", "\"", "\\", "${", "1", "-", "0x", ".", "e9",
            "<<X\n", "<<-X\n", "X\n", "\n", "\r", "#", "//", "/*", "*/", ":", "null", "true",
            "\\u", "d83d", "é", " ",
        ]), 0..40)
    ) {
        let text = parts.concat();
        let _ = parse_hcl(&text);
        let _ = parse_json(&text);
    }

    #[test]
    fn what_is_written_is_read_back(tree in tree()) {
        let read = parse_hcl(&format!("k = {}", write(&tree, false)));
        let read = read.map_err(|e| TestCaseError::fail(e.to_string()))?;
        let value = read.objects()[0].get("k").unwrap();
        prop_assert!(same(&tree, value), "{value:?}");
        let read = parse_json(&write(&tree, true));
        let read = read.map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(same(&tree, &read), "{read:?}");
    }
}

#[test]
fn keys_of_the_outermost_object_are_found() {
    for (text, keys) in [
        (
            "a = {} /*/ b { */ \"c\" \"d\" { e = 2 } a = { f = [{ g = 1 }] }",
            vec!["a", "\"c\"", "a"],
        ),
        (
            "# x\n {\"a\": {\"b\": 1}, \"c\": [{\"d\": 2}], \"a\": 3}",
            vec!["\"a\"", "\"c\"", "\"a\""],
        ),
        ("", vec![]),
    ] {
        let found: Vec<_> =
            crate::root_keys(text).unwrap().into_iter().map(|at| &text[at]).collect();
        assert_eq!(found, keys, "{text}");
    }
}
