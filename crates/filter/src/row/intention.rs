//! Intentions.

use lictor_types::intention::Intention;

use crate::field::{Kind, Value, table};

table!(Intention {
    "ID" Kind::Text => |intention| Value::Text(&intention.id),
    "Description" Kind::Text => |intention| Value::Text(&intention.description),
    "SourceNS" Kind::Text => |intention| Value::Text(&intention.source_ns),
    "SourceName" Kind::Text => |intention| Value::Text(&intention.source_name),
    "DestinationNS" Kind::Text => |intention| Value::Text(&intention.destination_ns),
    "DestinationName" Kind::Text => |intention| Value::Text(&intention.destination_name),
    "SourceType" Kind::Text => |intention| Value::Text(&intention.source_type),
    "Action" Kind::Text => |intention| Value::Text(intention.action.as_str()),
    "Precedence" Kind::Number => |intention| Value::Number(intention.precedence),
    "Meta" Kind::TextMap => |intention| Value::TextMap(&intention.meta),
});
