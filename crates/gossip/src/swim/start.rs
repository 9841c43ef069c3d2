//! Starting out with nodes that nobody told of: for simulations of large clusters, in which joining
//! is not the subject.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use crate::stream::NodeState;
use crate::swim::members::Members;
use crate::swim::{Node, NodeInfo, Swim, Timer};

impl Swim {
    /// Takes over all that `other` knows, which has to know this node.
    pub(crate) fn like(&mut self, other: &Self, now: Duration) {
        if let Some((members, me)) = Members::like(&other.members, &self.config.name, &mut self.rng)
        {
            (self.members, self.me) = (members, me);
        }
        self.spread_exchanges(now);
    }

    /// Knows `nodes`, as if they had joined.
    pub(crate) fn assume(&mut self, nodes: &[Arc<NodeInfo>], now: Duration) {
        for info in nodes {
            if self.members.find(&info.name).is_none() {
                let (incarnation, state) = (1, NodeState::Alive);
                let node = Node { info: Arc::clone(info), incarnation, state };
                self.members.add(node, now, &mut self.rng);
            }
        }
        self.spread_exchanges(now);
    }

    /// Exchanges come at any time of their interval, which is longer among many.
    fn spread_exchanges(&mut self, now: Duration) {
        self.timers.retain(|Reverse((.., timer))| *timer != Timer::PushPull);
        let delay = self.push_pull_interval().mul_f64(self.rng.f64());
        self.at(now + delay, Timer::PushPull);
    }
}
