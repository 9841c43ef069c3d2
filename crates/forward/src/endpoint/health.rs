//! Checks, and instances with their checks.

use std::sync::Arc;

use lictor_server::{Server, keep_passing};
use lictor_types::catalog::{CheckServiceNode, StringMap};
use lictor_types::check::HealthCheck;
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use lictor_wire::catalog::{NodeArgs, ServiceArgs};
use lictor_wire::health::{self, StateArgs};

use super::catalog::Wanted;
use crate::away::{Serving, answers, read};
use crate::servers::Servers;

impl Servers {
    /// The checks on a node.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn health_node_checks(
        &self,
        options: &QueryOptions,
        node: &str,
    ) -> Result<Reply<Vec<Arc<HealthCheck>>>, EndpointError> {
        let args = || NodeArgs { node: node.to_owned() };
        read!(
            self,
            options,
            |server| server.health_node_checks(options, node),
            health::NodeChecks,
            args(),
        )
    }

    /// The checks of all instances of a service, those nearest to `near` first.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn health_service_checks(
        &self,
        options: &QueryOptions,
        near: &str,
        name: &str,
        meta: &StringMap,
    ) -> Result<Reply<Vec<Arc<HealthCheck>>>, EndpointError> {
        let here = async |server: &Server| {
            Ok(server.near(near, server.health_service_checks(options, name, meta).await?))
        };
        let wanted = Wanted { connect: false, tags: &[], passing: false, meta, near };
        let args = || wanted.args(self, name, &options.datacenter);
        read!(self, options, |server| here(server), health::ServiceChecks, args())
    }

    /// The checks in a state, those nearest to `near` first; `any` is every state.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn health_checks_in_state(
        &self,
        options: &QueryOptions,
        near: &str,
        state: &str,
        meta: &StringMap,
    ) -> Result<Reply<Vec<Arc<HealthCheck>>>, EndpointError> {
        let here = async |server: &Server| {
            Ok(server.near(near, server.health_checks_in_state(options, state, meta).await?))
        };
        let source = || self.source(near, &options.datacenter);
        let args = || StateArgs { state: state.to_owned(), meta: meta.clone(), source: source() };
        read!(self, options, |server| here(server), health::ChecksInState, args())
    }

    /// Instances with node and checks.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn health_service_nodes(
        &self,
        options: &QueryOptions,
        name: &str,
        wanted: &Wanted<'_>,
    ) -> Result<Reply<Vec<CheckServiceNode>>, EndpointError> {
        let Wanted { connect, tags, passing, meta, near } = *wanted;
        let here = async |server: &Server| {
            let reply =
                server.health_service_nodes(options, name, connect, tags, passing, meta).await?;
            Ok(server.near(near, reply))
        };
        let args = || wanted.args(self, name, &options.datacenter);
        read!(self, options, |server| here(server), health::ServiceNodes, args(), |reply| {
            // Servers of the original leave the choice to whoever asks.
            if passing { passing_only(reply) } else { reply }
        })
    }
}

fn passing_only(reply: Reply<Vec<CheckServiceNode>>) -> Reply<Vec<CheckServiceNode>> {
    let mut rows = reply.result.value.clone();
    keep_passing(&mut rows);
    Reply { result: Evaluated::new(reply.result.index, rows), meta: reply.meta }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        health::NodeChecks, request =>
            servers.health_node_checks(&request.options, &request.args.node);
        health::ServiceChecks, request => async {
            let ServiceArgs { name, meta, source, .. } = &request.args;
            let near = servers.near(source, &request.options);
            servers.health_service_checks(&request.options, near, name, meta).await
        };
        health::ChecksInState, request => async {
            let StateArgs { state, meta, source } = &request.args;
            let near = servers.near(source, &request.options);
            servers.health_checks_in_state(&request.options, near, state, meta).await
        };
        health::ServiceNodes, request => async {
            let ServiceArgs { name, connect, tags, meta, source } = &request.args;
            let (connect, near) = (*connect, servers.near(source, &request.options));
            let wanted = Wanted { connect, tags, passing: false, meta, near };
            servers.health_service_nodes(&request.options, name, &wanted).await
        };
    }
}
