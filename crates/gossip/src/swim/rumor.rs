//! What is said about nodes, and what is believed.
//!
//! A node speaks about itself with incarnations; others can only accuse it in the incarnation that
//! they know, and it refutes with a higher one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::message::{Accusation, Alive, Message};
use crate::stream::{NodeEntry, NodeState, PushPull};
use crate::swim::suspicion::Suspicion;
use crate::swim::{Above, Effect, Node, NodeId, NodeInfo, Rule, Swim, Timer};
use crate::tally::Count;

impl Swim {
    /// A node says that it is there.
    pub(super) fn alive(&mut self, alive: Alive, now: Duration, above: &mut impl Above) {
        let is_me = alive.node == self.config.name;
        if is_me && self.leaving {
            return;
        }
        // Most of what comes in an exchange is known: that has to be cheap.
        let known = self.members.find(&alive.node);
        let stale = known.and_then(|id| self.members.get(id)).is_some_and(|node| {
            alive.incarnation <= node.incarnation && node.info.address == alive.address
        });
        if stale && !is_me {
            return;
        }
        if !alive.versions.is_proper() {
            let text = format!("node {:?} has no proper versions: ignored", alive.node);
            self.effects.push_back(Effect::Trouble(text));
            return;
        }
        let info = NodeInfo {
            name: alive.node.as_str().into(),
            address: alive.address,
            meta: alive.meta.clone().into(),
            versions: alive.versions,
        };
        if let Err(why) = above.accepts(&info) {
            let text = format!("ignoring alive message of {:?}: {why}", alive.node);
            self.effects.push_back(Effect::Trouble(text));
            return;
        }
        let (id, new) = match known {
            Some(id) => (id, false),
            None => {
                let (info, state) = (Arc::new(info.clone()), NodeState::Dead);
                let node = Node { info, incarnation: 0, state };
                (self.members.add(node, now, &mut self.rng), true)
            }
        };
        let Some(node) = self.members.get(id) else { return };
        let moves = node.info.address != info.address;
        if moves && !self.may_move(id, node, now) {
            let known = Arc::clone(&node.info);
            self.effects.push_back(Effect::Conflict { known, other: info });
            return;
        }
        let (incarnation, was_gone) = (node.incarnation, node.is_gone());
        if is_me {
            if alive.incarnation < incarnation
                || (alive.incarnation == incarnation && *node.info == info)
            {
                return;
            }
            // Somebody tells what this node did not say: from before a restart.
            self.refute(alive.incarnation, now);
            return;
        }
        if alive.incarnation <= incarnation && !new && !moves {
            return;
        }
        let changed = !was_gone && *node.info != info;
        // A denial has to be as fast as the accusation.
        let denies = node.state == NodeState::Suspect || (was_gone && !new);
        let rule = if denies { Rule::Urgent } else { Rule::News };
        self.believe_alive(id, info, alive.incarnation, now);
        self.tally.count(Count::Alive);
        self.spread(&alive.node, Message::Alive(alive.clone()).encode(), rule, now);
        let Some(node) = self.members.get(id) else { return };
        let info = Arc::clone(&node.info);
        if was_gone {
            self.effects.push_back(Effect::Joined(info));
        } else if changed {
            self.effects.push_back(Effect::Updated(info));
        }
    }

    /// Whether the name of a node that is gone may be taken from another address.
    fn may_move(&self, id: NodeId, node: &Node, now: Duration) -> bool {
        match node.state {
            NodeState::Left => true,
            NodeState::Dead => {
                // One that was just heard of has no address of its own yet.
                node.incarnation == 0
                    || self
                        .config
                        .reclaim
                        .zip(self.members.gone_since(id))
                        .is_some_and(|(after, since)| now.saturating_sub(since) > after)
            }
            _ => false,
        }
    }

    fn believe_alive(&mut self, id: NodeId, info: NodeInfo, incarnation: u32, now: Duration) {
        self.members.set_alive(id, now);
        let Some(node) = self.members.get_mut(id) else { return };
        node.incarnation = incarnation;
        if *node.info != info {
            node.info = Arc::new(info);
        }
    }

    /// A node is said not to answer.
    pub(super) fn suspect(&mut self, accusation: &Accusation, now: Duration) {
        let Some(id) = self.members.find(&accusation.node) else { return };
        let me = id == self.me;
        let Some(node) = self.members.get(id) else { return };
        if accusation.incarnation < node.incarnation {
            return;
        }
        let message = || Message::Suspect(accusation.clone()).encode();
        if let Some(suspicion) = self.members.suspicion_mut(id) {
            if suspicion.confirm(&accusation.from) {
                self.await_denial(id, now);
                self.spread(&accusation.node, message(), Rule::Beside, now);
            }
            return;
        }
        let Some(node) = self.members.get_mut(id) else { return };
        if node.state != NodeState::Alive {
            return;
        }
        if me {
            self.refute(accusation.incarnation, now);
            return;
        }
        node.incarnation = accusation.incarnation;
        let suspicion = self.new_suspicion(&accusation.from, now);
        self.members.set_suspect(id, suspicion);
        self.tally.count(Count::Suspect);
        self.await_denial(id, now);
        self.spread(&accusation.node, message(), Rule::Urgent, now);
        if accusation.from != self.config.name {
            self.perhaps_witness(id, now);
        }
    }

    fn new_suspicion(&self, from: &str, now: Duration) -> Suspicion {
        let nodes = self.members.known();
        let scale = (nodes.max(1) as f64).log10().max(1.0);
        let multiplier = self.config.suspicion_multiplier;
        // That of a cluster of ten: what makes it longer in large ones is that accusations and
        // denials go round in them more slowly, which they do no more.
        let floor = self.config.probe_interval * multiplier;
        let min = self.config.probe_interval.mul_f64(f64::from(multiplier) * scale);
        let wanted = multiplier.saturating_sub(2) as usize;
        let wanted = if nodes < wanted + 2 { 0 } else { wanted };
        Suspicion::new(now, from.into(), wanted, [floor, min, min * self.config.suspicion_max])
    }

    /// When a node is given up, as things are. This node does not hurry with one that was accused
    /// lately and was there, nor while it may be the one that is not well.
    fn given_up(&self, id: NodeId, now: Duration) -> Option<Duration> {
        let quick = self.awareness == 0 && !self.members.is_slow(id, now);
        self.members.suspicion(id).map(|suspicion| suspicion.deadline(quick))
    }

    fn await_denial(&mut self, id: NodeId, now: Duration) {
        if let Some(deadline) = self.given_up(id, now) {
            self.at(deadline, Timer::Suspicion(id));
        }
    }

    pub(super) fn suspicion_over(&mut self, id: NodeId, now: Duration) {
        // A timer may be of an earlier suspicion, and a suspicion may have become longer.
        let Some(deadline) = self.given_up(id, now) else { return };
        if deadline > now {
            self.at(deadline, Timer::Suspicion(id));
            return;
        }
        if self.members.suspicion(id).is_some_and(Suspicion::is_unconfirmed) {
            self.tally.count(Count::Unconfirmed);
        }
        let Some(node) = self.members.get(id) else { return };
        let dead = Accusation {
            incarnation: node.incarnation,
            node: node.info.name.to_string(),
            from: self.config.name.clone(),
        };
        self.dead(&dead, now);
    }

    /// A node is said to be gone, by itself or by others.
    pub(super) fn dead(&mut self, accusation: &Accusation, now: Duration) {
        let Some(id) = self.members.find(&accusation.node) else { return };
        let Some(node) = self.members.get_mut(id) else { return };
        if accusation.incarnation < node.incarnation {
            return;
        }
        if node.is_gone() {
            return;
        }
        if id == self.me && !self.leaving {
            self.refute(accusation.incarnation, now);
            return;
        }
        node.incarnation = accusation.incarnation;
        let info = Arc::clone(&node.info);
        let own_word = accusation.from == accusation.node;
        self.members.set_gone(id, own_word, now);
        self.tally.count(Count::Dead);
        let message = Message::Dead(accusation.clone()).encode();
        // Who leaves waits until it has said so often enough.
        let rule = if own_word { Rule::News } else { Rule::Urgent };
        self.spread(&accusation.node, message, rule, now);
        self.hasten(now);
        self.effects.push_back(Effect::Gone(info));
    }

    /// Says that this node is there, in a higher incarnation than it is accused in.
    fn refute(&mut self, accused: u32, now: Duration) {
        // Having to do so means that others did not hear of this node for a while.
        self.aware(1);
        self.incarnation = self.incarnation.max(accused).saturating_add(1);
        self.announce(Rule::Urgent, now);
    }

    /// Changes what this node says about itself, encoded.
    pub fn set_meta(&mut self, meta: Vec<u8>, now: Duration) {
        self.config.meta = meta;
        self.incarnation = self.incarnation.saturating_add(1);
        self.announce(Rule::News, now);
    }

    fn announce(&mut self, rule: Rule, now: Duration) {
        let info = NodeInfo {
            name: self.itself().name.clone(),
            address: self.config.advertise,
            meta: self.config.meta.clone().into(),
            versions: crate::message::Versions::OURS,
        };
        let changed = self.members.get(self.me).is_some_and(|node| *node.info != info);
        self.believe_alive(self.me, info, self.incarnation, now);
        if changed {
            self.effects.push_back(Effect::Updated(self.itself()));
        }
        let name = self.config.name.clone();
        let message = Message::Alive(self.own_word()).encode();
        self.spread(&name, message, rule, now);
    }

    /// What this node says about itself.
    fn own_word(&self) -> Alive {
        Alive {
            incarnation: self.incarnation,
            node: self.config.name.clone(),
            address: self.config.advertise,
            meta: self.config.meta.clone(),
            versions: crate::message::Versions::OURS,
        }
    }

    /// Somebody tells what was denied: the denial has not come there.
    pub(super) fn deny_again(&mut self, to: SocketAddr, accusation: &Accusation) {
        let mine = accusation.node == self.config.name;
        if mine && accusation.incarnation < self.incarnation && !self.leaving {
            let message = Message::Alive(self.own_word()).encode();
            self.send_packet(to, message, false);
        }
    }

    /// Takes over what another node knows.
    pub(super) fn merge(
        &mut self,
        remote: PushPull,
        now: Duration,
        above: &mut impl Above,
    ) -> Result<(), String> {
        self.compatible(&remote.nodes)?;
        if remote.join {
            for entry in &remote.nodes {
                let here = matches!(entry.state, NodeState::Alive | NodeState::Suspect);
                if here {
                    above.accepts(&info(entry))?;
                }
            }
        }
        for entry in remote.nodes {
            let accusation = |from: &str| Accusation {
                incarnation: entry.incarnation,
                node: entry.name.clone(),
                from: from.to_owned(),
            };
            match entry.state {
                NodeState::Alive => {
                    let alive = Alive {
                        incarnation: entry.incarnation,
                        node: entry.name,
                        address: entry.address,
                        meta: entry.meta,
                        versions: entry.versions,
                    };
                    self.alive(alive, now, above);
                }
                NodeState::Left => self.dead(&accusation(&entry.name), now),
                // It may be wrong: the node gets the time to say so.
                NodeState::Dead | NodeState::Suspect => {
                    // Hearsay confirms nothing.
                    let known = self.members.find(&entry.name);
                    if known.is_none_or(|id| self.members.suspicion(id).is_none()) {
                        let from = self.config.name.clone();
                        self.suspect(&accusation(&from), now);
                    }
                }
            }
        }
        if !remote.user_state.is_empty() {
            let (join, state) = (remote.join, remote.user_state);
            self.effects.push_back(Effect::State { join, state });
        }
        Ok(())
    }

    /// Whether all nodes that are there, here and on the other side, understand each other.
    fn compatible(&self, remote: &[NodeEntry]) -> Result<(), String> {
        let here = |state| !matches!(state, NodeState::Dead | NodeState::Left);
        let local = self.members.iter().filter(|node| here(node.state));
        let local = local.map(|node| (&*node.info.name, node.info.versions));
        let remote = remote.iter().filter(|entry| entry.state == NodeState::Alive);
        let remote = remote.map(|entry| (&*entry.name, entry.versions));
        let (mut least, mut most) = ([0; 2], [u8::MAX; 2]);
        for (_, versions) in local.clone().chain(remote.clone()) {
            for (layer, [min, max, _]) in versions.0.as_chunks::<3>().0.iter().enumerate() {
                least[layer] = least[layer].max(*min);
                most[layer] = most[layer].min(*max);
            }
        }
        for (name, versions) in local.chain(remote) {
            for (layer, [_, _, current]) in versions.0.as_chunks::<3>().0.iter().enumerate() {
                let (least, most) = (least[layer], most[layer]);
                if *current < least || *current > most {
                    return Err(format!(
                        "Node '{name}' protocol version ({current}) is incompatible: \
                         [{least}, {most}]"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn info(entry: &NodeEntry) -> NodeInfo {
    NodeInfo {
        name: entry.name.as_str().into(),
        address: entry.address,
        meta: entry.meta.clone().into(),
        versions: entry.versions,
    }
}
