//! Rotation of the keys in the whole cluster: a query to everybody, answered by each node after
//! it has done its part.

use std::time::Duration;

use crate::keyring::Keyring;
use crate::serf::message::{EventMessage, KeyResponse};
use crate::serf::query::{Asked, INTERNAL, QueryParams};
use crate::serf::{Event, Serf};

/// What is done with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOperation {
    /// Everybody can decrypt with it.
    Install(Vec<u8>),
    /// Everybody encrypts with it.
    Use(Vec<u8>),
    /// Nobody knows it any more.
    Remove(Vec<u8>),
    /// Everybody says what keys it has.
    List,
}

impl KeyOperation {
    fn query(&self) -> (&'static str, &[u8]) {
        match self {
            Self::Install(key) => ("install-key", key),
            Self::Use(key) => ("use-key", key),
            Self::Remove(key) => ("remove-key", key),
            Self::List => ("list-keys", &[]),
        }
    }
}

impl Serf {
    /// Asks everybody to do something with a key; gives the id that [`Event::Answered`] carries.
    /// [`Serf::key_answer`] reads the answers.
    ///
    /// # Errors
    /// When too many queries are being asked.
    pub fn keys(
        &mut self,
        operation: &KeyOperation,
        relay_factor: u8,
        now: Duration,
    ) -> Result<u32, String> {
        let (name, key) = operation.query();
        let payload = EventMessage::KeyRequest(key.to_vec()).encode();
        let params = QueryParams { relay_factor, ..QueryParams::default() };
        self.query(&format!("{INTERNAL}{name}"), &payload, &params, now)
    }

    /// Reads an answer about keys.
    ///
    /// # Errors
    /// When it is none.
    pub fn key_answer(payload: &[u8]) -> Result<KeyResponse, String> {
        match EventMessage::decode(payload) {
            Ok(EventMessage::KeyResponse(answer)) => Ok(answer),
            Ok(_) => Err("another answer than expected".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A question of the layer's own.
    pub(super) fn internal(&mut self, asked: &Asked) {
        let operation = asked.name.trim_start_matches(INTERNAL);
        if operation == "ping" {
            return;
        }
        let key = match EventMessage::decode(&asked.payload) {
            Ok(EventMessage::KeyRequest(key)) => key,
            _ => Vec::new(),
        };
        let Some(answer) = self.key_operation(operation, &key) else { return };
        self.answer(asked, EventMessage::KeyResponse(answer).encode(), 0);
    }

    fn key_operation(&mut self, operation: &str, key: &[u8]) -> Option<KeyResponse> {
        let ring = self.swim.keyring_mut();
        let mut answer = KeyResponse::default();
        if ring.is_empty() {
            "Keyring is empty (encryption not enabled)".clone_into(&mut answer.message);
            return Some(answer);
        }
        let done = match operation {
            "install-key" => ring.install(key),
            "use-key" => ring.use_key(key),
            "remove-key" => ring.remove(key),
            "list-keys" => {
                answer.keys = encoded(ring);
                answer.primary = answer.keys.first().cloned().unwrap_or_default();
                answer.result = true;
                return Some(answer);
            }
            _ => return None,
        };
        match done {
            Ok(()) => {
                answer.result = true;
                self.layer.out.push_back(Event::KeysChanged);
            }
            Err(error) => answer.message = error.to_string(),
        }
        Some(answer)
    }
}

fn encoded(ring: &Keyring) -> Vec<String> {
    use base64::Engine as _;
    ring.keys().map(|key| base64::engine::general_purpose::STANDARD.encode(key)).collect()
}
