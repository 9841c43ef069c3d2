//! `/v1/txn`: several operations on the key/value store and the catalog at once.
//!
//! Applying them is the store's; here are the limits and the shape of the answer.

use lictor_api::decode;
use lictor_api::txn as body;
use lictor_server::CatalogTxnReply;
use lictor_types::catalog::Service;
use lictor_types::check::HealthCheck;
use lictor_types::kv::KvEntry;
use lictor_types::query::QueryOptions;
use lictor_types::txn::{CatalogVerb, TxnError, TxnOp, TxnRow, TxnStep, TxnVerb};

use crate::answer::Answer;
use crate::config::HttpLimits;
use crate::door::{Call, Door};
use crate::error::HttpError;
use crate::{catalog, health};

/// Most operations of a transaction.
const OPERATIONS_MAX: usize = 64;

pub(crate) async fn execute(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: Vec<body::TxnOp> = decode::decode_list(&call.request.body)
        .map_err(|e| HttpError::bad_request(format!("Failed to parse body: {e}")))?;
    let given = within_limits(given, &door.limits)?;
    // Only a transaction that writes nothing is a read, with the options of reads.
    let writes = given.iter().any(writes);
    let options = if writes {
        let datacenter = call.request.query.text("dc").into_owned();
        QueryOptions { token: call.request.token(), datacenter, ..QueryOptions::default() }
    } else {
        call.request.read_options()?
    };
    let mut operations = Vec::with_capacity(given.len());
    let mut unknown = Vec::new();
    for (op_index, op) in given.into_iter().enumerate() {
        match requested(op)? {
            Ok(step) => operations.push(step),
            Err(what) => unknown.push(TxnError { op_index, what }),
        }
    }
    let reply = if unknown.is_empty() {
        door.servers().catalog_txn(&options, operations).await?
    } else {
        // What is unknown does not write, so this is a read; it is told who would have answered.
        let known = door.servers().catalog_txn(&options, Vec::new()).await?;
        CatalogTxnReply {
            results: Vec::new(),
            errors: unknown,
            meta: known.meta.filter(|_| !writes),
        }
    };
    Ok(shown(&reply, call.pretty))
}

/// Operations of the request, unless there are too many or they are too large.
fn within_limits(given: Vec<body::TxnOp>, limits: &HttpLimits) -> Result<Vec<Given>, HttpError> {
    let (value_max, all_max) = (limits.value_bytes, limits.transaction_bytes);
    let count = given.len();
    if count > OPERATIONS_MAX {
        let text = format!("Transaction contains too many operations ({count} > {OPERATIONS_MAX})");
        return Err(HttpError::too_large(text));
    }
    let operations: Vec<_> = given.into_iter().filter_map(Given::of).collect();
    let keys = || {
        operations.iter().filter_map(|op| match op {
            Given::Kv(op) => Some(op),
            _ => None,
        })
    };
    if let Some(op) = keys().find(|op| op.value.len() > value_max) {
        let (key, size) = (&op.key, op.value.len());
        let text = format!("Value for key {key:?} is too large ({size} > {value_max} bytes)");
        return Err(HttpError::too_large(text));
    }
    let size: usize = keys().map(|op| op.value.len()).sum();
    if size > all_max {
        let text = format!("Cumulative size of key data is too large ({size} > {all_max} bytes)");
        return Err(HttpError::too_large(text));
    }
    Ok(operations)
}

/// An operation of the request; of several in one element the first counts.
enum Given {
    Kv(body::TxnKv),
    Node(body::TxnNode),
    Service(Box<body::TxnService>),
    Check(Box<body::TxnCheck>),
}

impl Given {
    fn of(op: body::TxnOp) -> Option<Self> {
        let body::TxnOp { kv, node, service, check } = op;
        kv.map(Self::Kv)
            .or(node.map(Self::Node))
            .or(service.map(|one| Self::Service(Box::new(one))))
            .or(check.map(|one| Self::Check(Box::new(one))))
    }
}

fn writes(given: &Given) -> bool {
    let of_catalog = |word: &str| catalog_verb(word).is_some_and(|verb| verb != CatalogVerb::Get);
    match given {
        Given::Kv(op) => verb(&op.verb).is_some_and(is_write),
        Given::Node(op) => of_catalog(&op.verb),
        Given::Service(op) => of_catalog(&op.verb),
        Given::Check(op) => of_catalog(&op.verb),
    }
}

/// A step, or what is wrong with it alone.
fn requested(given: Given) -> Result<Result<TxnStep, String>, HttpError> {
    let unknown = |kind: &str, word: &str| Err(format!("unknown {kind} verb {word:?}"));
    Ok(match given {
        Given::Kv(op) => match verb(&op.verb) {
            Some(verb) => Ok(TxnStep::Kv(on_key(op, verb))),
            None if op.key.is_empty() => Err("Must provide key".to_owned()),
            None => unknown("KV", &op.verb),
        },
        Given::Node(op) => match catalog_verb(&op.verb) {
            Some(verb) => Ok(TxnStep::Node { verb, node: catalog::stored_node(op.node) }),
            None => unknown("Node", &op.verb),
        },
        Given::Service(op) => match catalog_verb(&op.verb) {
            Some(verb) => {
                let modify_index = op.service.modify_index;
                let service = Service { modify_index, ..catalog::stored_service(op.service)? };
                Ok(TxnStep::Service { verb, node: op.node.into(), service: Box::new(service) })
            }
            None => unknown("Service", &op.verb),
        },
        Given::Check(op) => match catalog_verb(&op.verb) {
            Some(verb) => {
                let modify_index = op.check.modify_index;
                // Kinds are not taken here, as in the original.
                let kind = String::new();
                let check = HealthCheck { kind, modify_index, ..health::stored_check(op.check)? };
                Ok(TxnStep::Check { verb, check: Box::new(check) })
            }
            None => unknown("Check", &op.verb),
        },
    })
}

fn catalog_verb(word: &str) -> Option<CatalogVerb> {
    Some(match word {
        "get" => CatalogVerb::Get,
        "set" => CatalogVerb::Set,
        "cas" => CatalogVerb::Cas,
        "delete" => CatalogVerb::Delete,
        "delete-cas" => CatalogVerb::DeleteCas,
        _ => return None,
    })
}

fn on_key(op: body::TxnKv, verb: TxnVerb) -> TxnOp {
    let entry = KvEntry {
        key: op.key.into(),
        value: op.value.into(),
        flags: op.flags,
        modify_index: op.index,
        session: op.session.as_str().into(),
        ..KvEntry::default()
    };
    TxnOp { verb, entry, lock_delayed: false }
}

fn verb(word: &str) -> Option<TxnVerb> {
    Some(match word {
        "set" => TxnVerb::Set,
        "cas" => TxnVerb::Cas,
        "lock" => TxnVerb::Lock,
        "unlock" => TxnVerb::Unlock,
        "get" => TxnVerb::Get,
        "get-or-empty" => TxnVerb::GetOrEmpty,
        "get-tree" => TxnVerb::GetTree,
        "check-index" => TxnVerb::CheckIndex,
        "check-session" => TxnVerb::CheckSession,
        "check-not-exists" => TxnVerb::CheckNotExists,
        "delete" => TxnVerb::Delete,
        "delete-tree" => TxnVerb::DeleteTree,
        "delete-cas" => TxnVerb::DeleteCas,
        _ => return None,
    })
}

const fn is_write(verb: TxnVerb) -> bool {
    match verb {
        TxnVerb::Set
        | TxnVerb::Cas
        | TxnVerb::Lock
        | TxnVerb::Unlock
        | TxnVerb::Delete
        | TxnVerb::DeleteTree
        | TxnVerb::DeleteCas => true,
        TxnVerb::Get
        | TxnVerb::GetOrEmpty
        | TxnVerb::GetTree
        | TxnVerb::CheckIndex
        | TxnVerb::CheckSession
        | TxnVerb::CheckNotExists => false,
    }
}

/// The answer: 409 when anything failed. That of a read tells its facts in the body as well.
fn shown(reply: &CatalogTxnReply, pretty: bool) -> Answer {
    let failed = !reply.errors.is_empty();
    let results = (!failed).then(|| reply.results.iter().map(result).collect());
    let errors = reply.errors.iter();
    let errors = errors.map(|e| body::TxnError { op_index: e.op_index, what: e.what.clone() });
    let shown = body::TxnReply {
        results,
        errors: failed.then(|| errors.collect()),
        facts: reply.meta.map(|meta| body::ReadFacts {
            index: 0,
            last_contact: i64::try_from(meta.last_contact.as_nanos()).unwrap_or(i64::MAX),
            known_leader: meta.known_leader,
            consistency_level: String::new(),
        }),
    };
    let mut answer = Answer::json(&shown, pretty);
    if failed {
        answer.status = 409;
    }
    match &reply.meta {
        Some(meta) => answer.with_contact(meta),
        None => answer,
    }
}

fn result(row: &TxnRow) -> body::TxnResult {
    match row {
        TxnRow::Kv(entry) => body::TxnResult::Kv(body::KvShown {
            lock_index: entry.lock_index,
            key: entry.key.to_string(),
            flags: entry.flags,
            value: (!entry.value.is_empty()).then(|| entry.value.to_vec()),
            session: entry.session.to_string(),
            create_index: entry.create_index,
            modify_index: entry.modify_index,
        }),
        TxnRow::Node(node) => body::TxnResult::Node(catalog::node(node)),
        TxnRow::Service(service) => body::TxnResult::Service(Box::new(catalog::service(service))),
        TxnRow::Check(check) => body::TxnResult::Check(Box::new(health::check(check))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VALUE_BYTES;

    fn refused(sizes: &[usize]) -> Option<(u16, String)> {
        let given = sizes.iter().map(|size| body::TxnOp {
            kv: Some(body::TxnKv {
                key: "k".to_owned(),
                value: vec![0; *size],
                ..body::TxnKv::default()
            }),
            ..body::TxnOp::default()
        });
        let error = within_limits(given.collect(), &HttpLimits::default()).err()?;
        Some((error.status(), error.text().to_owned()))
    }

    #[test]
    fn too_much_is_refused() {
        assert_eq!(refused(&[VALUE_BYTES]), None);
        let one = "Value for key \"k\" is too large (524289 > 524288 bytes)";
        assert_eq!(refused(&[VALUE_BYTES + 1]), Some((413, one.to_owned())));
        let all = "Cumulative size of key data is too large (600000 > 524288 bytes)";
        assert_eq!(refused(&[300_000, 300_000]), Some((413, all.to_owned())));
        let many = "Transaction contains too many operations (65 > 64)";
        assert_eq!(refused(&[0; 65]), Some((413, many.to_owned())));
    }
}
