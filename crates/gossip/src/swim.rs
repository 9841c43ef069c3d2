//! The membership layer: SWIM with Lifeguard, as agents speak it.
//!
//! A machine without I/O: packets, answers and times go in, packets and dials come out. Sources:
//! "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol" (Das, Gupta,
//! Motivala), "Lifeguard" (Dadgar, Phillips, Currey), and what was observed between agents.
//!
//! | file | subject |
//! | --- | --- |
//! | `members` | who is known |
//! | `probe` | who answers |
//! | `rumor` | what is said about nodes, and what is believed |
//! | `spread` | telling others |
//! | `broadcast`, `suspicion` | waiting messages; how long a node is suspected |

mod broadcast;
mod members;
mod probe;
mod rumor;
mod spread;
mod suspicion;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use broadcast::{Broadcasts, transmits};
pub use members::NodeInfo;
use members::{Members, Node, NodeId};
use probe::{Probe, Relay};

use crate::keyring::Keyring;
use crate::message::{Message, Versions};
use crate::pack::Malformed;
use crate::packet::{self, Incoming};
use crate::stream::{self, NodeEntry, NodeState, StreamMessage};

/// Most nodes that are probed for others at a time.
const RELAYS_MAX: usize = 1024;

/// How the layer behaves. Times are of the roles LAN and WAN as agents have them.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub name: String,
    /// Where others reach it.
    pub advertise: SocketAddr,
    /// What it says about itself, encoded.
    pub meta: Vec<u8>,
    /// How often a node is probed.
    pub probe_interval: Duration,
    /// How long a direct answer is waited for.
    pub probe_timeout: Duration,
    /// How many others are asked when there is none.
    pub indirect_checks: usize,
    /// The shortest suspicion: this many intervals, times log₁₀ of the number of nodes.
    pub suspicion_multiplier: u32,
    /// The longest suspicion in shortest ones.
    pub suspicion_max: u32,
    /// Each message is sent this often, times log₁₀ of the number of nodes.
    pub retransmit_multiplier: u32,
    /// How often messages are sent on.
    pub gossip_interval: Duration,
    /// To how many nodes.
    pub gossip_nodes: usize,
    /// How long the dead are still told, so that those that are not can say so.
    pub gossip_to_dead: Duration,
    /// How often all that is known is exchanged with another node; longer in large clusters.
    pub push_pull_interval: Duration,
    /// How long a stream may take.
    pub stream_timeout: Duration,
    /// The worst own health.
    pub awareness_max: u32,
    /// How long after a node's death another address may take its name; `None`: never.
    pub reclaim: Option<Duration>,
    /// Whether others' messages have to be encrypted.
    pub incoming: Incoming,
    /// Whether own messages are.
    pub encrypt_outgoing: bool,
}

impl Config {
    /// Times for nodes of one datacenter.
    #[must_use]
    pub fn lan(name: impl Into<String>, advertise: SocketAddr) -> Self {
        Self {
            name: name.into(),
            advertise,
            meta: Vec::new(),
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_checks: 3,
            suspicion_multiplier: 4,
            suspicion_max: 6,
            retransmit_multiplier: 4,
            gossip_interval: Duration::from_millis(200),
            gossip_nodes: 3,
            gossip_to_dead: Duration::from_secs(30),
            push_pull_interval: Duration::from_secs(30),
            stream_timeout: Duration::from_secs(10),
            awareness_max: 8,
            reclaim: Some(Duration::from_secs(30)),
            incoming: Incoming::Encrypted,
            encrypt_outgoing: true,
        }
    }

    /// Times for servers of several datacenters.
    #[must_use]
    pub fn wan(name: impl Into<String>, advertise: SocketAddr) -> Self {
        Self {
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            suspicion_multiplier: 6,
            gossip_interval: Duration::from_millis(500),
            gossip_to_dead: Duration::from_secs(60),
            push_pull_interval: Duration::from_secs(60),
            stream_timeout: Duration::from_secs(30),
            ..Self::lan(name, advertise)
        }
    }
}

/// The layer above, as far as it has to answer at once.
pub trait Above {
    /// Adds messages for a packet with `room` bytes left, each costing `overhead` more; one that
    /// has been sent `times` times is done.
    fn broadcasts(&mut self, room: usize, overhead: usize, times: u32, out: &mut Vec<Vec<u8>>);
    /// What goes along with an answer to a probe.
    fn ack_payload(&mut self) -> Vec<u8>;
    /// All that the layer knows, for another node.
    fn state(&mut self) -> Vec<u8>;
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
    PushPull,
    Suspicion(NodeId),
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
    probe: Option<Probe>,
    relays: BTreeMap<u32, Relay>,
    dials: BTreeMap<u64, Purpose>,
    last_dial: u64,
    timers: BinaryHeap<Reverse<(Duration, u64, Timer)>>,
    last_timer: u64,
    effects: VecDeque<Effect>,
    outputs: VecDeque<Output>,
    leaving: bool,
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
        let suspicion = None;
        let itself = Node { info: Arc::new(info), incarnation, state, changed: now, suspicion };
        let me = members.add(itself, &mut rng);
        let mut this = Self {
            keyring,
            nonces,
            members,
            me,
            incarnation,
            seq: 0,
            awareness: 0,
            queue: Broadcasts::default(),
            probe: None,
            relays: BTreeMap::new(),
            dials: BTreeMap::new(),
            last_dial: 0,
            timers: BinaryHeap::new(),
            last_timer: 0,
            effects: VecDeque::new(),
            outputs: VecDeque::new(),
            leaving: false,
            rng,
            config,
        };
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
        let me = &*self.config.name;
        let chosen = self.members.choose(count, &mut self.rng, |node| {
            node.state == NodeState::Alive && &*node.info.name != me && &*node.info.name != besides
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
                    self.gossip(now, above);
                }
                Timer::PushPull => {
                    self.at(now + self.push_pull_interval(), Timer::PushPull);
                    self.push_pull(above);
                }
                Timer::Suspicion(id) => self.suspicion_over(id, now),
                Timer::Relay(seq) => self.relay_over(seq, above),
            }
        }
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
            Message::Suspect(suspect) => self.suspect(&suspect, now),
            Message::Alive(alive) => self.alive(alive, now, above),
            Message::Dead(dead) => self.dead(&dead, now),
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
                let answer = self.state(remote.join, above);
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

    /// Takes the outcome of [`Output::Dial`].
    pub fn dialled(
        &mut self,
        id: u64,
        answer: Result<StreamMessage, String>,
        now: Duration,
        above: &mut impl Above,
    ) {
        let Some(purpose) = self.dials.remove(&id) else { return };
        if let Purpose::Ping(seq) = purpose {
            if answer == Ok(StreamMessage::Ack { seq }) {
                self.acked_by_stream(seq);
            }
            return;
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
                Ok(()) => return,
            },
        });
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
        let nonces = &mut self.nonces;
        if self.config.encrypt_outgoing {
            message.encode(&self.keyring, nonces)
        } else {
            message.encode(&Keyring::default(), nonces)
        }
    }

    fn send_packet(&mut self, to: SocketAddr, message: Vec<u8>, checksum: bool) {
        let nonces = &mut self.nonces;
        let bytes = if self.config.encrypt_outgoing {
            packet::wrap(message, checksum, &self.keyring, nonces)
        } else {
            packet::wrap(message, checksum, &Keyring::default(), nonces)
        };
        self.outputs.push_back(Output::Packet { to, bytes });
    }

    /// All nodes, as they are told to another.
    fn entries(&self) -> Vec<NodeEntry> {
        let nodes = self.members.iter();
        nodes
            .map(|node| NodeEntry {
                name: node.info.name.to_string(),
                address: node.info.address,
                meta: node.info.meta.to_vec(),
                incarnation: node.incarnation,
                state: node.state,
                versions: node.info.versions,
            })
            .collect()
    }
}
