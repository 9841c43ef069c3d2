//! User events: fired here, filtered, and the last of them kept.
//!
//! Without gossip the only agent that an event reaches is this one. An event and its limits are
//! as they will go over the wire; only the newest are kept, in the order of their arrival.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lictor_types::Index;
use lictor_types::catalog::Service;
use lictor_types::codec;
use lictor_types::query::QueryOptions;
use parking_lot::Mutex;
use regex::{Regex, RegexBuilder};
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::error::AgentError;
use crate::remote_exec;

/// Events that are kept.
const KEPT: usize = 256;
/// Largest event, as gossip would carry it.
const SIZE_MAX: usize = 512;
/// What a compiled filter may take.
const FILTER_MAX: usize = 1 << 18;
/// The version of events that is understood.
const VERSION: u8 = 1;
/// How long a reader blocks at most, and by default.
const WAIT_MOST: Duration = Duration::from_secs(600);
/// What the name is preceded by on the wire.
const PREFIX: &str = "consul:event:";

/// An event to fire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventRequest {
    /// Datacenter; empty for the own one.
    pub datacenter: String,
    /// Name.
    pub name: String,
    /// Whatever goes with it.
    pub payload: Bytes,
    /// Regular expression that a node's name must match; empty for all.
    pub node_filter: String,
    /// Regular expression that a service on the node must match; empty for all.
    pub service_filter: String,
    /// Regular expression that a tag of that service must match; empty for all.
    pub tag_filter: String,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEvent {
    /// UUID.
    pub id: Uuid,
    /// What was fired.
    pub request: EventRequest,
    /// Version of the format.
    pub version: u8,
    /// When it arrived, on the clock of gossip; 0 for one that was just fired.
    pub time: u64,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    /// It is kept, if this agent is concerned.
    Kept(UserEvent),
    /// It asks this agent to run something.
    RemoteExec(UserEvent),
}

/// An event as it goes over the wire.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "ID")]
    id: String,
    n: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<ByteBuf>,
    #[serde(skip_serializing_if = "str::is_empty")]
    nf: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sf: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tf: &'a str,
    v: u8,
}

/// Compiled filters.
#[derive(Debug)]
struct Filters {
    node: Option<Regex>,
    service: Option<Regex>,
    tag: Option<Regex>,
}

impl Filters {
    fn new(request: &EventRequest) -> Result<Self, AgentError> {
        if !request.tag_filter.is_empty() && request.service_filter.is_empty() {
            let text = "Cannot provide tag filter without service filter";
            return Err(AgentError::refused(text));
        }
        Ok(Self {
            node: compile("node", &request.node_filter)?,
            service: compile("service", &request.service_filter)?,
            tag: compile("tag", &request.tag_filter)?,
        })
    }

    fn concern(&self, node: &str, services: &[Arc<Service>]) -> bool {
        let here = self.node.as_ref().is_none_or(|filter| filter.is_match(node));
        let tagged = |service: &Service| {
            let tag = |filter: &Regex| service.tags.iter().any(|tag| filter.is_match(tag));
            self.tag.as_ref().is_none_or(tag)
        };
        let served = self.service.as_ref().is_none_or(|filter| {
            services.iter().any(|service| filter.is_match(&service.id) && tagged(service))
        });
        here && served
    }
}

fn compile(what: &str, filter: &str) -> Result<Option<Regex>, AgentError> {
    if filter.is_empty() {
        return Ok(None);
    }
    let compiled = RegexBuilder::new(filter).size_limit(FILTER_MAX).build();
    let invalid = |e| AgentError::refused(format!("Invalid {what} filter: {e}"));
    compiled.map(Some).map_err(invalid)
}

/// The last events.
#[derive(Debug)]
pub(crate) struct Events {
    kept: Mutex<VecDeque<Arc<UserEvent>>>,
    /// The time of the next event.
    clock: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self { kept: Mutex::default(), clock: watch::Sender::new(1) }
    }
}

impl Events {
    /// Makes an event and delivers it to this agent, if it is concerned.
    pub(crate) fn fire(
        &self,
        request: EventRequest,
        node: &str,
        services: impl FnOnce() -> Vec<Arc<Service>>,
    ) -> Result<Fired, AgentError> {
        if request.name.is_empty() {
            return Err(AgentError::refused("User event missing name"));
        }
        let filters = Filters::new(&request)?;
        let event = UserEvent { id: Uuid::new_v4(), request, version: VERSION, time: 0 };
        event.check_size()?;
        let concerned = filters.concern(node, &services());
        if event.request.name == remote_exec::EVENT {
            self.clock.send_modify(|time| *time += 1);
            return Ok(if concerned { Fired::RemoteExec(event) } else { Fired::Kept(event) });
        }
        if concerned {
            tracing::debug!(name = event.request.name, id = %event.id, "new event");
            let mut kept = self.kept.lock();
            let time = *self.clock.borrow();
            kept.push_back(Arc::new(UserEvent { time, ..event.clone() }));
            if kept.len() > KEPT {
                kept.pop_front();
            }
            drop(kept);
        }
        self.clock.send_modify(|time| *time += 1);
        Ok(Fired::Kept(event))
    }

    /// The events that are kept, only those called `name` unless it is empty, with their index.
    /// Blocks as long as that is the caller's.
    pub(crate) async fn list(
        &self,
        options: &QueryOptions,
        name: &str,
    ) -> (Index, Vec<Arc<UserEvent>>) {
        let wait = if options.max_wait.is_zero() { WAIT_MOST } else { options.max_wait };
        let deadline = Instant::now() + wait.min(WAIT_MOST);
        let mut changes = self.clock.subscribe();
        loop {
            changes.mark_unchanged();
            let (index, found) = self.find(name);
            // The index has no order: only another one is news.
            if index != options.min_index
                || !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(())))
            {
                return (index, found);
            }
        }
    }

    fn find(&self, name: &str) -> (Index, Vec<Arc<UserEvent>>) {
        let kept = self.kept.lock();
        let wanted = |event: &&Arc<UserEvent>| name.is_empty() || event.request.name == name;
        let found: Vec<_> = kept.iter().filter(wanted).cloned().collect();
        let index = found.last().map_or(1, |event| {
            let (high, low) = event.id.as_u64_pair();
            high ^ low
        });
        (index, found)
    }
}

impl UserEvent {
    fn check_size(&self) -> Result<(), AgentError> {
        let request = &self.request;
        let wire = Wire {
            id: self.id.to_string(),
            n: &request.name,
            p: (!request.payload.is_empty()).then(|| ByteBuf::from(request.payload.to_vec())),
            nf: &request.node_filter,
            sf: &request.service_filter,
            tf: &request.tag_filter,
            v: self.version,
        };
        let mut encoded = Vec::new();
        codec::encode_into(&wire, &mut encoded)
            .map_err(|e| AgentError::refused(format!("UserEvent encoding failed: {e}")))?;
        if PREFIX.len() + request.name.len() + encoded.len() > SIZE_MAX {
            let text = format!("user event exceeds limit of {SIZE_MAX} bytes");
            return Err(AgentError::refused(text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> EventRequest {
        EventRequest { name: name.to_owned(), ..EventRequest::default() }
    }

    fn service() -> Vec<Arc<Service>> {
        let tags = vec!["v1".into()];
        vec![Arc::new(Service { id: "web-1".into(), tags, ..Service::default() })]
    }

    #[test]
    fn only_those_concerned_keep_an_event() {
        let kept = |node: &str, service_filter: &str, tag: &str| {
            let events = Events::default();
            let request = EventRequest {
                node_filter: node.to_owned(),
                service_filter: service_filter.to_owned(),
                tag_filter: tag.to_owned(),
                ..named("e")
            };
            events.fire(request, "node1", service).map(|_| events.find("").1.len())
        };
        assert_eq!(kept("", "", "").unwrap(), 1);
        assert_eq!(kept("^node\\d$", "web", "").unwrap(), 1);
        assert_eq!(kept("^x", "web", "").unwrap(), 0);
        assert_eq!(kept("", "^web-[0-9]$", "^v").unwrap(), 1);
        assert_eq!(kept("", "web", "v2").unwrap(), 0);
        assert_eq!(kept("", "db", "").unwrap(), 0);
        for (node, service, tag, text) in [
            ("(", "", "", "Invalid node filter: "),
            ("", "(", "", "Invalid service filter: "),
            ("", "a", "(", "Invalid tag filter: "),
            ("", "", "x", "Cannot provide tag filter without service filter"),
        ] {
            let error = kept(node, service, tag).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }

    #[test]
    fn the_last_ones_are_kept_and_large_ones_refused() {
        let events = Events::default();
        for n in 0..KEPT + 10 {
            events.fire(named(&n.to_string()), "n", Vec::new).unwrap();
        }
        let (index, kept) = events.find("");
        assert_eq!((kept.len(), kept[0].request.name.as_str()), (KEPT, "10"));
        assert_eq!((kept[0].time, kept[KEPT - 1].time), (11, 266));
        let id = kept[KEPT - 1].id.as_u128();
        assert_eq!(index, (id >> 64) as u64 ^ id as u64);
        assert_eq!(events.find("none"), (1, Vec::new()));
        let large = EventRequest { payload: vec![0; SIZE_MAX].into(), ..named("l") };
        let error = events.fire(large, "n", Vec::new).unwrap_err();
        assert_eq!(error.to_string(), "user event exceeds limit of 512 bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn readers_wait_for_another_index() {
        let events = Events::default();
        events.fire(named("a"), "n", Vec::new).unwrap();
        let (index, _) = events.list(&QueryOptions::default(), "").await;
        let options = QueryOptions {
            min_index: index,
            max_wait: Duration::from_secs(60),
            ..QueryOptions::default()
        };
        let start = Instant::now();
        let (same, by_name) = tokio::join!(events.list(&options, "a"), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            events.fire(named("b"), "n", Vec::new).unwrap();
            events.list(&options, "").await
        });
        assert_eq!((same.0, same.1.len(), start.elapsed().as_secs()), (index, 1, 60));
        assert_eq!(by_name.1.len(), 2);
    }
}
