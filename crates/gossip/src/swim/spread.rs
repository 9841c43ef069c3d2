//! Telling others: along with every packet, in rounds of gossip, and by exchanging all that is
//! known.

use std::net::SocketAddr;
use std::time::Duration;

use crate::keyring::OVERHEAD;
use crate::message::Message;
use crate::packet::{COMPOUND_OVERHEAD, PACKET_MAX, PART_OVERHEAD, PARTS_MAX, compound};
use crate::stream::{NodeState, PushPull, StreamMessage};
use crate::swim::probe::CHECKSUMS;
use crate::swim::{Above, Purpose, Swim, transmits};

/// Nodes up to which exchanges keep their interval.
const PUSH_PULL_SCALE: f64 = 32.0;

impl Swim {
    /// Queues a message about a node for everybody.
    pub(super) fn spread(&mut self, subject: &str, message: Vec<u8>) {
        // One for each node at most, since a newer one replaces the older.
        let most = self.members.known() + 1;
        self.queue.push(Some(subject.into()), message, most);
    }

    /// Waiting messages that fit into `room` bytes, those of this layer first.
    fn news(&mut self, room: usize, above: &mut impl Above) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let times = transmits(self.config.retransmit_multiplier, self.members.known());
        let room = self.queue.take(room, PART_OVERHEAD, times, PARTS_MAX, &mut parts);
        let own = parts.len();
        if room > 0 && own < PARTS_MAX {
            above.broadcasts(room, PART_OVERHEAD + 1, times, &mut parts);
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
        let mut parts = self.news(room, above);
        if parts.is_empty() {
            self.send_packet(to, message, false);
            return;
        }
        parts.insert(0, message);
        let packet = compound(&parts);
        self.send_packet(to, packet, false);
    }

    pub(super) fn gossip(&mut self, now: Duration, above: &mut impl Above) {
        let (me, to_dead) = (self.itself().name.clone(), self.config.gossip_to_dead);
        let chosen = self.members.choose(self.config.gossip_nodes, &mut self.rng, |node| {
            let told = match node.state {
                NodeState::Alive | NodeState::Suspect => true,
                NodeState::Dead | NodeState::Left => now.saturating_sub(node.changed) <= to_dead,
            };
            told && node.info.name != me
        });
        for id in chosen {
            let parts = self.news(self.room(), above);
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
        let user_state = above.state();
        StreamMessage::PushPull(PushPull { join, nodes: self.entries(), user_state })
    }
}
