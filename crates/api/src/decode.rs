//! Reading request bodies as leniently as the original does.
//!
//! Field names match whatever their case, unknown fields and `null` are ignored, whole numbers
//! may be written with a fraction of zero, and durations are a text (`"10s"`) or nanoseconds.
//! What the fields mean is not decided here: each body names its fields in a [`Fields`] table.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The fields of an object, with the names that are accepted for them.
#[derive(Debug)]
pub struct Fields(pub &'static [Field]);

/// One field.
#[derive(Debug)]
pub struct Field {
    /// The name that the body's `Deserialize` knows.
    pub name: &'static str,
    /// Other accepted spellings, such as snake case.
    pub aliases: &'static [&'static str],
    /// What its value holds.
    pub content: Content,
}

/// What a field's value holds, as far as names inside it are concerned.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// A scalar, or a list of scalars.
    Plain,
    /// Free content, such as metadata: keys are the user's and stay as they are.
    Opaque,
    /// An object with known fields.
    Object(&'static Fields),
    /// A list of objects with known fields.
    List(&'static Fields),
    /// Objects with known fields under names that are the user's.
    Map(&'static Fields),
}

/// A field without other spellings.
#[must_use]
pub const fn plain(name: &'static str) -> Field {
    Field { name, aliases: &[], content: Content::Plain }
}

/// A field with other spellings.
#[must_use]
pub const fn aliased(name: &'static str, aliases: &'static [&'static str]) -> Field {
    Field { name, aliases, content: Content::Plain }
}

/// A field whose content is the user's.
#[must_use]
pub const fn opaque(name: &'static str) -> Field {
    Field { name, aliases: &[], content: Content::Opaque }
}

/// A field that holds an object.
#[must_use]
pub const fn object(name: &'static str, fields: &'static Fields) -> Field {
    Field { name, aliases: &[], content: Content::Object(fields) }
}

/// A field that holds a list of objects.
#[must_use]
pub const fn list(name: &'static str, fields: &'static Fields) -> Field {
    Field { name, aliases: &[], content: Content::List(fields) }
}

/// A field that holds objects by name.
#[must_use]
pub const fn map(name: &'static str, fields: &'static Fields) -> Field {
    Field { name, aliases: &[], content: Content::Map(fields) }
}

/// A request body together with its field names.
pub trait Body: DeserializeOwned {
    /// Every field that is understood.
    const FIELDS: &'static Fields;
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is no body where one is needed.
    #[error("EOF")]
    Empty,
    /// Something else stands where an object must be.
    #[error("cannot unmarshal {found} into {place}")]
    NoObject {
        /// What was found.
        found: &'static str,
        /// Where: the field's name, or the whole body.
        place: &'static str,
    },
    /// It is no JSON, or something in it has the wrong type.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// Reads the first JSON value of `bytes` as a `T`. What follows it is ignored, as the original does.
///
/// # Errors
/// When there is nothing, no JSON, or a field of the wrong type.
pub fn decode<T: Body>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut value = first_value(bytes)?;
    if value.is_null() {
        value = Value::Object(Map::new());
    }
    normalise(&mut value, T::FIELDS, "the body")?;
    Ok(serde_json::from_value(value)?)
}

/// Reads a list of `T`; `null` is the empty list.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_list<T: Body>(bytes: &[u8]) -> Result<Vec<T>, DecodeError> {
    let mut value = first_value(bytes)?;
    normalise_list(&mut value, T::FIELDS, "the list")?;
    Ok(serde_json::from_value::<Option<Vec<T>>>(value)?.unwrap_or_default())
}

fn first_value(bytes: &[u8]) -> Result<Value, DecodeError> {
    match serde_json::Deserializer::from_slice(bytes).into_iter::<Value>().next() {
        None => Err(DecodeError::Empty),
        Some(value) => Ok(value?),
    }
}

/// The boolean that Go would read from `text`.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Renames the keys of the object `value` to the names of the table, drops `null` and unknown
/// fields, and goes on below.
fn normalise(value: &mut Value, fields: &Fields, place: &'static str) -> Result<(), DecodeError> {
    let Value::Object(given) = value else {
        return Err(DecodeError::NoObject { found: kind_of(value), place });
    };
    let mut known = Map::new();
    for (key, mut item) in std::mem::take(given) {
        let Some(field) = fields.find(&key) else { continue };
        if item.is_null() {
            continue;
        }
        match field.content {
            Content::Plain => {
                whole_number(&mut item);
                nothing_is_empty(&mut item);
            }
            Content::Opaque => {}
            Content::Object(inner) => normalise(&mut item, inner, field.name)?,
            Content::List(inner) => normalise_list(&mut item, inner, field.name)?,
            Content::Map(inner) => {
                // That it is an object at all is found out by whoever reads it.
                let named = item.as_object_mut().into_iter().flat_map(Map::values_mut);
                let mut named = named.filter(|one| !one.is_null());
                named.try_for_each(|one| normalise(one, inner, field.name))?;
            }
        }
        // Of several spellings of one field, the exact name wins.
        if key == field.name || !known.contains_key(field.name) {
            known.insert(field.name.to_owned(), item);
        }
    }
    *given = known;
    Ok(())
}

fn normalise_list(
    value: &mut Value,
    fields: &Fields,
    place: &'static str,
) -> Result<(), DecodeError> {
    // That it is a list at all is found out by whoever reads it.
    let Value::Array(items) = value else { return Ok(()) };
    items.retain(|item| !item.is_null());
    items.iter_mut().try_for_each(|item| normalise(item, fields, place))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// `null` in a list of texts is the empty text to the original.
fn nothing_is_empty(item: &mut Value) {
    let Value::Array(items) = item else { return };
    for one in items.iter_mut().filter(|one| one.is_null()) {
        *one = Value::String(String::new());
    }
}

/// `8080.0` is a whole number to the original.
fn whole_number(item: &mut Value) {
    let Value::Number(number) = item else { return };
    if number.is_i64() || number.is_u64() {
        return;
    }
    let Some(float) = number.as_f64() else { return };
    // Whole numbers up to 2^53 survive the way through a float unchanged.
    if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 {
        #[allow(clippy::cast_possible_truncation)]
        let whole = float as i64;
        *item = Value::from(whole);
    }
}

impl Fields {
    fn find(&self, key: &str) -> Option<&'static Field> {
        let fields: &'static [Field] = self.0;
        fields.iter().find(|f| f.name == key).or_else(|| {
            fields.iter().find(|f| {
                f.name.eq_ignore_ascii_case(key)
                    || f.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(key))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    use crate::duration::GoDuration;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Inner {
        name: String,
        interval: GoDuration,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Outer {
        name: String,
        port: i64,
        skip_verify: bool,
        meta: BTreeMap<String, String>,
        one: Option<Inner>,
        many: Vec<Inner>,
        tags: Vec<String>,
    }

    const INNER: &Fields = &Fields(&[plain("Name"), plain("Interval")]);
    impl Body for Inner {
        const FIELDS: &'static Fields = INNER;
    }
    impl Body for Outer {
        const FIELDS: &'static Fields = &Fields(&[
            plain("Name"),
            plain("Port"),
            aliased("SkipVerify", &["skip_verify"]),
            opaque("Meta"),
            object("One", INNER),
            list("Many", INNER),
            plain("Tags"),
        ]);
    }

    fn outer(text: &str) -> Result<Outer, String> {
        decode(text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn names_match_in_any_case_and_by_alias() {
        let body = outer(
            r#"{"name":"n","PORT":80.0,"skip_verify":true,"unknown":{"x":1},"meta":{"Name":"v"},
                "one":{"NAME":"i","interval":"10s"},"many":[null,{"interval":5}],"Many2":3}"#,
        );
        let expected = Outer {
            name: "n".into(),
            port: 80,
            skip_verify: true,
            meta: [("Name".to_owned(), "v".to_owned())].into(),
            one: Some(Inner { name: "i".into(), interval: GoDuration(10_000_000_000) }),
            many: vec![Inner { name: String::new(), interval: GoDuration(5) }],
            ..Outer::default()
        };
        assert_eq!(body, Ok(expected));
    }

    #[test]
    fn null_is_an_empty_text_among_texts() {
        assert_eq!(outer(r#"{"Tags":[null,"a"]}"#).unwrap().tags, ["", "a"]);
        assert_eq!(outer(r#"{"Tags":null}"#).unwrap().tags, [""; 0]);
    }

    #[test]
    fn null_is_the_same_as_absent() {
        assert_eq!(outer(r#"{"Name":null,"Meta":null,"One":null,"Many":null}"#), outer("{}"));
        assert_eq!(outer("{}"), Ok(Outer::default()));
    }

    #[test]
    fn the_exact_name_wins_over_other_spellings() {
        assert_eq!(outer(r#"{"Name":"b","name":"a"}"#).map(|o| o.name), Ok("b".to_owned()));
        assert_eq!(outer(r#"{"name":"a","Name":"b"}"#).map(|o| o.name), Ok("b".to_owned()));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        assert_eq!(outer(""), Err("EOF".to_owned()));
        assert_eq!(outer("  \n"), Err("EOF".to_owned()));
        let wrong = ["{bad", "nojson", "[]", "5", r#"{"Port":"8080"}"#, r#"{"Name":5}"#, "{"];
        for text in wrong.into_iter().chain([r#"{"One":[]}"#, r#"{"Many":{}}"#, r#"{"Many":[1]}"#])
        {
            assert!(outer(text).is_err(), "{text}");
        }
        let bad = outer(r#"{"One":{"Interval":"abc"}}"#);
        assert_eq!(bad, Err("time: invalid duration \"abc\"".to_owned()));
        assert!(outer(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).is_err());
    }

    #[test]
    fn what_follows_the_value_is_ignored_and_lists_may_be_null() {
        assert_eq!(outer(r#"{"Name":"n"} trailing"#).map(|o| o.name), Ok("n".to_owned()));
        assert_eq!(decode_list::<Inner>(b"null").unwrap(), vec![]);
        assert_eq!(decode_list::<Inner>(br#"[{"name":"x"}]"#).unwrap()[0].name, "x");
        assert!(decode_list::<Inner>(b"{}").is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z0-9]{0,5}".prop_map(Value::from),
        ];
        let key = prop_oneof![
            Just("Name".to_owned()),
            Just("one".to_owned()),
            Just("MANY".to_owned()),
            Just("Port".to_owned()),
            "[A-Za-z]{0,4}",
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode::<Outer>(&bytes);
        }

        #[test]
        fn any_json_gives_a_value_or_an_error(value in any_json()) {
            let _ = decode::<Outer>(&serde_json::to_vec(&value).unwrap());
        }

        #[test]
        fn the_case_of_names_never_matters(
            name in "[a-z]{0,8}", port in any::<i64>(), flips in any::<u64>(),
        ) {
            let flip = |text: &str| -> String {
                text.chars().enumerate().map(|(i, c)| {
                    if flips >> (i % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
                }).collect()
            };
            let text = format!(
                "{{\"{}\":\"{name}\",\"{}\":{port},\"{}\":[{{\"{}\":\"{name}\"}}]}}",
                flip("Name"), flip("Port"), flip("Many"), flip("Name"),
            );
            let body = outer(&text).unwrap();
            prop_assert_eq!(&body.name, &name);
            prop_assert_eq!(body.port, port);
            prop_assert_eq!(&body.many[0].name, &name);
        }
    }
}
