//! Members of a pool.

use lictor_types::member::Member;

use crate::field::{Kind, Value, table};

table!(Member {
    "Name" Kind::Text => |member| Value::Text(&member.name),
    "Addr" Kind::Text => |member| Value::Made(member.address.to_string()),
    "Port" Kind::Number => |member| Value::Number(member.port.into()),
    "Tags" Kind::TextMap => |member| Value::TextMap(&member.tags),
    "Status" Kind::Number => |member| Value::Number(member.status as i64),
    "ProtocolMin" Kind::Number => |member| Value::Number(member.protocol[0].into()),
    "ProtocolMax" Kind::Number => |member| Value::Number(member.protocol[1].into()),
    "ProtocolCur" Kind::Number => |member| Value::Number(member.protocol[2].into()),
    "DelegateMin" Kind::Number => |member| Value::Number(member.delegate[0].into()),
    "DelegateMax" Kind::Number => |member| Value::Number(member.delegate[1].into()),
    "DelegateCur" Kind::Number => |member| Value::Number(member.delegate[2].into()),
});
