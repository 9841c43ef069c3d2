//! User events: delivered once to everybody that is there, with no order among them.

use crate::serf::message::{EVENT_SLOTS, EventMessage, LamportTime, Remembered, UserEvent};
use crate::serf::{EVENTS, Event, Layer, Serf};

/// Most bytes of a name with its payload, and of the message.
pub(super) const EVENT_MAX: usize = 512;
/// Most events of one time that are told apart.
const SLOT_MAX: usize = 256;

/// Events of the last 512 times, to know them again.
#[derive(Clone, Debug)]
pub(super) struct Remembering {
    slots: Vec<Option<(LamportTime, Vec<Remembered>)>>,
    /// Older ones are not delivered.
    since: LamportTime,
}

impl Default for Remembering {
    fn default() -> Self {
        Self { slots: vec![None; EVENT_SLOTS], since: 0 }
    }
}

impl Remembering {
    pub(super) fn skip_before(&mut self, ltime: LamportTime) {
        self.since = self.since.max(ltime);
    }

    pub(super) fn slots(&self) -> Vec<Option<(LamportTime, Vec<Remembered>)>> {
        self.slots.clone()
    }

    /// Notes an event; says whether it is new.
    fn note(&mut self, event: &UserEvent, now: LamportTime) -> bool {
        let window = EVENT_SLOTS as u64;
        if event.ltime < self.since || event.ltime.saturating_add(window) < now {
            return false;
        }
        let at = usize::try_from(event.ltime % window).unwrap_or_default();
        let slot = &mut self.slots[at];
        if slot.as_ref().is_none_or(|(ltime, _)| *ltime != event.ltime) {
            *slot = Some((event.ltime, Vec::new()));
        }
        let Some((_, known)) = slot else { return false };
        let is = |one: &Remembered| one.0 == event.name && one.1 == event.payload;
        if known.len() >= SLOT_MAX || known.iter().any(is) {
            return false;
        }
        known.push((event.name.clone(), event.payload.clone()));
        true
    }
}

impl Serf {
    /// Sends a user event to everybody, this node too; gives its time.
    ///
    /// # Errors
    /// When it is too large.
    pub fn user_event(
        &mut self,
        name: &str,
        payload: &[u8],
        coalesce: bool,
    ) -> Result<LamportTime, String> {
        if name.len() + payload.len() > EVENT_MAX {
            return Err(format!("user event exceeds limit of {EVENT_MAX} bytes"));
        }
        let layer = &mut self.layer;
        let ltime = layer.event_clock.time();
        let event = UserEvent { ltime, name: name.to_owned(), payload: payload.to_vec(), coalesce };
        let message = EventMessage::UserEvent(event.clone()).encode();
        if message.len() > EVENT_MAX {
            return Err(format!("user event exceeds limit of {EVENT_MAX} bytes"));
        }
        layer.user_event(event);
        layer.queue(EVENTS, message);
        Ok(ltime)
    }
}

impl Layer {
    /// Delivers an event; says whether it is news.
    pub(super) fn user_event(&mut self, event: UserEvent) -> bool {
        self.event_clock.witness(event.ltime);
        if !self.events.note(&event, self.event_clock.time()) {
            return false;
        }
        let UserEvent { ltime, name, payload, coalesce } = event;
        self.out.push_back(Event::User { ltime, name, payload, coalesce });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(ltime: LamportTime, name: &str) -> UserEvent {
        UserEvent { ltime, name: name.to_owned(), ..UserEvent::default() }
    }

    #[test]
    fn each_is_new_once_and_old_ones_never() {
        let mut known = Remembering::default();
        assert!(known.note(&event(3, "a"), 4));
        assert!(!known.note(&event(3, "a"), 4));
        assert!(known.note(&event(3, "b"), 4));
        assert!(known.note(&event(515, "a"), 516), "it takes the place of time 3");
        assert!(!known.note(&event(3, "c"), 516), "it is out of the window");
        known.skip_before(600);
        assert!(!known.note(&event(599, "a"), 700));
        assert!(known.note(&event(600, "a"), 700));
    }
}
