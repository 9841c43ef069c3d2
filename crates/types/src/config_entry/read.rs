//! Reading entries as people and programs write them.
//!
//! Names are taken in any case and as in files, and values of a near type, as the original does: a
//! number in the place of a text, a single block in the place of a list of them.

use serde_json::{Map, Number, Value};

use super::schema::{Field, Shape};
use super::{ConfigEntry, Kind, UnknownKind};
use crate::duration;

/// The only namespace and the only partition.
const DEFAULT: &str = "default";

/// Why something is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It does not say of what kind.
    #[error("Payload does not contain a kind/Kind key at the top level")]
    NoKind,
    /// The kind is no text.
    #[error("Kind value in payload is not a string")]
    KindType,
    /// There is no such kind.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// Fields hold what they cannot.
    #[error("{} error(s) decoding:\n\n{}", .0.len(), list(.0))]
    Values(Vec<String>),
    /// There are no such fields.
    #[error("{} error{} occurred:\n\t* {}\n\n", .0.len(), if .0.len() == 1 { "" } else { "s" }, .0.join("\n\t* "))]
    Unknown(Vec<String>),
}

fn list(problems: &[String]) -> String {
    let lines: Vec<_> = problems.iter().map(|problem| format!("* {problem}")).collect();
    lines.join("\n")
}

#[derive(Default)]
struct Problems {
    values: Vec<String>,
    unknown: Vec<String>,
}

impl ConfigEntry {
    /// Reads an entry.
    ///
    /// # Errors
    /// [`EntryError`], in the words that clients know.
    pub fn from_json(given: &Map<String, Value>) -> Result<Self, EntryError> {
        let kind = given.get("Kind").or_else(|| given.get("kind")).ok_or(EntryError::NoKind)?;
        let kind = Kind::parse(kind.as_str().ok_or(EntryError::KindType)?)?;
        Self::of_kind(kind, given)
    }

    /// The same where the kind is known.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn of_kind(kind: Kind, given: &Map<String, Value>) -> Result<Self, EntryError> {
        let (mut rest, mut name) = (Map::new(), String::new());
        for (key, value) in given {
            match (&*key.to_ascii_lowercase(), value) {
                ("kind" | "createindex" | "modifyindex" | "hash", _) => {}
                ("name", Value::String(text)) => name.clone_from(text),
                ("name", Value::Null) => {}
                ("namespace" | "partition", Value::Null) => {}
                ("namespace" | "partition", Value::String(text))
                    if text.is_empty() || text == DEFAULT => {}
                _ => {
                    rest.insert(key.clone(), value.clone());
                }
            }
        }
        let mut problems = Problems::default();
        let fields = read_fields(kind.fields(), &rest, "", &mut problems);
        if !problems.values.is_empty() {
            return Err(EntryError::Values(problems.values));
        }
        if !problems.unknown.is_empty() {
            return Err(EntryError::Unknown(problems.unknown));
        }
        if let Some(only) = kind.only_name() {
            only.clone_into(&mut name);
        }
        Ok(Self { kind, name, fields, create_index: 0, modify_index: 0 })
    }

    /// An entry as another server or an archive has it: what is not known here is left out.
    #[must_use]
    pub fn of_peer(kind: Kind, name: &str, given: &Map<String, Value>) -> Self {
        let mut problems = Problems::default();
        let fields = read_fields(kind.fields(), given, "", &mut problems);
        let name = kind.only_name().unwrap_or(name).to_owned();
        Self { kind, name, fields, create_index: 0, modify_index: 0 }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn read_fields(
    fields: &[Field],
    given: &Map<String, Value>,
    path: &str,
    problems: &mut Problems,
) -> Map<String, Value> {
    let mut found = Map::new();
    for (key, value) in given {
        let is = |name: &str| name.eq_ignore_ascii_case(key);
        let Some(field) = fields.iter().find(|field| is(field.name) || is(field.alias)) else {
            problems.unknown.push(format!("invalid config key \"{path}{key}\""));
            continue;
        };
        let path = format!("{path}{}", field.name);
        if value.is_null() {
            continue;
        }
        match read_value(field.shape, value, &path, problems) {
            // What is there in its own right is kept even if there is nothing in it.
            Some(value)
                if matches!(field.shape, Shape::Option(_) | Shape::Limit) || !is_empty(&value) =>
            {
                found.insert(field.name.to_owned(), value);
            }
            _ => {}
        }
    }
    found
}

/// The value that a field keeps; `None` with a problem noted when it is of another type.
fn read_value(shape: Shape, given: &Value, path: &str, problems: &mut Problems) -> Option<Value> {
    let mut refuse = |expected: &str| {
        let kind = match given {
            Value::Null => "nil",
            Value::Bool(_) => "bool",
            Value::Number(_) => "float64",
            Value::String(_) => "string",
            Value::Array(_) => "[]interface {}",
            Value::Object(_) => "map[string]interface {}",
        };
        problems
            .values
            .push(format!("'{path}' expected type '{expected}', got unconvertible type '{kind}'"));
        None
    };
    // A block of a file is a list of one.
    let one = |value: &Value| match value {
        Value::Array(items) if items.len() == 1 => items.first().cloned(),
        Value::Object(_) => Some(value.clone()),
        _ => None,
    };
    match shape {
        Shape::Text => match text(given) {
            Some(text) => Some(Value::String(text)),
            None => refuse("string"),
        },
        Shape::Switch => match switch(given) {
            Some(truth) => Some(Value::Bool(truth)),
            None => refuse("bool"),
        },
        Shape::Whole | Shape::Limit => match whole(given) {
            Some(number) => Some(Value::from(number)),
            None => refuse("int"),
        },
        Shape::Number => match number(given) {
            Some(number) => Some(Value::Number(number)),
            None => refuse("float32"),
        },
        Shape::Duration | Shape::Nanos => match given {
            Value::String(text) => match duration::parse(text) {
                Ok(nanos) => Some(Value::from(nanos)),
                Err(_) => {
                    problems
                        .values
                        .push(format!("error decoding '{path}': time: invalid duration {text:?}"));
                    None
                }
            },
            other => match whole(other) {
                Some(nanos) => Some(Value::from(nanos)),
                None => refuse("time.Duration"),
            },
        },
        Shape::Texts | Shape::Wholes => {
            let items = match given {
                Value::Array(items) => items.clone(),
                single => vec![single.clone()],
            };
            let each = match shape {
                Shape::Texts => Shape::Text,
                _ => Shape::Whole,
            };
            let read = items
                .iter()
                .enumerate()
                .map(|(at, item)| read_value(each, item, &format!("{path}[{at}]"), problems));
            Some(Value::Array(read.collect::<Vec<_>>().into_iter().flatten().collect()))
        }
        Shape::TextMap => {
            let Some(Value::Object(given)) = one(given) else { return refuse("map[string]string") };
            let mut found = Map::new();
            for (key, value) in &given {
                let path = format!("{path}[{key}]");
                if let Some(value) = read_value(Shape::Text, value, &path, problems) {
                    found.insert(key.clone(), value);
                }
            }
            Some(Value::Object(found))
        }
        Shape::Free => match given {
            Value::Object(_) => Some(given.clone()),
            // A block of a file, or several things.
            Value::Array(items) => match items.as_slice() {
                [block @ Value::Object(_)] => Some(block.clone()),
                _ => Some(given.clone()),
            },
            _ => refuse("map[string]interface {}"),
        },
        Shape::Part(fields) | Shape::Option(fields) => match one(given) {
            Some(Value::Object(given)) => {
                let path = format!("{path}.");
                Some(Value::Object(read_fields(fields, &given, &path, problems)))
            }
            _ => refuse("map"),
        },
        Shape::List(fields) => {
            let items = match given {
                Value::Array(items) => items.clone(),
                single => vec![single.clone()],
            };
            let each = Shape::Option(fields);
            let read: Vec<_> = items
                .iter()
                .enumerate()
                .map(|(at, item)| read_value(each, item, &format!("{path}[{at}]"), problems))
                .collect();
            Some(Value::Array(read.into_iter().flatten().collect()))
        }
        Shape::Map(fields) => {
            let Some(Value::Object(given)) = one(given) else { return refuse("map") };
            let mut found = Map::new();
            for (key, value) in &given {
                let path = format!("{path}[{key}]");
                if let Some(value) = read_value(Shape::Option(fields), value, &path, problems) {
                    found.insert(key.clone(), value);
                }
            }
            Some(Value::Object(found))
        }
    }
}

fn text(given: &Value) -> Option<String> {
    match given {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(if *truth { "1" } else { "0" }.to_owned()),
        _ => None,
    }
}

fn switch(given: &Value) -> Option<bool> {
    match given {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => Some(number.as_f64() != Some(0.0)),
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn whole(given: &Value) -> Option<i64> {
    match given {
        Value::Number(number) => match number.as_i64() {
            Some(number) => Some(number),
            #[expect(clippy::cast_possible_truncation, reason = "cut off as the original does")]
            None => number.as_f64().map(|number| number as i64),
        },
        Value::String(text) if text.is_empty() => Some(0),
        Value::String(text) => text.parse().ok(),
        Value::Bool(truth) => Some(i64::from(*truth)),
        _ => None,
    }
}

/// A number with the precision that is kept: a hundredth.
fn number(given: &Value) -> Option<Number> {
    let number = match given {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    Number::from_f64((number * 100.0).round() / 100.0)
}
