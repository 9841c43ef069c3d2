//! Typed look-ups in a decoded configuration, as forgiving about kinds as people's files need.
//!
//! It knows no key. Numbers may be texts and texts numbers; a block may be an object or a list of
//! objects, of which the last value of a key counts.

use std::time::Duration;

use serde_json::{Map, Value};

use super::ConfigError;

/// The fields of one object, or of several that were written for the same block.
pub(super) struct Fields<'a> {
    at: String,
    objects: Vec<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(at: &str, value: &'a Value) -> Result<Self, ConfigError> {
        let objects = match value {
            Value::Object(object) => Some(vec![object]),
            Value::Array(list) => list.iter().map(Value::as_object).collect(),
            _ => None,
        };
        match objects {
            Some(objects) => Ok(Self { at: at.to_owned(), objects }),
            None => Err(wrong(at.to_owned(), "an object", value)),
        }
    }

    pub(super) fn of_map(at: &str, object: &'a Map<String, Value>) -> Self {
        Self { at: at.to_owned(), objects: vec![object] }
    }

    /// The key with those around it, for messages.
    pub(super) fn path(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        self.get(key)
            .map(|value| match value {
                Value::String(text) => Ok(text.clone()),
                Value::Number(number) => Ok(number.to_string()),
                Value::Bool(flag) => Ok(flag.to_string()),
                other => Err(wrong(self.path(key), "a string", other)),
            })
            .transpose()
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        self.get(key)
            .map(|value| {
                let number = match value {
                    Value::Number(number) => number.as_u64().or_else(|| {
                        number.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64)
                    }),
                    Value::String(text) if text.is_empty() => Some(0),
                    Value::String(text) => text.trim().parse().ok(),
                    _ => None,
                };
                number.ok_or_else(|| wrong(self.path(key), "a number", value))
            })
            .transpose()
    }

    pub(super) fn port(&self, key: &str) -> Result<Option<u16>, ConfigError> {
        self.number(key)?
            .map(|number| {
                u16::try_from(number)
                    .map_err(|_| wrong(self.path(key), "a port", &Value::from(number)))
            })
            .transpose()
    }

    /// A time in milliseconds; 0 is as if the key were not there.
    pub(super) fn millis(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        Ok(self.number(key)?.filter(|millis| *millis > 0).map(Duration::from_millis))
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<Self>, ConfigError> {
        self.get(key).map(|value| Self::of(&self.path(key), value)).transpose()
    }

    /// Every object under `key`, each on its own.
    pub(super) fn objects(&self, key: &str) -> Result<Vec<Self>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let all = Self::of(&self.path(key), value)?;
        let one = |object| Self { at: all.at.clone(), objects: vec![object] };
        Ok(all.objects.into_iter().map(one).collect())
    }

    /// The value of `key`; `null` is as if it were not there.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.objects.iter().rev().find_map(|object| object.get(key)).filter(|v| !v.is_null())
    }
}

fn wrong(key: String, expected: &'static str, value: &Value) -> ConfigError {
    ConfigError::Kind { key, expected, got: value.to_string() }
}
