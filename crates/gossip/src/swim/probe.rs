//! Who answers: probes, direct and through others.
//!
//! A node that does not answer itself is asked by others and by a stream at the same time, so that
//! neither lost packets nor a bad path between two nodes makes it suspect.
//!
//! Every second probe is of the next node of a random round, as elsewhere; the other one is of the
//! node that this one watches, so that each node is looked at every two intervals at the latest, and
//! not only by chance. Of those that hear of a suspicion, about [`WITNESSES`] probe the node at once:
//! what they find shortens the suspicion or, since they tell the node of it, ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::message::{Accusation, IndirectPing, Message, Ping, Source};
use crate::packet::compound;
use crate::stream::{NodeState, StreamMessage};
use crate::swim::{Above, Effect, Node, NodeId, Purpose, RELAYS_MAX, Swim, Timer};
use crate::tally::{Count, Sample};

/// Versions from which nodes understand pings by stream, refusals, and checksums.
const STREAM_PING: u8 = 3;
const NACKS: u8 = 4;
pub(super) const CHECKSUMS: u8 = 5;

/// How many nodes, in the mean, look after a suspicion that they hear of.
const WITNESSES: f64 = 10.0;
/// Most nodes that are probed at a time for that.
const WITNESSED_MAX: usize = 16;

/// A node that is being probed.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    id: NodeId,
    node: Arc<str>,
    sent: Duration,
    /// Whether it is because of a suspicion.
    witness: bool,
    /// Whether it says nothing any more, since this node itself was away.
    void: bool,
    /// Whether others are asked by now, so that an answer tells nothing about the way.
    indirect: bool,
    expected_nacks: u32,
    nacks: u32,
    by_stream: bool,
}

/// A node that is probed for another one.
#[derive(Clone, Debug)]
pub(super) struct Relay {
    asker: SocketAddr,
    seq: u32,
    nack: bool,
}

impl Swim {
    fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    fn source(&self) -> Source {
        Source { address: self.config.advertise, node: self.config.name.clone() }
    }

    pub(super) fn probe_next(&mut self, now: Duration, above: &mut impl Above) {
        // With a bad own health a probe may take longer than an interval.
        if self.leaving || self.probes.values().any(|probe| !probe.witness) {
            return;
        }
        self.watch_next = !self.watch_next;
        let id = if self.watch_next {
            self.members.watched(self.me)
        } else {
            let kept = self.config.gossip_to_dead;
            self.members.next_in_round(self.me, now, kept, &mut self.rng)
        };
        if let Some(id) = id {
            self.probe(id, false, now, above);
        }
    }

    /// Makes this node, by chance, one that finds out about a suspicion.
    pub(super) fn perhaps_witness(&mut self, id: NodeId, now: Duration) {
        let chance = WITNESSES / self.members.present().max(1) as f64;
        let few = self.probes.len() < WITNESSED_MAX;
        if few && !self.leaving && self.rng.f64() < chance {
            // Not all of them at once.
            let soon = self.config.gossip_interval.mul_f64(self.rng.f64());
            self.at(now + soon, Timer::Witness(id));
        }
    }

    pub(super) fn witness(&mut self, id: NodeId, now: Duration, above: &mut impl Above) {
        let suspected = self.members.suspicion(id).is_some();
        if suspected && !self.leaving && !self.probes.values().any(|probe| probe.id == id) {
            self.probe(id, true, now, above);
        }
    }

    fn probe(&mut self, id: NodeId, witness: bool, now: Duration, above: &mut impl Above) {
        let Some(node) = self.members.get(id).cloned() else { return };
        let seq = self.next_seq();
        let name = Arc::clone(&node.info.name);
        let node_name = name.to_string();
        let probe = Probe {
            id,
            node: name,
            sent: now,
            witness,
            void: false,
            indirect: false,
            expected_nacks: 0,
            nacks: 0,
            by_stream: false,
        };
        self.probes.insert(seq, probe);
        if self.awareness > 0 {
            self.tally.count(Count::PatientProbe);
        }
        let ping = Ping { seq, node: node_name, source: Some(self.source()) };
        let ping = Message::Ping(ping).encode();
        if node.state == NodeState::Alive {
            self.send_with_news(node.info.address, ping, above);
        } else {
            // It can only refute what it hears.
            let suspect = self.accusation(&node);
            let both = compound(&[ping, Message::Suspect(suspect).encode()]);
            let checksum = node.info.versions.max() >= CHECKSUMS;
            self.send_packet(node.info.address, both, checksum);
        }
        let scaled = self.config.probe_interval * (self.awareness + 1);
        self.at(now + self.config.probe_timeout, Timer::ProbeTimeout(seq));
        self.at(now + scaled, Timer::ProbeEnd(seq));
    }

    /// What is being probed may have answered unheard.
    pub(super) fn void_probes(&mut self) {
        for probe in self.probes.values_mut() {
            probe.void = true;
        }
    }

    fn accusation(&self, node: &Node) -> Accusation {
        Accusation {
            incarnation: node.incarnation,
            node: node.info.name.to_string(),
            from: self.config.name.clone(),
        }
    }

    /// No answer in time: others are asked to ask.
    pub(super) fn probe_others(&mut self, seq: u32, above: &mut impl Above) {
        let Some(probe) = self.probes.get_mut(&seq).filter(|probe| !probe.void) else { return };
        probe.indirect = true;
        let (target, name) = (probe.id, Arc::clone(&probe.node));
        let Some(info) = self.members.get(target).map(|node| Arc::clone(&node.info)) else {
            return;
        };
        for helper in self.random(self.config.indirect_checks, &name) {
            let nack = helper.versions.max() >= NACKS;
            if let Some(probe) = self.probes.get_mut(&seq) {
                probe.expected_nacks += u32::from(nack);
            }
            let ping = IndirectPing {
                seq,
                target: info.address.ip(),
                port: info.address.port(),
                node: name.to_string(),
                nack,
                source: Some(self.source()),
            };
            self.send_with_news(helper.address, Message::IndirectPing(ping).encode(), above);
        }
        if info.versions.max() >= STREAM_PING {
            let ping = Ping { seq, node: name.to_string(), source: Some(self.source()) };
            let bytes = self.encode_stream(&StreamMessage::Ping(ping));
            self.dial(info.address, bytes, Purpose::Ping(seq));
        }
    }

    pub(super) fn probe_failed(&mut self, seq: u32, now: Duration) {
        let Some(probe) = self.probes.remove(&seq) else { return };
        if probe.void {
            return;
        }
        self.tally.time(Sample::Probe, now.saturating_sub(probe.sent));
        if probe.by_stream {
            self.aware(-1);
            self.answers(&probe);
            return;
        }
        // Helpers that do not even say no: it may be this node that hears nothing.
        let missing = probe.expected_nacks.saturating_sub(probe.nacks);
        self.aware(if probe.expected_nacks > 0 { i64::from(missing) } else { 1 });
        let Some(node) = self.members.get(probe.id) else { return };
        if node.info.name != probe.node {
            return;
        }
        let suspect = self.accusation(node);
        self.suspect(&suspect, now);
    }

    pub(super) fn acked(
        &mut self,
        seq: u32,
        payload: Vec<u8>,
        now: Duration,
        above: &mut impl Above,
    ) {
        if let Some(probe) = self.probes.remove(&seq) {
            self.aware(-1);
            self.answers(&probe);
            let rtt = now.saturating_sub(probe.sent);
            self.tally.time(Sample::Probe, rtt);
            if !probe.indirect && !payload.is_empty() {
                self.effects.push_back(Effect::Answered { node: probe.node, rtt, payload });
            }
            return;
        }
        if let Some(relay) = self.relays.remove(&seq) {
            let ack = Message::Ack { seq: relay.seq, payload: Vec::new() };
            self.send_with_news(relay.asker, ack.encode(), above);
        }
    }

    fn answers(&mut self, probe: &Probe) {
        if let Some(suspicion) = self.members.suspicion_mut(probe.id) {
            suspicion.answers();
        }
    }

    pub(super) fn nacked(&mut self, seq: u32) {
        if let Some(probe) = self.probes.get_mut(&seq) {
            probe.nacks += 1;
        }
    }

    pub(super) fn acked_by_stream(&mut self, seq: u32) {
        if let Some(probe) = self.probes.get_mut(&seq) {
            probe.by_stream = true;
        }
    }

    pub(super) fn pinged(&mut self, from: SocketAddr, ping: &Ping, above: &mut impl Above) {
        if !ping.node.is_empty() && ping.node != self.config.name {
            return;
        }
        let ack = Message::Ack { seq: ping.seq, payload: above.ack_payload() };
        let to = ping.source.as_ref().map_or(from, |source| source.address);
        self.send_with_news(to, ack.encode(), above);
    }

    pub(super) fn asked_to_ping(
        &mut self,
        from: SocketAddr,
        asked: IndirectPing,
        now: Duration,
        above: &mut impl Above,
    ) {
        if self.relays.len() >= RELAYS_MAX {
            return;
        }
        let seq = self.next_seq();
        let asker = asked.source.as_ref().map_or(from, |source| source.address);
        self.relays.insert(seq, Relay { asker, seq: asked.seq, nack: asked.nack });
        // The asker waits as long as this node does, and no longer: what it is told then is late.
        self.at(now + self.config.probe_timeout * 4 / 5, Timer::Relay(seq));
        let port = if asked.port == 0 { self.config.advertise.port() } else { asked.port };
        let ping = Ping { seq, node: asked.node, source: Some(self.source()) };
        let target = SocketAddr::new(asked.target, port);
        self.send_with_news(target, Message::Ping(ping).encode(), above);
    }

    /// No answer yet: the asker is told so, and of one that comes later still.
    pub(super) fn relay_over(&mut self, seq: u32, now: Duration, above: &mut impl Above) {
        let Some(relay) = self.relays.get_mut(&seq) else { return };
        if !std::mem::take(&mut relay.nack) {
            self.relays.remove(&seq);
            return;
        }
        let (asker, nack) = (relay.asker, Message::Nack { seq: relay.seq });
        self.at(now + self.config.probe_timeout / 5, Timer::Relay(seq));
        self.send_with_news(asker, nack.encode(), above);
    }

    /// Changes what this node thinks of its own health.
    pub(super) fn aware(&mut self, change: i64) {
        let most = i64::from(self.config.awareness_max.max(1)) - 1;
        let next = (i64::from(self.awareness) + change).clamp(0, most);
        self.awareness = u32::try_from(next).unwrap_or_default();
    }
}
