//! Transactions over the key/value store and the catalog.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::View;
use lictor_types::command::{Command, DeregisterRequest, Outcome, RegisterRequest};
use lictor_types::error::{EndpointError, ErrorKind, text};
use lictor_types::kv::KvEntry;
use lictor_types::query::{QueryMeta, QueryOptions};
use lictor_types::txn::{CatalogTxnReply, CatalogVerb, TxnError, TxnOp, TxnRow, TxnStep, TxnVerb};

use super::catalog_rights::{may_deregister, may_register};
use crate::rights::{Visible, need};
use crate::server::Server;

/// What a transaction gave.
#[derive(Clone, Debug, Default)]
pub struct TxnReply {
    /// Entries, in the order of the operations; empty if any failed.
    pub results: Vec<Arc<KvEntry>>,
    /// Every operation that failed; then nothing was applied.
    pub errors: Vec<TxnError>,
    /// Facts about the answer, if it was only a read.
    pub meta: Option<QueryMeta>,
}

impl From<TxnReply> for CatalogTxnReply {
    fn from(reply: TxnReply) -> Self {
        let TxnReply { results, errors, meta } = reply;
        Self { results: results.into_iter().map(TxnRow::Kv).collect(), errors, meta }
    }
}

/// Whether a transaction writes nothing, so that it is a read.
#[must_use]
pub fn only_reads(steps: &[TxnStep]) -> bool {
    steps.iter().all(|step| match step {
        TxnStep::Kv(op) => reads(op.verb),
        TxnStep::Node { verb, .. }
        | TxnStep::Service { verb, .. }
        | TxnStep::Check { verb, .. } => *verb == CatalogVerb::Get,
    })
}

const fn reads(verb: TxnVerb) -> bool {
    use TxnVerb::{CheckIndex, CheckNotExists, CheckSession, Get, GetOrEmpty, GetTree};
    matches!(verb, Get | GetOrEmpty | GetTree | CheckIndex | CheckSession | CheckNotExists)
}

impl Server {
    /// Like [`Server::txn`], for steps on keys and on the catalog.
    ///
    /// # Errors
    /// When it could not be tried at all; steps that fail are part of the answer.
    pub async fn catalog_txn(
        &self,
        token: &str,
        options: &QueryOptions,
        mut steps: Vec<TxnStep>,
    ) -> Result<CatalogTxnReply, EndpointError> {
        let key = |step: &TxnStep| match step {
            TxnStep::Kv(op) => Some(op.clone()),
            _ => None,
        };
        if let Some(operations) = steps.iter().map(key).collect::<Option<Vec<_>>>() {
            return Ok(self.txn(token, options, operations).await?.into());
        }
        let datacenter = &self.config().datacenter;
        let mut errors = Vec::new();
        for (op_index, step) in steps.iter_mut().enumerate() {
            if let Err(what) = complete(step, datacenter) {
                errors.push(TxnError { op_index, what });
            }
        }
        let who = self.authorizer(token)?;
        let view = self.view();
        for (op_index, step) in steps.iter().enumerate() {
            let known = errors.iter().any(|error| error.op_index == op_index);
            if !known && let Err(error) = may_take(&who, &view, step) {
                errors.push(TxnError { op_index, what: error.text });
            }
        }
        errors.sort_by_key(|error| error.op_index);
        drop(view);
        if only_reads(&steps) {
            let _timed = self.meters().txn_read.start();
            let view = self.view_for(options).await?;
            let (results, errors) = match view.catalog_txn_read(&steps) {
                _ if !errors.is_empty() => (Vec::new(), errors),
                Ok(results) => (seen_rows(&who, results), Vec::new()),
                Err(errors) => (Vec::new(), errors),
            };
            return Ok(CatalogTxnReply { results, errors, meta: Some(self.meta(options, 0)) });
        }
        self.check_datacenter(&options.datacenter)?;
        if !errors.is_empty() {
            return Ok(CatalogTxnReply { errors, ..CatalogTxnReply::default() });
        }
        for step in &mut steps {
            if let TxnStep::Kv(op) = step
                && op.verb == TxnVerb::Lock
            {
                op.lock_delayed = self.lock_delays().is_delayed(&op.entry.key);
            }
        }
        match self.propose(Command::CatalogTxn(steps)).await?.outcome {
            Outcome::CatalogTxn(results) => {
                let results = seen_rows(&who, results);
                Ok(CatalogTxnReply { results, ..CatalogTxnReply::default() })
            }
            Outcome::TxnFailed(errors) => {
                Ok(CatalogTxnReply { errors, ..CatalogTxnReply::default() })
            }
            other => {
                let text = format!("unexpected outcome of a transaction: {other:?}");
                Err(EndpointError::new(ErrorKind::Internal, text))
            }
        }
    }

    /// Executes all operations or none. One that only reads is a read with its consistency.
    ///
    /// # Errors
    /// When it could not be tried at all; operations that fail are part of the answer.
    pub async fn txn(
        &self,
        token: &str,
        options: &QueryOptions,
        mut operations: Vec<TxnOp>,
    ) -> Result<TxnReply, EndpointError> {
        if operations.iter().all(|op| reads(op.verb)) {
            let _timed = self.meters().txn_read.start();
            let view = self.view_for(options).await?;
            let who = self.authorizer(token)?;
            let refused = refused(&who, &operations);
            let (results, errors) = match view.txn_read(&operations) {
                _ if !refused.is_empty() => (Vec::new(), refused),
                Ok(results) => (seen(&who, results), Vec::new()),
                Err(errors) => (Vec::new(), errors),
            };
            return Ok(TxnReply { results, errors, meta: Some(self.meta(options, 0)) });
        }
        self.check_datacenter(&options.datacenter)?;
        let who = self.authorizer(token)?;
        let refused = refused(&who, &operations);
        if !refused.is_empty() {
            return Ok(TxnReply { errors: refused, ..TxnReply::default() });
        }
        for op in operations.iter_mut().filter(|op| op.verb == TxnVerb::Lock) {
            op.lock_delayed = self.lock_delays().is_delayed(&op.entry.key);
        }
        match self.propose(Command::Txn(operations)).await?.outcome {
            Outcome::Txn(results) => {
                Ok(TxnReply { results: seen(&who, results), ..TxnReply::default() })
            }
            Outcome::TxnFailed(errors) => Ok(TxnReply { errors, ..TxnReply::default() }),
            other => {
                let text = format!("unexpected outcome of a transaction: {other:?}");
                Err(EndpointError::new(ErrorKind::Internal, text))
            }
        }
    }
}

/// Checks a step by the rules of registrations and fills in what follows from the rest.
fn complete(step: &mut TxnStep, datacenter: &str) -> Result<(), String> {
    let mut request = RegisterRequest {
        node: "any".into(),
        skip_node_update: true,
        ..RegisterRequest::default()
    };
    match step {
        TxnStep::Kv(op) if lacks_key(op) => return Err(KEYLESS.to_owned()),
        TxnStep::Kv(_) => return Ok(()),
        TxnStep::Node { verb, node } => {
            let by_id = *verb == CatalogVerb::Get && !node.id.is_empty();
            if node.name.is_empty() && !by_id {
                return Err("Must provide node".to_owned());
            }
            datacenter.clone_into(&mut node.datacenter);
            request.id.clone_from(&node.id);
        }
        TxnStep::Service { verb, service, .. } => match verb {
            CatalogVerb::Set | CatalogVerb::Cas => request.service = Some((**service).clone()),
            CatalogVerb::Get | CatalogVerb::Delete | CatalogVerb::DeleteCas => return Ok(()),
        },
        TxnStep::Check { verb, check } => match verb {
            CatalogVerb::Set | CatalogVerb::Cas => {
                request.node = Arc::clone(&check.node);
                request.checks.push((**check).clone());
            }
            CatalogVerb::Get | CatalogVerb::Delete | CatalogVerb::DeleteCas => return Ok(()),
        },
    }
    super::catalog::complete(&mut request).map_err(|error| error.text)?;
    match (step, request.service, request.checks.pop()) {
        (TxnStep::Service { service, .. }, Some(whole), _) => **service = whole,
        (TxnStep::Check { check, .. }, _, Some(whole)) => **check = whole,
        _ => {}
    }
    Ok(())
}

const KEYLESS: &str = "Must provide key";

/// Only the deletion of a tree may mean everything.
fn lacks_key(op: &TxnOp) -> bool {
    op.entry.key.is_empty() && op.verb != TxnVerb::DeleteTree
}

/// Operations that are not even tried: without the key that they need (only the deletion of a
/// tree may mean everything), or without the right to it.
fn refused(who: &Authorizer, operations: &[TxnOp]) -> Vec<TxnError> {
    let problem = |op: &TxnOp| {
        if lacks_key(op) {
            return Some(KEYLESS);
        }
        (!may(who, op)).then_some(text::PERMISSION_DENIED)
    };
    let problems = operations.iter().map(problem).enumerate();
    let told = |(op_index, what): (usize, Option<&str>)| {
        Some(TxnError { op_index, what: what?.to_owned() })
    };
    problems.filter_map(told).collect()
}

fn may(who: &Authorizer, op: &TxnOp) -> bool {
    let key = &op.entry.key;
    match op.verb {
        // What is read is filtered afterwards.
        TxnVerb::Get | TxnVerb::GetOrEmpty | TxnVerb::GetTree => true,
        // Whether these hold tells something about the key.
        TxnVerb::CheckIndex | TxnVerb::CheckSession | TxnVerb::CheckNotExists => who.key_read(key),
        TxnVerb::DeleteTree => who.key_write_prefix(key),
        TxnVerb::Set
        | TxnVerb::Cas
        | TxnVerb::Lock
        | TxnVerb::Unlock
        | TxnVerb::Delete
        | TxnVerb::DeleteCas => who.key_write(key),
    }
}

/// The results that may be seen.
fn seen(who: &Authorizer, results: Vec<Arc<KvEntry>>) -> Vec<Arc<KvEntry>> {
    if who.allows_everything() {
        return results;
    }
    results.visible(who).unwrap_or(results)
}

/// Refuses a step for which the rights do not suffice; what is read is filtered afterwards.
fn may_take(who: &Authorizer, view: &View, step: &TxnStep) -> Result<(), EndpointError> {
    if who.allows_everything() {
        return Ok(());
    }
    match step {
        TxnStep::Kv(op) => need(may(who, op)),
        TxnStep::Node { verb: CatalogVerb::Get, .. }
        | TxnStep::Service { verb: CatalogVerb::Get, .. }
        | TxnStep::Check { verb: CatalogVerb::Get, .. } => Ok(()),
        TxnStep::Node { node, .. } => need(who.node_write(&node.name)),
        TxnStep::Service { verb: CatalogVerb::Set | CatalogVerb::Cas, node, service } => {
            let request = RegisterRequest {
                node: Arc::clone(node),
                skip_node_update: true,
                service: Some((**service).clone()),
                ..RegisterRequest::default()
            };
            may_register(who, view, &request)
        }
        TxnStep::Service { node, service, .. } => {
            let request = DeregisterRequest {
                node: Arc::clone(node),
                service_id: Arc::clone(&service.id),
                ..DeregisterRequest::default()
            };
            may_deregister(who, view, &request)
        }
        TxnStep::Check { verb: CatalogVerb::Set | CatalogVerb::Cas, check } => {
            let request = RegisterRequest {
                node: Arc::clone(&check.node),
                skip_node_update: true,
                checks: vec![(**check).clone()],
                ..RegisterRequest::default()
            };
            may_register(who, view, &request)
        }
        TxnStep::Check { check, .. } => {
            let request = DeregisterRequest {
                node: Arc::clone(&check.node),
                check_id: Arc::clone(&check.check_id),
                ..DeregisterRequest::default()
            };
            may_deregister(who, view, &request)
        }
    }
}

/// The rows that may be seen.
fn seen_rows(who: &Authorizer, mut rows: Vec<TxnRow>) -> Vec<TxnRow> {
    if !who.allows_everything() {
        rows.retain(|row| match row {
            TxnRow::Kv(entry) => who.key_read(&entry.key),
            TxnRow::Node(node) => who.node_read(&node.name),
            TxnRow::Service(service) => who.service_read(&service.name),
            TxnRow::Check(check) if check.service_id.is_empty() => who.node_read(&check.node),
            TxnRow::Check(check) => who.service_read(&check.service_name),
        });
    }
    rows
}
