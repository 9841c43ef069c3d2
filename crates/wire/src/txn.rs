//! Transactions over keys and the catalog.

use std::sync::Arc;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::catalog::{Node, Service};
use lictor_types::check::HealthCheck;
use lictor_types::kv::KvEntry;
use lictor_types::query::QueryMeta;
use lictor_types::txn::{CatalogTxnReply, CatalogVerb, TxnError, TxnOp, TxnRow, TxnStep, TxnVerb};

use crate::record::{Fields, fields, record};
use crate::value::{Value, words};
use crate::{ReadRequest, WriteRequest, methods};

methods! {
    /// Executes all steps or none.
    Apply = "Txn.Apply": WriteRequest<Steps> => CatalogTxnReply;
    /// The same, if none of them writes.
    Read = "Txn.Read": ReadRequest<Steps> => CatalogTxnReply;
}

/// The steps of a transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// In their order.
    pub steps: Vec<TxnStep>,
}

fields! { Steps { "Ops": steps, } }

words! { TxnVerb {
    "set": Set,
    "cas": Cas,
    "lock": Lock,
    "unlock": Unlock,
    "get": Get,
    "get-or-empty": GetOrEmpty,
    "get-tree": GetTree,
    "check-index": CheckIndex,
    "check-session": CheckSession,
    "check-not-exists": CheckNotExists,
    "delete": Delete,
    "delete-tree": DeleteTree,
    "delete-cas": DeleteCas,
} }

words! { CatalogVerb {
    "get": Get,
    "set": Set,
    "cas": Cas,
    "delete": Delete,
    "delete-cas": DeleteCas,
} }

// Whether a lock is delayed is decided by the leader.
record! { TxnOp = Self {
    verb: TxnVerb::Get,
    entry: KvEntry::default(),
    lock_delayed: false,
} => {
    "DirEnt": entry,
    "Verb": verb,
} }

struct NodeStep {
    verb: CatalogVerb,
    node: Node,
}

record! { NodeStep = Self { verb: CatalogVerb::Get, node: Node::default() } => {
    "Node": node,
    "Verb": verb,
} }

struct ServiceStep {
    verb: CatalogVerb,
    node: Arc<str>,
    service: Box<Service>,
}

record! { ServiceStep = Self {
    verb: CatalogVerb::Get,
    node: "".into(),
    service: Box::default(),
} => {
    "Node": node,
    "Service": service,
    "Verb": verb,
} }

struct CheckStep {
    verb: CatalogVerb,
    check: Box<HealthCheck>,
}

record! { CheckStep = Self { verb: CatalogVerb::Get, check: Box::default() } => {
    "Check": check,
    "Verb": verb,
} }

/// A map of which one value is there. What version 1.10 has besides, intentions and sessions, is
/// not for clients.
impl Value for TxnStep {
    fn write(&self, to: &mut Writer) {
        to.map(6);
        put(to, "Check", |to| match self {
            Self::Check { verb, check } => {
                CheckStep { verb: *verb, check: check.clone() }.write(to);
                true
            }
            _ => false,
        });
        put(to, "Intention", |_| false);
        put(to, "KV", |to| match self {
            Self::Kv(op) => {
                op.write(to);
                true
            }
            _ => false,
        });
        put(to, "Node", |to| match self {
            Self::Node { verb, node } => {
                NodeStep { verb: *verb, node: node.clone() }.write(to);
                true
            }
            _ => false,
        });
        put(to, "Service", |to| match self {
            Self::Service { verb, node, service } => {
                let (node, service) = (Arc::clone(node), service.clone());
                ServiceStep { verb: *verb, node, service }.write(to);
                true
            }
            _ => false,
        });
        put(to, "Session", |_| false);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut step = None;
        from.fields(|key, from| {
            let read = match key {
                b"KV" => Option::<TxnOp>::read(from)?.map(Self::Kv),
                b"Node" => Option::<NodeStep>::read(from)?
                    .map(|step| Self::Node { verb: step.verb, node: step.node }),
                b"Service" => Option::<ServiceStep>::read(from)?.map(|step| Self::Service {
                    verb: step.verb,
                    node: step.node,
                    service: step.service,
                }),
                b"Check" => Option::<CheckStep>::read(from)?
                    .map(|step| Self::Check { verb: step.verb, check: step.check }),
                _ => return Ok(false),
            };
            if read.is_some() {
                step = read;
            }
            Ok::<_, Malformed>(true)
        })?;
        step.ok_or(Malformed::Type)
    }
}

/// Appends a key with what `write` appends, which says whether it did; `nil` otherwise.
fn put(to: &mut Writer, key: &str, write: impl FnOnce(&mut Writer) -> bool) {
    to.raw(key);
    if !write(to) {
        to.nil();
    }
}

impl Value for TxnRow {
    fn write(&self, to: &mut Writer) {
        to.map(4);
        put(to, "Check", |to| match self {
            Self::Check(check) => {
                check.write(to);
                true
            }
            _ => false,
        });
        put(to, "KV", |to| match self {
            Self::Kv(entry) => {
                entry.write(to);
                true
            }
            _ => false,
        });
        put(to, "Node", |to| match self {
            Self::Node(node) => {
                node.write(to);
                true
            }
            _ => false,
        });
        put(to, "Service", |to| match self {
            Self::Service(service) => {
                service.write(to);
                true
            }
            _ => false,
        });
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut row = None;
        from.fields(|key, from| {
            let read = match key {
                b"KV" => Option::read(from)?.map(Self::Kv),
                b"Node" => Option::read(from)?.map(Self::Node),
                b"Service" => Option::read(from)?.map(Self::Service),
                b"Check" => Option::read(from)?.map(Self::Check),
                _ => return Ok(false),
            };
            if read.is_some() {
                row = read;
            }
            Ok::<_, Malformed>(true)
        })?;
        row.ok_or(Malformed::Type)
    }
}

record! { TxnError = Self { op_index: 0, what: String::new() } => {
    "OpIndex": op_index,
    "What": what,
} }

/// Facts about the answer stand beside the rows where it was a read.
impl Value for CatalogTxnReply {
    fn write(&self, to: &mut Writer) {
        to.map(2 + if self.meta.is_some() { QueryMeta::COUNT } else { 0 });
        if let Some(meta) = &self.meta {
            meta.write_fields(to);
        }
        to.raw("Errors");
        self.errors.write(to);
        to.raw("Results");
        self.results.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut reply = Self::default();
        from.fields(|key, from| {
            match key {
                b"Errors" => reply.errors = Value::read(from)?,
                b"Results" => reply.results = Value::read(from)?,
                _ => {
                    let mut meta = reply.meta.unwrap_or_default();
                    let known = meta.read_field(key, from)?;
                    if known {
                        reply.meta = Some(meta);
                    }
                    return Ok(known);
                }
            }
            Ok::<_, Malformed>(true)
        })?;
        Ok(reply)
    }
}
