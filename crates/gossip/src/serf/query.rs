//! Questions to all nodes, or some, and their answers, which come directly.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use regex::Regex;

use crate::pack::{Malformed, Reader, Structure as _, Writer};
use crate::serf::message::{
    ConflictResponse, EVENT_SLOTS, EventMessage, FLAG_ACK, FLAG_NO_BROADCAST, LamportTime, Query,
    QueryResponse,
};
use crate::serf::{Event, Layer, Leaving, QUERIES, Serf};
use crate::swim::{NodeInfo, transmits};
use crate::tags::Tags;
use crate::tally::Count;

/// Most bytes of a question, and of an answer.
pub(super) const QUERY_MAX: usize = 1024;
/// See [`QUERY_MAX`].
pub(super) const ANSWER_MAX: usize = 1024;
/// Most own questions at a time.
const PENDING_MAX: usize = 256;
/// Names that start with it are the layer's own.
pub(super) const INTERNAL: &str = "_serf_";
const CONFLICT: &str = "_serf_conflict";
/// The default time for answers, in gossip intervals for each digit of the number of nodes.
const TIMEOUT_MULTIPLIER: u32 = 16;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// These nodes.
    Nodes(Vec<String>),
    /// Nodes with a tag that matches a regular expression.
    Tag {
        /// The tag.
        name: String,
        /// The expression.
        expression: String,
    },
}

const BY_NODE: u8 = 0;
const BY_TAG: u8 = 1;
/// Largest compiled expression of a filter: it comes from others.
const EXPRESSION_MAX: usize = 1 << 18;

impl Filter {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Nodes(nodes) => {
                let mut out = Writer::message(BY_NODE);
                out.array(nodes.len());
                for node in nodes {
                    out.raw(node);
                }
                out.into_bytes()
            }
            Self::Tag { name, expression } => {
                let mut out = Writer::message(BY_TAG);
                out.map(2).raw("Expr").raw(expression).raw("Tag").raw(name);
                out.into_bytes()
            }
        }
    }

    /// Whether a node is asked.
    fn matches(encoded: &[u8], node: &str, tags: &Tags) -> Result<bool, Malformed> {
        let mut reader = Reader::new(encoded);
        match reader.byte()? {
            BY_NODE => {
                for _ in 0..reader.array()? {
                    if reader.text()? == node {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            BY_TAG => {
                let (mut name, mut expression) = ("", "");
                reader.structure(|key, r| {
                    match key {
                        b"Tag" => name = r.text()?,
                        b"Expr" => expression = r.text()?,
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                let built = regex::RegexBuilder::new(expression).size_limit(EXPRESSION_MAX).build();
                let expression: Regex = built.map_err(|_| Malformed::Type)?;
                Ok(expression.is_match(tags.get(name).map_or("", String::as_str)))
            }
            kind => Err(Malformed::Kind(kind)),
        }
    }
}

/// How a question is asked.
#[derive(Clone, Debug, Default)]
pub struct QueryParams {
    /// Who is asked; everybody without any.
    pub filters: Vec<Filter>,
    /// Whether each node says that it got the question.
    pub acknowledge: bool,
    /// How many others pass each answer on, for when direct ways are bad.
    pub relay_factor: u8,
    /// How long answers are waited for; by the number of nodes when not given.
    pub timeout: Option<Duration>,
}

/// A question to this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is asked.
    pub name: String,
    /// With it.
    pub payload: Vec<u8>,
    id: u32,
    ltime: LamportTime,
    asker: SocketAddr,
    relay_factor: u8,
    until: Duration,
}

/// A question of ours.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) deadline: Duration,
    ltime: LamportTime,
    acknowledged: HashSet<String>,
    answered: HashSet<String>,
    conflict: Option<Vote>,
}

/// How many stand by this node's name.
#[derive(Clone, Copy, Debug, Default)]
struct Vote {
    answers: usize,
    mine: usize,
}

/// Questions of the last 512 times.
#[derive(Debug)]
pub(super) struct Seen {
    slots: Vec<(LamportTime, Vec<u32>)>,
    since: LamportTime,
}

impl Default for Seen {
    fn default() -> Self {
        Self { slots: vec![(0, Vec::new()); EVENT_SLOTS], since: 0 }
    }
}

impl Seen {
    pub(super) fn skip_before(&mut self, ltime: LamportTime) {
        self.since = self.since.max(ltime);
    }

    fn note(&mut self, ltime: LamportTime, id: u32, now: LamportTime) -> bool {
        let window = EVENT_SLOTS as u64;
        if ltime < self.since || ltime.saturating_add(window) < now {
            return false;
        }
        let at = usize::try_from(ltime % window).unwrap_or_default();
        let slot = &mut self.slots[at];
        if slot.0 != ltime {
            *slot = (ltime, Vec::new());
        }
        if slot.1.len() >= EVENT_SLOTS || slot.1.contains(&id) {
            return false;
        }
        slot.1.push(id);
        true
    }
}

impl Serf {
    /// Asks a question; gives its id, which answers carry.
    ///
    /// # Errors
    /// When it is too large, or too many are being asked.
    pub fn query(
        &mut self,
        name: &str,
        payload: &[u8],
        params: &QueryParams,
        now: Duration,
    ) -> Result<u32, String> {
        self.ask(name, payload, params, None, now)
    }

    fn ask(
        &mut self,
        name: &str,
        payload: &[u8],
        params: &QueryParams,
        conflict: Option<Vote>,
        now: Duration,
    ) -> Result<u32, String> {
        if self.layer.pending.len() >= PENDING_MAX {
            return Err(format!("{PENDING_MAX} queries are being asked: try again later"));
        }
        let timeout = params.timeout.unwrap_or_else(|| self.default_timeout());
        let layer = &mut self.layer;
        let id = layer.rng.u32(..);
        let query = Query {
            ltime: layer.query_clock.time(),
            id,
            address: self.swim.config().advertise,
            filters: params.filters.iter().map(Filter::encode).collect(),
            flags: if params.acknowledge { FLAG_ACK } else { 0 },
            relay_factor: params.relay_factor,
            timeout: u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX),
            name: name.to_owned(),
            payload: payload.to_vec(),
            source: layer.name.to_string(),
        };
        let message = EventMessage::Query(query.clone()).encode();
        if message.len() > QUERY_MAX {
            return Err(format!("query exceeds limit of {QUERY_MAX} bytes"));
        }
        let pending = Pending {
            deadline: now + timeout,
            ltime: query.ltime,
            acknowledged: HashSet::new(),
            answered: HashSet::new(),
            conflict,
        };
        layer.pending.insert(id, pending);
        layer.queue(QUERIES, message);
        self.asked(query, now);
        self.after(now);
        Ok(id)
    }

    fn default_timeout(&self) -> Duration {
        let interval = self.swim.config().gossip_interval;
        interval * transmits(TIMEOUT_MULTIPLIER, self.layer.members.len())
    }

    /// A question came; says whether it is to be passed on.
    pub(super) fn asked(&mut self, query: Query, now: Duration) -> bool {
        let layer = &mut self.layer;
        layer.query_clock.witness(query.ltime);
        if !layer.seen.note(query.ltime, query.id, layer.query_clock.time()) {
            return false;
        }
        layer.tally.count(Count::Query);
        let pass_on = query.flags & FLAG_NO_BROADCAST == 0;
        for filter in &query.filters {
            match Filter::matches(filter, &layer.name, &layer.config.tags) {
                Ok(true) => {}
                Ok(false) => return pass_on,
                Err(error) => {
                    let text = format!("filter of query {:?}: {error}", query.name);
                    layer.out.push_back(Event::Trouble(text));
                    return pass_on;
                }
            }
        }
        let asked = Asked {
            id: query.id,
            ltime: query.ltime,
            asker: query.address,
            relay_factor: query.relay_factor,
            until: now + Duration::from_nanos(query.timeout),
            name: query.name,
            payload: query.payload,
        };
        if query.flags & FLAG_ACK != 0 {
            self.answer(&asked, Vec::new(), FLAG_ACK);
        }
        if asked.name == CONFLICT {
            self.answer_conflict(&asked);
        } else if asked.name.starts_with(INTERNAL) {
            self.internal(&asked);
        } else {
            self.layer.out.push_back(Event::Query(asked));
        }
        pass_on
    }

    /// Answers a question.
    ///
    /// # Errors
    /// When its time is over, or the answer too large.
    pub fn respond(
        &mut self,
        asked: &Asked,
        payload: Vec<u8>,
        now: Duration,
    ) -> Result<(), String> {
        if now > asked.until {
            return Err("response is past the deadline".to_owned());
        }
        if payload.len() + self.layer.name.len() + 64 > ANSWER_MAX {
            return Err(format!("response exceeds limit of {ANSWER_MAX} bytes"));
        }
        self.answer(asked, payload, 0);
        Ok(())
    }

    pub(super) fn answer(&mut self, asked: &Asked, payload: Vec<u8>, flags: u32) {
        let answer = QueryResponse {
            ltime: asked.ltime,
            id: asked.id,
            from: self.layer.name.to_string(),
            flags,
            payload,
        };
        let message = EventMessage::QueryResponse(answer).encode();
        let relays = usize::from(asked.relay_factor);
        if relays > 0 && self.layer.members.len() > relays {
            let relay = EventMessage::Relay {
                to: asked.asker,
                name: String::new(),
                message: message.clone(),
            };
            let relay = relay.encode();
            for other in self.swim.random(relays, "") {
                self.swim.send(other.address, relay.clone());
            }
        }
        self.swim.send(asked.asker, message);
    }

    /// Two nodes have one name.
    pub(super) fn conflict(&mut self, known: &NodeInfo, other: &NodeInfo, now: Duration) {
        let text = format!(
            "Name conflict for '{}' both {} and {} are claiming",
            known.name, known.address, other.address
        );
        self.layer.out.push_back(Event::Trouble(text));
        let mine = known.name == self.layer.name;
        let asking = self.layer.pending.values().any(|pending| pending.conflict.is_some());
        if !mine || asking || !self.layer.config.resolve_conflicts {
            return;
        }
        let name = self.layer.name.to_string();
        let vote = Some(Vote::default());
        let asked = self.ask(CONFLICT, name.as_bytes(), &QueryParams::default(), vote, now);
        if let Err(error) = asked {
            self.layer.out.push_back(Event::Trouble(error));
        }
    }

    /// Says whom this node knows by a name; the one that has it keeps out of it.
    fn answer_conflict(&mut self, asked: &Asked) {
        let Ok(name) = std::str::from_utf8(&asked.payload) else { return };
        if name == &*self.layer.name {
            return;
        }
        let Some(member) = self.layer.members.get(name) else { return };
        let answer = ConflictResponse {
            name: name.to_owned(),
            address: member.info.address,
            tags: member.tags(),
            status: member.status as u8,
            versions: member.info.versions,
        };
        self.answer(asked, EventMessage::ConflictResponse(answer).encode(), 0);
    }
}

impl Layer {
    /// An answer came.
    pub(super) fn answered(&mut self, answer: QueryResponse, now: Duration) {
        let own = self.members.get(&self.name).map(|member| member.info.address);
        let Some(pending) = self.pending.get_mut(&answer.id) else { return };
        if pending.ltime != answer.ltime || now > pending.deadline {
            return;
        }
        let QueryResponse { id, from, flags, payload, .. } = answer;
        if flags & FLAG_ACK != 0 {
            if pending.acknowledged.insert(from.clone()) {
                self.out.push_back(Event::Acknowledged { id, from });
            }
            return;
        }
        if !pending.answered.insert(from.clone()) {
            return;
        }
        if let Some(vote) = &mut pending.conflict {
            if let Ok(EventMessage::ConflictResponse(member)) = EventMessage::decode(&payload) {
                vote.answers += 1;
                vote.mine += usize::from(Some(member.address) == own);
            }
            return;
        }
        self.out.push_back(Event::Answered { id, from, payload });
    }

    pub(super) fn queries_over(&mut self, now: Duration) {
        let over = self.pending.iter().filter(|(_, pending)| pending.deadline <= now);
        for id in over.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(pending) = self.pending.remove(&id) else { continue };
            match pending.conflict {
                None => self.out.push_back(Event::QueryOver { id }),
                // Without a majority this node is the one that goes.
                Some(vote) if vote.mine < vote.answers / 2 + 1 && vote.answers > 0 => {
                    self.leaving = Leaving::Done;
                    self.out.push_back(Event::NameLost);
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_choose_by_name_and_by_tag() {
        let tags = Tags::from([("role".into(), "consul".into())]);
        let by_name = Filter::Nodes(vec!["a".into(), "b".into()]).encode();
        assert_eq!(Filter::matches(&by_name, "b", &tags), Ok(true));
        assert_eq!(Filter::matches(&by_name, "c", &tags), Ok(false));
        let tag = |expression: &str| {
            Filter::Tag { name: "role".into(), expression: expression.into() }.encode()
        };
        assert_eq!(Filter::matches(&tag("^con"), "c", &tags), Ok(true));
        assert_eq!(Filter::matches(&tag("^node$"), "c", &tags), Ok(false));
        assert_eq!(Filter::matches(&tag("("), "c", &tags), Err(Malformed::Type));
        assert_eq!(Filter::matches(&tag("(((a{99}){99}){99})"), "c", &tags), Err(Malformed::Type));
        assert_eq!(Filter::matches(&[9], "c", &tags), Err(Malformed::Kind(9)));
    }

    #[test]
    fn a_question_is_seen_once() {
        let mut seen = Seen::default();
        assert!(seen.note(5, 1, 6) && !seen.note(5, 1, 6) && seen.note(5, 2, 6));
        assert!(!seen.note(5, 3, 1000));
        seen.skip_before(1000);
        assert!(!seen.note(999, 1, 1001));
    }
}
