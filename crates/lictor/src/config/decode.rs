//! Reads a tree of HCL or JSON by a table: unknown keys and wrong types are mistakes.
//!
//! Whether a value makes sense is not asked here. All mistakes of a file are found at once. As
//! the original does, wrong types are reported alone, and unknown keys only when there are none.

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_hcl::{Data, Object, Value};
use lictor_types::duration;

use super::raw::{Item, Json, Origin, Raw};
use super::schema::{Found, Key, Shape, find};

/// More mistakes than that are only counted.
const SHOWN_MAX: usize = 20;

/// What is wrong with a file that can be read as such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mistakes {
    wrong: Vec<String>,
    unknown: Vec<String>,
}

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mistakes, doing) = if self.wrong.is_empty() {
            (&self.unknown, "occurred")
        } else {
            (&self.wrong, "decoding")
        };
        writeln!(f, "{} error(s) {doing}:", mistakes.len())?;
        mistakes.iter().take(SHOWN_MAX).try_for_each(|mistake| write!(f, "\n* {mistake}"))?;
        if mistakes.len() > SHOWN_MAX {
            f.write_str("\n* …")?;
        }
        Ok(())
    }
}

/// Reads the root object of a file by `table`.
pub(crate) fn decode(
    table: &'static [Key],
    root: &Value,
    source: &Arc<str>,
) -> Result<Raw, Mistakes> {
    let mut reader = Reader { source, mistakes: Mistakes::default() };
    let mut raw = Raw::default();
    reader.group(Place { table, group: "", path: "" }, root, &mut raw);
    if reader.mistakes == Mistakes::default() { Ok(raw) } else { Err(reader.mistakes) }
}

/// Where in a table and in a file the reader is.
#[derive(Clone, Copy)]
struct Place<'a> {
    table: &'static [Key],
    group: &'a str,
    path: &'a str,
}

struct Reader<'a> {
    source: &'a Arc<str>,
    mistakes: Mistakes,
}

impl Reader<'_> {
    fn wrong(&mut self, path: &str, line: u32, text: &str) {
        self.mistakes.wrong.push(format!("'{path}' {text} (line {line})"));
    }

    /// The one object of a value that must be one; none for null and for an empty list.
    fn single<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Object> {
        match (&value.data, value.objects()) {
            (_, [object]) => Some(object),
            (_, [_, second, ..]) => {
                self.wrong(path, second.line, "must be given once only");
                None
            }
            (Data::Null, _) => None,
            (Data::List(items), _) if items.is_empty() => None,
            _ => {
                let text = format!("must be an object, not {}", article(value));
                self.wrong(if path.is_empty() { "the file" } else { path }, value.line, &text);
                None
            }
        }
    }

    fn group(&mut self, place: Place<'_>, value: &Value, into: &mut Raw) {
        let Some(object) = self.single(place.path, value) else { return };
        for field in &object.fields {
            let path = if place.path.is_empty() {
                field.key.clone()
            } else {
                format!("{}.{}", place.path, field.key)
            };
            let known = match find(place.table, place.group, &field.key) {
                Some(Found::Group(group)) => {
                    self.group(Place { group, path: &path, ..place }, &field.value, into);
                    true
                }
                Some(Found::Key(key)) => match self.item(key.shape, &path, &field.value) {
                    Some(item) => {
                        let origin = Origin { source: Arc::clone(self.source), line: field.line };
                        into.insert(key.name, item, origin)
                    }
                    None => true,
                },
                None => false,
            };
            if !known {
                let text = format!("invalid config key {path} (line {})", field.line);
                self.mistakes.unknown.push(text);
            }
        }
    }

    /// The value by its shape; none for null and for mistakes.
    fn item(&mut self, shape: Shape, path: &str, value: &Value) -> Option<Item> {
        if value.data == Data::Null {
            return None;
        }
        Some(match shape {
            Shape::Bool => Item::Bool(self.bool(path, value)?),
            Shape::Int => Item::Int(self.int(path, value)?),
            Shape::Float => Item::Float(self.float(path, value)?),
            Shape::Text => Item::Text(self.text(path, value)?),
            Shape::Duration => Item::Duration(self.duration(path, value)?),
            Shape::TextList => Item::List(self.list(path, value)?),
            Shape::TextMap => Item::Map(self.map(path, value, Self::text)?),
            Shape::ListMap => Item::Lists(self.map(path, value, Self::list)?),
            Shape::DurationMap => Item::Durations(self.map(path, value, Self::duration)?),
            Shape::Opaque => Item::Opaque(json_object(self.single(path, value)?)),
            Shape::OpaqueList => {
                Item::OpaqueList(self.objects(path, value)?.iter().map(json_object).collect())
            }
            Shape::Object(table) => {
                let object = self.single(path, value)?;
                Item::Object(self.inner(table, path, object))
            }
            Shape::Objects(table) => {
                let mut all = Vec::new();
                for (at, object) in self.objects(path, value)?.iter().enumerate() {
                    all.push(self.inner(table, &format!("{path}[{at}]"), object));
                }
                Item::Objects(all)
            }
        })
    }

    fn inner(&mut self, table: &'static [Key], path: &str, object: &Object) -> Raw {
        let mut raw = Raw::default();
        let objects = vec![object.clone()];
        let value = Value { line: object.line, data: Data::Objects { objects, listed: false } };
        self.group(Place { table, group: "", path }, &value, &mut raw);
        raw
    }

    fn expected<T>(&mut self, path: &str, value: &Value, what: &str) -> Option<T> {
        self.wrong(path, value.line, &format!("must be {what}, not {}", article(value)));
        None
    }

    fn bool(&mut self, path: &str, value: &Value) -> Option<bool> {
        match value.data {
            Data::Bool(value) => Some(value),
            _ => self.expected(path, value, "true or false"),
        }
    }

    fn int(&mut self, path: &str, value: &Value) -> Option<i64> {
        match value.data {
            Data::Int(value) => Some(value),
            #[allow(clippy::cast_possible_truncation)]
            Data::Float(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => {
                Some(value as i64)
            }
            _ => self.expected(path, value, "a whole number"),
        }
    }

    fn float(&mut self, path: &str, value: &Value) -> Option<f64> {
        match value.data {
            #[allow(clippy::cast_precision_loss)]
            Data::Int(value) => Some(value as f64),
            Data::Float(value) => Some(value),
            _ => self.expected(path, value, "a number"),
        }
    }

    fn text(&mut self, path: &str, value: &Value) -> Option<String> {
        match &value.data {
            Data::Text(text) => Some(text.clone()),
            Data::Null => Some(String::new()),
            _ => self.expected(path, value, "a string"),
        }
    }

    fn duration(&mut self, path: &str, value: &Value) -> Option<i64> {
        let Data::Text(text) = &value.data else {
            return self.expected(path, value, "a duration such as \"10s\"");
        };
        match duration::parse(text.trim_end()) {
            Ok(nanos) => Some(nanos),
            Err(error) => {
                let line = value.line;
                let text = format!("{path}: invalid duration: {text:?}: {error} (line {line})");
                self.mistakes.wrong.push(text);
                None
            }
        }
    }

    fn list(&mut self, path: &str, value: &Value) -> Option<Vec<String>> {
        let Data::List(items) = &value.data else {
            return self.expected(path, value, "a list of strings");
        };
        let mut texts = Vec::new();
        for (at, item) in items.iter().enumerate() {
            texts.push(self.text(&format!("{path}[{at}]"), item)?);
        }
        Some(texts)
    }

    fn map<T>(
        &mut self,
        path: &str,
        value: &Value,
        read: impl Fn(&mut Self, &str, &Value) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let object = self.single(path, value)?;
        let mut map = BTreeMap::new();
        for field in &object.fields {
            let read = read(self, &format!("{path}[{}]", field.key), &field.value);
            if let Some(item) = read {
                map.insert(field.key.clone(), item);
            }
        }
        Some(map)
    }

    fn objects<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v [Object]> {
        match &value.data {
            Data::Objects { objects, .. } => Some(objects),
            Data::List(items) if items.is_empty() => Some(&[]),
            _ => self.expected(path, value, "a list of objects"),
        }
    }
}

fn article(value: &Value) -> &'static str {
    match value.data {
        Data::Null => "null",
        Data::Bool(_) => "a boolean",
        Data::Int(_) | Data::Float(_) => "a number",
        Data::Text(_) => "a string",
        Data::List(_) | Data::Objects { listed: true, .. } => "a list",
        Data::Objects { listed: false, .. } => "an object",
    }
}

/// Fields that hold a list of objects even when there is one block of them only.
const ALWAYS_LISTS: &[&str] = &["upstreams"];

/// An object whose keys are not ours, as JSON: one block is an object, several are a list.
fn json_object(object: &Object) -> Json {
    let field = |field: &lictor_hcl::Field| {
        let listed = ALWAYS_LISTS.contains(&field.key.as_str());
        (field.key.clone(), json(&field.value, listed))
    };
    object.fields.iter().map(field).collect()
}

/// The settings of a text in either language whose keys are not ours, as JSON.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn free_json(text: &str) -> Result<Json, String> {
    let is_json = text.trim_start().starts_with('{');
    let parsed = if is_json { lictor_hcl::parse_json(text) } else { lictor_hcl::parse_hcl(text) };
    let parsed = parsed.map_err(|error| error.to_string())?;
    match parsed.objects() {
        [object] => Ok(json_object(object)),
        _ => Err("it is no object".to_owned()),
    }
}

fn json(value: &Value, as_list: bool) -> serde_json::Value {
    use serde_json::Value as Json;
    match &value.data {
        Data::Null => Json::Null,
        Data::Bool(value) => Json::from(*value),
        Data::Int(value) => Json::from(*value),
        Data::Float(value) => Json::from(*value),
        Data::Text(value) => Json::from(value.as_str()),
        Data::List(items) => items.iter().map(|item| json(item, false)).collect(),
        Data::Objects { objects, listed } => match objects.as_slice() {
            [object] if !listed && !as_list => Json::Object(json_object(object)),
            all => all.iter().map(|object| Json::Object(json_object(object))).collect(),
        },
    }
}
