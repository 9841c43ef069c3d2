//! Leaving: others are told of the intent, then of the leaving, and get the time to pass it on.

use std::time::Duration;

use crate::serf::message::{EventMessage, Intent};
use crate::serf::{Event, INTENTS, Serf};

/// Most time that a step of leaving takes.
const LEAVE_STEP: Duration = Duration::from_secs(5);
/// How long a node that has left goes on answering, so that others hear of it.
const LEAVE_PROPAGATE: Duration = Duration::from_secs(3);
const LEAVE_POLL: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// Others are told that this node means to.
    Intent {
        until: Duration,
    },
    /// Others are told that it is gone.
    Gone {
        until: Duration,
    },
    /// They pass it on.
    Propagating {
        until: Duration,
    },
    Done,
}

impl Serf {
    /// Leaves: others are told, and take it for no failure. [`Event::LeaveDone`] is the end of it.
    pub fn leave(&mut self, now: Duration) {
        if self.layer.leaving != Leaving::No {
            return;
        }
        let intent = Intent {
            ltime: self.layer.clock.tick(),
            node: self.layer.name.to_string(),
            prune: Some(false),
        };
        self.layer.leave_intent(&intent);
        self.layer.leaving = Leaving::Intent { until: now + LEAVE_STEP };
        self.layer.queue(INTENTS, EventMessage::Leave(intent).encode());
        self.go_on_leaving(now);
        self.after(now);
    }

    /// Says that a failed member is not to be waited for; with `prune` it is forgotten at once.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn force_leave(&mut self, name: &str, prune: bool) -> Result<(), String> {
        if self.layer.members.find(name).is_none() {
            return Err(format!("No node found with name '{name}'"));
        }
        let ltime = self.layer.clock.tick();
        let intent = Intent { ltime, node: name.to_owned(), prune: Some(prune) };
        self.layer.leave_intent(&intent);
        self.layer.queue(INTENTS, EventMessage::Leave(intent).encode());
        Ok(())
    }

    pub(super) fn go_on_leaving(&mut self, now: Duration) {
        let others = self.swim.present() > 1;
        if let Leaving::Intent { until } = self.layer.leaving {
            let told = self.layer.queues[INTENTS].is_empty() || !others;
            if told || now >= until {
                self.swim.leave(now);
                self.layer.leaving = Leaving::Gone { until: now + LEAVE_STEP };
            }
        }
        if let Leaving::Gone { until } = self.layer.leaving
            && (self.swim.has_told() || now >= until || self.swim.present() == 0)
        {
            // Alone, there is nobody to pass it on.
            let wait = if self.swim.present() == 0 { LEAVE_POLL } else { LEAVE_PROPAGATE };
            self.layer.leaving = Leaving::Propagating { until: now + wait };
        }
        if let Leaving::Propagating { until } = self.layer.leaving
            && now >= until
        {
            self.layer.leaving = Leaving::Done;
            self.layer.out.push_back(Event::LeaveDone);
        }
    }
}
