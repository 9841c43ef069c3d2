//! Steps of transactions on nodes, services and checks.
//!
//! Each is what a registration or deregistration of its own would be, with the comparison of an
//! index where one is asked for. Texts are the original's; clients show them.

use std::sync::Arc;

use lictor_types::Index;
use lictor_types::catalog::{Node, Service};
use lictor_types::check::HealthCheck;
use lictor_types::command::{Refusal, RegisterRequest};
use lictor_types::txn::{CatalogVerb, TxnError, TxnRow, TxnStep};

use crate::apply::Writer;
use crate::txn::{collect, read};
use crate::view::{Tables, View};

type Rows = Result<Vec<TxnRow>, String>;

impl View {
    /// Executes the steps of a transaction that only reads.
    ///
    /// # Errors
    /// Every step that fails, in order; also those that would write.
    pub fn catalog_txn_read(&self, steps: &[TxnStep]) -> Result<Vec<TxnRow>, Vec<TxnError>> {
        let writes = || Err("a read-only transaction cannot write".to_owned());
        collect(steps, |step| match step {
            TxnStep::Kv(op) => Ok(read(&self.tables.kv, op)?.into_iter().map(TxnRow::Kv).collect()),
            TxnStep::Node { verb: CatalogVerb::Get, node } => self.tables.get_node(node),
            TxnStep::Service { verb: CatalogVerb::Get, node, service } => {
                self.tables.get_service(node, service)
            }
            TxnStep::Check { verb: CatalogVerb::Get, check } => self.tables.get_check(check),
            TxnStep::Node { .. } | TxnStep::Service { .. } | TxnStep::Check { .. } => writes(),
        })
    }
}

impl Tables {
    fn node_meant(&self, node: &Node) -> Option<&Arc<Node>> {
        // An id that is given says which node is meant.
        let by_id = |id: &str| self.nodes.iter().find(|one| one.id.eq_ignore_ascii_case(id));
        if node.id.is_empty() { self.nodes.get(&node.name) } else { by_id(&node.id) }
    }

    fn get_node(&self, node: &Node) -> Rows {
        let found = self.node_meant(node).cloned();
        found
            .map(|found| vec![TxnRow::Node(found)])
            .ok_or_else(|| format!("node \"{}\" doesn't exist", node.name))
    }

    fn get_service(&self, node: &Arc<str>, service: &Service) -> Rows {
        let found = self.services.get(&self.nodes.spelled(node), &service.id).cloned();
        found
            .map(|found| vec![TxnRow::Service(found)])
            .ok_or_else(|| format!("service \"{}\" on node \"{node}\" doesn't exist", service.id))
    }

    fn get_check(&self, check: &HealthCheck) -> Rows {
        let found = self.checks.get(&self.nodes.spelled(&check.node), &check.check_id).cloned();
        found.map(|found| vec![TxnRow::Check(found)]).ok_or_else(|| {
            format!("check \"{}\" on node \"{}\" doesn't exist", check.check_id, check.node)
        })
    }
}

/// Whether a row is as a writer knows it: a row that is there has the index, and 0 means none.
fn fits(row: Option<Index>, wanted: Index) -> bool {
    row.unwrap_or(0) == wanted
}

impl Writer {
    pub(crate) fn catalog_txn(&mut self, steps: &[TxnStep]) -> Result<Vec<TxnRow>, Vec<TxnError>> {
        collect(steps, |step| match step {
            TxnStep::Kv(op) => Ok(self.operation(op)?.into_iter().map(TxnRow::Kv).collect()),
            TxnStep::Node { verb, node } => self.node_step(*verb, node),
            TxnStep::Service { verb, node, service } => self.service_step(*verb, node, service),
            TxnStep::Check { verb, check } => self.check_step(*verb, check),
        })
    }

    fn node_step(&mut self, verb: CatalogVerb, node: &Node) -> Rows {
        let name = self.tables.nodes.spelled(&node.name);
        let row = self.tables.nodes.get(&name).map(|row| row.modify_index);
        match verb {
            CatalogVerb::Get => return self.tables.get_node(node),
            CatalogVerb::Cas if !fits(row, node.modify_index) => {
                return Err(format!("failed to set node \"{}\", index is stale", node.name));
            }
            CatalogVerb::Set | CatalogVerb::Cas => {
                self.node_upsert(RegisterRequest {
                    id: node.id.clone(),
                    node: Arc::clone(&name),
                    address: node.address.clone(),
                    datacenter: node.datacenter.clone(),
                    tagged_addresses: node.tagged_addresses.clone(),
                    node_meta: node.meta.clone(),
                    ..RegisterRequest::default()
                })
                .map_err(text)?;
                let found = self.tables.nodes.get(&name).cloned();
                return Ok(found.map(TxnRow::Node).into_iter().collect());
            }
            CatalogVerb::DeleteCas if row.is_some_and(|index| index != node.modify_index) => {
                return Err(format!("failed to delete node \"{}\", index is stale", node.name));
            }
            CatalogVerb::Delete | CatalogVerb::DeleteCas => self.node_remove(&name),
        }
        Ok(Vec::new())
    }

    fn service_step(&mut self, verb: CatalogVerb, node: &Arc<str>, service: &Service) -> Rows {
        let name = self.tables.nodes.spelled(node);
        let row = self.tables.services.get(&name, &service.id).map(|row| row.modify_index);
        let stale = |what: &str| {
            Err(format!(
                "failed to {what} service \"{}\" on node \"{node}\", index is stale",
                service.id
            ))
        };
        match verb {
            CatalogVerb::Get => return self.tables.get_service(node, service),
            CatalogVerb::Cas if !fits(row, service.modify_index) => return stale("set"),
            CatalogVerb::Set | CatalogVerb::Cas => {
                self.service_upsert(&name, service.clone()).map_err(text)?;
                let found = self.tables.services.get(&name, &service.id).cloned();
                return Ok(found.map(TxnRow::Service).into_iter().collect());
            }
            CatalogVerb::DeleteCas if row.is_some_and(|index| index != service.modify_index) => {
                return stale("delete");
            }
            CatalogVerb::Delete | CatalogVerb::DeleteCas => {
                self.service_remove(&name, &service.id);
            }
        }
        Ok(Vec::new())
    }

    fn check_step(&mut self, verb: CatalogVerb, check: &HealthCheck) -> Rows {
        let name = self.tables.nodes.spelled(&check.node);
        let row = self.tables.checks.get(&name, &check.check_id).map(|row| row.modify_index);
        let stale = |what: &str| {
            Err(format!(
                "failed to {what} check \"{}\" on node \"{}\", index is stale",
                check.check_id, check.node
            ))
        };
        match verb {
            CatalogVerb::Get => return self.tables.get_check(check),
            CatalogVerb::Cas if !fits(row, check.modify_index) => return stale("set"),
            CatalogVerb::Set | CatalogVerb::Cas => {
                self.check_upsert(&name, check.clone()).map_err(text)?;
                let found = self.tables.checks.get(&name, &check.check_id).cloned();
                return Ok(found.map(TxnRow::Check).into_iter().collect());
            }
            CatalogVerb::DeleteCas if row.is_some_and(|index| index != check.modify_index) => {
                return stale("delete");
            }
            CatalogVerb::Delete | CatalogVerb::DeleteCas => {
                self.check_remove(&name, &check.check_id);
            }
        }
        Ok(Vec::new())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn text(refusal: Refusal) -> String {
    refusal.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_types::command::{Command, Outcome};

    use crate::store::Store;

    fn run(store: &Store, steps: &[TxnStep]) -> Outcome {
        store.apply_batch(vec![Command::CatalogTxn(steps.to_vec())]).remove(0).outcome
    }

    fn node(verb: CatalogVerb, modify_index: Index) -> TxnStep {
        let address = "10.0.0.1".to_owned();
        let node = Node { name: "n".into(), address, modify_index, ..Node::default() };
        TxnStep::Node { verb, node }
    }

    fn service(verb: CatalogVerb, modify_index: Index) -> TxnStep {
        let service =
            Service { id: "s".into(), name: "s".into(), modify_index, ..Service::default() };
        TxnStep::Service { verb, node: "N".into(), service: Box::new(service) }
    }

    fn check(verb: CatalogVerb, modify_index: Index) -> TxnStep {
        let check = HealthCheck {
            node: "n".into(),
            check_id: "c".into(),
            service_id: "s".into(),
            modify_index,
            ..HealthCheck::default()
        };
        TxnStep::Check { verb, check: Box::new(check) }
    }

    fn errors(outcome: Outcome) -> Vec<String> {
        match outcome {
            Outcome::TxnFailed(errors) => errors.into_iter().map(|error| error.what).collect(),
            other => panic!("it did not fail: {other:?}"),
        }
    }

    #[test]
    fn rows_are_written_read_and_removed_together() {
        use CatalogVerb::{Delete, Get, Set};
        let store = Store::new();
        let steps = [node(Set, 0), service(Set, 0), check(Set, 0), node(Get, 0), check(Get, 0)];
        let Outcome::CatalogTxn(rows) = run(&store, &steps) else { panic!("it failed") };
        assert_eq!(rows.len(), 5);
        assert!(matches!(&rows[2], TxnRow::Check(check) if &*check.service_name == "s"));
        let view = store.view();
        assert_eq!(view.check_service_nodes("s", false).1[0].checks.len(), 1);
        assert_eq!(view.catalog_txn_read(&[service(Get, 0)]).unwrap().len(), 1);
        assert!(view.catalog_txn_read(&[service(Set, 0)]).is_err());
        run(&store, &[check(Delete, 0), service(Delete, 0), node(Delete, 0), node(Delete, 0)]);
        assert!(store.view().nodes(&lictor_types::catalog::StringMap::new()).1.is_empty());
    }

    #[test]
    fn nothing_is_done_when_a_step_fails() {
        use CatalogVerb::{Cas, DeleteCas, Get, Set};
        let store = Store::new();
        assert_eq!(errors(run(&store, &[service(Set, 0)])), ["Missing node registration"]);
        assert_eq!(
            errors(run(&store, &[node(Set, 0), check(Set, 0)])),
            ["Missing service registration"]
        );
        assert!(store.view().node("n").1.is_none());
        assert_eq!(errors(run(&store, &[node(Get, 0)])), ["node \"n\" doesn't exist"]);
        assert!(matches!(run(&store, &[node(Cas, 0)]), Outcome::CatalogTxn(_)));
        let index = store.view().node("n").1.unwrap().modify_index;
        assert_eq!(
            errors(run(&store, &[node(Cas, index + 1), service(Cas, 9), node(DeleteCas, 1)])),
            [
                "failed to set node \"n\", index is stale",
                "failed to set service \"s\" on node \"N\", index is stale",
                "failed to delete node \"n\", index is stale"
            ]
        );
        assert!(matches!(run(&store, &[node(DeleteCas, index)]), Outcome::CatalogTxn(_)));
        assert!(store.view().node("n").1.is_none());
    }
}
