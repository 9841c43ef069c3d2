//! Health checks.

use lictor_types::check::HealthCheck;

use crate::field::{Kind, Value, table};

table!(HealthCheck {
    "Node" Kind::Text => |check| Value::Text(&check.node),
    "CheckID" Kind::Text => |check| Value::Text(&check.check_id),
    "Name" Kind::Text => |check| Value::Text(&check.name),
    "Status" Kind::Text => |check| Value::Text(check.status.as_str()),
    "Notes" Kind::Text => |check| Value::Text(&check.notes),
    "Output" Kind::Text => |check| Value::Text(&check.output),
    "ServiceID" Kind::Text => |check| Value::Text(&check.service_id),
    "ServiceName" Kind::Text => |check| Value::Text(&check.service_name),
    "ServiceTags" Kind::Texts => |check| Value::Texts(&check.service_tags),
    "Type" Kind::Text => |check| Value::Text(&check.kind),
    "Interval" Kind::Text => |check| Value::Text(&check.interval),
    "Timeout" Kind::Text => |check| Value::Text(&check.timeout),
});
