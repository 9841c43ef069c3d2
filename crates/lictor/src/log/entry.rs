//! One line of the log: what it says, and its two forms.
//!
//! As text, `2006/01/02 15:04:05 [LEVEL] subsystem: text key=value`; as JSON, an object with
//! `@level`, `@message`, `@module`, `@timestamp` and the fields, as in later versions.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use tracing::Event;
use tracing::field::{Field, Visit};

use super::LogLevel;

/// A line before it has a form.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) level: LogLevel,
    time: OffsetDateTime,
    subsystem: String,
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Entry {
    /// What `event` says, now.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut entry = Self {
            level: LogLevel::of(*metadata.level()),
            time: OffsetDateTime::now_local().unwrap_or_else(|_| OffsetDateTime::now_utc()),
            subsystem: subsystem(metadata.target()).to_owned(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut entry);
        entry
    }

    /// The line as text, without time and level.
    pub(super) fn said(&self) -> String {
        let mut said = format!("{}: {}", self.subsystem, one_line(&self.message));
        for (name, value) in &self.fields {
            let _ = write!(said, " {name}={}", one_line(value));
        }
        said
    }

    /// The time as the system's log wants it: `Jan  2 15:04:05`.
    pub(super) fn stamp(&self) -> String {
        let at = self.time;
        let month = at.month().to_string();
        let month = month.get(..3).unwrap_or_default();
        let (hour, minute, second) = at.to_hms();
        format!("{month} {:>2} {hour:02}:{minute:02}:{second:02}", at.day())
    }

    /// The whole line as text.
    pub(super) fn text(&self) -> String {
        let (at, level) = (self.time, self.level.label());
        format!(
            "{:04}/{:02}/{:02} {:02}:{:02}:{:02} [{level}] {}\n",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            self.said(),
        )
    }

    /// The whole line as JSON.
    pub(super) fn json(&self) -> String {
        let (at, offset) = (self.time, self.time.offset());
        let zone = if offset.is_utc() {
            "Z".to_owned()
        } else {
            let sign = if offset.is_negative() { '-' } else { '+' };
            let (hours, minutes, _) = offset.as_hms();
            format!("{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs())
        };
        let time = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}{zone}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.microsecond(),
        );
        let mut object = Map::new();
        let level = match self.level {
            LogLevel::Err => "error".to_owned(),
            level => level.label().to_ascii_lowercase(),
        };
        for (name, value) in [
            ("@level", level.as_str()),
            ("@message", &self.message),
            ("@module", &self.subsystem),
            ("@timestamp", &time),
        ] {
            object.insert(name.to_owned(), value.into());
        }
        for (name, value) in &self.fields {
            object.insert((*name).to_owned(), value.as_str().into());
        }
        format!("{}\n", Value::Object(object))
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.fields.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// `lictor_agent::managed` is the subsystem `agent`.
fn subsystem(target: &str) -> &str {
    let name = target.split("::").next().unwrap_or(target);
    name.strip_prefix("lictor_").unwrap_or(name)
}

/// A line stays a line, whatever a peer put into it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}

#[cfg(test)]
pub(super) fn sample(level: LogLevel, message: &str) -> Entry {
    Entry {
        level,
        time: time::macros::datetime!(2026-11-26 19:30:05.25 UTC),
        subsystem: "agent".to_owned(),
        message: message.to_owned(),
        fields: vec![("id", "a\nb".to_owned())],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_forms_are_one_line() {
        let entry = sample(LogLevel::Err, "it \"broke\"\nthere\x1b[31m");
        let text = "2026/11/26 19:30:05 [ERR] agent: it \"broke\" there [31m id=a b\n";
        assert_eq!(entry.text(), text);
        let json = entry.json();
        assert_eq!(json.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!({
            "@level": "error", "@message": "it \"broke\"\nthere\x1b[31m", "@module": "agent",
            "@timestamp": "2026-11-26T19:30:05.250000Z", "id": "a\nb",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn subsystems_are_crates() {
        assert_eq!(subsystem("lictor_agent::managed"), "agent");
        assert_eq!(subsystem("hyper::proto"), "hyper");
    }
}
