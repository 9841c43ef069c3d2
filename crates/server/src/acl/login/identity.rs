//! What of a statement counts, and names that are made from it: `${value.name}` stands for a value.

use std::collections::BTreeMap;

use lictor_filter::{Field, Filter, Kind, Row, Schema, Table, Value as Selected};
use serde_json::{Map, Value};

use super::LoginError;
use super::settings::Settings;

/// What is known of somebody who logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Values by name.
    pub(crate) values: BTreeMap<String, String>,
    /// Lists by name.
    pub(crate) lists: BTreeMap<String, Vec<String>>,
}

fn fault<T>(text: impl Into<String>) -> Result<T, LoginError> {
    Err(LoginError(text.into()))
}

impl Identity {
    /// Every name, with nothing in it.
    pub(super) fn blank(settings: &Settings) -> Self {
        let names = settings.claim_mappings.values().cloned();
        let lists = settings.list_claim_mappings.values().cloned();
        Self {
            values: names.map(|name| (name, String::new())).collect(),
            lists: lists.map(|name| (name, Vec::new())).collect(),
        }
    }

    /// What the mappings make of claims.
    pub(super) fn from_claims(
        settings: &Settings,
        claims: &Map<String, Value>,
    ) -> Result<Self, LoginError> {
        let claims = Value::Object(claims.clone());
        let mut identity = Self::blank(settings);
        for (source, target) in &settings.claim_mappings {
            let Some(value) = find(&claims, source) else { continue };
            let Some(text) = text(value) else {
                return fault(format!("error converting claim '{source}' to string"));
            };
            identity.values.insert(target.clone(), text);
        }
        for (source, target) in &settings.list_claim_mappings {
            let Some(value) = find(&claims, source) else { continue };
            let items = match value {
                Value::Array(items) => items.as_slice(),
                Value::Object(_) => {
                    let text = "list claim could not be converted to string list";
                    return fault(format!("{source:?} {text}"));
                }
                one => std::slice::from_ref(one),
            };
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                match text(item) {
                    Some(text) if text.is_empty() => {}
                    Some(text) => list.push(text),
                    None => {
                        let text = "list claim could not be parsed as string";
                        return fault(format!("value {item} in {source:?} {text}"));
                    }
                }
            }
            identity.lists.insert(target.clone(), list);
        }
        Ok(identity)
    }

    /// A name with its `${value.…}` filled in, in lower case. `$${` stands for `${`.
    pub(crate) fn fill_in(&self, template: &str) -> Result<String, LoginError> {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            out.push_str(before);
            let Some((expression, after)) = after.split_once('}') else {
                return fault(format!("{template:?} has a \"${{\" without an end"));
            };
            let name = expression.trim();
            let value = name.strip_prefix("value.").and_then(|name| self.values.get(name));
            let Some(value) = value else {
                return fault(format!("unknown variable accessed: {name}"));
            };
            out.push_str(&value.to_lowercase());
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// A claim by name, or by JSON pointer where that begins with a slash.
fn find<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    let found = if name.starts_with('/') { claims.pointer(name) } else { claims.get(name) };
    found.filter(|value| !value.is_null())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => {
            #[allow(clippy::cast_possible_truncation)]
            let whole = number.as_i64().or_else(|| number.as_f64().map(|number| number as i64));
            whole.map(|number| number.to_string())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a selector can name: `value.NAME` and `list.NAME`.
const SCHEMA: Schema = Schema(&[
    Field { name: "value", kind: Kind::TextMap },
    Field { name: "list", kind: Kind::TextsMap },
]);

impl Table for Identity {
    const SCHEMA: &'static Schema = &SCHEMA;
}

impl Row for Identity {
    fn value(&self, at: usize) -> Selected<'_> {
        if at == 0 { Selected::TextMap(&self.values) } else { Selected::TextsMap(&self.lists) }
    }
}

impl Identity {
    /// Whether a selector is about this one; an empty one is about everybody.
    pub(crate) fn is_selected_by(&self, selector: &str) -> Result<bool, LoginError> {
        match Filter::<Self>::new(selector) {
            Ok(filter) => Ok(filter.matches(self)),
            Err(error) => fault(error.reason()),
        }
    }
}
