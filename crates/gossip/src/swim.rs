//! The membership layer: SWIM with Lifeguard, as agents speak it.
//!
//! A machine without I/O: packets, answers and times go in, packets and dials come out. Sources:
//! "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol" (Das, Gupta,
//! Motivala), "Lifeguard" (Dadgar, Phillips, Currey), and what was observed between agents.
//!
//! | file | subject |
//! | --- | --- |
//! | `config`, `start` | how it behaves; starting with what is known |
//! | `members` | who is known |
//! | `probe` | who answers |
//! | `rumor` | what is said about nodes, and what is believed |
//! | `spread` | telling others |
//! | `broadcast`, `suspicion` | waiting messages; how long a node is suspected |

mod broadcast;
mod config;
mod members;
mod probe;
mod rumor;
mod spread;
mod start;
mod suspicion;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use broadcast::Fill;
pub(crate) use broadcast::{Broadcasts, Rule, transmits};
pub use config::Config;
pub use members::NodeInfo;
use members::{Members, Node, NodeId};
use probe::{Probe, Relay};

use crate::keyring::Keyring;
use crate::message::{Message, Versions};
use crate::pack::Malformed;
use crate::packet;
use crate::stream::{self, NodeState, StreamMessage};
use crate::tally::{Count, Tally};

/// Most nodes that are probed for others at a time.
const RELAYS_MAX: usize = 1024;

/// The layer above, as far as it has to answer at once.
pub trait Above {
    /// Adds messages for a packet.
    fn broadcasts(&mut self, fill: Fill, out: &mut Vec<Vec<u8>>);
    /// Whether there are messages for packets.
    fn has_broadcasts(&self) -> bool;
    /// What goes along with an answer to a probe.
    fn ack_payload(&mut self) -> Vec<u8>;
    /// All that the layer knows, for another node; with what that one's layer knows, only the rest.
    fn state(&mut self, besides: Option<&[u8]>) -> Vec<u8>;
    /// Whether a node may be in the cluster.
    ///
    /// # Errors
    /// Why not.
    fn accepts(&mut self, node: &NodeInfo) -> Result<(), String>;
}

/// What the layer above is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A node is there.
    Joined(Arc<NodeInfo>),
    /// A node is gone.
    Gone(Arc<NodeInfo>),
    /// A node says something else about itself.
    Updated(Arc<NodeInfo>),
    /// Another address has the name of a node that is there.
    Conflict {
        /// The node that is known.
        known: Arc<NodeInfo>,
        /// The other one.
        other: NodeInfo,
    },
    /// A message for the layer above.
    Message(Vec<u8>),
    /// What another node's layer knows.
    State {
        /// Whether it joined, or we did.
        join: bool,
        /// Encoded.
        state: Vec<u8>,
    },
    /// A node answered a probe.
    Answered {
        /// Which.
        node: Arc<str>,
        /// After how long.
        rtt: Duration,
        /// With what.
        payload: Vec<u8>,
    },
    /// Joining through an address was tried.
    JoinTried {
        /// Which.
        address: SocketAddr,
        /// Why it failed.
        result: Result<(), String>,
    },
    /// Something was refused or could not be read; for the log.
    Trouble(String),
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a packet.
    Packet {
        /// To whom.
        to: SocketAddr,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// Connect, send, read one message, and tell [`Swim::dialled`].
    Dial {
        /// For the answer.
        id: u64,
        /// To whom.
        to: SocketAddr,
        /// All that is sent.
        bytes: Vec<u8>,
        /// Most time for all of it.
        within: Duration,
    },
}

/// Why a stream was opened.
#[derive(Clone, Debug)]
enum Purpose {
    Join(SocketAddr),
    Exchange,
    Ping(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Probe,
    ProbeTimeout(u32),
    ProbeEnd(u32),
    Gossip,
    News,
    PushPull,
    Suspicion(NodeId),
    Witness(NodeId),
    Relay(u32),
}

/// Gives numbers that no message was encrypted with before.
pub type Nonces = Box<dyn FnMut() -> [u8; 12] + Send>;

/// A node's membership layer.
pub struct Swim {
    config: Config,
    keyring: Keyring,
    rng: fastrand::Rng,
    nonces: Nonces,
    members: Members,
    me: NodeId,
    incarnation: u32,
    seq: u32,
    /// Own health: 0 is good, and everything is done at its pace.
    awareness: u32,
    queue: Broadcasts,
    /// Whether a round of gossip comes before its time.
    hastened: bool,
    /// What is being probed, by number; one is of the round, others of suspicions.
    probes: BTreeMap<u32, Probe>,
    /// Whether the next probe is of the node that this one watches.
    watch_next: bool,
    relays: BTreeMap<u32, Relay>,
    dials: BTreeMap<u64, Purpose>,
    last_dial: u64,
    timers: BinaryHeap<Reverse<(Duration, u64, Timer)>>,
    last_timer: u64,
    effects: VecDeque<Effect>,
    outputs: VecDeque<Output>,
    leaving: bool,
    pub(crate) tally: Tally,
}

impl fmt::Debug for Swim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swim")
            .field("name", &self.config.name)
            .field("known", &self.members.known())
            .field("present", &self.members.present())
            .finish_non_exhaustive()
    }
}

impl Swim {
    /// A node that knows itself alone. `seed` decides all that is left to chance.
    #[must_use]
    pub fn new(config: Config, keyring: Keyring, seed: u64, nonces: Nonces, now: Duration) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let info = NodeInfo {
            name: config.name.as_str().into(),
            address: config.advertise,
            meta: config.meta.clone().into(),
            versions: Versions::OURS,
        };
        let mut members = Members::default();
        let (incarnation, state) = (1, NodeState::Alive);
        let itself = Node { info: Arc::new(info), incarnation, state };
        let me = members.add(itself, now, &mut rng);
        let mut this = Self {
            keyring,
            nonces,
            members,
            me,
            incarnation,
            seq: 0,
            awareness: 0,
            queue: Broadcasts::default(),
            hastened: false,
            probes: BTreeMap::new(),
            watch_next: false,
            relays: BTreeMap::new(),
            dials: BTreeMap::new(),
            last_dial: 0,
            timers: BinaryHeap::new(),
            last_timer: 0,
            effects: VecDeque::new(),
            outputs: VecDeque::new(),
            leaving: false,
            tally: Tally::default(),
            rng,
            config,
        };
        this.tally.count(Count::Alive);
        // Nodes that start together do not act together.
        for (timer, interval) in [
            (Timer::Probe, this.config.probe_interval),
            (Timer::Gossip, this.config.gossip_interval),
            (Timer::PushPull, this.config.push_pull_interval),
        ] {
            let delay = interval.mul_f64(this.rng.f64());
            this.at(now + delay, timer);
        }
        this
    }

    /// The node itself.
    #[must_use]
    pub fn itself(&self) -> Arc<NodeInfo> {
        match self.members.get(self.me) {
            Some(node) => Arc::clone(&node.info),
            None => Arc::new(NodeInfo {
                name: self.config.name.as_str().into(),
                address: self.config.advertise,
                meta: Box::default(),
                versions: Versions::OURS,
            }),
        }
    }

    /// How it behaves.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The keys.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The keys, to change them.
    pub const fn keyring_mut(&mut self) -> &mut Keyring {
        &mut self.keyring
    }

    /// Nodes that are alive or suspected, this one too.
    #[must_use]
    pub const fn present(&self) -> usize {
        self.members.present()
    }

    /// Own health: 0 is good.
    #[must_use]
    pub const fn awareness(&self) -> u32 {
        self.awareness
    }

    /// A node by name, and how it is.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<(Arc<NodeInfo>, NodeState)> {
        self.members.by_name(name).map(|node| (Arc::clone(&node.info), node.state))
    }

    /// Up to `count` nodes at random that are alive, without this one.
    pub fn random(&mut self, count: usize, besides: &str) -> Vec<Arc<NodeInfo>> {
        let me = self.me;
        let chosen = self.members.choose(count, &mut self.rng, |id, node| {
            node.state == NodeState::Alive && id != me && &*node.info.name != besides
        });
        let found = chosen.iter().filter_map(|id| self.members.get(*id));
        found.map(|node| Arc::clone(&node.info)).collect()
    }

    /// When [`Swim::tick`] is to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// What the driver has to do next.
    pub fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What the layer above has to know next.
    pub fn effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration, above: &mut impl Above) {
        let late = self.deadline().map_or(Duration::ZERO, |due| now.saturating_sub(due));
        if late >= self.config.probe_timeout {
            self.overslept(late);
        }
        while let Some(Reverse((at, _, timer))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            match timer {
                Timer::Probe => {
                    self.at(now + self.config.probe_interval, Timer::Probe);
                    self.probe_next(now, above);
                }
                Timer::ProbeTimeout(seq) => self.probe_others(seq, above),
                Timer::ProbeEnd(seq) => self.probe_failed(seq, now),
                Timer::Gossip => {
                    self.at(now + self.config.gossip_interval, Timer::Gossip);
                    self.tally.count(Count::Round);
                    self.gossip(u32::MAX, now, above);
                }
                Timer::News => self.gossip_news(now, above),
                Timer::PushPull => {
                    self.at(now + self.push_pull_interval(), Timer::PushPull);
                    self.push_pull(above);
                }
                Timer::Suspicion(id) => self.suspicion_over(id, now),
                Timer::Witness(id) => self.witness(id, now, above),
                Timer::Relay(seq) => self.relay_over(seq, now, above),
            }
        }
    }

    /// This node did nothing for a while: it was stopped, or has no time to run. What it did not
    /// hear meanwhile may wait in its socket, and says nothing about others.
    fn overslept(&mut self, late: Duration) {
        self.aware(1);
        self.void_probes();
        self.members.delay_suspicions(late);
    }

    /// Takes a packet.
    pub fn packet(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        now: Duration,
        above: &mut impl Above,
    ) {
        let mut messages = Vec::new();
        let read = packet::unwrap(bytes, &self.keyring, self.config.incoming, &mut |message| {
            messages.push(message);
        });
        if let Err(error) = read {
            self.effects.push_back(Effect::Trouble(format!("packet from {from}: {error}")));
        }
        for message in messages {
            match message {
                Ok(message) => self.message(from, message, now, above),
                Err(error) => {
                    let text = format!("message from {from}: {error}");
                    self.effects.push_back(Effect::Trouble(text));
                }
            }
        }
    }

    fn message(
        &mut self,
        from: SocketAddr,
        message: Message,
        now: Duration,
        above: &mut impl Above,
    ) {
        match message {
            Message::Ping(ping) => self.pinged(from, &ping, above),
            Message::IndirectPing(ping) => self.asked_to_ping(from, ping, now, above),
            Message::Ack { seq, payload } => self.acked(seq, payload, now, above),
            Message::Nack { seq } => self.nacked(seq),
            Message::Suspect(suspect) => {
                self.deny_again(from, &suspect);
                self.suspect(&suspect, now);
            }
            Message::Alive(alive) => self.alive(alive, now, above),
            Message::Dead(dead) => {
                self.deny_again(from, &dead);
                self.dead(&dead, now);
            }
            Message::User(message) => self.effects.push_back(Effect::Message(message)),
        }
    }

    /// Reads what came on a stream so far.
    ///
    /// # Errors
    /// [`Malformed::Incomplete`] asks for more.
    pub fn read_stream(&self, bytes: &[u8]) -> Result<StreamMessage, Malformed> {
        stream::decode(bytes, &self.keyring, self.config.incoming)
    }

    /// The stream that says why another one could not be read.
    pub fn refusal(&mut self, error: Malformed) -> Vec<u8> {
        self.encode_stream(&StreamMessage::Error(error.to_string()))
    }

    /// Takes what came on a stream that another node opened, and gives the answer.
    pub fn stream(
        &mut self,
        message: StreamMessage,
        now: Duration,
        above: &mut impl Above,
    ) -> Option<Vec<u8>> {
        match message {
            StreamMessage::PushPull(remote) => {
                let answer = self.answer(&remote, above);
                let answer = self.encode_stream(&answer);
                if let Err(error) = self.merge(remote, now, above) {
                    self.effects.push_back(Effect::Trouble(error));
                }
                Some(answer)
            }
            StreamMessage::Ping(ping) => {
                let ours = ping.node.is_empty() || ping.node == self.config.name;
                ours.then(|| self.encode_stream(&StreamMessage::Ack { seq: ping.seq }))
            }
            StreamMessage::User(message) => {
                self.effects.push_back(Effect::Message(message));
                None
            }
            StreamMessage::Ack { .. } | StreamMessage::Error(_) => None,
        }
    }

    /// Takes the outcome of [`Output::Dial`]; says whether that was to exchange all that is known.
    pub fn dialled(
        &mut self,
        id: u64,
        answer: Result<StreamMessage, String>,
        now: Duration,
        above: &mut impl Above,
    ) -> bool {
        let Some(purpose) = self.dials.remove(&id) else { return false };
        if let Purpose::Ping(seq) = purpose {
            if answer == Ok(StreamMessage::Ack { seq }) {
                self.acked_by_stream(seq);
            }
            return false;
        }
        let result = match answer {
            Ok(StreamMessage::PushPull(remote)) => self.merge(remote, now, above),
            Ok(StreamMessage::Error(text)) => Err(format!("remote error: {text}")),
            Ok(_) => Err("another answer than expected".to_owned()),
            Err(error) => Err(error),
        };
        self.effects.push_back(match purpose {
            Purpose::Join(address) => Effect::JoinTried { address, result },
            _ => match result {
                Err(error) => Effect::Trouble(error),
                Ok(()) => return true,
            },
        });
        true
    }

    /// Joins the cluster of the node at `address`; [`Effect::JoinTried`] tells how it went.
    pub fn join(&mut self, address: SocketAddr, above: &mut impl Above) {
        let state = self.state(true, above);
        let bytes = self.encode_stream(&state);
        self.dial(address, bytes, Purpose::Join(address));
    }

    /// Says that this node leaves; it goes on until the driver ends it.
    pub fn leave(&mut self, now: Duration) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        let name = self.config.name.clone();
        let dead = crate::message::Accusation {
            incarnation: self.incarnation,
            node: name.clone(),
            from: name,
        };
        self.dead(&dead, now);
    }

    /// Whether what this node says about itself has been sent as often as is needed.
    #[must_use]
    pub fn has_told(&self) -> bool {
        self.members.present() == 0 || !self.queue.has(&self.config.name)
    }

    /// Sends a message of the layer above to one node, alone.
    pub fn send(&mut self, to: SocketAddr, message: Vec<u8>) {
        let message = Message::User(message).encode();
        self.send_packet(to, message, false);
    }

    fn at(&mut self, at: Duration, timer: Timer) {
        self.last_timer += 1;
        self.timers.push(Reverse((at, self.last_timer, timer)));
    }

    fn dial(&mut self, to: SocketAddr, bytes: Vec<u8>, purpose: Purpose) {
        self.last_dial += 1;
        let id = self.last_dial;
        let within = self.config.stream_timeout;
        self.dials.insert(id, purpose);
        self.outputs.push_back(Output::Dial { id, to, bytes, within });
    }

    fn encode_stream(&mut self, message: &StreamMessage) -> Vec<u8> {
        let none = Keyring::default();
        let keyring = if self.config.encrypt_outgoing { &self.keyring } else { &none };
        if self.config.compress {
            message.encode(keyring, &mut self.nonces)
        } else {
            stream::seal(message.plain(), keyring, &mut self.nonces)
        }
    }

    fn send_packet(&mut self, to: SocketAddr, message: Vec<u8>, checksum: bool) {
        let none = Keyring::default();
        let keyring = if self.config.encrypt_outgoing { &self.keyring } else { &none };
        let bytes = if self.config.compress {
            packet::wrap(message, checksum, keyring, &mut self.nonces)
        } else {
            packet::seal(message, checksum, keyring, &mut self.nonces)
        };
        self.outputs.push_back(Output::Packet { to, bytes });
    }
}
