//! Who is there, who means to leave, who left, who failed.
//!
//! Whether a node that is gone has left or failed hangs on its intent, which may come before or
//! after: intents carry logical times, and the later one counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::named::Named;
use crate::serf::message::{Intent, LamportTime};
use crate::serf::{Event, Layer};
use crate::swim::NodeInfo;
use crate::tags::{self, Tags};
use crate::tally::Count;

/// How long an intent of a node that is not known is kept, and how many.
const INTENT_KEPT: Duration = Duration::from_secs(300);
const INTENTS_MAX: usize = 4096;
/// How soon a member that failed has to be back for one that comes and goes.
const FLAP: Duration = Duration::from_secs(60);

/// How a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nothing is known.
    None = 0,
    /// It answers.
    Alive = 1,
    /// It answers and has said that it leaves.
    Leaving = 2,
    /// It left.
    Left = 3,
    /// It does not answer.
    Failed = 4,
}

impl Status {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Alive => "alive",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it says about itself.
    pub info: Arc<NodeInfo>,
    /// How it is.
    pub status: Status,
    /// When that was said.
    pub(super) status_ltime: LamportTime,
    /// When it left or failed, in whole seconds of the driver's time.
    gone_at: u32,
    /// Somebody had it forgotten while it still seemed to be there: done once it is gone.
    prune: bool,
}

impl Named for Member {
    fn name(&self) -> &str {
        &self.info.name
    }
}

impl Member {
    pub(super) fn new(info: Arc<NodeInfo>) -> Self {
        Self { info, status: Status::Alive, status_ltime: 0, gone_at: 0, prune: false }
    }

    /// Its tags; none where they cannot be read. They are kept as they came: ten thousand members
    /// with ten tags each would be a hundred thousand strings.
    #[must_use]
    pub fn tags(&self) -> Tags {
        tags::decode(&self.info.meta).unwrap_or_default()
    }
}

/// Intents of nodes that are not known yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Intents(HashMap<String, Waiting>);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    leaves: bool,
    ltime: LamportTime,
    since: Duration,
}

impl Intents {
    /// Notes an intent; says whether it is later than what was known.
    fn note(&mut self, node: &str, leaves: bool, ltime: LamportTime, now: Duration) -> bool {
        if let Some(known) = self.0.get_mut(node) {
            let later = ltime > known.ltime;
            if later {
                *known = Waiting { leaves, ltime, since: now };
            }
            return later;
        }
        if self.0.len() >= INTENTS_MAX {
            return false;
        }
        self.0.insert(node.to_owned(), Waiting { leaves, ltime, since: now });
        true
    }

    fn expire(&mut self, now: Duration) {
        self.0.retain(|_, waiting| now.saturating_sub(waiting.since) < INTENT_KEPT);
    }
}

impl Layer {
    pub(super) fn joined(&mut self, info: &Arc<NodeInfo>, now: Duration) {
        if self.members.find(&info.name).is_none() {
            let mut member = Member::new(Arc::clone(info));
            if let Some(waiting) = self.intents.0.remove(&*info.name) {
                member.status_ltime = waiting.ltime;
                if waiting.leaves {
                    member.status = Status::Leaving;
                }
            }
            self.members.insert(member);
        }
        let Some(member) = self.members.get_mut(&info.name) else { return };
        let gone = now.as_secs().saturating_sub(member.gone_at.into());
        if member.status == Status::Failed && gone < FLAP.as_secs() {
            self.tally.count(Count::Flap);
        }
        if matches!(member.status, Status::Left | Status::Failed | Status::None) {
            member.status = Status::Alive;
            member.prune = false;
        }
        member.info = Arc::clone(info);
        self.out.push_back(Event::Joined(member.clone()));
    }

    pub(super) fn updated(&mut self, info: &Arc<NodeInfo>) {
        if let Some(member) = self.members.get_mut(&info.name) {
            member.info = Arc::clone(info);
            self.out.push_back(Event::Updated(member.clone()));
        }
    }

    /// A node is gone; `own_word` if it said so itself.
    pub(super) fn gone(&mut self, info: &Arc<NodeInfo>, own_word: bool, now: Duration) {
        let Some(member) = self.members.get_mut(&info.name) else { return };
        let leaves = member.status == Status::Leaving || own_word;
        if !matches!(member.status, Status::Alive | Status::Leaving) {
            return;
        }
        member.status = if leaves { Status::Left } else { Status::Failed };
        member.gone_at = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let member = member.clone();
        let forgotten = leaves && member.prune;
        self.out.push_back(if leaves { Event::Left(member) } else { Event::Failed(member) });
        if forgotten {
            self.forget(&info.name);
        }
    }

    /// A node joined; says whether that is news.
    pub(super) fn join_intent(&mut self, intent: &Intent, now: Duration) -> bool {
        self.clock.witness(intent.ltime);
        let Some(member) = self.members.get_mut(&intent.node) else {
            return self.intents.note(&intent.node, false, intent.ltime, now);
        };
        if intent.ltime <= member.status_ltime {
            return false;
        }
        member.status_ltime = intent.ltime;
        if member.status == Status::Leaving {
            member.status = Status::Alive;
            member.prune = false;
        }
        true
    }

    /// The own intent to leave, or to have another one leave.
    pub(super) fn leave_intent(&mut self, intent: &Intent) {
        self.clock.witness(intent.ltime);
        self.apply_leave(intent);
    }

    /// A node leaves; says whether that is news.
    pub(super) fn heard_leave_intent(&mut self, intent: &Intent, now: Duration) -> bool {
        self.clock.witness(intent.ltime);
        let Some(member) = self.members.get(&intent.node) else {
            return self.intents.note(&intent.node, true, intent.ltime, now);
        };
        if intent.ltime <= member.status_ltime {
            return false;
        }
        self.apply_leave(intent);
        true
    }

    fn apply_leave(&mut self, intent: &Intent) {
        let Some(member) = self.members.get_mut(&intent.node) else { return };
        member.status_ltime = member.status_ltime.max(intent.ltime);
        match member.status {
            Status::Alive => member.status = Status::Leaving,
            Status::Failed => {
                member.status = Status::Left;
                let member = member.clone();
                self.out.push_back(Event::Left(member));
            }
            Status::Leaving | Status::Left | Status::None => {}
        }
        if intent.prune != Some(true) {
            return;
        }
        match self.members.get_mut(&intent.node) {
            Some(member) if member.status == Status::Leaving => member.prune = true,
            Some(member) if member.status == Status::Left => self.forget(&intent.node),
            _ => {}
        }
    }

    fn forget(&mut self, node: &str) {
        if let Some(member) = self.members.remove(node) {
            self.coordinates.remove(node);
            self.vivaldi.forget(node);
            self.out.push_back(Event::Reaped(member));
        }
    }

    /// Forgets who has been gone for long.
    pub(super) fn reap(&mut self, now: Duration) {
        self.intents.expire(now);
        let config = &self.config;
        let long_gone = self.members.values().filter(|member| {
            let after = match member.status {
                Status::Failed => config.reconnect_timeout,
                Status::Left => config.tombstone_timeout,
                Status::None | Status::Alive | Status::Leaving => return false,
            };
            now.as_secs().saturating_sub(member.gone_at.into()) > after.as_secs()
        });
        let mut names: Vec<Arc<str>> =
            long_gone.map(|member| Arc::clone(&member.info.name)).collect();
        names.sort();
        for name in names {
            self.forget(&name);
        }
    }
}
