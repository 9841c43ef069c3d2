//! Transactions that touch the catalog, by the rules of single registrations.

use std::sync::Arc;

use lictor_types::Index;
use lictor_types::command::{DeregisterRequest, RegisterRequest};
use lictor_types::txn::{CatalogVerb, TxnError, TxnRow, TxnStep};

use crate::naive::Naive;

impl Naive {
    pub(crate) fn catalog_txn(&mut self, steps: &[TxnStep]) -> Result<Vec<TxnRow>, Vec<TxnError>> {
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        for (op_index, step) in steps.iter().enumerate() {
            match self.step(step) {
                Ok(rows) => found.extend(rows),
                Err(what) => errors.push(TxnError { op_index, what }),
            }
        }
        if errors.is_empty() { Ok(found) } else { Err(errors) }
    }

    fn step(&mut self, step: &TxnStep) -> Result<Vec<TxnRow>, String> {
        let (verb, what, row, wanted) = match step {
            TxnStep::Kv(op) => {
                let rows = self.txn(std::slice::from_ref(op)).map_err(|e| e[0].what.clone())?;
                return Ok(rows.into_iter().map(TxnRow::Kv).collect());
            }
            TxnStep::Node { verb, node } => {
                (verb, format!("node \"{}\"", node.name), self.row(step), node.modify_index)
            }
            TxnStep::Service { verb, node, service } => {
                let what = format!("service \"{}\" on node \"{node}\"", service.id);
                (verb, what, self.row(step), service.modify_index)
            }
            TxnStep::Check { verb, check } => {
                let what = format!("check \"{}\" on node \"{}\"", check.check_id, check.node);
                (verb, what, self.row(step), check.modify_index)
            }
        };
        let index = row.as_ref().map(index);
        match verb {
            CatalogVerb::Get => {
                return self
                    .meant(step)
                    .map(|row| vec![row])
                    .ok_or(format!("{what} doesn't exist"));
            }
            CatalogVerb::Cas if index.unwrap_or(0) != wanted => {
                return Err(format!("failed to set {what}, index is stale"));
            }
            CatalogVerb::DeleteCas if index.is_some_and(|index| index != wanted) => {
                return Err(format!("failed to delete {what}, index is stale"));
            }
            CatalogVerb::Set | CatalogVerb::Cas => self.write_row(step)?,
            CatalogVerb::Delete | CatalogVerb::DeleteCas => {
                self.delete(step);
                return Ok(Vec::new());
            }
        }
        Ok(self.row(step).into_iter().collect())
    }

    fn write_row(&mut self, step: &TxnStep) -> Result<(), String> {
        match step {
            TxnStep::Kv(_) => Ok(()),
            TxnStep::Node { node, .. } => {
                let request = RegisterRequest {
                    id: node.id.clone(),
                    node: Arc::clone(&node.name),
                    address: node.address.clone(),
                    ..RegisterRequest::default()
                };
                self.node(&request).map_err(|e| e.to_string())
            }
            TxnStep::Service { node, service, .. } => {
                if !self.nodes.contains_key(&**node) {
                    return Err("Missing node registration".to_owned());
                }
                self.service(node, service);
                Ok(())
            }
            TxnStep::Check { check, .. } => {
                if !self.nodes.contains_key(&*check.node) {
                    return Err("Missing node registration".to_owned());
                }
                self.check(&check.node, check).map_err(|e| e.to_string())
            }
        }
    }

    fn delete(&mut self, step: &TxnStep) {
        let mut request = DeregisterRequest::default();
        match step {
            TxnStep::Kv(_) => return,
            TxnStep::Node { node, .. } => request.node = Arc::clone(&node.name),
            TxnStep::Service { node, service, .. } => {
                request.node = Arc::clone(node);
                request.service_id = Arc::clone(&service.id);
            }
            TxnStep::Check { check, .. } => {
                request.node = Arc::clone(&check.node);
                request.check_id = Arc::clone(&check.check_id);
            }
        }
        self.deregister(&request);
    }

    /// What a reader means: a node by its id if it names one.
    fn meant(&self, step: &TxnStep) -> Option<TxnRow> {
        match step {
            TxnStep::Node { node, .. } if !node.id.is_empty() => {
                let found = self.nodes.values().find(|one| one.id == node.id);
                found.map(|node| TxnRow::Node(Arc::new(node.clone())))
            }
            _ => self.row(step),
        }
    }

    fn row(&self, step: &TxnStep) -> Option<TxnRow> {
        Some(match step {
            TxnStep::Kv(_) => return None,
            TxnStep::Node { node, .. } => {
                TxnRow::Node(Arc::new(self.nodes.get(&*node.name)?.clone()))
            }
            TxnStep::Service { node, service, .. } => {
                let key = (node.to_string(), service.id.to_string());
                TxnRow::Service(Arc::new(self.services.get(&key)?.clone()))
            }
            TxnStep::Check { check, .. } => {
                let key = (check.node.to_string(), check.check_id.to_string());
                TxnRow::Check(Arc::new(self.checks.get(&key)?.clone()))
            }
        })
    }

    /// The index of the row that a step is about.
    pub(crate) fn index_of(&self, step: &TxnStep) -> Index {
        self.row(step).as_ref().map_or(0, index)
    }
}

fn index(row: &TxnRow) -> Index {
    match row {
        TxnRow::Kv(entry) => entry.modify_index,
        TxnRow::Node(node) => node.modify_index,
        TxnRow::Service(service) => service.modify_index,
        TxnRow::Check(check) => check.modify_index,
    }
}
