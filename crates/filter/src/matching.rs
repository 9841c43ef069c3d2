//! Whether a row matches an expression.
//!
//! What is not there (a name in a map) equals nothing, is in nothing, matches nothing and is empty.
//! A selector through a list holds if it does for any of its records.

use crate::compile::{Compare, Node, Step, Test};
use crate::field::{Row, Value};

pub(crate) fn holds(node: &Node, row: &dyn Row) -> bool {
    match node {
        Node::Not(inner) => !holds(inner, row),
        Node::And(parts) => parts.iter().all(|part| holds(part, row)),
        Node::Or(parts) => parts.iter().any(|part| holds(part, row)),
        Node::Test(test) => test.of_record(&test.path, row),
    }
}

impl Test {
    fn of_record(&self, path: &[Step], record: &dyn Row) -> bool {
        match path {
            [Step::Field(at), rest @ ..] => self.of_value(rest, record.value(*at)),
            // Only what is left of a selector is looked for, and records are never its end.
            _ => false,
        }
    }

    fn of_value(&self, path: &[Step], value: Value<'_>) -> bool {
        let Some((step, rest)) = path.split_first() else { return self.compares(value) };
        match (value, step) {
            (Value::Record(record), _) => self.of_record(path, record),
            (Value::Records(mut records), _) => records.any(|one| self.of_record(path, one)),
            (Value::TextMap(map), Step::Key(key)) => match map.get(key) {
                Some(text) => self.compares(Value::Text(text)),
                None => self.is_not_there(),
            },
            (Value::TextsMap(map), Step::Key(key)) => match map.get(key) {
                Some(list) => self.compares(Value::Texts(list)),
                None => self.is_not_there(),
            },
            (Value::RecordMap(map), Step::Key(key)) => match map.record(key) {
                Some(record) => self.of_record(rest, record),
                None => self.is_not_there(),
            },
            _ => false,
        }
    }

    fn is_not_there(&self) -> bool {
        matches!(self.compare, Compare::Empty) != self.negated
    }

    fn compares(&self, value: Value<'_>) -> bool {
        self.holds_for(value) != self.negated
    }

    fn holds_for(&self, value: Value<'_>) -> bool {
        match (&self.compare, value) {
            (Compare::Text(wanted), Value::Text(text)) => wanted == text,
            (Compare::Text(wanted), Value::Made(text)) => *wanted == text,
            (Compare::Number(wanted), Value::Number(number)) => *wanted == number,
            (Compare::Bool(wanted), Value::Bool(value)) => *wanted == value,
            (Compare::Contains(part), Value::Text(text)) => text.contains(&**part),
            (Compare::Contains(part), Value::Made(text)) => text.contains(&**part),
            (Compare::Contains(one), Value::Texts(list)) => list.contains(one),
            (Compare::Contains(name), Value::TextMap(map)) => map.contains_key(name),
            (Compare::Contains(name), Value::TextsMap(map)) => map.contains_key(name),
            (Compare::Contains(name), Value::RecordMap(map)) => map.record(name).is_some(),
            (Compare::Empty, Value::Texts(list)) => list.is_empty(),
            (Compare::Empty, Value::TextMap(map)) => map.is_empty(),
            (Compare::Empty, Value::TextsMap(map)) => map.is_empty(),
            (Compare::Empty, Value::Records(mut records)) => records.next().is_none(),
            (Compare::Empty, Value::RecordMap(map)) => map.has_none(),
            (Compare::Pattern(pattern), Value::Text(text)) => pattern.is_match(text),
            (Compare::Pattern(pattern), Value::Made(text)) => pattern.is_match(&text),
            _ => false,
        }
    }
}
