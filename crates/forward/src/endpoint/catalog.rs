//! Nodes and services.

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_server::Server;
use lictor_types::catalog::{Node, NodeInfo, NodeServices, ServiceNode, StringMap};
use lictor_types::command::{DeregisterRequest, RegisterRequest};
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use lictor_wire::catalog::{self, NodeArgs, NodesArgs, ServiceArgs, ServiceList};
use lictor_wire::internal;

use crate::away::{Serving, WriteOptions, answers, read, write};
use crate::servers::Servers;

/// Which instances of a service are wanted, and in which order.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Those that speak for it in the mesh, in place of those with its name.
    pub connect: bool,
    /// Only those that have all these tags.
    pub tags: &'a [String],
    /// Only those without a check that does not pass.
    pub passing: bool,
    /// Only those on nodes whose metadata has all these pairs.
    pub meta: &'a StringMap,
    /// The nearest to this node first; empty for none.
    pub near: &'a str,
}

impl Wanted<'_> {
    pub(crate) fn args(&self, servers: &Servers, name: &str, asked: &str) -> ServiceArgs {
        ServiceArgs {
            name: name.to_owned(),
            connect: self.connect,
            tags: self.tags.into(),
            meta: self.meta.clone(),
            source: servers.source(self.near, asked),
        }
    }
}

impl Servers {
    /// Names of all datacenters, the nearest first.
    ///
    /// # Errors
    /// When a client agent finds no server.
    pub async fn datacenters(&self) -> Result<Vec<String>, EndpointError> {
        let options = &QueryOptions {
            consistency: lictor_types::query::Consistency::Stale,
            ..QueryOptions::default()
        };
        let here = async |_: &Server| Ok(self.by_distance().await);
        read!(self, options, |server| here(server), catalog::ListDatacenters, ())
    }

    /// All nodes whose metadata has all pairs of `meta`, the nearest to `near` first.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn catalog_nodes(
        &self,
        options: &QueryOptions,
        near: &str,
        meta: &StringMap,
    ) -> Result<Reply<Vec<Arc<Node>>>, EndpointError> {
        let here = async |server: &Server| {
            Ok(server.near(near, server.catalog_nodes(options, meta).await?))
        };
        let args =
            || NodesArgs { meta: meta.clone(), source: self.source(near, &options.datacenter) };
        read!(self, options, |server| here(server), catalog::ListNodes, args())
    }

    /// Names of all services with their tags, of nodes whose metadata has all pairs of `meta`.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn catalog_services(
        &self,
        options: &QueryOptions,
        meta: &StringMap,
    ) -> Result<Reply<BTreeMap<Arc<str>, Vec<String>>>, EndpointError> {
        let args = || NodesArgs { meta: meta.clone(), source: Default::default() };
        read!(
            self,
            options,
            |server| server.catalog_services(options, meta),
            catalog::ListServices,
            args(),
        )
    }

    /// Instances of a service, or those that speak for it in the mesh.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn catalog_service_nodes(
        &self,
        options: &QueryOptions,
        name: &str,
        wanted: &Wanted<'_>,
    ) -> Result<Reply<Vec<ServiceNode>>, EndpointError> {
        let here = async |server: &Server| {
            let reply = match wanted.connect {
                true => server.catalog_connect_nodes(options, name, wanted.meta).await?,
                false => {
                    server.catalog_service_nodes(options, name, wanted.tags, wanted.meta).await?
                }
            };
            Ok(server.near(wanted.near, reply))
        };
        let args = || wanted.args(self, name, &options.datacenter);
        read!(self, options, |server| here(server), catalog::ServiceNodes, args())
    }

    /// A node, by name or by the beginning of its id, with its services.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn catalog_node_services(
        &self,
        options: &QueryOptions,
        node: &str,
    ) -> Result<Reply<NodeServices>, EndpointError> {
        let args = || NodeArgs { node: node.to_owned() };
        read!(
            self,
            options,
            |server| server.catalog_node_services(options, node),
            catalog::NodeServicesById,
            args(),
        )
    }

    /// Adds a node, and what is on it, to the catalog.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn catalog_register(
        &self,
        to: &WriteOptions,
        request: RegisterRequest,
    ) -> Result<(), EndpointError> {
        write!(
            self,
            to,
            |server| server.catalog_register(&to.token, request.clone()),
            catalog::Register,
            request.clone(),
        )
    }

    /// Removes a node, a service or a check from the catalog.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn catalog_deregister(
        &self,
        to: &WriteOptions,
        request: DeregisterRequest,
    ) -> Result<(), EndpointError> {
        write!(
            self,
            to,
            |server| server.catalog_deregister(&to.token, request.clone()),
            catalog::Deregister,
            request.clone(),
        )
    }

    /// Nodes with everything on them: one by name, or all.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn node_infos(
        &self,
        options: &QueryOptions,
        node: Option<&str>,
    ) -> Result<Reply<Vec<NodeInfo>>, EndpointError> {
        match node {
            Some(name) => {
                let args = || NodeArgs { node: name.to_owned() };
                read!(
                    self,
                    options,
                    |server| server.node_infos(options, node),
                    internal::NodeInformation,
                    args(),
                )
            }
            None => read!(
                self,
                options,
                |server| server.node_infos(options, None),
                internal::NodeDump,
                NodesArgs::default(),
            ),
        }
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        catalog::ListDatacenters, _ => servers.datacenters();
        catalog::ListNodes, request => async {
            let near = servers.near(&request.args.source, &request.options);
            servers.catalog_nodes(&request.options, near, &request.args.meta).await
        };
        catalog::ListServices, request =>
            servers.catalog_services(&request.options, &request.args.meta);
        catalog::ServiceNodes, request => async {
            let ServiceArgs { name, connect, tags, meta, source } = &request.args;
            let (connect, near) = (*connect, servers.near(source, &request.options));
            let wanted = Wanted { connect, tags, passing: false, meta, near };
            servers.catalog_service_nodes(&request.options, name, &wanted).await
        };
        catalog::NodeServicesById, request =>
            servers.catalog_node_services(&request.options, &request.args.node);
        catalog::NodeServiceList, request => async {
            let found = servers.catalog_node_services(&request.options, &request.args.node).await?;
            let list = ServiceList(found.result.value.clone());
            let result = Evaluated::new(found.result.index, list);
            Ok::<_, EndpointError>(Reply { result, meta: found.meta })
        };
        catalog::Register, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            servers.catalog_register(&to, request.args).await
        };
        catalog::Deregister, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            servers.catalog_deregister(&to, request.args).await
        };
    }
}
