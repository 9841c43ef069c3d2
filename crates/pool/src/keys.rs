//! Asking all members of a pool about keys: everybody does its part and says how it went.

use std::collections::BTreeMap;

use lictor_gossip::serf::{Event, KeyOperation, Serf};
use tokio::sync::broadcast::error::RecvError;

use crate::Pool;

/// What came of asking about keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyReport {
    /// Members that were asked.
    pub members: usize,
    /// Those that answered.
    pub answered: usize,
    /// Those that could not do it.
    pub failed: usize,
    /// What members had to say, by name.
    pub messages: BTreeMap<String, String>,
    /// Keys in base64, with the number of members that have them.
    pub keys: BTreeMap<String, usize>,
    /// The same of the keys that members encrypt with, where they say so.
    pub primary: BTreeMap<String, usize>,
}

impl KeyReport {
    /// Whether all members did it.
    ///
    /// # Errors
    /// A text that says how many did not.
    pub fn result(&self) -> Result<(), String> {
        let Self { members, answered, failed, .. } = self;
        if *failed > 0 {
            return Err(format!("{failed}/{members} nodes reported failure"));
        }
        if answered != members {
            return Err(format!("{answered}/{members} nodes reported success"));
        }
        Ok(())
    }

    fn add(&mut self, from: &str, payload: &[u8]) {
        self.answered += 1;
        let answer = match Serf::key_answer(payload) {
            Ok(answer) => answer,
            Err(error) => {
                self.failed += 1;
                self.messages.insert(from.to_owned(), error);
                return;
            }
        };
        self.failed += usize::from(!answer.result);
        if !answer.message.is_empty() || !answer.result {
            self.messages.insert(from.to_owned(), answer.message);
        }
        for key in answer.keys {
            *self.keys.entry(key).or_default() += 1;
        }
        if !answer.primary.is_empty() {
            *self.primary.entry(answer.primary).or_default() += 1;
        }
    }
}

impl Pool {
    /// Has all members do something with a key, and waits until they have, or their time is over.
    /// Each answer also goes by way of `relay_factor` others.
    ///
    /// # Errors
    /// When it cannot be asked. What members could not do is in the report.
    pub async fn keys(
        &self,
        operation: KeyOperation,
        relay_factor: u8,
    ) -> Result<KeyReport, String> {
        let mut events = self.subscribe();
        let asked = self.with(move |serf, now| {
            let members = serf.swim().present();
            serf.keys(&operation, relay_factor, now).map(|id| (id, members))
        });
        let ended = || "gossip ended".to_owned();
        let (id, members) = asked.await.ok_or_else(ended)??;
        let mut report = KeyReport { members, ..KeyReport::default() };
        while report.answered < members {
            match events.recv().await {
                Ok(event) => match &*event {
                    Event::Answered { id: of, from, payload } if *of == id => {
                        report.add(from, payload);
                    }
                    Event::QueryOver { id: of } if *of == id => break,
                    _ => {}
                },
                // What was missed counts as not answered.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(ended()),
            }
        }
        Ok(report)
    }
}
