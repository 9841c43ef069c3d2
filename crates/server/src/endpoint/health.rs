//! Checks, and instances with their checks.

use std::sync::Arc;

use lictor_filter::Filter;
use lictor_state::{Table, Topic, View, checks_of};
use lictor_types::catalog::{CheckServiceNode, StringMap};
use lictor_types::check::{HealthCheck, Status};
use lictor_types::error::EndpointError;
use lictor_types::query::{QueryOptions, Reply};

use super::catalog::{has_meta, has_tags, service_index, service_topics};
use super::{filter_of, joined, listed};
use crate::cache::Identity;
use crate::read::Read;
use crate::rights::{Rows, RowsOf};
use crate::server::Server;

const SHOWN: [Table; 3] = [Table::Nodes, Table::Services, Table::Checks];

impl Server {
    /// The checks on a node.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn health_node_checks(
        &self,
        options: &QueryOptions,
        node: &str,
    ) -> Result<Reply<Vec<Arc<HealthCheck>>>, EndpointError> {
        let filter = filter_of::<HealthCheck>(options)?;
        let evaluate = |view: &View| {
            let index = view.table_index(&[Table::Checks]);
            let identity = Identity::with("node checks", &[node, &options.filter]);
            let found = || kept(&filter, view.node_checks(node).1);
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || vec![Topic::Node(node.to_lowercase().into())];
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// The checks of all instances of a service.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn health_service_checks(
        &self,
        options: &QueryOptions,
        name: &str,
        meta: &StringMap,
    ) -> Result<Reply<Vec<Arc<HealthCheck>>>, EndpointError> {
        let tables = checks_of(meta);
        let filter = filter_of::<HealthCheck>(options)?;
        let evaluate = |view: &View| {
            let index = service_index(view, name, false, tables);
            let arguments = [name, &joined(meta), &options.filter];
            let identity = Identity::with("service checks", &arguments);
            let found = || kept(&filter, view.service_checks(name, meta).1);
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || service_topics(name, false, tables, self);
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// The checks in a state; `any` is every state.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn health_checks_in_state(
        &self,
        options: &QueryOptions,
        state: &str,
        meta: &StringMap,
    ) -> Result<Reply<Vec<Arc<HealthCheck>>>, EndpointError> {
        let (wanted, tables) = (Status::parse(state), checks_of(meta));
        let filter = filter_of::<HealthCheck>(options)?;
        let evaluate = |view: &View| {
            let index = view.table_index(tables);
            let arguments = [state, &joined(meta), &options.filter];
            let identity = Identity::with("checks in state", &arguments);
            let found = || match wanted {
                // Nothing is ever in a state that does not exist.
                None if state != "any" => Vec::new(),
                wanted => kept(&filter, view.checks_in_state(wanted, meta).1),
            };
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || tables.iter().map(|table| Topic::Table(*table)).collect();
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// Instances with node and checks, by service name or, with `connect`, those that speak for
    /// it in the mesh; they must have all of `tags`. With `passing`, only those that have no other
    /// check.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn health_service_nodes(
        &self,
        options: &QueryOptions,
        name: &str,
        connect: bool,
        tags: &[String],
        passing: bool,
        meta: &StringMap,
    ) -> Result<Reply<Vec<CheckServiceNode>>, EndpointError> {
        let kind = match (connect, passing) {
            (false, false) => "health service",
            (false, true) => "passing service",
            (true, false) => "health connect",
            (true, true) => "passing connect",
        };
        let filter = filter_of::<CheckServiceNode>(options)?;
        let evaluate = |view: &View| {
            let index = service_index(view, name, connect, &SHOWN);
            let found = || {
                let mut rows = view.check_service_nodes(name, connect).1;
                rows.retain(|row| has_tags(&row.service, tags) && has_meta(&row.node, meta));
                filter.keep(&mut rows);
                if passing {
                    keep_passing(&mut rows);
                }
                rows
            };
            let arguments = [name, &listed(tags), &joined(meta), &options.filter];
            let identity = Identity::with(kind, &arguments);
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || service_topics(name, connect, &SHOWN, self);
        let reply = if connect {
            // The instances have names of their own; what they stand for has another.
            self.read(Read { evaluate, topics, rights: RowsOf(name), options }).await?
        } else {
            self.read(Read { evaluate, topics, rights: Rows, options }).await?
        };
        self.meters().looked_up("health", connect, name, tags, &reply.result);
        Ok(reply)
    }
}

fn kept(filter: &Filter<HealthCheck>, mut checks: Vec<Arc<HealthCheck>>) -> Vec<Arc<HealthCheck>> {
    filter.keep(&mut checks);
    checks
}

/// Drops the instances with a check that does not pass. As in the original, the last one takes
/// the place of each: clients that keep to the first of the list find the same one.
pub fn keep_passing(rows: &mut Vec<CheckServiceNode>) {
    let mut at = 0;
    while let Some(row) = rows.get(at) {
        if row.checks.iter().all(|check| check.status == Status::Passing) {
            at += 1;
        } else {
            rows.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_types::catalog::Service;

    #[test]
    fn the_last_takes_the_place_of_what_does_not_pass() {
        let row = |id: &str, status| CheckServiceNode {
            service: Arc::new(Service { id: id.into(), ..Service::default() }),
            checks: vec![Arc::new(HealthCheck { status, ..HealthCheck::default() })],
            node: Arc::default(),
        };
        let mut rows = vec![
            row("a", Status::Warning),
            row("b", Status::Passing),
            row("c", Status::Passing),
            row("d", Status::Critical),
        ];
        keep_passing(&mut rows);
        let ids: Vec<&str> = rows.iter().map(|row| &*row.service.id).collect();
        assert_eq!(ids, ["c", "b"]);
    }
}
