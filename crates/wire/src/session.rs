//! Sessions.

use std::sync::Arc;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::command::SessionWrite;
use lictor_types::query::Reply;
use lictor_types::session::{Session, SessionBehavior};

use crate::catalog::NodeArgs;
use crate::record::{Fields, as_value, record};
use crate::reply::{AtMostOne, data};
use crate::value::Value;
use crate::{ReadRequest, WriteRequest, methods};

methods! {
    /// Creates or ends a session; the reply is the id of the one that was created.
    Apply = "Session.Apply": WriteRequest<SessionWrite> => Arc<str>;
    /// A session.
    Get = "Session.Get": ReadRequest<SessionArgs> => Reply<Option<Arc<Session>>>;
    /// All sessions.
    List = "Session.List": ReadRequest => Reply<Vec<Arc<Session>>>;
    /// Sessions of a node.
    NodeSessions = "Session.NodeSessions": ReadRequest<NodeArgs> => Reply<Vec<Arc<Session>>>;
    /// Prolongs a session, which then is the reply.
    Renew = "Session.Renew": ReadRequest<SessionArgs> => Reply<Option<Arc<Session>>>;
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionArgs {
    /// Its id.
    pub id: String,
}

/// Version 1.2 calls it `Session`, later ones `SessionID`, and they read both.
impl Fields for SessionArgs {
    const COUNT: usize = 2;

    fn zero() -> Self {
        Self::default()
    }

    fn write_fields(&self, to: &mut Writer) {
        to.raw("Session").raw(&self.id);
        to.raw("SessionID").raw(&self.id);
    }

    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed> {
        let own = matches!(key, b"Session" | b"SessionID");
        if own {
            let id = from.text()?;
            if !id.is_empty() {
                id.clone_into(&mut self.id);
            }
        }
        Ok(own)
    }
}

impl Value for SessionBehavior {
    fn write(&self, to: &mut Writer) {
        to.raw(match self {
            Self::Release => "release",
            Self::Delete => "delete",
        });
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match from.raw()? {
            b"" | b"release" => Self::Release,
            b"delete" => Self::Delete,
            _ => return Err(Malformed::Word),
        })
    }
}

impl Fields for Session {
    const COUNT: usize = 11;

    fn zero() -> Self {
        Self::default()
    }

    fn write_fields(&self, to: &mut Writer) {
        to.raw("Behavior");
        self.behavior.write(to);
        // Version 1.2 knows these alone; later ones take them for one list with the others.
        to.raw("Checks");
        self.checks.write(to);
        to.raw("CreateIndex").uint(self.create_index);
        to.raw("ID").raw(&*self.id);
        to.raw("LockDelay").int(self.lock_delay);
        to.raw("ModifyIndex").uint(self.modify_index);
        to.raw("Name").raw(&self.name);
        to.raw("Node").raw(&*self.node);
        to.raw("NodeChecks");
        let of_node = |check: &&String| !self.service_checks.contains(*check);
        self.checks.iter().filter(of_node).cloned().collect::<Vec<_>>().write(to);
        to.raw("ServiceChecks");
        let of_service = |id: &String| ServiceCheck { id: id.clone() };
        self.service_checks.iter().map(of_service).collect::<Vec<_>>().write(to);
        to.raw("TTL").raw(&self.ttl);
    }

    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed> {
        match key {
            b"Behavior" => self.behavior = Value::read(from)?,
            b"Checks" | b"NodeChecks" => add(&mut self.checks, Value::read(from)?),
            b"CreateIndex" => self.create_index = Value::read(from)?,
            b"ID" => self.id = Value::read(from)?,
            b"LockDelay" => self.lock_delay = Value::read(from)?,
            b"ModifyIndex" => self.modify_index = Value::read(from)?,
            b"Name" => self.name = Value::read(from)?,
            b"Node" => self.node = Value::read(from)?,
            b"ServiceChecks" => {
                let checks = Vec::<ServiceCheck>::read(from)?;
                self.service_checks = checks.into_iter().map(|check| check.id).collect();
                add(&mut self.checks, self.service_checks.clone());
            }
            b"TTL" => self.ttl = Value::read(from)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

as_value!(Session);

fn add(checks: &mut Vec<String>, more: Vec<String>) {
    for check in more {
        if !checks.contains(&check) {
            checks.push(check);
        }
    }
}

#[derive(Default)]
struct ServiceCheck {
    id: String,
}

record! { ServiceCheck {
    "ID": id,
    "Namespace" = "",
} }

/// Which write it is stands beside the session.
impl Fields for SessionWrite {
    const COUNT: usize = 2;

    fn zero() -> Self {
        Self::Create(Session::default())
    }

    fn write_fields(&self, to: &mut Writer) {
        match self {
            Self::Create(session) => {
                to.raw("Op").raw("create").raw("Session");
                session.write(to);
            }
            Self::Destroy(id) => {
                to.raw("Op").raw("destroy").raw("Session");
                Session { id: Arc::clone(id), ..Session::default() }.write(to);
            }
        }
    }

    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed> {
        match key {
            b"Op" => match from.raw()? {
                b"create" => {}
                b"destroy" => {
                    if let Self::Create(session) = self {
                        *self = Self::Destroy(Arc::clone(&session.id));
                    }
                }
                _ => return Err(Malformed::Word),
            },
            b"Session" => {
                let read = Session::read(from)?;
                *self = match self {
                    Self::Create(_) => Self::Create(read),
                    Self::Destroy(_) => Self::Destroy(read.id),
                };
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

data! {
    "Sessions": Option<Arc<Session>> as AtMostOne;
    "Sessions": Vec<Arc<Session>>;
}
