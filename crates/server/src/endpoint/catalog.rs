//! Nodes and services: registration and finding them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use lictor_filter::Filter;
use lictor_state::{Table, Topic, View};
use lictor_types::catalog::{
    CheckServiceNode, Node, NodeInfo, NodeServices, Service, ServiceKind, ServiceNode, StringMap,
    proxy_problems,
};
use lictor_types::command::{Command, DeregisterRequest, Refusal, RegisterRequest};
use lictor_types::error::EndpointError;
use lictor_types::query::{QueryOptions, Reply};

use super::catalog_rights::{may_deregister, may_register};
use super::{filter_of, joined, listed};
use crate::cache::Identity;
use crate::read::Read;
use crate::rights::{Rows, RowsOf};
use crate::server::Server;

/// Shortest beginning of a node's id by which it is found.
const ID_PREFIX_MIN: usize = 2;

/// What is on a node, each instance with its checks and the node's.
fn instances(info: &NodeInfo) -> impl Iterator<Item = CheckServiceNode> + '_ {
    info.services.iter().map(|service| {
        let concerns = |id: &str| id.is_empty() || id == &*service.id;
        let checks = info.checks.iter().filter(|check| concerns(&check.service_id)).cloned();
        CheckServiceNode {
            node: Arc::clone(&info.node),
            service: Arc::clone(service),
            checks: checks.collect(),
        }
    })
}

impl Server {
    /// Names of all datacenters, the nearest first.
    ///
    /// # Errors
    /// None so far: there is one datacenter.
    pub async fn datacenters(&self) -> Result<Vec<String>, EndpointError> {
        Ok(vec![self.config().datacenter.clone()])
    }

    /// All nodes whose metadata has all pairs of `meta`.
    ///
    /// # Errors
    /// See [`lictor_types::error::ErrorKind`]; the same for all reads.
    pub async fn catalog_nodes(
        &self,
        options: &QueryOptions,
        meta: &StringMap,
    ) -> Result<Reply<Vec<Arc<Node>>>, EndpointError> {
        let filter = filter_of::<Node>(options)?;
        let evaluate = |view: &View| {
            let identity = Identity::with("nodes", &[&joined(meta), &options.filter]);
            let index = view.table_index(&[Table::Nodes]);
            let found = || {
                let mut rows = view.nodes(meta).1;
                filter.keep(&mut rows);
                rows
            };
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || vec![Topic::Table(Table::Nodes)];
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// Names of all services with their tags, of nodes whose metadata has all pairs of `meta`.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn catalog_services(
        &self,
        options: &QueryOptions,
        meta: &StringMap,
    ) -> Result<Reply<BTreeMap<Arc<str>, Vec<String>>>, EndpointError> {
        let filter = filter_of::<ServiceNode>(options)?;
        let of_services_only = meta.is_empty() && filter.is_empty();
        let tables: &[Table] =
            if of_services_only { &[Table::Services] } else { &[Table::Services, Table::Nodes] };
        let evaluate = |view: &View| {
            let identity = Identity::with("services", &[&joined(meta), &options.filter]);
            let index = view.table_index(tables);
            let found = || {
                let names = view.services(meta).1;
                if filter.is_empty() { names } else { filtered_names(view, names, meta, &filter) }
            };
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || tables.iter().map(|table| Topic::Table(*table)).collect();
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// Instances of a service that have all of `tags`.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn catalog_service_nodes(
        &self,
        options: &QueryOptions,
        name: &str,
        tags: &[String],
        meta: &StringMap,
    ) -> Result<Reply<Vec<ServiceNode>>, EndpointError> {
        let filter = filter_of::<ServiceNode>(options)?;
        let evaluate = |view: &View| {
            let index = service_index(view, name, false, &[Table::Nodes, Table::Services]);
            let found = || {
                let mut rows = view.service_nodes(name).1;
                rows.retain(|row| has_tags(&row.service, tags) && has_meta(&row.node, meta));
                filter.keep(&mut rows);
                rows
            };
            let arguments = [name, &listed(tags), &joined(meta), &options.filter];
            let identity = Identity::with("service nodes", &arguments);
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || service_topics(name, false, &[Table::Nodes, Table::Services], self);
        let reply = self.read(Read { evaluate, topics, rights: Rows, options }).await?;
        self.meters().looked_up("catalog", false, name, tags, &reply.result);
        Ok(reply)
    }

    /// Proxies of a service, and its native instances.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn catalog_connect_nodes(
        &self,
        options: &QueryOptions,
        name: &str,
        meta: &StringMap,
    ) -> Result<Reply<Vec<ServiceNode>>, EndpointError> {
        let filter = filter_of::<ServiceNode>(options)?;
        let evaluate = |view: &View| {
            let index = service_index(view, name, true, &[Table::Nodes, Table::Services]);
            let found = || {
                let mut rows = view.connect_nodes(name).1;
                rows.retain(|row| has_meta(&row.node, meta));
                filter.keep(&mut rows);
                rows
            };
            let arguments = [name, &joined(meta), &options.filter];
            let identity = Identity::with("connect nodes", &arguments);
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || service_topics(name, true, &[Table::Nodes, Table::Services], self);
        let reply = self.read(Read { evaluate, topics, rights: RowsOf(name), options }).await?;
        self.meters().looked_up("catalog", true, name, &[], &reply.result);
        Ok(reply)
    }

    /// A node, by name or by the beginning of its id, with its services.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn catalog_node_services(
        &self,
        options: &QueryOptions,
        node: &str,
    ) -> Result<Reply<NodeServices>, EndpointError> {
        let tables = [Table::Nodes, Table::Services];
        let filter = filter_of::<Service>(options)?;
        let evaluate = |view: &View| {
            let index = view.table_index(&tables);
            let found = || {
                let by_name = view.node_services(node).1;
                let (node, mut services) = by_name.or_else(|| {
                    let prefix = (node.len() >= ID_PREFIX_MIN).then_some(node)?;
                    view.node_services(&view.node_by_id_prefix(prefix)?.name).1
                })?;
                filter.keep(&mut services);
                Some((node, services))
            };
            let identity = Identity::with("node services", &[node, &options.filter]);
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || node_topics(node, &self.view());
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// Nodes with everything on them: one by name, or all.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn node_infos(
        &self,
        options: &QueryOptions,
        node: Option<&str>,
    ) -> Result<Reply<Vec<NodeInfo>>, EndpointError> {
        let tables = [Table::Nodes, Table::Services, Table::Checks];
        let filter = filter_of::<NodeInfo>(options)?;
        let evaluate = |view: &View| {
            let index = view.table_index(&tables);
            let arguments = [node.unwrap_or_default(), &options.filter];
            let identity = Identity::with("node infos", &arguments);
            let found = || {
                let mut rows = view.node_infos(node).1;
                filter.keep(&mut rows);
                rows
            };
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || match node {
            Some(node) => vec![Topic::Node(node.to_lowercase().into())],
            None => tables.iter().map(|table| Topic::Table(*table)).collect(),
        };
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// All instances with their checks, by node; with `kind` only of services of that one, where
    /// an ordinary service's is empty.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn service_dump(
        &self,
        options: &QueryOptions,
        kind: Option<&str>,
    ) -> Result<Reply<Vec<CheckServiceNode>>, EndpointError> {
        let tables = [Table::Nodes, Table::Services, Table::Checks];
        let filter = filter_of::<CheckServiceNode>(options)?;
        let evaluate = |view: &View| {
            let index = view.table_index(&tables);
            let identity =
                Identity::with("service dump", &[kind.unwrap_or("\u{1}"), &options.filter]);
            let found = || {
                let mut rows: Vec<_> = view.node_infos(None).1.iter().flat_map(instances).collect();
                rows.retain(|row| kind.is_none_or(|kind| row.service.kind.as_str() == kind));
                filter.keep(&mut rows);
                rows
            };
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || tables.iter().map(|table| Topic::Table(*table)).collect();
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// Adds a node, and what is on it, to the catalog.
    ///
    /// # Errors
    /// When the request is not in order; nothing has changed then.
    pub async fn catalog_register(
        &self,
        token: &str,
        mut request: RegisterRequest,
    ) -> Result<(), EndpointError> {
        self.check_datacenter(&request.datacenter)?;
        request.datacenter.clone_from(&self.config().datacenter);
        complete(&mut request)?;
        may_register(&*self.authorizer(token)?, &self.view(), &request)?;
        match self.propose(Command::Register(Box::new(request))).await {
            Ok(_) => Ok(()),
            Err(error) if error.text == Refusal::MissingService.to_string() => {
                Err(EndpointError::refused(format!("failed inserting check: {error}")))
            }
            Err(error) => Err(error),
        }
    }

    /// Removes a node, a service or a check from the catalog; what is not there is no error.
    ///
    /// # Errors
    /// Without a node.
    pub async fn catalog_deregister(
        &self,
        token: &str,
        request: DeregisterRequest,
    ) -> Result<(), EndpointError> {
        if request.node.is_empty() {
            return Err(EndpointError::refused("Must provide node"));
        }
        may_deregister(&*self.authorizer(token)?, &self.view(), &request)?;
        self.propose(Command::Deregister(request)).await.map(drop)
    }
}

/// Checks a registration and fills in what follows from the rest.
pub(super) fn complete(request: &mut RegisterRequest) -> Result<(), EndpointError> {
    let refused = |text: &str| Err(EndpointError::refused(text));
    if request.node.is_empty() {
        return refused("Must provide node");
    }
    if request.address.is_empty() && !request.skip_node_update {
        return refused("Must provide address if SkipNodeUpdate is not set");
    }
    if !request.id.is_empty() {
        check_node_id(&request.id)?;
    }
    if let Some(service) = &mut request.service {
        if service.id.is_empty() {
            service.id = Arc::clone(&service.name);
        }
        if !service.id.is_empty() && service.name.is_empty() {
            return refused("Must provide service name with ID");
        }
        if service.id.is_empty() {
            return refused(
                "failed inserting service: failed inserting service: object missing primary index",
            );
        }
        if service.address.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return refused("Invalid service address");
        }
        if service.kind == ServiceKind::ConnectProxy {
            let (destination, upstreams) = match &service.proxy {
                Some(proxy) => (&proxy.destination_service_name, &proxy.upstreams[..]),
                None => (&service.proxy_destination, &[][..]),
            };
            let native = service.connect.native;
            let problems = proxy_problems(destination, service.port, native, upstreams);
            problems.map_or(Ok(()), |text| Err(EndpointError::refused(text)))?;
        }
    }
    for check in &mut request.checks {
        if check.check_id.is_empty() {
            check.check_id = check.name.as_str().into();
        }
        if check.check_id.is_empty() {
            return Err(EndpointError::refused(
                "failed inserting check: failed inserting check: object missing primary index",
            ));
        }
        if check.node.is_empty() {
            check.node = Arc::clone(&request.node);
        }
        if check.node != request.node {
            return Err(EndpointError::refused(format!(
                "check node \"{}\" does not match node \"{}\"",
                check.node, request.node
            )));
        }
        if check.kind.is_empty() {
            check.kind = check.definition.kind().to_owned();
        }
    }
    Ok(())
}

fn check_node_id(id: &str) -> Result<(), EndpointError> {
    let problem = if id.len() == 36 {
        match uuid::Uuid::try_parse(id) {
            Ok(_) => return Ok(()),
            Err(_) => "uuid is improperly formatted",
        }
    } else {
        "uuid string is wrong length"
    };
    Err(EndpointError::refused(format!("Bad node ID: {problem}")))
}

/// Index of what is shown of a service, or of the tables when it was never seen.
pub(super) fn service_index(view: &View, name: &str, connect: bool, tables: &[Table]) -> u64 {
    let own = if connect { view.connect_index(name) } else { view.service_index(name) };
    own.unwrap_or_else(|| view.table_index(tables))
}

/// What to watch for a change of a service. As long as it was never seen, its index is that of
/// the tables, so these matter too.
pub(super) fn service_topics(
    name: &str,
    connect: bool,
    tables: &[Table],
    server: &Server,
) -> Vec<Topic> {
    let view = server.view();
    let lower: Arc<str> = name.to_lowercase().into();
    let (own, seen) = if connect {
        (Topic::Connect(lower), view.connect_index(name).is_some())
    } else {
        (Topic::Service(lower), view.service_index(name).is_some())
    };
    let mut topics = vec![own];
    if !seen {
        topics.extend(tables.iter().map(|table| Topic::Table(*table)));
    }
    topics
}

/// What to watch for a change of a node: found by a part of its id, it may be another one later.
pub(super) fn node_topics(node: &str, view: &View) -> Vec<Topic> {
    let mut topics = vec![Topic::Node(node.to_lowercase().into())];
    if view.node(node).1.is_none() {
        topics.extend([Topic::Table(Table::Nodes), Topic::Table(Table::Services)]);
    }
    topics
}

/// Whether an instance has a tag, ignoring case.
pub(super) fn has_tag(service: &Service, tag: Option<&str>) -> bool {
    // An empty tag is one that nobody has.
    tag.is_none_or(|tag| service.tags.iter().any(|one| one.eq_ignore_ascii_case(tag)))
}

/// Whether an instance has all tags, ignoring case.
pub(super) fn has_tags(service: &Service, tags: &[String]) -> bool {
    tags.iter().all(|tag| has_tag(service, Some(tag)))
}

/// The names of which an instance matches a filter, with the tags of those instances.
fn filtered_names(
    view: &View,
    names: BTreeMap<Arc<str>, Vec<String>>,
    meta: &StringMap,
    filter: &Filter<ServiceNode>,
) -> BTreeMap<Arc<str>, Vec<String>> {
    let left = names.into_iter().filter_map(|(name, mut tags)| {
        let mut rows = view.service_nodes(&name).1;
        rows.retain(|row| has_meta(&row.node, meta) && filter.matches(row));
        // The order of the tags is that of the whole list.
        tags.retain(|tag| rows.iter().any(|row| row.service.tags.contains(tag)));
        (!rows.is_empty()).then_some((name, tags))
    });
    left.collect()
}

pub(super) fn has_meta(node: &Node, meta: &StringMap) -> bool {
    meta.iter().all(|(key, value)| node.meta.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_types::check::HealthCheck;

    fn refused(change: impl FnOnce(&mut RegisterRequest)) -> String {
        let mut request = RegisterRequest {
            node: "n".into(),
            address: "10.0.0.1".to_owned(),
            ..RegisterRequest::default()
        };
        change(&mut request);
        complete(&mut request).unwrap_err().text
    }

    #[test]
    fn a_check_is_of_the_kind_that_its_definition_says() {
        let check = |http: &str, tcp: &str, interval, kind: &str| {
            let mut check = HealthCheck { name: "c".to_owned(), ..HealthCheck::default() };
            check.kind = kind.to_owned();
            check.definition.http = http.to_owned();
            check.definition.tcp = tcp.to_owned();
            check.definition.interval = interval;
            check
        };
        let mut request = RegisterRequest {
            node: "n".into(),
            address: "10.0.0.1".to_owned(),
            checks: vec![
                check("http://a", "", 1, ""),
                check("", "a:1", 1, ""),
                check("", "a:1", 0, ""),
                check("", "", 1, ""),
                check("http://a", "", 1, "ttl"),
            ],
            ..RegisterRequest::default()
        };
        complete(&mut request).unwrap();
        let kinds: Vec<_> = request.checks.iter().map(|check| &*check.kind).collect();
        assert_eq!(kinds, ["http", "tcp", "", "", "ttl"]);
    }

    #[test]
    fn what_has_no_name_is_refused() {
        assert_eq!(
            refused(|r| r.service = Some(Service::default())),
            "failed inserting service: failed inserting service: object missing primary index"
        );
        assert_eq!(
            refused(|r| r.checks = vec![HealthCheck::default()]),
            "failed inserting check: failed inserting check: object missing primary index"
        );
    }
}
