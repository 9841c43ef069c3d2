//! What this layer tells in an exchange of all that is known, and what it takes over from one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::serf::leave::Leaving;
use crate::serf::message::{self, EventMessage, Intent, LamportTime, State};
use crate::serf::{Event, Layer, Serf, Status};

impl Serf {
    pub(super) fn state(&mut self, join: bool, state: &[u8], now: Duration) {
        match EventMessage::decode(state) {
            Ok(EventMessage::State(state)) => self.merge(join, state, now),
            Ok(_) => self.layer.out.push_back(Event::Trouble("no state in an exchange".into())),
            Err(error) => self.layer.out.push_back(Event::Trouble(format!("state: {error}"))),
        }
    }

    fn merge(&mut self, join: bool, state: State, now: Duration) {
        let layer = &mut self.layer;
        layer.clock.witness(state.ltime.saturating_sub(1));
        layer.event_clock.witness(state.event_ltime.saturating_sub(1));
        layer.query_clock.witness(state.query_ltime.saturating_sub(1));
        let left: HashSet<&str> = state.left.iter().map(|n| &**n).collect();
        for (node, ltime) in &state.status_ltimes {
            let intent = |ltime| Intent { ltime, node: node.to_string(), prune: Some(false) };
            if left.contains(&**node) {
                let intent = intent(ltime.saturating_add(1));
                if *node == layer.name {
                    if layer.leaving == Leaving::No {
                        layer.say_joined();
                    }
                } else {
                    layer.heard_leave_intent(&intent, now);
                }
            } else {
                layer.join_intent(&intent(*ltime), now);
            }
        }
        if join && layer.ignore_old {
            layer.events.skip_before(state.event_ltime);
        }
        for (ltime, events) in state.events.into_iter().flatten() {
            for (name, payload) in events {
                let event = message::UserEvent { ltime, name, payload, coalesce: false };
                layer.user_event(event);
            }
        }
        if join {
            layer.say_joined();
        }
    }
}

impl Layer {
    /// All that is known; with what another one knows, only the rest.
    pub(super) fn told(&self, besides: Option<&[u8]>) -> Vec<u8> {
        let theirs = besides.and_then(|state| match EventMessage::decode(state) {
            Ok(EventMessage::State(state)) => Some(state),
            _ => None,
        });
        // What both know at the same time is no news; who has left is named with its time.
        let told: HashMap<&str, LamportTime> = theirs
            .iter()
            .flat_map(|state| state.status_ltimes.iter().map(|(name, ltime)| (&**name, *ltime)))
            .collect();
        let left = theirs.iter().flat_map(|state| state.left.iter().map(|name| &**name));
        let left: HashSet<&str> = left.collect();
        let members = self.members.values().filter(|member| {
            let name = &*member.info.name;
            told.get(name) != Some(&member.status_ltime)
                || left.contains(name) != (member.status == Status::Left)
        });
        let left = members.clone().filter(|member| member.status == Status::Left);
        let state = State {
            ltime: self.clock.time(),
            left: left.map(|member| Arc::clone(&member.info.name)).collect(),
            status_ltimes: members
                .map(|member| (Arc::clone(&member.info.name), member.status_ltime))
                .collect(),
            event_ltime: self.event_clock.time(),
            events: self.events.slots(),
            query_ltime: self.query_clock.time(),
        };
        EventMessage::State(state).encode()
    }
}
