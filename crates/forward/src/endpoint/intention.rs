//! Intentions: who may connect to whom.

use std::sync::Arc;

use lictor_server::{IntentionMatches, Server, intention_without_action};
use lictor_types::catalog::StringMap;
use lictor_types::command::IntentionPair;
use lictor_types::error::EndpointError;
use lictor_types::intention::{Action, Intention};
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use lictor_types::timestamp::Timestamp;
use lictor_wire::intention::{self, Decision, IntentionChange, IntentionOp, Matching, Wanted};

use crate::away::{Serving, WriteOptions, answers, mapped, read, write};
use crate::servers::Servers;

/// A service, by namespace and name.
type Name = (String, String);

fn change(op: IntentionOp, intention: Intention) -> IntentionChange {
    IntentionChange { op, has_action: op != IntentionOp::Delete, intention }
}

/// An intention of which only the services, or the id, are said.
fn named(id: &str, pair: Option<&IntentionPair>) -> Intention {
    let nothing = || (String::new(), String::new());
    let pair = pair.cloned();
    let pair = pair.unwrap_or_else(|| IntentionPair { source: nothing(), destination: nothing() });
    let IntentionPair { source, destination } = pair;
    Intention {
        id: id.to_owned(),
        description: String::new(),
        source_ns: source.0,
        source_name: source.1,
        destination_ns: destination.0,
        destination_name: destination.1,
        source_type: String::new(),
        action: Action::Deny,
        default_addr: String::new(),
        default_port: 0,
        meta: StringMap::new(),
        precedence: 0,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        create_index: 0,
        modify_index: 0,
    }
}

impl Servers {
    /// All intentions, in order of precedence.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn intention_list(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Vec<Arc<Intention>>>, EndpointError> {
        read!(self, options, |server| server.intention_list(options), intention::List, ())
    }

    /// One intention.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn intention_get(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Option<Arc<Intention>>>, EndpointError> {
        let args = || Wanted { id: id.to_owned(), ..Wanted::default() };
        read!(self, options, |server| server.intention_get(options, id), intention::Get, args())
    }

    /// The intention for exactly this source and this destination.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn intention_get_pair(
        &self,
        options: &QueryOptions,
        pair: &IntentionPair,
    ) -> Result<Reply<Option<Arc<Intention>>>, EndpointError> {
        let args = || Wanted { pair: Some(pair.clone()), ..Wanted::default() };
        read!(
            self,
            options,
            |server| server.intention_get_pair(options, pair),
            intention::Get,
            args(),
        )
    }

    /// Sets what the pair of an intention says from now on.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn intention_put_pair(
        &self,
        to: &WriteOptions,
        intention: Intention,
    ) -> Result<(), EndpointError> {
        let to = &*self.of_mesh(to);
        write!(
            self,
            to,
            |server| server.intention_put_pair(&to.token, intention.clone()),
            intention::Apply,
            change(IntentionOp::Upsert, intention.clone()),
            |_id| (),
        )
    }

    /// Deletes the intention of a pair, if it has one.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn intention_delete_pair(
        &self,
        to: &WriteOptions,
        pair: IntentionPair,
    ) -> Result<(), EndpointError> {
        let to = &*self.of_mesh(to);
        write!(
            self,
            to,
            |server| server.intention_delete_pair(&to.token, pair.clone()),
            intention::Apply,
            change(IntentionOp::Delete, named("", Some(&pair))),
            |_id| (),
        )
    }

    /// The place that an intention of this pair has, or would get, among those of its destination.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn intention_place(
        &self,
        options: &QueryOptions,
        pair: &IntentionPair,
    ) -> Result<usize, EndpointError> {
        if let Some(server) = self.here() {
            return Ok(server.intention_place(pair));
        }
        let names = [pair.destination.clone()];
        let found = self.intention_match(options, false, &names).await?;
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        let (ns, name) = &pair.destination;
        let rows = found.result.value.matches.first().into_iter().flatten();
        let own: Vec<_> = rows
            .filter(|row| same(&row.destination_ns, ns) && same(&row.destination_name, name))
            .collect();
        let place = own.iter().position(|row| {
            same(&row.source_ns, &pair.source.0) && same(&row.source_name, &pair.source.1)
        });
        Ok(place.unwrap_or(own.len()))
    }

    /// Creates an intention and gives its id.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn intention_create(
        &self,
        to: &WriteOptions,
        intention: Intention,
    ) -> Result<String, EndpointError> {
        let to = &*self.of_mesh(to);
        write!(
            self,
            to,
            |server| server.intention_create(&to.token, intention.clone()),
            intention::Apply,
            change(IntentionOp::Create, intention.clone()),
        )
    }

    /// Replaces an intention.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn intention_update(
        &self,
        to: &WriteOptions,
        intention: Intention,
    ) -> Result<(), EndpointError> {
        let to = &*self.of_mesh(to);
        write!(
            self,
            to,
            |server| server.intention_update(&to.token, intention.clone()),
            intention::Apply,
            change(IntentionOp::Update, intention.clone()),
            |_id| (),
        )
    }

    /// Deletes an intention.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn intention_delete(&self, to: &WriteOptions, id: &str) -> Result<(), EndpointError> {
        let to = &*self.of_mesh(to);
        write!(
            self,
            to,
            |server| server.intention_delete(&to.token, id),
            intention::Apply,
            change(IntentionOp::Delete, named(id, None)),
            |_id| (),
        )
    }

    /// The intentions that may concern services, given by namespace and name.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn intention_match(
        &self,
        options: &QueryOptions,
        by_source: bool,
        names: &[Name],
    ) -> Result<Reply<IntentionMatches>, EndpointError> {
        let default_allow = self.intention_default_allow();
        let args = || Wanted {
            matching: Some(Matching { by_source, names: names.to_vec() }),
            ..Wanted::default()
        };
        read!(
            self,
            options,
            |server| server.intention_match(options, by_source, names),
            intention::Match,
            args(),
            |reply| mapped(reply, |matches| IntentionMatches { default_allow, matches }),
        )
    }

    /// Whether a source may connect to a destination, both given by namespace and name.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn intention_check(
        &self,
        options: &QueryOptions,
        source: &Name,
        destination: &Name,
    ) -> Result<bool, EndpointError> {
        let args = || Wanted {
            check: Some(IntentionPair { source: source.clone(), destination: destination.clone() }),
            ..Wanted::default()
        };
        read!(
            self,
            options,
            |server| server.intention_check(options, source, destination),
            intention::Check,
            args(),
            |reply| reply.allowed,
        )
    }

    /// Whether a connection may be made that no intention speaks about.
    #[must_use]
    pub fn intention_default_allow(&self) -> bool {
        let settings = self.acl_settings();
        !settings.enabled || settings.default_policy == lictor_server::DefaultPolicy::Allow
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        intention::List, request => servers.intention_list(&request.options);
        intention::Get, request => async {
            match &request.args.pair {
                Some(pair) => servers.intention_get_pair(&request.options, pair).await,
                None => servers.intention_get(&request.options, &request.args.id).await,
            }
        };
        intention::Match, request => async {
            let matching = request.args.matching.unwrap_or_default();
            let Matching { by_source, names } = &matching;
            let reply = servers.intention_match(&request.options, *by_source, names).await?;
            let result = Evaluated::new(reply.result.index, reply.result.value.matches.clone());
            Ok::<_, EndpointError>(Reply { result, meta: reply.meta })
        };
        intention::Check, request => async {
            let none = || EndpointError::refused("must specify source and destination");
            let IntentionPair { source, destination } = request.args.check.ok_or_else(none)?;
            let allowed = servers.intention_check(&request.options, &source, &destination).await?;
            Ok::<_, EndpointError>(Decision { allowed })
        };
        intention::Apply, request => applied(servers, request.datacenter, request.token, request.args);
    }
}

async fn applied(
    servers: &Servers,
    datacenter: String,
    token: String,
    change: IntentionChange,
) -> Result<String, EndpointError> {
    let to = WriteOptions { datacenter, token };
    let IntentionChange { op, intention, has_action } = change;
    if !has_action && op != IntentionOp::Delete {
        return Err(intention_without_action(intention));
    }
    let nothing = String::new();
    match op {
        IntentionOp::Create => servers.intention_create(&to, intention).await,
        IntentionOp::Update => servers.intention_update(&to, intention).await.map(|()| nothing),
        IntentionOp::Upsert => servers.intention_put_pair(&to, intention).await.map(|()| nothing),
        IntentionOp::Delete if intention.id.is_empty() => {
            let pair = IntentionPair {
                source: (intention.source_ns, intention.source_name),
                destination: (intention.destination_ns, intention.destination_name),
            };
            servers.intention_delete_pair(&to, pair).await.map(|()| nothing)
        }
        IntentionOp::Delete => servers.intention_delete(&to, &intention.id).await.map(|()| nothing),
    }
}

/// What an agent decides by itself asks the catalog of this server, or what is followed of others.
impl Servers {
    /// The intentions that match a destination, highest precedence first; for the agent's own
    /// decisions about whoever brings `token`. The same result is the same allocation as long as
    /// nothing changed. A client agent follows them from the first question on, and goes on with
    /// what it knows while no server answers.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn intentions_for(
        &self,
        token: &str,
        destination: &str,
    ) -> Result<Arc<Evaluated<Vec<Arc<Intention>>>>, EndpointError> {
        match self.here() {
            Some(server) => Server::intentions_for(server, destination).await,
            None => self.followed_intentions(token, destination).await,
        }
    }
}
