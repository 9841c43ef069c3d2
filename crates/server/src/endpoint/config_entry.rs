//! Configuration entries: settings that servers keep for services, proxies and gateways.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::{ProxyDefaults, ProxyQuery, Table, Topic, View, config_entry_topics};
use lictor_types::Index;
use lictor_types::catalog::StringMap;
use lictor_types::command::{Command, Outcome};
use lictor_types::config_entry::{ConfigEntry, ConfigEntryWrite, Kind};
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::intention::{Action, DEFAULT_NAMESPACE, Intention};
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use serde_json::{Map, Value};

use crate::clock;
use crate::entry_rules::settle;
use crate::read::Read;
use crate::rights::{Both, Only, Rows, Visible, need};
use crate::server::Server;

/// Position of what never changed: zero would keep nobody waiting.
const NEVER_CHANGED: Index = 1;

/// Whether the bearer of a token may see an entry.
pub(crate) fn may_read(who: &Authorizer, kind: Kind, name: &str) -> bool {
    match kind {
        Kind::ProxyDefaults | Kind::Mesh => true,
        Kind::ServiceIntentions => who.intention_read(name),
        _ => who.service_read(name),
    }
}

/// Whether the bearer of a token may write an entry. Whoever sends what is meant for its service
/// elsewhere must be able to see where.
fn may_write(who: &Authorizer, entry: &ConfigEntry) -> bool {
    let name = &entry.name;
    match entry.kind {
        Kind::ProxyDefaults | Kind::Mesh | Kind::IngressGateway | Kind::TerminatingGateway => {
            who.operator_write()
        }
        Kind::ServiceIntentions => who.intention_write(name),
        Kind::ServiceDefaults => who.service_write(name),
        Kind::ServiceResolver | Kind::ServiceRouter | Kind::ServiceSplitter => {
            who.service_write(name)
                && related(entry).iter().all(|other| other == name || who.service_read(other))
        }
    }
}

/// The services that an entry sends traffic to.
fn related(entry: &ConfigEntry) -> Vec<String> {
    let service = |value: &Value| {
        let name = value.get("Service").and_then(Value::as_str);
        name.filter(|name| !name.is_empty()).map(str::to_owned)
    };
    let list = |name: &str| entry.fields.get(name).and_then(Value::as_array).into_iter().flatten();
    let failover = entry.fields.get("Failover").and_then(Value::as_object);
    let targets = failover.into_iter().flat_map(|map| map.values());
    list("Splits")
        .chain(list("Routes").filter_map(|route| route.get("Destination")))
        .chain(entry.fields.get("Redirect"))
        .chain(targets)
        .filter_map(service)
        .collect()
}

impl Visible for Vec<Arc<ConfigEntry>> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        let seen = |entry: &&Arc<ConfigEntry>| may_read(who, entry.kind, &entry.name);
        let kept: Self = self.iter().filter(seen).cloned().collect();
        (kept.len() < self.len()).then_some(kept)
    }
}

impl Server {
    /// One entry.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn config_entry(
        &self,
        options: &QueryOptions,
        kind: Kind,
        name: &str,
    ) -> Result<Reply<Option<Arc<ConfigEntry>>>, EndpointError> {
        let evaluate = |view: &View| {
            let (index, found) = view.config_entry(kind, name);
            Ok(Evaluated::new(index.max(NEVER_CHANGED), found))
        };
        let topics = || config_entry_topics(&[kind]);
        let rights = Only(|who: &Authorizer| may_read(who, kind, name));
        self.read(Read { evaluate, topics, rights, options }).await
    }

    /// The entries of some kinds, by kind and name.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn config_entries(
        &self,
        options: &QueryOptions,
        kinds: &[Kind],
    ) -> Result<Reply<Vec<Arc<ConfigEntry>>>, EndpointError> {
        let evaluate = |view: &View| {
            let (index, found) = view.config_entries(kinds);
            Ok(Evaluated::new(index.max(NEVER_CHANGED), found))
        };
        let topics = || config_entry_topics(kinds);
        let rights = Both(|_: &Authorizer, _: &Vec<Arc<ConfigEntry>>| true, Rows);
        self.read(Read { evaluate, topics, rights, options }).await
    }

    /// What entries say for the proxy of a service.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn proxy_defaults(
        &self,
        options: &QueryOptions,
        query: &ProxyQuery,
    ) -> Result<Reply<ProxyDefaults>, EndpointError> {
        let evaluate = |view: &View| {
            let (index, found) = view.proxy_defaults(query);
            Ok(Evaluated::new(index.max(NEVER_CHANGED), found))
        };
        let topics = || vec![Topic::Table(Table::ConfigEntries)];
        let rights = Only(|who: &Authorizer| who.service_read(&query.service));
        self.read(Read { evaluate, topics, rights, options }).await
    }

    /// Creates or replaces an entry; gives whether the condition held.
    ///
    /// # Errors
    /// When it is not in order, does not fit the others, or the token does not permit it.
    pub async fn config_entry_apply(
        &self,
        datacenter: &str,
        token: &str,
        mut entry: ConfigEntry,
        cas: Option<Index>,
    ) -> Result<bool, EndpointError> {
        self.check_datacenter(datacenter)?;
        settle(&mut entry)?;
        need(may_write(&*self.authorizer(token)?, &entry))?;
        self.write_config_entry(into_write(entry, cas)?).await
    }

    /// Deletes an entry; gives whether the condition held. One that is not there is no mistake.
    ///
    /// # Errors
    /// When another entry needs it, or the token does not permit it.
    pub async fn config_entry_delete(
        &self,
        datacenter: &str,
        token: &str,
        kind: Kind,
        name: &str,
        cas: Option<Index>,
    ) -> Result<bool, EndpointError> {
        self.check_datacenter(datacenter)?;
        let name = kind.only_name().unwrap_or(name).to_owned();
        let entry = ConfigEntry {
            kind,
            name: name.clone(),
            fields: Map::new(),
            create_index: 0,
            modify_index: 0,
        };
        need(may_write(&*self.authorizer(token)?, &entry))?;
        let write = match kind {
            Kind::ServiceIntentions => {
                ConfigEntryWrite::Intentions { name, sources: Vec::new(), cas }
            }
            _ => ConfigEntryWrite::Delete { kind, name, cas },
        };
        self.write_config_entry(write).await
    }

    async fn write_config_entry(&self, write: ConfigEntryWrite) -> Result<bool, EndpointError> {
        match self.propose(Command::ConfigEntry(Box::new(write))).await?.outcome {
            Outcome::Applied(applied) => Ok(applied),
            other => {
                let text = format!("unexpected outcome of a write of an entry: {other:?}");
                Err(EndpointError::new(ErrorKind::Internal, text))
            }
        }
    }

    /// Writes the entries of the configuration that are not there yet. For the leader.
    pub(crate) async fn seed_config_entries(&self) -> Result<(), EndpointError> {
        // Those of the primary hold here: others would be taken away again.
        if self.is_below() {
            return Ok(());
        }
        for given in &self.config().config_entries {
            let mut entry = given.clone();
            let (kind, name) = (entry.kind, entry.name.clone());
            if self.view().config_entry(kind, &name).1.is_some() {
                continue;
            }
            let settled = settle(&mut entry).and_then(|()| into_write(entry, Some(0)));
            let written = match settled {
                Ok(write) => self.write_config_entry(write).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(_) => tracing::info!(kind = kind.as_str(), name, "wrote a configuration entry"),
                // It is wrong by itself, or does not fit the others: the rest is not to suffer.
                Err(error) if error.kind == ErrorKind::Refused => {
                    tracing::warn!(kind = kind.as_str(), name, %error,
                        "an entry of config_entries.bootstrap is not written");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The write of an entry that is in order.
fn into_write(entry: ConfigEntry, cas: Option<Index>) -> Result<ConfigEntryWrite, EndpointError> {
    Ok(match entry.kind {
        Kind::ServiceIntentions => {
            let sources = sources(&entry)?;
            ConfigEntryWrite::Intentions { name: entry.name, sources, cas }
        }
        _ => ConfigEntryWrite::Upsert { entry: Box::new(entry), cas },
    })
}

/// The intentions of an entry that is in order. Those with rules for requests are refused: proxies here
/// decide about connections, and a rule that nobody enforces would allow what it denies.
fn sources(entry: &ConfigEntry) -> Result<Vec<Intention>, EndpointError> {
    let meta: StringMap = match entry.fields.get("Meta") {
        Some(Value::Object(meta)) => {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            meta.iter().map(|(key, value)| (key.clone(), text(value))).collect()
        }
        _ => StringMap::new(),
    };
    let now = clock::now();
    let list = entry.fields.get("Sources").and_then(Value::as_array);
    let intention = |(at, source): (usize, &Value)| {
        let text = |name: &str| source.get(name).and_then(Value::as_str).unwrap_or_default();
        if source.get("Permissions").is_some() {
            let text = format!(
                "Sources[{at}].Permissions: rules for requests are not enforced by this version; \
                 allow or deny the service with Action"
            );
            return Err(EndpointError::refused(text));
        }
        Ok(Intention {
            id: uuid::Uuid::new_v4().to_string(),
            description: text("Description").to_owned(),
            source_ns: DEFAULT_NAMESPACE.to_owned(),
            source_name: text("Name").to_owned(),
            destination_ns: DEFAULT_NAMESPACE.to_owned(),
            destination_name: entry.name.clone(),
            source_type: text("Type").to_owned(),
            action: if text("Action") == "allow" { Action::Allow } else { Action::Deny },
            default_addr: String::new(),
            default_port: 0,
            meta: meta.clone(),
            precedence: 0,
            created_at: now,
            updated_at: now,
            create_index: 0,
            modify_index: 0,
        })
    };
    list.into_iter().flatten().enumerate().map(intention).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn entry(given: Value) -> ConfigEntry {
        let Value::Object(given) = given else { panic!("no object") };
        ConfigEntry::from_json(&given).unwrap()
    }

    #[tokio::test]
    async fn entries_are_written_read_and_deleted() {
        let node = testing::start().await;
        let options = QueryOptions::default();
        let read = async |kind, name| node.config_entry(&options, kind, name).await.unwrap();
        let nothing = read(Kind::ServiceDefaults, "web").await;
        assert_eq!((nothing.result.index, nothing.result.value.clone()), (1, None));
        let web = entry(json!({"Kind": "service-defaults", "Name": "web", "Protocol": "HTTP"}));
        assert_eq!(node.config_entry_apply("", "", web.clone(), Some(0)).await, Ok(true));
        assert_eq!(node.config_entry_apply("", "", web.clone(), Some(0)).await, Ok(false));
        let held = read(Kind::ServiceDefaults, "web").await.result.value.clone().unwrap();
        assert_eq!(held.fields["Protocol"], "http");
        let db = entry(json!({"Kind": "service-intentions", "Name": "db", "Sources": [
            {"Name": "web", "Action": "allow"}, {"Name": "*", "Action": "deny"}]}));
        assert_eq!(node.config_entry_apply("", "", db, None).await, Ok(true));
        assert_eq!(node.intention_list(&options).await.unwrap().result.value.len(), 2);
        let all = node.config_entries(&options, &Kind::ALL).await.unwrap();
        assert_eq!(all.result.value.len(), 2);
        let rules = entry(json!({"Kind": "service-intentions", "Name": "db", "Sources": [
            {"Name": "web", "Permissions": [{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]}]}));
        let refused = node.config_entry_apply("", "", rules, None).await.unwrap_err();
        assert!(refused.text.contains("are not enforced"), "{}", refused.text);
        for (kind, name) in [(Kind::ServiceIntentions, "db"), (Kind::ServiceDefaults, "web")] {
            let done = node.config_entry_delete("", "", kind, name, None).await;
            assert_eq!(done, Ok(true));
            assert_eq!(read(kind, name).await.result.value.clone(), None);
        }
        assert!(node.intention_list(&options).await.unwrap().result.value.is_empty());
        node.shutdown().await;
    }

    #[test]
    fn whoever_sends_traffic_elsewhere_must_see_where() {
        let related = |given| related(&entry(given));
        assert_eq!(
            related(json!({"Kind": "service-router", "Name": "a",
                "Routes": [{"Destination": {"Service": "b"}}, {"Destination": {}}]})),
            ["b"]
        );
        assert_eq!(
            related(json!({"Kind": "service-resolver", "Name": "a", "Redirect": {"Service": "c"},
                "Failover": {"*": {"Service": "d"}, "x": {"Datacenters": ["e"]}}})),
            ["c", "d"]
        );
    }
}
