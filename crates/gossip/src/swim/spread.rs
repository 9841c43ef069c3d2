//! Telling others: along with every packet, in rounds of gossip, and by exchanging all that is
//! known.

use std::net::SocketAddr;
use std::time::Duration;

use crate::keyring::OVERHEAD;
use crate::message::Message;
use crate::packet::{COMPOUND_OVERHEAD, PACKET_MAX, PART_OVERHEAD, PARTS_MAX, compound};
use crate::stream::{NodeEntry, NodeState, PushPull, StreamMessage};
use crate::swim::probe::CHECKSUMS;
use crate::swim::{Above, Fill, Node, Purpose, Rule, Swim, Timer, transmits};

/// Nodes up to which exchanges keep their interval.
const PUSH_PULL_SCALE: f64 = 32.0;
/// What cannot wait goes out after this part of the interval of gossip.
const HASTE: u32 = 8;

impl Swim {
    /// Queues a message about a node for everybody.
    pub(super) fn spread(&mut self, subject: &str, message: Vec<u8>, rule: Rule, now: Duration) {
        // A few for each node at most, since a newer one replaces the older.
        let most = self.members.known() + 1;
        self.queue.push(Some(subject.into()), message, rule, most);
        if rule != Rule::News {
            self.hasten(now);
        }
    }

    /// What is new does not wait for the next round of gossip: it goes to as many nodes at once, and
    /// the rounds that follow find those that were missed. So a message needs a tenth of a second to
    /// most of ten thousand nodes, where rounds alone need two; it is sent no more often for that.
    pub(crate) fn hasten(&mut self, now: Duration) {
        if !self.hastened {
            self.hastened = true;
            self.at(now + self.config.gossip_interval / HASTE, Timer::News);
        }
    }

    pub(super) fn gossip_news(&mut self, now: Duration, above: &mut impl Above) {
        self.hastened = false;
        let once = u32::try_from(self.config.gossip_nodes).unwrap_or(u32::MAX);
        self.gossip(once, now, above);
    }

    /// Waiting messages that fit into `room` bytes and were sent less than `below` times, those of
    /// this layer first.
    fn news(&mut self, room: usize, below: u32, above: &mut impl Above) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        if self.queue.is_empty() && !above.has_broadcasts() {
            return parts;
        }
        let times = transmits(self.config.retransmit_multiplier, self.members.known());
        let fill = Fill { room, overhead: PART_OVERHEAD, times, below, most: PARTS_MAX };
        let room = self.queue.take(fill, &mut parts);
        let own = parts.len();
        if room > 0 && own < PARTS_MAX {
            let (overhead, most) = (PART_OVERHEAD + 1, PARTS_MAX - own);
            above.broadcasts(Fill { room, overhead, most, ..fill }, &mut parts);
            parts.truncate(PARTS_MAX);
            for part in parts.iter_mut().skip(own) {
                *part = Message::User(std::mem::take(part)).encode();
            }
        }
        parts
    }

    const fn room(&self) -> usize {
        let room = PACKET_MAX - COMPOUND_OVERHEAD;
        if self.config.encrypt_outgoing { room - OVERHEAD } else { room }
    }

    /// Sends a message, and with it what waits and fits.
    pub(super) fn send_with_news(
        &mut self,
        to: SocketAddr,
        message: Vec<u8>,
        above: &mut impl Above,
    ) {
        let room = self.room().saturating_sub(message.len() + PART_OVERHEAD);
        let mut parts = self.news(room, u32::MAX, above);
        if parts.is_empty() {
            self.send_packet(to, message, false);
            return;
        }
        parts.insert(0, message);
        let packet = compound(&parts);
        self.send_packet(to, packet, false);
    }

    /// A round of gossip: with messages that were sent less than `below` times.
    pub(super) fn gossip(&mut self, below: u32, now: Duration, above: &mut impl Above) {
        if self.queue.is_empty() && !above.has_broadcasts() {
            return;
        }
        let (me, to_dead) = (self.me, self.config.gossip_to_dead);
        let members = &self.members;
        let chosen = members.choose(self.config.gossip_nodes, &mut self.rng, |id, node| {
            let told = match node.state {
                NodeState::Alive | NodeState::Suspect => true,
                NodeState::Dead | NodeState::Left => {
                    members.gone_since(id).is_some_and(|since| now.saturating_sub(since) <= to_dead)
                }
            };
            told && id != me
        });
        for id in chosen {
            let parts = self.news(self.room(), below, above);
            let packet = match &*parts {
                [] => return,
                [one] => one.clone(),
                _ => compound(&parts),
            };
            let Some(node) = self.members.get(id) else { continue };
            let (to, checksum) = (node.info.address, node.info.versions.max() >= CHECKSUMS);
            self.send_packet(to, packet, checksum);
        }
    }

    /// The interval of exchanges: in large clusters each node does it less often.
    pub(super) fn push_pull_interval(&self) -> Duration {
        let nodes = self.members.known() as f64;
        if nodes <= PUSH_PULL_SCALE {
            return self.config.push_pull_interval;
        }
        let times = (nodes.log2() - PUSH_PULL_SCALE.log2()).ceil() + 1.0;
        self.config.push_pull_interval.mul_f64(times)
    }

    pub(super) fn push_pull(&mut self, above: &mut impl Above) {
        if self.leaving {
            return;
        }
        let Some(other) = self.random(1, "").into_iter().next() else { return };
        let state = self.state(false, above);
        let bytes = self.encode_stream(&state);
        self.dial(other.address, bytes, Purpose::Exchange);
    }

    pub(super) fn state(&self, join: bool, above: &mut impl Above) -> StreamMessage {
        let user_state = above.state(None);
        StreamMessage::PushPull(PushPull { join, nodes: self.entries(), user_state })
    }

    /// The answer to an exchange: what the other side has not just said itself. To it the rest is no
    /// news, as it is in the incarnation that it knows; and it would be most of all traffic at rest.
    pub(super) fn answer(&self, remote: &PushPull, above: &mut impl Above) -> StreamMessage {
        if remote.join {
            return self.state(true, above);
        }
        let mut told = vec![false; self.members.places()];
        for theirs in &remote.nodes {
            let Some(id) = self.members.find(&theirs.name) else { continue };
            if let (Some(node), Some(told)) = (self.members.get(id), told.get_mut(id as usize)) {
                *told = node.incarnation == theirs.incarnation
                    && node.state == theirs.state
                    && node.info.address == theirs.address;
            }
        }
        let all = self.members.places_and_nodes();
        let rest = all.filter(|(id, _)| !told.get(*id as usize).is_some_and(|told| *told));
        let nodes = rest.map(|(_, node)| entry(node)).collect();
        let user_state = above.state(Some(&remote.user_state));
        StreamMessage::PushPull(PushPull { join: false, nodes, user_state })
    }

    /// All nodes, as they are told to another.
    fn entries(&self) -> Vec<NodeEntry> {
        self.members.iter().map(entry).collect()
    }
}

fn entry(node: &Node) -> NodeEntry {
    NodeEntry {
        name: node.info.name.to_string(),
        address: node.info.address,
        meta: node.info.meta.to_vec(),
        incarnation: node.incarnation,
        state: node.state,
        versions: node.info.versions,
    }
}
