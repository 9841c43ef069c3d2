//! Prepared queries: keeping them, executing them in this datacenter, and which others come next.
//!
//! What a name means and how templates are filled in is the store's; execution follows section D
//! of the observed behaviour. A query's token is shown to those who may see all tokens. A query
//! that has neither name nor template is known by its ID alone, and whoever knows that may use it.

use std::net::IpAddr;
use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::{Table, Topic, View};
use lictor_types::catalog::{CheckServiceNode, StringMap};
use lictor_types::check::Status;
use lictor_types::command::{Command, PreparedQueryWrite};
use lictor_types::duration;
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::prepared_query::{PreparedQuery, QueryFailover, QueryResult, ServiceQuery};
use lictor_types::query::{Evaluated, QueryMeta, QueryOptions, Reply};

use super::catalog::has_meta;
use super::coordinate::sort_by_distance;
use crate::cache::Identity;
use crate::metadata::{Reserved, check_metadata};
use crate::read::Read;
use crate::rights::{Rights, Visible, need};
use crate::server::Server;

/// Shown in place of a token to those who may not see it.
const HIDDEN_TOKEN: &str = "<hidden>";
/// Stands for the agent that was asked.
const NEAR_AGENT: &str = "_agent";
/// Stands for the node that the request came from.
const NEAR_SOURCE: &str = "_ip";

/// What is asked of a prepared query.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryRequest<'a> {
    /// ID or name of the query.
    pub name: &'a str,
    /// Most instances that are wanted; 0 for all.
    pub limit: usize,
    /// Whether instances of the mesh are wanted, even if the query does not say so.
    pub connect: bool,
    /// Node to be near to, instead of the query's own; empty for none.
    pub near: &'a str,
    /// Address that the request came from.
    pub address: Option<IpAddr>,
    /// Node of the agent that was asked.
    pub agent: &'a str,
    /// Network segment of that agent.
    pub segment: &'a str,
    /// Datacenter of the nodes that are named here; empty for the one that answers.
    pub datacenter: &'a str,
}

/// What executing a query in this datacenter gave.
#[derive(Debug)]
pub struct Executed {
    /// What was found.
    pub reply: Reply<QueryResult>,
    /// The query, with a template filled in.
    pub query: Arc<PreparedQuery>,
}

impl Server {
    /// All prepared queries.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn prepared_query_list(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Vec<Arc<PreparedQuery>>>, EndpointError> {
        let evaluate = |view: &View| {
            let index = view.table_index(&[Table::PreparedQueries]);
            let identity = Identity::plain("prepared queries");
            Ok(self.cache().get(identity, view.epoch(), index, || view.prepared_queries().1))
        };
        let topics = || vec![Topic::Table(Table::PreparedQueries)];
        self.read(Read { evaluate, topics, rights: Listed, options }).await
    }

    /// One prepared query, as it was written.
    ///
    /// # Errors
    /// When the ID is no UUID, or there is none with this ID.
    pub async fn prepared_query_get(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Arc<PreparedQuery>>, EndpointError> {
        self.check_datacenter(&options.datacenter)?;
        if !View::is_prepared_query_id(id) {
            return Err(EndpointError::refused(lookup_failed(id)));
        }
        let evaluate = |view: &View| {
            let (index, found) = view.prepared_query(id);
            Ok(Evaluated::new(index, found.ok_or_else(not_found)?))
        };
        let topics = || vec![Topic::prepared_query(id)];
        self.read(Read { evaluate, topics, rights: Single, options }).await
    }

    /// Creates a prepared query and gives its ID.
    ///
    /// # Errors
    /// When it is not in order, or its name is taken.
    pub async fn prepared_query_create(
        &self,
        token: &str,
        mut query: PreparedQuery,
    ) -> Result<Arc<str>, EndpointError> {
        if !query.id.is_empty() {
            let text = "ID must be empty when creating a new prepared query";
            return Err(EndpointError::refused(text));
        }
        need(may_write(&*self.authorizer(token)?, &query))?;
        query.id = uuid::Uuid::new_v4().to_string().into();
        let id = Arc::clone(&query.id);
        self.set(query).await?;
        Ok(id)
    }

    /// Replaces a prepared query.
    ///
    /// # Errors
    /// When there is none with this ID, it is not in order, or its name is taken.
    pub async fn prepared_query_update(
        &self,
        token: &str,
        query: PreparedQuery,
    ) -> Result<(), EndpointError> {
        let who = self.authorizer(token)?;
        need(may_write(&who, &query))?;
        let held = self.prepared(&query.id).await?;
        need(may_write(&who, &held))?;
        self.set(query).await
    }

    /// Deletes a prepared query.
    ///
    /// # Errors
    /// When there is none with this ID.
    pub async fn prepared_query_delete(&self, token: &str, id: &str) -> Result<(), EndpointError> {
        let who = self.authorizer(token)?;
        let held = self.prepared(id).await?;
        need(may_write(&who, &held))?;
        let write = PreparedQueryWrite::Delete(id.into());
        self.propose(Command::PreparedQuery(write)).await.map(drop)
    }

    /// The query that an ID or a name means, with a template filled in. It does not block.
    ///
    /// # Errors
    /// When it means none, or a template that cannot be filled in.
    pub async fn prepared_query_explain(
        &self,
        options: &QueryOptions,
        request: &QueryRequest<'_>,
    ) -> Result<Reply<Arc<PreparedQuery>>, EndpointError> {
        let _timed = self.meters().explain.start();
        self.may_answer(options).await?;
        let who = self.authorizer(&options.token)?;
        let query = resolved(&self.view(), request)?;
        need(may_list(&who, &query))?;
        let query = redacted(&who, &query).unwrap_or(query);
        Ok(Reply { meta: self.meta(options, 0), result: Evaluated::new(0, query) })
    }

    /// Finds instances by the query that an ID or a name means. It does not block. What is found
    /// is what the query's own token may see or, if it has none, the caller's.
    ///
    /// # Errors
    /// When it means none, or a template that cannot be filled in.
    pub async fn prepared_query_execute(
        &self,
        options: &QueryOptions,
        request: &QueryRequest<'_>,
    ) -> Result<Executed, EndpointError> {
        let _timed = self.meters().execute.start();
        self.may_answer(options).await?;
        let view = self.view();
        let query = resolved(&view, request)?;
        let mut reply = self.executed(&view, options, &query, request.connect)?;
        let nodes = &mut reply.0.nodes;
        if request.datacenter.is_empty() || *request.datacenter == *self.config().datacenter {
            nearest_first(nodes, &view, &query.service, request);
        }
        Ok(Executed { reply: self.replied(options, reply, request.limit), query })
    }

    /// Finds instances by a query of another datacenter, which comes whole, with a template filled
    /// in. It goes to no other datacenter, and is near to nothing.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn prepared_query_execute_remote(
        &self,
        options: &QueryOptions,
        query: &PreparedQuery,
        limit: usize,
        connect: bool,
    ) -> Result<Reply<QueryResult>, EndpointError> {
        let _timed = self.meters().execute_remote.start();
        self.may_answer(options).await?;
        let found = self.executed(&self.view(), options, query, connect)?;
        Ok(self.replied(options, found, limit))
    }

    /// What a query finds here, in any order, and whether the token may not see all of it.
    fn executed(
        &self,
        view: &View,
        options: &QueryOptions,
        query: &PreparedQuery,
        connect: bool,
    ) -> Result<(QueryResult, bool), EndpointError> {
        let search = &query.service;
        let mesh = search.connect || connect;
        let mut nodes = view.check_service_nodes(&search.service, mesh).1;
        let token = if query.token.is_empty() { &options.token } else { &query.token };
        let who = self.authorizer(token)?;
        let tags = Tags::new(&search.tags);
        nodes.retain(|row| {
            is_healthy(row, search)
                && has_meta(&row.node, &search.node_meta)
                && search.service_meta.iter().all(|(key, v)| row.service.meta.get(key) == Some(v))
                && tags.fit(&row.service.tags)
        });
        let seen = nodes.visible(&who);
        let filtered = seen.is_some();
        let mut nodes = seen.unwrap_or(nodes);
        shuffle(&mut nodes, uuid::Uuid::new_v4().as_u128());
        let result = QueryResult {
            service: search.service.clone(),
            nodes,
            dns: query.dns.clone(),
            datacenter: self.config().datacenter.clone(),
            failovers: 0,
        };
        Ok((result, filtered))
    }

    fn replied(
        &self,
        options: &QueryOptions,
        (mut result, filtered): (QueryResult, bool),
        limit: usize,
    ) -> Reply<QueryResult> {
        if limit > 0 {
            result.nodes.truncate(limit);
        }
        let meta = QueryMeta { filtered, ..self.meta(options, 0) };
        Reply { meta, result: Evaluated::new(0, result) }
    }

    async fn prepared(&self, id: &str) -> Result<Arc<PreparedQuery>, EndpointError> {
        if !View::is_prepared_query_id(id) {
            let text = format!("Prepared Query lookup failed: {}", lookup_failed(id));
            return Err(EndpointError::refused(text));
        }
        self.wait_for_leadership().await?;
        match self.view().prepared_query(id).1 {
            Some(held) => Ok(held),
            None => {
                let text = format!("Cannot modify non-existent prepared query: '{id}'");
                Err(EndpointError::refused(text))
            }
        }
    }

    async fn set(&self, query: PreparedQuery) -> Result<(), EndpointError> {
        problem(&query)
            .map_err(|e| EndpointError::refused(format!("Invalid prepared query: {e}")))?;
        View::check_template(&query)
            .map_err(|e| EndpointError::refused(format!("failed compiling template: {e}")))?;
        let write = PreparedQueryWrite::Set(Box::new(query));
        self.propose(Command::PreparedQuery(write)).await.map(drop)
    }
}

/// What the rules speak about: the name, if there is one or a template makes names.
fn name(query: &PreparedQuery) -> Option<&str> {
    (!query.name.is_empty() || query.is_template()).then_some(query.name.as_str())
}

fn may_write(who: &Authorizer, query: &PreparedQuery) -> bool {
    name(query).is_none_or(|name| who.query_write(name))
}

fn may_read(who: &Authorizer, query: &PreparedQuery) -> bool {
    name(query).is_none_or(|name| who.query_read(name))
}

/// Only those who see everything see queries without a name among others.
fn may_list(who: &Authorizer, query: &PreparedQuery) -> bool {
    who.acl_write() || name(query).is_some_and(|name| who.query_read(name))
}

/// The query without its token, if it has one that must not be shown.
fn redacted(who: &Authorizer, query: &Arc<PreparedQuery>) -> Option<Arc<PreparedQuery>> {
    if query.token.is_empty() || who.acl_write() {
        return None;
    }
    let token = HIDDEN_TOKEN.to_owned();
    Some(Arc::new(PreparedQuery { token, ..PreparedQuery::clone(query) }))
}

/// Rights of a list of queries.
struct Listed;

impl Rights<Vec<Arc<PreparedQuery>>> for Listed {
    fn allowed(&self, _: &Authorizer, _: &Vec<Arc<PreparedQuery>>) -> Result<(), EndpointError> {
        Ok(())
    }

    fn seen(
        &self,
        who: &Authorizer,
        queries: &Vec<Arc<PreparedQuery>>,
    ) -> Option<Vec<Arc<PreparedQuery>>> {
        let whole = |one: &Arc<PreparedQuery>| may_list(who, one) && redacted(who, one).is_none();
        if queries.iter().all(whole) {
            return None;
        }
        let seen = queries.iter().filter(|one| may_list(who, one));
        Some(seen.map(|one| redacted(who, one).unwrap_or_else(|| Arc::clone(one))).collect())
    }
}

/// Rights of one query, whose ID the caller knows.
struct Single;

impl Rights<Arc<PreparedQuery>> for Single {
    fn allowed(&self, who: &Authorizer, query: &Arc<PreparedQuery>) -> Result<(), EndpointError> {
        need(may_read(who, query))
    }

    fn seen(&self, who: &Authorizer, query: &Arc<PreparedQuery>) -> Option<Arc<PreparedQuery>> {
        redacted(who, query)
    }
}

fn not_found() -> EndpointError {
    EndpointError::new(ErrorKind::NotFound, "Query not found")
}

fn lookup_failed(id: &str) -> String {
    let problem = if id.len() == 36 { "invalid UUID" } else { "UUID must be 36 characters" };
    format!("failed prepared query lookup: index error: {problem}")
}

fn resolved(view: &View, request: &QueryRequest<'_>) -> Result<Arc<PreparedQuery>, EndpointError> {
    view.prepared_query_resolve(request.name, request.segment)
        .map_err(|error| EndpointError::refused(error.to_string()))?
        .ok_or_else(not_found)
}

/// What is wrong with a query, except its template. Services, tags, nodes and datacenters need
/// not exist yet.
fn problem(query: &PreparedQuery) -> Result<(), String> {
    if query.name.is_empty() && query.session.is_empty() && !query.is_template() {
        return Err("Must be bound to a session".to_owned());
    }
    if query.token == HIDDEN_TOKEN {
        return Err(format!(
            "Bad Token '{HIDDEN_TOKEN}', it looks like a query definition with a redacted token \
             was submitted"
        ));
    }
    let search = &query.service;
    if search.service.is_empty() {
        return Err("Must provide a Service name to query".to_owned());
    }
    if search.failover.nearest_n < 0 {
        let nearest = search.failover.nearest_n;
        return Err(format!("Bad NearestN '{nearest}', must be >= 0"));
    }
    check_metadata(&search.node_meta, Reserved::Allowed)?;
    check_metadata(&search.service_meta, Reserved::Allowed)?;
    let ttl = &query.dns.ttl;
    if !ttl.is_empty() {
        match duration::parse(ttl) {
            Err(error) => return Err(format!("Bad DNS TTL '{ttl}': {error}")),
            Ok(nanos) if nanos < 0 => return Err(format!("DNS TTL '{nanos}', must be >=0")),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The datacenters where a query that found nothing is executed next, in order: the nearest ones,
/// then those that it names. `others` are all that are known but this one, the nearest first; what
/// nobody knows is passed over.
#[must_use]
pub fn failover_order(failover: &QueryFailover, others: Vec<String>) -> Vec<String> {
    let nearest = usize::try_from(failover.nearest_n).unwrap_or(0).min(others.len());
    let (near, far) = others.split_at(nearest);
    let named = failover.datacenters.iter().filter(|name| far.contains(name));
    near.iter().chain(named).cloned().collect()
}

fn is_healthy(row: &CheckServiceNode, search: &ServiceQuery) -> bool {
    let matters = |id: &str| !search.ignore_check_ids.iter().any(|ignored| ignored == id);
    row.checks.iter().filter(|check| matters(&check.check_id)).all(|check| match check.status {
        Status::Passing => true,
        Status::Warning => !search.only_passing,
        Status::Critical => false,
    })
}

/// Tags that are wanted and not wanted, in lower case.
struct Tags {
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

impl Tags {
    fn new(tags: &[String]) -> Self {
        let lower = tags.iter().map(|tag| tag.to_lowercase());
        let (unwanted, wanted): (Vec<_>, Vec<_>) = lower.partition(|tag| tag.starts_with('!'));
        let unwanted = unwanted.iter().map(|tag| tag[1..].to_owned()).collect();
        Self { wanted, unwanted }
    }

    fn fit(&self, tags: &[String]) -> bool {
        if self.wanted.is_empty() && self.unwanted.is_empty() {
            return true;
        }
        let tags: Vec<String> = tags.iter().map(|tag| tag.to_lowercase()).collect();
        self.wanted.iter().all(|tag| tags.contains(tag))
            && !self.unwanted.iter().any(|tag| tags.contains(tag))
    }
}

/// Sorts by the distance from the node that the result should be near to, and puts the instance
/// on that node in front.
fn nearest_first(
    nodes: &mut Vec<CheckServiceNode>,
    view: &View,
    search: &ServiceQuery,
    request: &QueryRequest<'_>,
) {
    let near = if request.near.is_empty() { &search.near } else { request.near };
    let source = || {
        let address = request.address?.to_string();
        let all = view.nodes(&StringMap::new()).1;
        all.into_iter().find(|node| node.address == address).map(|node| Arc::clone(&node.name))
    };
    let near: Arc<str> = match near {
        "" => return,
        NEAR_AGENT => request.agent.into(),
        NEAR_SOURCE => match source() {
            Some(name) => name,
            None => return,
        },
        name => name.into(),
    };
    sort_by_distance(view, &near, nodes);
    if let Some(at) = nodes.iter().position(|row| row.node.name == near) {
        nodes[..=at].rotate_right(1);
    }
}

/// Spreads load over the instances: every order is as likely, as far as `seed` is random.
fn shuffle<T>(rows: &mut [T], seed: u128) {
    let mut state = seed | 1;
    for end in (1..rows.len()).rev() {
        // The high half of a multiplicative generator; quality for fairness, not for secrets.
        state = state.wrapping_mul(0x0fc9_4e3b_f4e9_ab32_8664_58cd_1f5e_605d | 1);
        let random = u64::try_from(state >> 64).unwrap_or(0);
        let below = (u128::from(random) * (end as u128 + 1)) >> 64;
        rows.swap(end, usize::try_from(below).unwrap_or(end));
    }
}

#[cfg(test)]
mod tests;
