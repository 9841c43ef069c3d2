//! Intentions: who may connect to whom.

use std::sync::Arc;

use lictor_acl::{Authorizer, Decisions};
use lictor_state::{MatchBy, Table, Topic, View};
use lictor_types::command::{Command, IntentionPair, IntentionWrite};
use lictor_types::error::EndpointError;
use lictor_types::intention::{Action, DEFAULT_NAMESPACE, Intention, WILDCARD};
use lictor_types::limits::{META_KEY_MAX, META_PAIRS_MAX, META_VALUE_MAX};
use lictor_types::query::{Evaluated, QueryOptions, Reply};

use crate::cache::Identity;
use crate::clock;
use crate::read::Read;
use crate::rights::{Anybody, Both, Only, Rows, need};
use crate::server::Server;

/// Longest description.
const DESCRIPTION_MAX: usize = 512;

/// The intentions that may concern some services.
#[derive(Clone, Debug, PartialEq)]
pub struct IntentionMatches {
    /// Whether a connection may be made that none of them speaks about.
    pub default_allow: bool,
    /// For each name that was asked about, in that order: the one that decides first is first.
    pub matches: Vec<Vec<Arc<Intention>>>,
}

impl Server {
    /// All intentions, in order of precedence.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn intention_list(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Vec<Arc<Intention>>>, EndpointError> {
        let filter = super::filter_of::<Intention>(options)?;
        let evaluate = |view: &View| {
            let index = view.table_index(&[Table::ConnectIntentions]);
            let identity = Identity::with("intentions", &[&options.filter]);
            let found = || {
                let mut rows = view.intentions().1;
                filter.keep(&mut rows);
                rows
            };
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics = || vec![Topic::Table(Table::ConnectIntentions)];
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// One intention.
    ///
    /// # Errors
    /// When the id is no UUID.
    pub async fn intention_get(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Option<Arc<Intention>>>, EndpointError> {
        if !View::is_intention_id(id) {
            return Err(EndpointError::refused(lookup_failed(id)));
        }
        let evaluate = |view: &View| {
            let (index, found) = view.intention(id);
            Ok(Evaluated::new(index, found))
        };
        let topics = || vec![Topic::Table(Table::ConnectIntentions)];
        let rights = Both(
            |who: &Authorizer, found: &Option<Arc<Intention>>| {
                found.as_ref().is_none_or(|one| who.intention_read(&one.destination_name))
            },
            Anybody,
        );
        self.read(Read { evaluate, topics, rights, options }).await
    }

    /// The intention for exactly this source and this destination.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn intention_get_pair(
        &self,
        options: &QueryOptions,
        pair: &IntentionPair,
    ) -> Result<Reply<Option<Arc<Intention>>>, EndpointError> {
        let evaluate = |view: &View| {
            let (index, found) = view.intention_of_pair(pair);
            Ok(Evaluated::new(index, found))
        };
        let topics = || vec![Topic::Table(Table::ConnectIntentions)];
        let (_, destination) = &pair.destination;
        let rights = Only(|who: &Authorizer| who.intention_read(destination));
        self.read(Read { evaluate, topics, rights, options }).await
    }

    /// Sets what the pair of an intention says from now on; the pair must be complete.
    ///
    /// # Errors
    /// When it is not in order.
    pub async fn intention_put_pair(
        &self,
        token: &str,
        mut intention: Intention,
    ) -> Result<(), EndpointError> {
        need(self.authorizer(token)?.intention_write(&intention.destination_name))?;
        intention.id = uuid::Uuid::new_v4().to_string();
        intention.created_at = clock::now();
        intention.updated_at = intention.created_at;
        complete(&mut intention);
        refuse_if_any(&problems(&intention, true))?;
        let write = IntentionWrite::UpsertPair(Box::new(intention));
        self.propose(Command::Intention(Box::new(write))).await.map(drop)
    }

    /// Deletes the intention of a pair, if it has one.
    ///
    /// # Errors
    /// When the write fails.
    pub async fn intention_delete_pair(
        &self,
        token: &str,
        pair: IntentionPair,
    ) -> Result<(), EndpointError> {
        need(self.authorizer(token)?.intention_write(&pair.destination.1))?;
        let write = IntentionWrite::DeletePair(pair);
        self.propose(Command::Intention(Box::new(write))).await.map(drop)
    }

    /// The place that an intention of this pair has, or would get, among those of its destination;
    /// later versions name it when they refuse one.
    #[must_use]
    pub fn intention_place(&self, pair: &IntentionPair) -> usize {
        let (ns, name) = &pair.destination;
        let view = self.view();
        let (_, mut rows) = view.intention_match(MatchBy::Destination, ns, name);
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        rows.retain(|row| same(&row.destination_ns, ns) && same(&row.destination_name, name));
        let own = rows.iter().position(|row| {
            same(&row.source_ns, &pair.source.0) && same(&row.source_name, &pair.source.1)
        });
        own.unwrap_or(rows.len())
    }

    /// Creates an intention and gives its id.
    ///
    /// # Errors
    /// When it is not in order, or there is one for the same pair of services.
    pub async fn intention_create(
        &self,
        token: &str,
        mut intention: Intention,
    ) -> Result<String, EndpointError> {
        if !intention.id.is_empty() {
            let text = "ID must be empty when creating a new intention";
            return Err(EndpointError::refused(text));
        }
        need(self.authorizer(token)?.intention_write(&intention.destination_name))?;
        intention.id = uuid::Uuid::new_v4().to_string();
        intention.created_at = clock::now();
        intention.updated_at = intention.created_at;
        self.upsert(intention).await
    }

    /// Replaces an intention.
    ///
    /// # Errors
    /// When there is none with this id, it is not in order, or the pair has another one.
    pub async fn intention_update(
        &self,
        token: &str,
        mut intention: Intention,
    ) -> Result<(), EndpointError> {
        let who = self.authorizer(token)?;
        need(who.intention_write(&intention.destination_name))?;
        let held = self.existing(&intention.id).await?;
        need(who.intention_write(&held.destination_name))?;
        intention.updated_at = clock::now();
        self.upsert(intention).await.map(drop)
    }

    /// Deletes an intention.
    ///
    /// # Errors
    /// When there is none with this id.
    pub async fn intention_delete(&self, token: &str, id: &str) -> Result<(), EndpointError> {
        let who = self.authorizer(token)?;
        let held = self.existing(id).await?;
        need(who.intention_write(&held.destination_name))?;
        let write = IntentionWrite::Delete(id.to_owned());
        self.propose(Command::Intention(Box::new(write))).await.map(drop)
    }

    /// The intentions that may concern services, given by namespace and name.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn intention_match(
        &self,
        options: &QueryOptions,
        by_source: bool,
        names: &[(String, String)],
    ) -> Result<Reply<IntentionMatches>, EndpointError> {
        let by = if by_source { MatchBy::Source } else { MatchBy::Destination };
        let default_allow = self.intention_default_allow();
        let evaluate = |view: &View| {
            let index = view.table_index(&[Table::ConnectIntentions]);
            let found = || IntentionMatches {
                default_allow,
                matches: names
                    .iter()
                    .map(|(ns, name)| view.intention_match(by, ns, name).1)
                    .collect(),
            };
            let mut arguments = vec![if by_source { "source" } else { "destination" }];
            arguments.extend(names.iter().flat_map(|(ns, name)| [ns.as_str(), name.as_str()]));
            let identity = Identity::with("intention match", &arguments);
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let topics =
            || names.iter().flat_map(|(ns, name)| Topic::intention_match(by, ns, name)).collect();
        let rights =
            Only(|who: &Authorizer| names.iter().all(|(_, name)| who.intention_read(name)));
        self.read(Read { evaluate, topics, rights, options }).await
    }

    /// The intentions for a destination of the default namespace. The same allocation is given as
    /// long as nothing about intentions changed.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn intentions_for(
        &self,
        destination: &str,
    ) -> Result<Arc<Evaluated<Vec<Arc<Intention>>>>, EndpointError> {
        let options = QueryOptions {
            consistency: lictor_types::query::Consistency::Stale,
            ..QueryOptions::default()
        };
        let evaluate = |view: &View| {
            let index = view.table_index(&[Table::ConnectIntentions]);
            let identity = Identity::with("intentions for", &[destination]);
            let by = MatchBy::Destination;
            let found = || view.intention_match(by, DEFAULT_NAMESPACE, destination).1;
            Ok(self.cache().get(identity, view.epoch(), index, found))
        };
        let reply = self
            .read(Read { evaluate, topics: Vec::new, rights: Anybody, options: &options })
            .await?;
        Ok(reply.result)
    }

    /// Whether a source may connect to a destination, both given by namespace and name.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn intention_check(
        &self,
        options: &QueryOptions,
        source: &(String, String),
        destination: &(String, String),
    ) -> Result<bool, EndpointError> {
        self.may_answer(options).await?;
        // The answer is yes or no, so that seeing the service is enough.
        need(self.authorizer(&options.token)?.service_read(&destination.1))?;
        let view = self.view();
        let (_, rules) = view.intention_match(MatchBy::Destination, &destination.0, &destination.1);
        let decisions = Decisions::new(rules);
        let decided = decisions.decide(&source.0, &source.1);
        Ok(decided.map_or(self.intention_default_allow(), |rule| rule.action == Action::Allow))
    }

    async fn existing(&self, id: &str) -> Result<Arc<Intention>, EndpointError> {
        if !View::is_intention_id(id) {
            let text = format!("Intention lookup failed: {}", lookup_failed(id));
            return Err(EndpointError::refused(text));
        }
        self.wait_for_leadership().await?;
        match self.view().intention(id).1 {
            Some(held) => Ok(held),
            None => {
                let text = format!("Cannot modify non-existent intention: '{id}'");
                Err(EndpointError::refused(text))
            }
        }
    }

    async fn upsert(&self, mut intention: Intention) -> Result<String, EndpointError> {
        complete(&mut intention);
        refuse_if_any(&problems(&intention, true))?;
        let id = intention.id.clone();
        let write = IntentionWrite::Upsert(Box::new(intention));
        self.propose(Command::Intention(Box::new(write))).await?;
        Ok(id)
    }
}

fn lookup_failed(id: &str) -> String {
    let problem = if id.len() == 36 { "invalid UUID" } else { "UUID must be 36 characters" };
    format!("failed intention lookup: index error: {problem}")
}

fn complete(intention: &mut Intention) {
    for namespace in [&mut intention.source_ns, &mut intention.destination_ns] {
        if namespace.is_empty() {
            DEFAULT_NAMESPACE.clone_into(namespace);
        }
    }
    if intention.source_type.is_empty() {
        "consul".clone_into(&mut intention.source_type);
    }
}

/// What is said about an intention whose action is neither allow nor deny: that, and every other
/// problem it has. The action that it carries is not looked at.
#[must_use]
pub fn intention_without_action(mut intention: Intention) -> EndpointError {
    complete(&mut intention);
    list_of(&problems(&intention, false))
}

/// The rules of section 9 of the observed behaviour; every problem is named.
fn problems(intention: &Intention, has_action: bool) -> Vec<String> {
    let mut problems: Vec<String> = Vec::new();
    for (field, namespace, name) in [
        ("Source", &intention.source_ns, &intention.source_name),
        ("Destination", &intention.destination_ns, &intention.destination_name),
    ] {
        let parts = [(format!("{field}NS"), namespace), (format!("{field}Name"), name)];
        for (part, value) in parts {
            if value.is_empty() {
                problems.push(format!("{part} must be set"));
            } else if value.contains(WILDCARD) && value != WILDCARD {
                let what = "wildcard character '*' cannot be used with partial values";
                problems.push(format!("{part}: {what}"));
            }
        }
        if namespace == WILDCARD && name != WILDCARD {
            problems.push(format!("{field}Name: exact value cannot follow wildcard namespace"));
        }
    }
    if intention.description.len() > DESCRIPTION_MAX {
        problems.push(format!("Description exceeds maximum length {DESCRIPTION_MAX}"));
    }
    if intention.meta.len() > META_PAIRS_MAX {
        problems.push(format!("Meta exceeds maximum element count {META_PAIRS_MAX}"));
    }
    for (key, value) in &intention.meta {
        if key.len() > META_KEY_MAX {
            problems.push(format!("Meta key {key:?} exceeds maximum length {META_KEY_MAX}"));
        }
        if value.len() > META_VALUE_MAX {
            problems.push(format!(
                "Meta value for key {key:?} exceeds maximum length {META_VALUE_MAX}"
            ));
        }
    }
    if !has_action {
        problems.push("Action must be set to 'allow' or 'deny'".to_owned());
    }
    if intention.source_type != "consul" {
        problems.push("SourceType must be set to 'consul'".to_owned());
    }
    problems
}

fn refuse_if_any(problems: &[String]) -> Result<(), EndpointError> {
    if problems.is_empty() { Ok(()) } else { Err(list_of(problems)) }
}

fn list_of(problems: &[String]) -> EndpointError {
    let mut text = format!("{} error(s) occurred:\n\n", problems.len());
    for (at, problem) in problems.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        text.push_str("* ");
        text.push_str(problem);
    }
    EndpointError::refused(text)
}

#[cfg(test)]
mod tests {
    use lictor_types::timestamp::Timestamp;

    use super::*;
    use crate::testing;

    fn allow(source: &str, destination: &str) -> Intention {
        Intention {
            id: String::new(),
            description: String::new(),
            source_ns: String::new(),
            source_name: source.to_owned(),
            destination_ns: String::new(),
            destination_name: destination.to_owned(),
            source_type: String::new(),
            action: Action::Allow,
            default_addr: String::new(),
            default_port: 0,
            meta: lictor_types::catalog::StringMap::new(),
            precedence: 0,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            create_index: 0,
            modify_index: 0,
        }
    }

    #[tokio::test]
    async fn names_are_looked_up_without_regard_to_case() {
        let server = testing::start().await;
        server.intention_create("", allow("Web", "Db")).await.unwrap();
        let again = server.intention_create("", allow("web", "dB")).await.unwrap_err();
        assert!(again.text.contains("ALLOW default/Web => default/Db"), "{}", again.text);
        let options = QueryOptions::default();
        for (by_source, name) in [(true, "WEB"), (false, "DB"), (false, "db")] {
            let names = [(DEFAULT_NAMESPACE.to_owned(), name.to_owned())];
            let found = server.intention_match(&options, by_source, &names).await.unwrap();
            let [found] = &found.result.value.matches[..] else { panic!("one list for one name") };
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0].source_name, "Web");
        }
        server.shutdown().await;
    }

    #[test]
    fn a_missing_action_is_named_with_every_other_problem() {
        let text = intention_without_action(allow("", "d*")).text;
        assert_eq!(
            text,
            "3 error(s) occurred:\n\n* SourceName must be set\n* DestinationName: wildcard \
             character '*' cannot be used with partial values\n* Action must be set to 'allow' or \
             'deny'"
        );
    }
}
