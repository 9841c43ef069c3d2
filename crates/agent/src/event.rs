//! User events: made here, taken from gossip, filtered, and the last of them kept.
//!
//! An event goes to every agent of the datacenter, which decides for itself whether it is
//! concerned; only the newest are kept, in the order of their arrival. Its form is the original's.

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
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::error::AgentError;
use crate::gossip::USER_EVENT;
use crate::remote_exec;

/// Events that are kept.
const KEPT: usize = 256;
/// Largest event, as gossip carries it.
const SIZE_MAX: usize = 512;
/// What a compiled filter may take.
const FILTER_MAX: usize = 1 << 18;
/// The version of events that is understood.
const VERSION: u8 = 1;
/// How long a reader blocks at most, and by default.
const WAIT_MOST: Duration = Duration::from_secs(600);

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

/// An event as it goes over the wire.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Wire {
    #[serde(rename = "ID")]
    id: String,
    n: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<ByteBuf>,
    #[serde(skip_serializing_if = "String::is_empty")]
    nf: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    sf: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tf: String,
    v: i64,
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
    /// How many there were.
    arrivals: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self { kept: Mutex::default(), arrivals: watch::Sender::new(0) }
    }
}

/// Makes an event to be sent to everybody.
pub(crate) fn make(request: EventRequest) -> Result<(UserEvent, Vec<u8>), AgentError> {
    if request.name.is_empty() {
        return Err(AgentError::refused("User event missing name"));
    }
    Filters::new(&request)?;
    let event = UserEvent { id: Uuid::new_v4(), request, version: VERSION, time: 0 };
    let encoded = event.encode()?;
    if USER_EVENT.len() + event.request.name.len() + encoded.len() > SIZE_MAX {
        let text = format!("user event exceeds limit of {SIZE_MAX} bytes");
        return Err(AgentError::refused(text));
    }
    Ok((event, encoded))
}

impl Events {
    /// Takes an event that came at `time` over gossip; gives it back if this agent is to run
    /// something for it.
    pub(crate) fn receive(
        &self,
        payload: &[u8],
        time: u64,
        node: &str,
        services: impl FnOnce() -> Vec<Arc<Service>>,
    ) -> Option<UserEvent> {
        let event = match UserEvent::decode(payload, time) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(%error, "an event cannot be read");
                return None;
            }
        };
        let name = &event.request.name;
        if event.version > VERSION {
            tracing::warn!(name, version = event.version, "event may have unsupported features");
        }
        match Filters::new(&event.request) {
            Ok(filters) if filters.concern(node, &services()) => {}
            Ok(_) => return None,
            Err(error) => {
                tracing::error!(name, %error, "the filters of an event are not in order");
                return None;
            }
        }
        if name == remote_exec::EVENT {
            return Some(event);
        }
        tracing::debug!(name, id = %event.id, "new event");
        let mut kept = self.kept.lock();
        kept.push_back(Arc::new(event));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        drop(kept);
        self.arrivals.send_modify(|arrivals| *arrivals += 1);
        None
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
        let mut changes = self.arrivals.subscribe();
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
    fn encode(&self) -> Result<Vec<u8>, AgentError> {
        let request = &self.request;
        let wire = Wire {
            id: self.id.to_string(),
            n: request.name.clone(),
            p: (!request.payload.is_empty()).then(|| ByteBuf::from(request.payload.to_vec())),
            nf: request.node_filter.clone(),
            sf: request.service_filter.clone(),
            tf: request.tag_filter.clone(),
            v: self.version.into(),
        };
        let mut encoded = Vec::new();
        codec::encode_into(&wire, &mut encoded)
            .map_err(|e| AgentError::refused(format!("UserEvent encoding failed: {e}")))?;
        Ok(encoded)
    }

    fn decode(payload: &[u8], time: u64) -> Result<Self, String> {
        let wire: Wire = codec::decode(payload).map_err(|error| error.to_string())?;
        let request = EventRequest {
            datacenter: String::new(),
            name: wire.n,
            payload: wire.p.map(ByteBuf::into_vec).unwrap_or_default().into(),
            node_filter: wire.nf,
            service_filter: wire.sf,
            tag_filter: wire.tf,
        };
        let id = Uuid::try_parse(&wire.id).map_err(|error| error.to_string())?;
        let version = u8::try_from(wire.v).unwrap_or(u8::MAX);
        Ok(Self { id, request, version, time })
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
            let (_, payload) = make(request)?;
            assert_eq!(events.receive(&payload, 1, "node1", service), None);
            Ok::<_, AgentError>(events.find("").1.len())
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
            let (fired, payload) = make(named(&n.to_string())).unwrap();
            assert_eq!((fired.time, fired.version), (0, 1));
            events.receive(&payload, n as u64 + 1, "n", Vec::new);
        }
        let (index, kept) = events.find("");
        assert_eq!((kept.len(), kept[0].request.name.as_str()), (KEPT, "10"));
        assert_eq!((kept[0].time, kept[KEPT - 1].time), (11, 266));
        let id = kept[KEPT - 1].id.as_u128();
        assert_eq!(index, (id >> 64) as u64 ^ id as u64);
        assert_eq!(events.find("none"), (1, Vec::new()));
        let large = EventRequest { payload: vec![0; SIZE_MAX].into(), ..named("l") };
        let error = make(large).unwrap_err();
        assert_eq!(error.to_string(), "user event exceeds limit of 512 bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn readers_wait_for_another_index() {
        let events = Events::default();
        events.receive(&make(named("a")).unwrap().1, 1, "n", Vec::new);
        let (index, _) = events.list(&QueryOptions::default(), "").await;
        let options = QueryOptions {
            min_index: index,
            max_wait: Duration::from_secs(60),
            ..QueryOptions::default()
        };
        let start = Instant::now();
        let (same, by_name) = tokio::join!(events.list(&options, "a"), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            events.receive(&make(named("b")).unwrap().1, 2, "n", Vec::new);
            events.list(&options, "").await
        });
        assert_eq!((same.0, same.1.len(), start.elapsed().as_secs()), (index, 1, 60));
        assert_eq!(by_name.1.len(), 2);
    }

    #[test]
    fn what_is_asked_to_be_run_and_what_cannot_be_read() {
        let events = Events::default();
        let request = EventRequest { payload: "{}".into(), ..named(remote_exec::EVENT) };
        let (fired, payload) = make(request).unwrap();
        let asked = events.receive(&payload, 7, "n", Vec::new).unwrap();
        assert_eq!((asked.id, asked.time, &asked.request.payload[..]), (fired.id, 7, &b"{}"[..]));
        for broken in [&b""[..], b"\x81", &payload[..payload.len() - 3]] {
            assert_eq!(events.receive(broken, 8, "n", Vec::new), None);
        }
        // As the original writes it, with the payload as text and a filter that is none.
        let text = b"\x85\xa2ID\xd9\x2411111111-2222-3333-4444-555555555555\xa1n\xa1e\xa1p\xa2ab\
                     \xa2nf\xa1(\xa1v\x01";
        assert_eq!(events.receive(text, 9, "n", Vec::new), None);
        assert!(events.find("").1.is_empty());
        let good = [&text[..text.len() - 8], &b"\xa2nf\xa0\xa1v\x02"[..]].concat();
        events.receive(&good, 9, "n", Vec::new);
        let kept = events.find("e").1;
        assert_eq!((kept[0].version, &kept[0].request.payload[..]), (2, &b"ab"[..]));
    }
}
