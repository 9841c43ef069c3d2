//! Nodes on a simulated network with a virtual clock: everything follows from the seed.

#![allow(dead_code)]

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use lictor_gossip::keyring::Keyring;
use lictor_gossip::packet::compress;
use lictor_gossip::serf::{Config, Event, Serf, Status};
use lictor_gossip::swim::{self, Output};
use lictor_gossip::tags::Tags;

/// How the network treats what is sent.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// The share of packets that get lost; those of streams are sent again.
    pub(crate) loss: f64,
    /// The shortest way.
    pub(crate) latency: Duration,
    /// What is added at most, at random.
    pub(crate) jitter: Duration,
}

impl Default for Weather {
    fn default() -> Self {
        let (latency, jitter) = (Duration::from_micros(200), Duration::from_micros(800));
        Self { loss: 0.0, latency, jitter }
    }
}

#[derive(Debug)]
enum What {
    Tick,
    Packet { from: SocketAddr, bytes: Vec<u8> },
    Stream { from: usize, id: u64, bytes: Vec<u8> },
    Answer { id: u64, answer: Result<Vec<u8>, String> },
}

struct Due {
    at: Duration,
    order: u64,
    node: usize,
    what: What,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

/// What was sent. Where nodes do not compress, the sizes are those that a sample of packets and
/// streams has when it is compressed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) packets: u64,
    pub(crate) packet_bytes: u64,
    pub(crate) stream_bytes: u64,
}

pub(crate) struct Network {
    pub(crate) now: Duration,
    pub(crate) weather: Weather,
    pub(crate) nodes: Vec<Option<Serf>>,
    pub(crate) events: Vec<Vec<(Duration, Event)>>,
    pub(crate) traffic: Traffic,
    /// Nodes of different sides do not hear each other.
    pub(crate) side: Vec<u8>,
    /// Nodes that get and send nothing for a while, and go on later.
    pub(crate) paused: Vec<bool>,
    /// What else of their packets nodes lose, in and out.
    pub(crate) sick: Vec<f64>,
    /// Whether nodes compress; ten thousand that do are slow to simulate.
    pub(crate) compressing: bool,
    /// Whether joins and updates are kept too; they are many.
    pub(crate) keep_all: bool,
    rng: fastrand::Rng,
    queue: BinaryHeap<Reverse<Due>>,
    order: u64,
    ticks: Vec<Duration>,
    /// What compressing makes of packets and of streams, and how many there were.
    samples: [(f64, u64); 2],
}

pub(crate) fn address(node: usize) -> SocketAddr {
    let [_, a, b, c] = u32::try_from(node).expect("few nodes").to_be_bytes();
    SocketAddr::from(([10, a, b, c], 8301))
}

pub(crate) fn index(address: SocketAddr) -> usize {
    match address {
        SocketAddr::V4(v4) => {
            let [_, a, b, c] = v4.ip().octets();
            u32::from_be_bytes([0, a, b, c]) as usize
        }
        SocketAddr::V6(_) => usize::MAX,
    }
}

pub(crate) fn name(node: usize) -> String {
    format!("node-{node}")
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Duration::from_secs(1000),
            weather: Weather::default(),
            nodes: Vec::new(),
            events: Vec::new(),
            traffic: Traffic::default(),
            side: Vec::new(),
            paused: Vec::new(),
            sick: Vec::new(),
            compressing: true,
            keep_all: true,
            rng: fastrand::Rng::with_seed(seed),
            queue: BinaryHeap::new(),
            order: 0,
            ticks: Vec::new(),
            samples: [(1.0, 0); 2],
        }
    }

    /// A node with tags of the size that agents have.
    pub(crate) fn add(&mut self, keyring: &Keyring) -> usize {
        let node = self.nodes.len();
        self.nodes.push(None);
        self.events.push(Vec::new());
        self.side.push(0);
        self.paused.push(false);
        self.sick.push(0.0);
        self.ticks.push(Duration::MAX);
        self.start(node, keyring);
        node
    }

    /// Starts a node anew: it knows nothing of before.
    pub(crate) fn start(&mut self, node: usize, keyring: &Keyring) {
        self.nodes[node] = Some(self.machine(node, keyring));
        self.ticks[node] = Duration::MAX;
        self.settle(node);
    }

    fn machine(&mut self, node: usize, keyring: &Keyring) -> Serf {
        let id = format!("{:08x}-0000-4000-8000-{:012x}", self.rng.u32(..), node);
        let tags = [
            ("role", "node"),
            ("dc", "dc1"),
            ("segment", ""),
            ("id", &id),
            ("vsn", "2"),
            ("vsn_min", "2"),
            ("vsn_max", "3"),
            ("build", "1.2.0:"),
        ];
        let tags: Tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let seed = self.rng.u64(..);
        let mut counter = u128::from(seed);
        let nonces = Box::new(move || {
            counter += 1;
            let bytes = counter.to_be_bytes();
            std::array::from_fn(|at| bytes[at + 4])
        });
        let mut swim = swim::Config::lan(name(node), address(node));
        swim.compress = self.compressing;
        Serf::new(swim, Config::new(tags), keyring.clone(), seed, nonces, self.now)
    }

    pub(crate) fn crash(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    pub(crate) fn serf(&mut self, node: usize) -> &mut Serf {
        self.nodes[node].as_mut().expect("it runs")
    }

    /// Lets a node act, and takes what it sends.
    pub(crate) fn act<T>(&mut self, node: usize, act: impl FnOnce(&mut Serf, Duration) -> T) -> T {
        let now = self.now;
        let value = act(self.serf(node), now);
        self.settle(node);
        value
    }

    fn delay(&mut self) -> Duration {
        self.weather.latency + self.weather.jitter.mul_f64(self.rng.f64())
    }

    fn post(&mut self, at: Duration, node: usize, what: What) {
        self.order += 1;
        self.queue.push(Reverse(Due { at, order: self.order, node, what }));
    }

    fn loses(&mut self, from: usize, to: usize) -> bool {
        let arrives = (1.0 - self.weather.loss) * (1.0 - self.sick[from]) * (1.0 - self.sick[to]);
        self.rng.f64() >= arrives
    }

    /// A stream takes two round trips, and waits for what got lost as TCP does: a second for its
    /// first packets, less for others.
    fn stream_delay(&mut self, from: usize, to: usize) -> Duration {
        let mut delay = self.delay() * 2;
        for mut again in [Duration::from_secs(1), Duration::from_millis(200)] {
            while self.loses(from, to) {
                delay += again;
                again *= 2;
            }
        }
        delay
    }

    /// What the bytes would be when they were compressed: known for some, estimated for others.
    fn size(&mut self, bytes: &[u8], stream: bool) -> u64 {
        let all = bytes.len();
        if self.compressing {
            return all as u64;
        }
        let (share, seen) = &mut self.samples[usize::from(stream)];
        *seen += 1;
        // A stream has a whole cluster in it; of packets, short ones are not worth it.
        let every = if stream { 64 } else { 16 };
        if *seen % every == 1 {
            let packed = compress(bytes).len();
            let packed = if stream { packed } else { packed.min(all) };
            let weight = if *seen == 1 { 1.0 } else { 0.02 };
            *share += (packed as f64 / all as f64 - *share) * weight;
        }
        (all as f64 * *share).round() as u64
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        to < self.nodes.len() && self.side[from] == self.side[to] && self.nodes[to].is_some()
    }

    fn settle(&mut self, node: usize) {
        loop {
            let Some(serf) = &mut self.nodes[node] else { return };
            let Some(output) = serf.output() else { break };
            match output {
                Output::Packet { to, bytes } => {
                    self.traffic.packets += 1;
                    self.traffic.packet_bytes += self.size(&bytes, false);
                    let to = index(to);
                    if self.reaches(node, to) && !self.loses(node, to) {
                        let at = self.now + self.delay();
                        self.post(at, to, What::Packet { from: address(node), bytes });
                    }
                }
                Output::Dial { id, to, bytes, within } => {
                    let to = index(to);
                    let delay =
                        if self.reaches(node, to) { self.stream_delay(node, to) } else { within };
                    if delay < within {
                        self.traffic.stream_bytes += self.size(&bytes, true);
                        self.post(self.now + delay, to, What::Stream { from: node, id, bytes });
                    } else {
                        let answer = Err("i/o timeout".to_owned());
                        self.post(self.now + within, node, What::Answer { id, answer });
                    }
                }
            }
        }
        let Some(serf) = &mut self.nodes[node] else { return };
        while let Some(event) = serf.event() {
            let many = matches!(event, Event::Joined(_) | Event::Updated(_) | Event::Trouble(_));
            if self.keep_all || !many {
                self.events[node].push((self.now, event));
            }
        }
        let Some(deadline) = serf.deadline() else { return };
        if deadline < self.ticks[node] {
            self.ticks[node] = deadline;
            self.post(deadline, node, What::Tick);
        }
    }

    /// Goes on until `end`.
    pub(crate) fn run_until(&mut self, end: Duration) {
        while self.queue.peek().is_some_and(|Reverse(due)| due.at <= end) {
            let Some(Reverse(Due { at, node, what, .. })) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            if self.paused[node] {
                // A stopped process: packets wait in its socket, time goes on.
                let later = at + Duration::from_millis(100);
                if matches!(what, What::Tick) {
                    self.ticks[node] = later;
                }
                self.post(later, node, what);
                continue;
            }
            let now = self.now;
            if matches!(what, What::Tick) {
                if at != self.ticks[node] {
                    continue;
                }
                self.ticks[node] = Duration::MAX;
            }
            let Some(serf) = &mut self.nodes[node] else { continue };
            match what {
                What::Tick => serf.tick(now),
                What::Packet { from, bytes } => serf.packet(from, &bytes, now),
                What::Stream { from, id, bytes } => {
                    let answer = match serf.read_stream(&bytes) {
                        Ok(message) => serf.stream(message, now),
                        Err(error) => Some(serf.refusal(error)),
                    };
                    let delay = self.stream_delay(node, from);
                    if let Some(bytes) = &answer {
                        self.traffic.stream_bytes += self.size(bytes, true);
                    }
                    let answer = answer.ok_or_else(|| "EOF".to_owned());
                    if self.reaches(node, from) {
                        self.post(now + delay, from, What::Answer { id, answer });
                    }
                }
                What::Answer { id, answer } => {
                    let read = answer
                        .and_then(|bytes| serf.read_stream(&bytes).map_err(|e| e.to_string()));
                    serf.dialled(id, read, now);
                }
            }
            self.settle(node);
        }
        self.now = self.now.max(end);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Goes on until `done`, checked every `step`; gives the time it took.
    pub(crate) fn run_while(
        &mut self,
        most: Duration,
        step: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        while !done(self) {
            if self.now - start >= most {
                return None;
            }
            self.run_for(step);
        }
        Some(self.now - start)
    }

    /// How many nodes think of `node` as `status`.
    pub(crate) fn seen_as(&self, node: usize, status: Status) -> usize {
        let name = name(node);
        let nodes = self.nodes.iter().flatten();
        nodes.filter(|serf| serf.member(&name).map(|m| m.status) == Some(status)).count()
    }

    /// Nodes that run.
    pub(crate) fn running(&self) -> usize {
        self.nodes.iter().flatten().count()
    }

    /// Whether every running node knows exactly all running ones as alive.
    pub(crate) fn converged(&self) -> bool {
        let running: Vec<usize> =
            (0..self.nodes.len()).filter(|node| self.nodes[*node].is_some()).collect();
        self.nodes.iter().flatten().all(|serf| {
            serf.swim().present() == running.len()
                && running.iter().all(|node| {
                    serf.member(&name(*node)).is_some_and(|m| m.status == Status::Alive)
                })
        })
    }
}

/// `count` nodes that know each other from the start.
pub(crate) fn together(count: usize, seed: u64) -> Network {
    let mut network = Network::new(seed);
    network.compressing = false;
    network.keep_all = false;
    let keyring = Keyring::default();
    for _ in 0..count {
        network.add(&keyring);
    }
    let all: Vec<_> = network.nodes.iter().flatten().map(|serf| serf.swim().itself()).collect();
    let now = network.now;
    network.serf(0).assume(&all, now);
    let first = network.nodes[0].take().expect("it runs");
    for serf in network.nodes.iter_mut().flatten() {
        serf.like(&first, now);
    }
    network.nodes[0] = Some(first);
    network
}

/// `count` nodes that have joined through the first.
pub(crate) fn cluster(count: usize, seed: u64, keyring: &Keyring) -> Network {
    let mut network = Network::new(seed);
    for node in 0..count {
        network.add(keyring);
        if node > 0 {
            network.act(node, |serf, _| serf.join(address(0)));
        }
        network.run_for(Duration::from_millis(20));
    }
    let step = Duration::from_millis(100);
    let joined = network.run_while(Duration::from_secs(60), step, |n| n.converged());
    assert!(joined.is_some(), "seed {seed}: {count} nodes do not come together");
    network
}
