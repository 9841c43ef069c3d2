//! The event layer: members with tags, joining and leaving, user events and queries.
//!
//! It owns the membership layer below it and is, to the driver, the whole of gossip: packets,
//! answers and times go in; packets, dials and events come out.
//!
//! | file | subject |
//! | --- | --- |
//! | `message`, `clock` | what is on the wire; logical time |
//! | `member` | who is there, who left, who failed |
//! | `leave` | leaving |
//! | `exchange` | what is told and taken over when all that is known is exchanged |
//! | `event` | user events |
//! | `query` | questions and answers |
//! | `keys` | rotation of the keys in the whole cluster |

mod clock;
mod event;
mod exchange;
mod keys;
mod leave;
mod member;
pub mod message;
mod query;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use event::Remembering;
pub use keys::KeyOperation;
use leave::Leaving;
use member::Intents;
pub use member::{Member, Status};
pub use query::{Asked, Filter, QueryParams};
use query::{Pending, Seen};

use crate::coordinate::{Coordinate, Vivaldi};
use crate::keyring::Keyring;
use crate::named::Table;
use crate::pack::Malformed;
use crate::serf::message::{EventMessage, Intent, LamportTime};
use crate::stream::{NodeState, StreamMessage};
use crate::swim::{self, Above, Broadcasts, Effect, Fill, NodeInfo, Nonces, Output, Rule, Swim};
use crate::tags::{self, Tags};
use crate::tally::{Count, Sample, Tally};

/// Most messages of each kind that wait, however few nodes there are.
const QUEUE_MIN: usize = 4096;
/// Decides who may be in the cluster.
pub type Accept = Box<dyn FnMut(&Member) -> Result<(), String> + Send>;

/// How the layer behaves.
pub struct Config {
    /// What the node says about itself.
    pub tags: Tags,
    /// How often what is long gone is looked for.
    pub reap_interval: Duration,
    /// How often a failed node is tried again.
    pub reconnect_interval: Duration,
    /// How long a failed node is remembered.
    pub reconnect_timeout: Duration,
    /// How long a node that left is remembered.
    pub tombstone_timeout: Duration,
    /// Whether user events from before this node joined are delivered.
    pub replay_on_join: bool,
    /// Whether a node that loses a dispute about its name ends its gossip.
    pub resolve_conflicts: bool,
    /// Whether coordinates are kept.
    pub coordinates: bool,
    /// Decides who may be in the cluster.
    pub accept: Accept,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("tags", &self.tags).finish_non_exhaustive()
    }
}

impl Config {
    /// The usual behaviour: everybody may join.
    #[must_use]
    pub fn new(tags: Tags) -> Self {
        Self {
            tags,
            reap_interval: Duration::from_secs(15),
            reconnect_interval: Duration::from_secs(30),
            reconnect_timeout: Duration::from_secs(72 * 3600),
            tombstone_timeout: Duration::from_secs(24 * 3600),
            replay_on_join: false,
            resolve_conflicts: true,
            coordinates: true,
            accept: Box::new(|_| Ok(())),
        }
    }
}

/// What happens in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member is there, or again.
    Joined(Member),
    /// A member left.
    Left(Member),
    /// A member does not answer any more.
    Failed(Member),
    /// A member says something else about itself.
    Updated(Member),
    /// A member is forgotten.
    Reaped(Member),
    /// A user event.
    User {
        /// When.
        ltime: LamportTime,
        /// What.
        name: String,
        /// With it.
        payload: Vec<u8>,
        /// Whether events of the same name may be taken as one.
        coalesce: bool,
    },
    /// A query that is to be answered, see [`Serf::respond`].
    Query(Asked),
    /// A node has got a query of ours.
    Acknowledged {
        /// Of the query.
        id: u32,
        /// Who.
        from: String,
    },
    /// An answer to a query of ours.
    Answered {
        /// Of the query.
        id: u32,
        /// Who.
        from: String,
        /// What.
        payload: Vec<u8>,
    },
    /// The time for a query of ours is over.
    QueryOver {
        /// Of the query.
        id: u32,
    },
    /// Joining through an address was tried.
    JoinTried {
        /// Which.
        address: SocketAddr,
        /// Why it failed.
        result: Result<(), String>,
    },
    /// This node has left: the driver can end.
    LeaveDone,
    /// Another node has this one's name, and the others stand by it.
    NameLost,
    /// The keys have changed, by a query: they are to be kept.
    KeysChanged,
    /// For the log.
    Trouble(String),
}

/// A node's gossip.
#[derive(Debug)]
pub struct Serf {
    swim: Swim,
    layer: Layer,
}

/// The part above the membership layer.
#[derive(Debug)]
struct Layer {
    config: Config,
    name: Arc<str>,
    rng: fastrand::Rng,
    clock: Clock,
    event_clock: Clock,
    query_clock: Clock,
    members: Table<Member>,
    intents: Intents,
    events: Remembering,
    seen: Seen,
    pending: BTreeMap<u32, Pending>,
    /// Waiting messages: intents, queries, events.
    queues: [Broadcasts; 3],
    /// Whether one of them is not to wait for a round of gossip.
    hurry: bool,
    vivaldi: Vivaldi,
    coordinates: HashMap<Arc<str>, Coordinate>,
    leaving: Leaving,
    /// The next exchange that is of a join of ours: older events are skipped.
    ignore_old: bool,
    reap_at: Duration,
    reconnect_at: Duration,
    out: VecDeque<Event>,
    tally: Tally,
}

const INTENTS: usize = 0;
const QUERIES: usize = 1;
const EVENTS: usize = 2;

impl Serf {
    /// A node that knows itself alone; `seed` decides all that is left to chance. What `swim` says
    /// about its tags is replaced.
    #[must_use]
    pub fn new(
        mut swim: swim::Config,
        config: Config,
        keyring: Keyring,
        seed: u64,
        nonces: Nonces,
        now: Duration,
    ) -> Self {
        swim.meta = tags::encode(&config.tags);
        let name: Arc<str> = swim.name.as_str().into();
        let swim = Swim::new(swim, keyring, seed, nonces, now);
        let mut layer = Layer {
            name: Arc::clone(&name),
            rng: fastrand::Rng::with_seed(seed ^ 0x5eed),
            clock: Clock::new(),
            event_clock: Clock::new(),
            query_clock: Clock::new(),
            members: Table::default(),
            intents: Intents::default(),
            events: Remembering::default(),
            seen: Seen::default(),
            pending: BTreeMap::new(),
            queues: Default::default(),
            hurry: false,
            vivaldi: Vivaldi::default(),
            coordinates: HashMap::new(),
            leaving: Leaving::No,
            ignore_old: !config.replay_on_join,
            reap_at: now + config.reap_interval,
            reconnect_at: now + config.reconnect_interval,
            out: VecDeque::new(),
            tally: Tally::default(),
            config,
        };
        layer.joined(&swim.itself(), now);
        Self { swim, layer }
    }

    /// Starts out with nodes that nobody told of: for simulations of large clusters, in which
    /// joining is not the subject. They may be shared among those that know them.
    pub fn assume(&mut self, nodes: &[Arc<NodeInfo>], now: Duration) {
        self.swim.assume(nodes, now);
        for info in nodes {
            if self.layer.members.find(&info.name).is_none() {
                self.layer.members.insert(Member::new(Arc::clone(info)));
            }
        }
    }

    /// Starts out with all that `other` knows, this node being among it; see [`Self::assume`].
    pub fn like(&mut self, other: &Self, now: Duration) {
        self.swim.like(&other.swim, now);
        self.layer.members = other.layer.members.clone();
    }

    /// The membership layer.
    #[must_use]
    pub const fn swim(&self) -> &Swim {
        &self.swim
    }

    /// The keys, to change them on this node alone.
    pub const fn keyring_mut(&mut self) -> &mut Keyring {
        self.swim.keyring_mut()
    }

    /// All members, also those that left or failed, by name.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let mut all: Vec<Member> = self.layer.members.values().cloned().collect();
        all.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        all
    }

    /// How many members there are, also those that left or failed.
    #[must_use]
    pub fn known(&self) -> usize {
        self.layer.members.len()
    }

    /// How many members are in a state.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.layer.members.values().filter(|member| member.status == status).count()
    }

    /// A member.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.layer.members.get(name)
    }

    /// Where this node is in the network.
    #[must_use]
    pub const fn coordinate(&self) -> &Coordinate {
        self.layer.vivaldi.coordinate()
    }

    /// Where another node is, as it said last.
    #[must_use]
    pub fn coordinate_of(&self, name: &str) -> Option<&Coordinate> {
        if name == &*self.layer.name {
            return Some(self.coordinate());
        }
        self.layer.coordinates.get(name)
    }

    /// The clocks: of members, of events, of queries.
    #[must_use]
    pub const fn clocks(&self) -> [LamportTime; 3] {
        let layer = &self.layer;
        [layer.clock.time(), layer.event_clock.time(), layer.query_clock.time()]
    }

    /// Goes on from clocks that were kept, so that what was seen is not taken for new.
    pub fn resume(&mut self, [members, events, queries]: [LamportTime; 3]) {
        self.layer.clock.witness(members);
        self.layer.event_clock.witness(events);
        self.layer.query_clock.witness(queries);
        self.layer.events.skip_before(events.saturating_add(1));
        self.layer.seen.skip_before(queries.saturating_add(1));
    }

    /// Messages that wait: intents, queries, events.
    #[must_use]
    pub fn queued(&self) -> [usize; 3] {
        std::array::from_fn(|at| self.layer.queues[at].len())
    }

    /// When [`Serf::tick`] is to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let layer = &self.layer;
        let leaving = match layer.leaving {
            Leaving::No | Leaving::Done => None,
            // Whether a step is over is seen when packets went out.
            Leaving::Intent { .. } | Leaving::Gone { .. } => self.swim.deadline(),
            Leaving::Propagating { until } => Some(until),
        };
        let queries = layer.pending.values().map(|pending| pending.deadline).min();
        let own = [Some(layer.reap_at), Some(layer.reconnect_at), leaving, queries];
        own.into_iter().flatten().chain(self.swim.deadline()).min()
    }

    /// What the driver has to do next.
    pub fn output(&mut self) -> Option<Output> {
        self.swim.output()
    }

    /// What happened next.
    pub fn event(&mut self) -> Option<Event> {
        self.layer.out.pop_front()
    }

    /// Gives what was counted since this was called last.
    pub fn take_tally(
        &mut self,
        mut count: impl FnMut(Count, u32),
        mut sample: impl FnMut(Sample, f64),
    ) {
        self.swim.tally.take(&mut count, &mut sample);
        self.layer.tally.take(&mut count, &mut sample);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) {
        self.swim.tick(now, &mut self.layer);
        if now >= self.layer.reap_at {
            self.layer.reap_at = now + self.layer.config.reap_interval;
            self.layer.reap(now);
        }
        if now >= self.layer.reconnect_at {
            self.layer.reconnect_at = now + self.layer.config.reconnect_interval;
            self.reconnect();
        }
        self.layer.queries_over(now);
        self.go_on_leaving(now);
        self.after(now);
    }

    /// Takes a packet.
    pub fn packet(&mut self, from: SocketAddr, bytes: &[u8], now: Duration) {
        self.swim.packet(from, bytes, now, &mut self.layer);
        self.after(now);
    }

    /// Reads what came on a stream so far.
    ///
    /// # Errors
    /// [`Malformed::Incomplete`] asks for more.
    pub fn read_stream(&self, bytes: &[u8]) -> Result<StreamMessage, Malformed> {
        self.swim.read_stream(bytes)
    }

    /// The stream that says why another one could not be read.
    pub fn refusal(&mut self, error: Malformed) -> Vec<u8> {
        self.swim.refusal(error)
    }

    /// Takes what came on a stream that another node opened, and gives the answer.
    pub fn stream(&mut self, message: StreamMessage, now: Duration) -> Option<Vec<u8>> {
        let answer = self.swim.stream(message, now, &mut self.layer);
        self.after(now);
        answer
    }

    /// Takes the outcome of [`Output::Dial`]; says whether that was to exchange all that is known.
    pub fn dialled(
        &mut self,
        id: u64,
        answer: Result<StreamMessage, String>,
        now: Duration,
    ) -> bool {
        let exchanged = self.swim.dialled(id, answer, now, &mut self.layer);
        self.after(now);
        exchanged
    }

    /// Joins the cluster of the node at `address`; [`Event::JoinTried`] tells how it went.
    pub fn join(&mut self, address: SocketAddr) {
        self.swim.join(address, &mut self.layer);
    }

    /// Says something else about this node.
    ///
    /// # Errors
    /// When the tags are larger than a node's metadata may be; nothing has changed then.
    pub fn set_tags(&mut self, tags: Tags, now: Duration) -> Result<(), String> {
        let meta = tags::encode(&tags);
        if meta.len() > crate::message::META_MAX {
            let most = crate::message::META_MAX;
            return Err(format!("tags of {} bytes exceed the limit of {most}", meta.len()));
        }
        self.layer.config.tags = tags;
        self.swim.set_meta(meta, now);
        self.after(now);
        Ok(())
    }

    /// Tries one failed member again, rarely if most are there.
    fn reconnect(&mut self) {
        let layer = &mut self.layer;
        let count = |status| layer.members.values().filter(|m| m.status == status).count();
        let failed = count(Status::Failed);
        let there = layer.members.len() - failed - count(Status::Left);
        if failed == 0 || layer.leaving != Leaving::No {
            return;
        }
        let chance = failed as f64 / there.max(1) as f64;
        if layer.rng.f64() > chance {
            return;
        }
        let mut all: Vec<&Member> =
            layer.members.values().filter(|m| m.status == Status::Failed).collect();
        all.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        let address = all[layer.rng.usize(..all.len())].info.address;
        self.swim.join(address, &mut self.layer);
    }

    /// Takes over what the membership layer has found out.
    fn after(&mut self, now: Duration) {
        self.take_effects(now);
        if std::mem::take(&mut self.layer.hurry) {
            self.swim.hasten(now);
        }
    }

    fn take_effects(&mut self, now: Duration) {
        while let Some(effect) = self.swim.effect() {
            match effect {
                Effect::Joined(node) => self.layer.joined(&node, now),
                Effect::Updated(node) => self.layer.updated(&node),
                Effect::Gone(node) => {
                    let state = self.swim.node(&node.name).map(|(_, state)| state);
                    self.layer.gone(&node, state == Some(NodeState::Left), now);
                }
                Effect::Conflict { known, other } => self.conflict(&known, &other, now),
                Effect::Message(message) => {
                    self.layer.tally.sample(Sample::Received, message.len() as f64);
                    self.message(&message, now);
                }
                Effect::State { join, state } => self.state(join, &state, now),
                Effect::Answered { node, rtt, payload } => {
                    if let Err(error) = self.layer.measured(&node, rtt, &payload) {
                        let text = format!("coordinate of {node}: {error}");
                        self.layer.out.push_back(Event::Trouble(text));
                    }
                }
                Effect::JoinTried { address, result } => {
                    self.layer.out.push_back(Event::JoinTried { address, result });
                }
                Effect::Trouble(text) => self.layer.out.push_back(Event::Trouble(text)),
            }
        }
    }

    fn message(&mut self, message: &[u8], now: Duration) {
        let decoded = match EventMessage::decode(message) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.layer.out.push_back(Event::Trouble(format!("user message: {error}")));
                return;
            }
        };
        // What is passed on is passed on as it came.
        let (queue, pass_on) = match decoded {
            EventMessage::Join(intent) => (INTENTS, self.layer.join_intent(&intent, now)),
            EventMessage::Leave(intent) => (INTENTS, self.heard_leave(&intent, now)),
            EventMessage::UserEvent(event) => (EVENTS, self.layer.user_event(event)),
            EventMessage::Query(query) => (QUERIES, self.asked(query, now)),
            EventMessage::QueryResponse(answer) => {
                self.layer.answered(answer, now);
                return;
            }
            EventMessage::Relay { to, message, .. } => {
                self.swim.send(to, message);
                return;
            }
            // Only within others.
            EventMessage::State(_)
            | EventMessage::ConflictResponse(_)
            | EventMessage::KeyRequest(_)
            | EventMessage::KeyResponse(_) => return,
        };
        if pass_on {
            self.layer.queue(queue, message.to_vec());
        }
    }

    fn heard_leave(&mut self, intent: &Intent, now: Duration) -> bool {
        let about_me = intent.node == *self.layer.name;
        if about_me && self.layer.leaving == Leaving::No {
            // Said before a restart, or by somebody who took this node for failed.
            self.layer.clock.witness(intent.ltime);
            self.layer.say_joined();
            return false;
        }
        self.layer.heard_leave_intent(intent, now)
    }
}

impl Layer {
    fn queue(&mut self, queue: usize, message: Vec<u8>) {
        let most = QUEUE_MIN.max(2 * self.members.len());
        // Who joins can wait; the intent to leave comes before the leaving.
        self.hurry |= queue != INTENTS;
        self.queues[queue].push(None, message, Rule::News, most);
    }

    /// Says that this node is there, later than anything that is said about it.
    fn say_joined(&mut self) {
        let intent = Intent { ltime: self.clock.tick(), node: self.name.to_string(), prune: None };
        if let Some(member) = self.members.get_mut(&self.name) {
            member.status_ltime = member.status_ltime.max(intent.ltime);
        }
        self.queue(INTENTS, EventMessage::Join(intent).encode());
    }

    fn measured(
        &mut self,
        node: &Arc<str>,
        rtt: Duration,
        payload: &[u8],
    ) -> Result<(), Malformed> {
        if !self.config.coordinates {
            return Ok(());
        }
        let other = Coordinate::decode(payload).inspect_err(|_| {
            self.tally.count(Count::BadCoordinate);
        })?;
        let before = *self.vivaldi.coordinate();
        self.vivaldi.observe(node, &other, rtt, &mut self.rng);
        let moved = before.distance(self.vivaldi.coordinate());
        self.tally.time(Sample::Moved, moved);
        self.coordinates.insert(Arc::clone(node), other);
        Ok(())
    }
}

impl Above for Layer {
    fn broadcasts(&mut self, fill: Fill, out: &mut Vec<Vec<u8>>) {
        let Fill { mut room, mut most, .. } = fill;
        for queue in &mut self.queues {
            let before = out.len();
            room = queue.take(Fill { room, most, ..fill }, out);
            for message in out.iter().skip(before) {
                self.tally.sample(Sample::Sent, message.len() as f64);
            }
            most = most.saturating_sub(out.len() - before);
        }
    }

    fn has_broadcasts(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty())
    }

    fn ack_payload(&mut self) -> Vec<u8> {
        if self.config.coordinates { self.vivaldi.coordinate().encode() } else { Vec::new() }
    }

    fn state(&mut self, besides: Option<&[u8]>) -> Vec<u8> {
        self.told(besides)
    }

    fn accepts(&mut self, node: &NodeInfo) -> Result<(), String> {
        let known = self.members.get(&node.name).is_some_and(|member| *member.info == *node);
        if known {
            return Ok(());
        }
        let member = Member::new(Arc::new(node.clone()));
        (self.config.accept)(&member)
    }
}
