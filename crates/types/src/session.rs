//! Sessions: the owners of locks.
//!
//! Timers and lock-delays are the leader's (`server` crate); invalidation rules the store's.

use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::Index;
use crate::codec::nullable;

/// What happens to a session's keys when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionBehavior {
    /// Locks are released.
    #[default]
    Release,
    /// Keys are deleted.
    Delete,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Record", into = "Record")]
pub struct Session {
    /// UUID.
    pub id: Arc<str>,
    /// For people.
    pub name: String,
    /// Node that it is bound to.
    pub node: Arc<str>,
    /// IDs of the checks that end it when they turn critical.
    pub checks: Vec<String>,
    /// Those among them that were given as checks of services, as from 1.7 on.
    pub service_checks: Vec<String>,
    /// Nanoseconds during which its keys cannot be locked after it was ended by force.
    pub lock_delay: i64,
    /// What happens to its keys at its end.
    pub behavior: SessionBehavior,
    /// Go duration, or empty for none.
    pub ttl: String,
    /// Index of its creation.
    pub create_index: Index,
    /// Index of its last change.
    pub modify_index: Index,
}

/// A session as it is written: with the checks as 1.2 has them, and as versions from 1.7 on do.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Record {
    #[serde(rename = "ID")]
    id: Arc<str>,
    name: String,
    node: Arc<str>,
    /// All of them; what came from later versions may have none here.
    #[serde(deserialize_with = "nullable")]
    checks: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    node_checks: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    service_checks: Vec<ServiceCheck>,
    lock_delay: i64,
    behavior: SessionBehavior,
    #[serde(rename = "TTL")]
    ttl: String,
    create_index: Index,
    modify_index: Index,
}

/// A check of a service, in a session of version 1.7 or later.
#[derive(Deserialize)]
#[serde(untagged)]
enum ServiceCheck {
    Plain(String),
    Named {
        #[serde(rename = "ID")]
        id: String,
    },
}

impl Serialize for ServiceCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (Self::Plain(id) | Self::Named { id }) = self;
        let mut check = serializer.serialize_struct("ServiceCheck", 2)?;
        check.serialize_field("ID", id)?;
        check.serialize_field("Namespace", "")?;
        check.end()
    }
}

impl From<Record> for Session {
    fn from(record: Record) -> Self {
        let ids = record.service_checks.into_iter();
        let service_checks: Vec<String> =
            ids.map(|(ServiceCheck::Plain(id) | ServiceCheck::Named { id })| id).collect();
        let mut checks = record.checks;
        for check in record.node_checks.iter().chain(&service_checks) {
            if !checks.contains(check) {
                checks.push(check.clone());
            }
        }
        Self {
            id: record.id,
            name: record.name,
            node: record.node,
            checks,
            service_checks,
            lock_delay: record.lock_delay,
            behavior: record.behavior,
            ttl: record.ttl,
            create_index: record.create_index,
            modify_index: record.modify_index,
        }
    }
}

impl From<Session> for Record {
    fn from(session: Session) -> Self {
        let of_service = |check: &&String| session.service_checks.contains(check);
        Self {
            node_checks: session.checks.iter().filter(|c| !of_service(c)).cloned().collect(),
            id: session.id,
            name: session.name,
            node: session.node,
            checks: session.checks,
            service_checks: session.service_checks.into_iter().map(ServiceCheck::Plain).collect(),
            lock_delay: session.lock_delay,
            behavior: session.behavior,
            ttl: session.ttl,
            create_index: session.create_index,
            modify_index: session.modify_index,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::codec;

    fn text(of: &str, out: &mut Vec<u8>) {
        codec::encode_into(of, out).unwrap();
    }

    #[test]
    fn checks_of_later_versions_are_read() {
        // {NodeChecks: [serfHealth], ServiceChecks: [{ID: web, Namespace: ""}], Checks: nil}
        let mut bytes = vec![0x83];
        text("NodeChecks", &mut bytes);
        bytes.push(0x91);
        text("serfHealth", &mut bytes);
        text("ServiceChecks", &mut bytes);
        bytes.extend([0x91, 0x82]);
        ["ID", "web", "Namespace", ""].into_iter().for_each(|word| text(word, &mut bytes));
        text("Checks", &mut bytes);
        bytes.push(0xc0);
        let session: Session = codec::decode(&bytes).unwrap();
        assert_eq!(session.checks, ["serfHealth", "web"]);
        assert_eq!(session.service_checks, ["web"]);
        let mut again = Vec::new();
        codec::encode_into(&session, &mut again).unwrap();
        assert_eq!(codec::decode::<Session>(&again).unwrap(), session);
    }

    #[test]
    fn nothing_where_a_list_belongs_is_an_empty_list() {
        let mut bytes = vec![0x81];
        text("ServiceChecks", &mut bytes);
        bytes.push(0xc0);
        assert_eq!(codec::decode::<Session>(&bytes).unwrap(), Session::default());
    }
}
