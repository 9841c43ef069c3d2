//! Watches: reading the same thing again and again, and telling when it has changed.
//!
//! What is done with the news is the caller's matter. Names of parameters, and what is told, are
//! those of the original: of a key its entry or `null`, of events only those that are new.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::sleep;

use crate::client::{Client, ClientError};
use crate::event::UserEvent;
use crate::json;
use crate::kv::KvPair;
use crate::url;

/// How long a reader waits at once.
const WAIT: Duration = Duration::from_secs(300);
/// Pause after the first failure; grows with the square of their number.
const RETRY: Duration = Duration::from_secs(5);
/// Longest pause after failures.
const RETRY_MOST: Duration = Duration::from_secs(180);

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One key.
    Key(String),
    /// All keys that start with this.
    KeyPrefix(String),
    /// The names of all services.
    Services,
    /// All nodes.
    Nodes,
    /// The instances of a service.
    Service {
        /// Its name.
        name: String,
        /// Tags that instances must have.
        tags: Vec<String>,
        /// Whether all checks must pass.
        passing: bool,
    },
    /// The checks of a service.
    ServiceChecks(String),
    /// The checks in a state; `any` is every one.
    Checks(String),
    /// User events of a name; empty is every one.
    Event(String),
}

/// A watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The word for the kind of its subject.
    pub kind: String,
    /// What is watched.
    pub subject: Subject,
    /// Let any server answer.
    pub stale: bool,
    /// Datacenter; empty for the agent's.
    pub datacenter: String,
    /// Token; empty for the client's own.
    pub token: String,
}

/// Parameters that are left to be looked at.
#[derive(Debug)]
struct Parameters<'a>(&'a mut Map<String, Value>);

impl Parameters<'_> {
    fn text(&mut self, name: &str) -> Result<String, String> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("Expecting {name} to be a string")),
        }
    }

    fn boolean(&mut self, name: &str) -> Result<bool, String> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => Err(format!("Expecting {name} to be a boolean")),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, String> {
        let wrong = || format!("Expecting {name} to be a string or []string");
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect(),
            Some(_) => Err(wrong()),
        }
    }
}

impl Plan {
    /// Reads a watch's parameters, and takes them out of `given`.
    ///
    /// # Errors
    /// With a text for people when a parameter is missing or not in order.
    pub fn parse(given: &mut Map<String, Value>) -> Result<Self, String> {
        let mut given = Parameters(given);
        let (datacenter, token) = (given.text("datacenter")?, given.text("token")?);
        let kind = given.text("type")?;
        let needed = |text: String, what: &str| match text.as_str() {
            "" => Err(format!("Must specify a single {what} to watch")),
            _ => Ok(text),
        };
        let mut stale = || given.boolean("stale");
        let (stale, subject) = match kind.as_str() {
            "" => return Err("Watch type must be specified".to_owned()),
            "key" => (stale()?, Subject::Key(needed(given.text("key")?, "key")?)),
            "keyprefix" => (stale()?, Subject::KeyPrefix(needed(given.text("prefix")?, "prefix")?)),
            "services" => (stale()?, Subject::Services),
            "nodes" => (stale()?, Subject::Nodes),
            "service" => {
                let stale = stale()?;
                let name = needed(given.text("service")?, "service")?;
                let (tags, passing) = (given.texts("tag")?, given.boolean("passingonly")?);
                (stale, Subject::Service { name, tags, passing })
            }
            "checks" => {
                let stale = stale()?;
                let (service, state) = (given.text("service")?, given.text("state")?);
                let subject = match (service.as_str(), state.as_str()) {
                    ("", "") => Subject::Checks("any".to_owned()),
                    ("", _) => Subject::Checks(state),
                    (_, "") => Subject::ServiceChecks(service),
                    _ => return Err("Cannot specify service and state".to_owned()),
                };
                (stale, subject)
            }
            "event" => (false, Subject::Event(given.text("name")?)),
            other => return Err(format!("Unsupported watch type: {other}")),
        };
        Ok(Self { kind, subject, stale, datacenter, token })
    }

    /// Complains about parameters that nobody has taken.
    ///
    /// # Errors
    /// When there are any.
    pub fn nothing_left(given: &Map<String, Value>) -> Result<(), String> {
        if given.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = given.keys().map(String::as_str).collect();
        Err(format!("Invalid parameters: [{}]", names.join(" ")))
    }

    fn path(&self) -> String {
        let (path, query) = match &self.subject {
            Subject::Key(key) => (url::path("/v1/kv/", key), String::new()),
            Subject::KeyPrefix(prefix) => (url::path("/v1/kv/", prefix), "recurse".to_owned()),
            Subject::Services => ("/v1/catalog/services".to_owned(), String::new()),
            Subject::Nodes => ("/v1/catalog/nodes".to_owned(), String::new()),
            Subject::Service { name, tags, passing } => {
                let mut query: Vec<String> = tags.iter().map(|tag| pair("tag", tag)).collect();
                query.extend(passing.then(|| "passing=1".to_owned()));
                (url::path("/v1/health/service/", name), query.join("&"))
            }
            Subject::ServiceChecks(name) => (url::path("/v1/health/checks/", name), String::new()),
            Subject::Checks(state) => (url::path("/v1/health/state/", state), String::new()),
            Subject::Event(name) if name.is_empty() => ("/v1/event/list".to_owned(), String::new()),
            Subject::Event(name) => ("/v1/event/list".to_owned(), pair("name", name)),
        };
        let stale = if self.stale { "stale" } else { "" };
        let query: Vec<&str> =
            [query.as_str(), stale].into_iter().filter(|q| !q.is_empty()).collect();
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }
}

fn pair(name: &str, value: &str) -> String {
    let mut text = format!("{name}=");
    url::escape_query(&mut text, value);
    text
}

/// News of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Index of the result.
    pub index: u64,
    /// What there is now: JSON without blanks.
    pub data: Vec<u8>,
}

/// A watch that is going on.
#[derive(Debug)]
pub struct Watcher {
    plan: Plan,
    client: Client,
    index: Option<u64>,
    last: Option<Vec<u8>>,
    failures: u32,
}

impl Watcher {
    /// Begins a watch; the first news is what there is.
    ///
    /// # Errors
    /// When the plan's token cannot be sent.
    pub fn new(plan: Plan, client: Client) -> Result<Self, ClientError> {
        let client = if plan.token.is_empty() { client } else { client.with_token(&plan.token)? };
        let client = match plan.datacenter.as_str() {
            "" => client,
            datacenter => client.with_datacenter(datacenter),
        };
        Ok(Self { plan, client, index: None, last: None, failures: 0 })
    }

    /// Waits for the next news. What fails is handed to `failed`, with the pause until the next
    /// attempt. Dropping the future loses nothing.
    pub async fn next(&mut self, mut failed: impl FnMut(&ClientError, Duration)) -> News {
        loop {
            let (index, data) = match self.ask().await {
                Ok(found) => found,
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    let pause = RETRY.saturating_mul(self.failures.saturating_pow(2));
                    let pause = pause.min(RETRY_MOST);
                    self.index = self.index.map(|_| 0);
                    failed(&error, pause);
                    sleep(pause).await;
                    continue;
                }
            };
            self.failures = 0;
            if self.index == Some(index) {
                continue;
            }
            // An index that goes back says that everything is new; those of events have no order.
            let ordered = !matches!(self.plan.subject, Subject::Event(_));
            let back = ordered && self.index.is_some_and(|before| index < before);
            let first = self.index.is_none();
            self.index = Some(if back { 0 } else { index });
            if !first && self.last.as_ref() == Some(&data) {
                continue;
            }
            self.last = Some(data.clone());
            return News { index, data };
        }
    }

    async fn ask(&self) -> Result<(u64, Vec<u8>), ClientError> {
        let before = self.index.unwrap_or(0);
        let answer = self.client.get_blocking(&self.plan.path(), before, WAIT).await?;
        let index = answer.index();
        let keys = matches!(self.plan.subject, Subject::Key(_) | Subject::KeyPrefix(_));
        if keys && answer.status == 404 {
            return Ok((index, b"null".to_vec()));
        }
        let answer = answer.expect_ok()?;
        let data = match &self.plan.subject {
            Subject::Key(_) => {
                let pairs: Vec<KvPair> = answer.json()?;
                json::to_vec(&pairs.first().map(Shown::from), false)?
            }
            Subject::KeyPrefix(_) => {
                let pairs: Vec<KvPair> = answer.json()?;
                json::to_vec(&pairs.iter().map(Shown::from).collect::<Vec<_>>(), false)?
            }
            Subject::Event(_) => {
                let events: Vec<UserEvent> = answer.json()?;
                let known = events.iter().position(|event| Some(event_index(event)) == self.index);
                json::to_vec(&events[known.map_or(0, |at| at + 1)..], false)?
            }
            _ => {
                // That it is JSON at all.
                answer.json::<serde::de::IgnoredAny>()?;
                json::reformat(&answer.body, None)
            }
        };
        Ok((index, data))
    }
}

/// The index that the list of events has after this one.
fn event_index(event: &UserEvent) -> u64 {
    let digits: String = event.id.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).unwrap_or(0);
    let half = |number: u128| u64::try_from(number & u128::from(u64::MAX)).unwrap_or(0);
    half(number >> 64) ^ half(number)
}

/// An entry as watches show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    key: &'a str,
    create_index: u64,
    modify_index: u64,
    lock_index: u64,
    flags: u64,
    value: Option<String>,
    session: &'a str,
}

impl<'a> From<&'a KvPair> for Shown<'a> {
    fn from(pair: &'a KvPair) -> Self {
        use base64::Engine as _;
        let encode = |value| base64::engine::general_purpose::STANDARD.encode(value);
        Self {
            key: &pair.key,
            create_index: pair.create_index,
            modify_index: pair.modify_index,
            lock_index: pair.lock_index,
            flags: pair.flags,
            value: (!pair.value.is_empty()).then(|| encode(&pair.value)),
            session: &pair.session,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<Plan, String> {
        let Value::Object(mut given) = value else { panic!("no object") };
        let plan = Plan::parse(&mut given)?;
        Plan::nothing_left(&given).map(|()| plan)
    }

    #[test]
    fn parameters_become_paths() {
        for (given, path) in [
            (json!({"type": "key", "key": "a/b c"}), "/v1/kv/a/b%20c"),
            (
                json!({"type": "keyprefix", "prefix": "p/", "stale": true}),
                "/v1/kv/p/?recurse&stale",
            ),
            (json!({"type": "services", "datacenter": "dc2"}), "/v1/catalog/services"),
            (json!({"type": "nodes"}), "/v1/catalog/nodes"),
            (
                json!({"type": "service", "service": "web", "tag": "a&b", "passingonly": true}),
                "/v1/health/service/web?tag=a%26b&passing=1",
            ),
            (
                json!({"type": "service", "service": "w", "tag": ["a", "b"]}),
                "/v1/health/service/w?tag=a&tag=b",
            ),
            (json!({"type": "checks"}), "/v1/health/state/any"),
            (json!({"type": "checks", "state": "critical"}), "/v1/health/state/critical"),
            (json!({"type": "checks", "service": "web"}), "/v1/health/checks/web"),
            (json!({"type": "event", "name": "e"}), "/v1/event/list?name=e"),
        ] {
            assert_eq!(parse(given).unwrap().path(), path);
        }
    }

    #[test]
    fn mistakes_are_told_in_known_words() {
        for (given, text) in [
            (json!({}), "Watch type must be specified"),
            (json!({"type": "foo"}), "Unsupported watch type: foo"),
            (json!({"type": "key"}), "Must specify a single key to watch"),
            (json!({"type": "keyprefix"}), "Must specify a single prefix to watch"),
            (json!({"type": "service"}), "Must specify a single service to watch"),
            (
                json!({"type": "checks", "service": "a", "state": "b"}),
                "Cannot specify service and state",
            ),
            (json!({"type": "nodes", "key": "x"}), "Invalid parameters: [key]"),
            (json!({"type": "key", "key": 5}), "Expecting key to be a string"),
            (json!({"type": "nodes", "stale": "x"}), "Expecting stale to be a boolean"),
        ] {
            assert_eq!(parse(given).unwrap_err(), text);
        }
    }

    #[test]
    fn the_index_of_an_event_follows_from_its_id() {
        let id = "0000000f-0000-0000-0000-0000000000ff".to_owned();
        let event = UserEvent { id, ..UserEvent::default() };
        assert_eq!(event_index(&event), 0xf_0000_0000 ^ 0xff);
    }

    proptest! {
        #[test]
        fn any_parameters_are_a_plan_or_an_error(
            kind in "key|keyprefix|services|service|checks|event|x?",
            name in "key|prefix|service|tag|state|name|stale|passingonly|[a-z]{0,3}",
            value in prop_oneof![
                Just(Value::Null), any::<bool>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from), "\\PC{0,5}".prop_map(Value::from),
                Just(json!(["a"])), Just(json!({})),
            ],
        ) {
            if let Ok(plan) = parse(json!({"type": kind, name: value})) {
                prop_assert!(plan.path().starts_with("/v1/"));
            }
        }
    }
}
