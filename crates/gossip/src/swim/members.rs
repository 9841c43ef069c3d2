//! The nodes that are known, the order in which they are probed, and choices among them.
//!
//! Of ten thousand nodes nearly all are well: what is to be remembered of the others lies beside
//! them, and each costs sixteen bytes and its place in the index.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::message::Versions;
use crate::named::{Named, Table};
use crate::stream::NodeState;
use crate::swim::suspicion::Suspicion;

/// What a node says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is.
    pub address: SocketAddr,
    /// Its tags, encoded.
    pub meta: Box<[u8]>,
    /// What it speaks.
    pub versions: Versions,
}

/// A node that is known.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) info: Arc<NodeInfo>,
    pub(crate) incarnation: u32,
    pub(crate) state: NodeState,
}

impl Node {
    pub(crate) const fn is_gone(&self) -> bool {
        matches!(self.state, NodeState::Dead | NodeState::Left)
    }
}

impl Named for Node {
    fn name(&self) -> &str {
        &self.info.name
    }
}

/// A place in the list of nodes; may be another node's later.
pub(crate) type NodeId = crate::named::Place;

/// How long a node that took back an accusation is known for one that is slow.
const SLOW_FOR: Duration = Duration::from_secs(300);

/// All nodes that are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    nodes: Table<Node>,
    suspicions: BTreeMap<NodeId, Suspicion>,
    /// Since when nodes are gone.
    gone: BTreeMap<NodeId, Duration>,
    /// When nodes were accused last, and answered.
    slow: BTreeMap<NodeId, Duration>,
    /// In the order of probing.
    round: Vec<NodeId>,
    next: usize,
    /// The node that this one watches, once it is known.
    watched: Option<NodeId>,
    /// Nodes that are not gone.
    present: usize,
}

impl Members {
    pub(crate) fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.find(name)
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.at(id)
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.at_mut(id)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// All nodes, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> + Clone {
        self.nodes.values()
    }

    /// All nodes with their places.
    pub(crate) fn places_and_nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.round.iter().filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// One more than the highest place.
    pub(crate) fn places(&self) -> usize {
        self.nodes.places()
    }

    /// Nodes that are known, also those that are gone.
    pub(crate) const fn known(&self) -> usize {
        self.round.len()
    }

    /// Nodes that are alive or suspected.
    pub(crate) const fn present(&self) -> usize {
        self.present
    }

    /// What is held against a node.
    pub(crate) fn suspicion(&self, id: NodeId) -> Option<&Suspicion> {
        self.suspicions.get(&id)
    }

    /// What is held against a node, to change it.
    pub(crate) fn suspicion_mut(&mut self, id: NodeId) -> Option<&mut Suspicion> {
        self.suspicions.get_mut(&id)
    }

    /// Nothing was seen for this long: that is no fault of those that are suspected.
    pub(crate) fn delay_suspicions(&mut self, by: Duration) {
        for suspicion in self.suspicions.values_mut() {
            suspicion.delay(by);
        }
    }

    /// Since when a node is gone.
    pub(crate) fn gone_since(&self, id: NodeId) -> Option<Duration> {
        self.gone.get(&id).copied()
    }

    /// Whether a node has lately been accused, and was there.
    pub(crate) fn is_slow(&self, id: NodeId, now: Duration) -> bool {
        self.slow.get(&id).is_some_and(|at| now.saturating_sub(*at) < SLOW_FOR)
    }

    /// Adds a node, at a random place of the round, so that not all probe a new one at once.
    pub(crate) fn add(&mut self, node: Node, now: Duration, rng: &mut fastrand::Rng) -> NodeId {
        let gone = node.is_gone();
        let id = self.nodes.insert(node);
        if gone {
            self.gone.insert(id, now);
        } else {
            self.present += 1;
            self.watched = None;
        }
        self.round.push(id);
        let (last, other) = (self.round.len() - 1, rng.usize(..self.round.len()));
        self.round.swap(last, other);
        id
    }

    /// A node is there.
    pub(crate) fn set_alive(&mut self, id: NodeId, now: Duration) {
        let Some(node) = self.nodes.at_mut(id) else { return };
        let was_gone = node.is_gone();
        // One that was just heard of had no state before.
        let denies = node.state == NodeState::Dead && node.incarnation > 0;
        node.state = NodeState::Alive;
        if self.suspicions.remove(&id).is_some() || denies {
            self.slow.insert(id, now);
        }
        if was_gone {
            self.gone.remove(&id);
            self.present += 1;
            self.watched = None;
        }
    }

    /// A node does not answer.
    pub(crate) fn set_suspect(&mut self, id: NodeId, suspicion: Suspicion) {
        let Some(node) = self.nodes.at_mut(id) else { return };
        node.state = NodeState::Suspect;
        self.suspicions.insert(id, suspicion);
    }

    /// A node is gone; `own_word` if it said so itself.
    pub(crate) fn set_gone(&mut self, id: NodeId, own_word: bool, now: Duration) {
        let Some(node) = self.nodes.at_mut(id) else { return };
        if !node.is_gone() {
            self.present -= 1;
        }
        node.state = if own_word { NodeState::Left } else { NodeState::Dead };
        self.suspicions.remove(&id);
        self.gone.insert(id, now);
        if self.watched == Some(id) {
            self.watched = None;
        }
    }

    /// The next node to probe, without `me`. At the end of a round, those that are gone for longer
    /// than `kept` are removed and the order is changed.
    pub(crate) fn next_in_round(
        &mut self,
        me: NodeId,
        now: Duration,
        kept: Duration,
        rng: &mut fastrand::Rng,
    ) -> Option<NodeId> {
        for _ in 0..=self.round.len() {
            if self.next >= self.round.len() {
                self.next = 0;
                self.forget(now, kept);
                rng.shuffle(&mut self.round);
            }
            let id = *self.round.get(self.next)?;
            self.next += 1;
            if id != me && self.get(id).is_some_and(|node| !node.is_gone()) {
                return Some(id);
            }
        }
        None
    }

    fn forget(&mut self, now: Duration, kept: Duration) {
        self.slow.retain(|_, at| now.saturating_sub(*at) < SLOW_FOR);
        let (nodes, gone, slow) = (&mut self.nodes, &mut self.gone, &mut self.slow);
        self.round.retain(|id| {
            let long = gone.get(id).is_some_and(|since| now.saturating_sub(*since) > kept);
            if long {
                nodes.remove_at(*id);
                gone.remove(id);
                slow.remove(id);
            }
            !long
        });
    }

    /// The node that `me` watches: the next one that is there on a ring of all names, so that each
    /// node is watched by one other. The ring has the order of the names' checksums, which is the
    /// same to everybody and puts no neighbours side by side.
    pub(crate) fn watched(&mut self, me: NodeId) -> Option<NodeId> {
        if self.watched.is_none() {
            let place = |node: &Node| crc32fast::hash(node.info.name.as_bytes());
            let mine = self.get(me)?;
            let my_place = (place(mine), &*mine.info.name);
            let there = self.places_and_nodes().filter(|(id, node)| *id != me && !node.is_gone());
            let places = there.map(|(id, node)| {
                let its = (place(node), &*node.info.name);
                (its <= my_place, its, id)
            });
            let next = places.min().map(|(.., id)| id);
            self.watched = next;
        }
        self.watched
    }

    /// Takes over whom another node knows: all that are there, for the node of that name.
    pub(crate) fn like(
        other: &Self,
        name: &str,
        rng: &mut fastrand::Rng,
    ) -> Option<(Self, NodeId)> {
        let me = other.find(name)?;
        let mut this = Self { watched: None, ..other.clone() };
        rng.shuffle(&mut this.round);
        Some((this, me))
    }

    /// Up to `count` different nodes that `wanted` takes, at random.
    pub(crate) fn choose(
        &self,
        count: usize,
        rng: &mut fastrand::Rng,
        wanted: impl Fn(NodeId, &Node) -> bool,
    ) -> Vec<NodeId> {
        let mut chosen: Vec<NodeId> = Vec::with_capacity(count);
        let all = self.round.len();
        // Tried at random while that is cheap, as it is when most are wanted.
        for _ in 0..3 * all.min(64) {
            if chosen.len() == count {
                return chosen;
            }
            let id = self.round[rng.usize(..all)];
            if !chosen.contains(&id) && self.get(id).is_some_and(|node| wanted(id, node)) {
                chosen.push(id);
            }
        }
        if chosen.len() < count && all > 0 {
            let start = rng.usize(..all);
            for at in 0..all {
                let id = self.round[(start + at) % all];
                if !chosen.contains(&id) && self.get(id).is_some_and(|node| wanted(id, node)) {
                    chosen.push(id);
                    if chosen.len() == count {
                        break;
                    }
                }
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        let info = NodeInfo {
            name: name.into(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            meta: Box::default(),
            versions: Versions::OURS,
        };
        Node { info: Arc::new(info), incarnation: 1, state: NodeState::Alive }
    }

    fn members(count: u32, rng: &mut fastrand::Rng) -> Members {
        let mut members = Members::default();
        for n in 0..count {
            members.add(node(&n.to_string()), Duration::ZERO, rng);
        }
        members
    }

    #[test]
    fn a_round_takes_everybody_else_once() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut members = members(20, &mut rng);
        members.next = usize::MAX;
        let mut seen: Vec<_> = (0..19)
            .map(|_| members.next_in_round(3, Duration::ZERO, Duration::ZERO, &mut rng).unwrap())
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..20).filter(|n| *n != 3).collect::<Vec<_>>());
    }

    #[test]
    fn the_gone_are_forgotten_between_rounds_and_their_place_is_used_again() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut members = members(2, &mut rng);
        let second = Duration::from_secs;
        assert_eq!(members.present(), 2);
        members.set_gone(1, false, second(1));
        assert_eq!((members.present(), members.known()), (1, 2));
        members.next = usize::MAX;
        members.next_in_round(0, second(31), second(30), &mut rng);
        assert_eq!((members.known(), members.find("1")), (2, Some(1)));
        members.next = usize::MAX;
        members.next_in_round(0, second(32), second(30), &mut rng);
        assert_eq!((members.known(), members.find("1")), (1, None));
        assert_eq!(members.add(node("c"), second(33), &mut rng), 1);
        assert_eq!((members.present(), members.gone_since(1)), (2, None));
    }

    #[test]
    fn each_is_watched_by_one_and_by_another_when_that_is_gone() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut members = members(50, &mut rng);
        let ring = |members: &mut Members| {
            let there = (0..50).filter(|id| members.gone_since(*id).is_none());
            let there: Vec<_> = there.collect();
            let mut watched: Vec<_> = there
                .iter()
                .map(|id| {
                    members.watched = None;
                    members.watched(*id).unwrap()
                })
                .collect();
            watched.sort_unstable();
            assert_eq!(watched, there);
        };
        ring(&mut members);
        members.watched = None;
        let next = members.watched(4).unwrap();
        members.set_gone(next, false, Duration::ZERO);
        assert!(members.watched(4).is_some_and(|other| other != next));
        ring(&mut members);
        members.set_alive(next, Duration::ZERO);
        assert_eq!(members.watched(4), Some(next));
    }

    #[test]
    fn who_was_suspected_and_is_there_is_slow_for_a_while() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut members = members(3, &mut rng);
        let second = Duration::from_secs;
        let suspicion = Suspicion::new(second(1), "0".into(), 2, [second(1); 3]);
        members.set_suspect(1, suspicion);
        members.set_alive(1, second(3));
        assert!(members.suspicion(1).is_none());
        assert!(members.is_slow(1, second(302)) && !members.is_slow(1, second(303)));
        assert!(!members.is_slow(2, second(3)));
    }

    #[test]
    fn a_choice_has_no_one_twice_and_finds_the_only_one() {
        let mut rng = fastrand::Rng::with_seed(7);
        let members = members(200, &mut rng);
        let mut chosen = members.choose(50, &mut rng, |_, _| true);
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), 50);
        let only = members.choose(3, &mut rng, |_, node| &*node.info.name == "150");
        assert_eq!(only, [150]);
        assert!(Members::default().choose(3, &mut rng, |_, _| true).is_empty());
    }
}
