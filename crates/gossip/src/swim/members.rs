//! The nodes that are known, the order in which they are probed, and choices among them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::message::Versions;
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
    /// When it came into its state.
    pub(crate) changed: Duration,
    pub(crate) suspicion: Option<Box<Suspicion>>,
}

impl Node {
    pub(crate) const fn is_gone(&self) -> bool {
        matches!(self.state, NodeState::Dead | NodeState::Left)
    }
}

/// A place in the list of nodes; may be another node's later.
pub(crate) type NodeId = u32;

/// All nodes that are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    nodes: Vec<Option<Node>>,
    free: Vec<NodeId>,
    by_name: HashMap<Arc<str>, NodeId>,
    /// In the order of probing.
    round: Vec<NodeId>,
    next: usize,
    /// Nodes that are not gone.
    present: usize,
}

impl Members {
    pub(crate) fn find(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id as usize)?.as_mut()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Node> {
        self.get(self.find(name)?)
    }

    /// All nodes, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> + Clone {
        self.nodes.iter().flatten()
    }

    /// Nodes that are known, also those that are gone.
    pub(crate) const fn known(&self) -> usize {
        self.round.len()
    }

    /// Nodes that are alive or suspected.
    pub(crate) const fn present(&self) -> usize {
        self.present
    }

    /// Adds a node, at a random place of the round, so that not all probe a new one at once.
    pub(crate) fn add(&mut self, node: Node, rng: &mut fastrand::Rng) -> NodeId {
        let name = Arc::clone(&node.info.name);
        self.present += usize::from(!node.is_gone());
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = Some(node);
                id
            }
            None => {
                self.nodes.push(Some(node));
                u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.by_name.insert(name, id);
        self.round.push(id);
        let (last, other) = (self.round.len() - 1, rng.usize(..self.round.len()));
        self.round.swap(last, other);
        id
    }

    /// Changes a node's state.
    pub(crate) fn set_state(&mut self, id: NodeId, state: NodeState, now: Duration) {
        let Some(node) = self.get_mut(id) else { return };
        let was_gone = node.is_gone();
        node.state = state;
        node.changed = now;
        match (was_gone, node.is_gone()) {
            (false, true) => self.present -= 1,
            (true, false) => self.present += 1,
            _ => {}
        }
    }

    /// The next node to probe, of those that `wanted` takes. At the end of a round, what
    /// `forgotten` names is removed and the order is changed.
    pub(crate) fn next_in_round(
        &mut self,
        rng: &mut fastrand::Rng,
        wanted: impl Fn(&Node) -> bool,
        forgotten: impl Fn(&Node) -> bool,
    ) -> Option<NodeId> {
        for _ in 0..=self.round.len() {
            if self.next >= self.round.len() {
                self.next = 0;
                self.forget(&forgotten);
                rng.shuffle(&mut self.round);
            }
            let id = *self.round.get(self.next)?;
            self.next += 1;
            if self.get(id).is_some_and(&wanted) {
                return Some(id);
            }
        }
        None
    }

    fn forget(&mut self, forgotten: impl Fn(&Node) -> bool) {
        let (nodes, by_name, free) = (&mut self.nodes, &mut self.by_name, &mut self.free);
        let present = &mut self.present;
        self.round.retain(|id| {
            let slot = &mut nodes[*id as usize];
            let gone = slot.as_ref().is_some_and(&forgotten);
            if gone && let Some(node) = slot.take() {
                by_name.remove(&node.info.name);
                free.push(*id);
                *present -= usize::from(!node.is_gone());
            }
            !gone
        });
    }

    /// Up to `count` different nodes that `wanted` takes, at random.
    pub(crate) fn choose(
        &self,
        count: usize,
        rng: &mut fastrand::Rng,
        wanted: impl Fn(&Node) -> bool,
    ) -> Vec<NodeId> {
        let mut chosen: Vec<NodeId> = Vec::with_capacity(count);
        let all = self.round.len();
        // Tried at random while that is cheap, as it is when most are wanted.
        for _ in 0..3 * all.min(64) {
            if chosen.len() == count {
                return chosen;
            }
            let id = self.round[rng.usize(..all)];
            if !chosen.contains(&id) && self.get(id).is_some_and(&wanted) {
                chosen.push(id);
            }
        }
        if chosen.len() < count && all > 0 {
            let start = rng.usize(..all);
            for at in 0..all {
                let id = self.round[(start + at) % all];
                if !chosen.contains(&id) && self.get(id).is_some_and(&wanted) {
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

    fn node(name: &str, state: NodeState) -> Node {
        let info = NodeInfo {
            name: name.into(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            meta: Box::default(),
            versions: Versions::OURS,
        };
        let changed = Duration::ZERO;
        Node { info: Arc::new(info), incarnation: 1, state, changed, suspicion: None }
    }

    #[test]
    fn a_round_takes_everybody_once() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut members = Members::default();
        for n in 0..20 {
            members.add(node(&n.to_string(), NodeState::Alive), &mut rng);
        }
        members.next = usize::MAX;
        let mut seen: Vec<_> = (0..20)
            .map(|_| members.next_in_round(&mut rng, |_| true, |_| false).unwrap())
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn the_gone_are_forgotten_between_rounds_and_their_place_is_used_again() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut members = Members::default();
        members.add(node("a", NodeState::Alive), &mut rng);
        let b = members.add(node("b", NodeState::Alive), &mut rng);
        assert_eq!(members.present(), 2);
        members.set_state(b, NodeState::Dead, Duration::ZERO);
        assert_eq!((members.present(), members.known()), (1, 2));
        members.next = usize::MAX;
        members.next_in_round(&mut rng, |_| true, Node::is_gone);
        assert_eq!((members.known(), members.find("b")), (1, None));
        assert_eq!(members.add(node("c", NodeState::Alive), &mut rng), b);
        assert_eq!(members.present(), 2);
    }

    #[test]
    fn a_choice_has_no_one_twice_and_finds_the_only_one() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut members = Members::default();
        for n in 0..200 {
            members.add(node(&n.to_string(), NodeState::Alive), &mut rng);
        }
        let mut chosen = members.choose(50, &mut rng, |_| true);
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), 50);
        let only = members.choose(3, &mut rng, |node| &*node.info.name == "150");
        assert_eq!(only, [150]);
        assert!(Members::default().choose(3, &mut rng, |_| true).is_empty());
    }
}
