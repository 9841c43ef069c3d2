//! Why Vault did not do what it was asked.

use lictor_api::client::{ClientError, Response};
use serde_json::Value;

/// Longest part of an answer that is shown, in bytes.
const SHOWN_MAX: usize = 1024;

/// Why a call failed. Texts name the call and what to do; no text has the token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used.
    #[error("the settings of Vault cannot be used: {0}")]
    Settings(String),
    /// Vault was not reached, or its answer did not arrive.
    #[error("Vault cannot be reached: {source}")]
    Unreachable {
        /// Method and path.
        call: String,
        /// What the connection says.
        source: Box<ClientError>,
    },
    /// Too many other calls were waiting.
    #[error("Vault does not keep up: {call} had to wait too long")]
    Busy {
        /// Method and path.
        call: String,
    },
    /// Vault says no.
    #[error("Vault refused {call}: {text} (status {status}){hint}")]
    Refused {
        /// Method and path.
        call: String,
        /// Of HTTP.
        status: u16,
        /// Vault's own words.
        text: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// What came back is not what Vault says it would be.
    #[error("the answer of Vault to {call} cannot be used: {what}")]
    Answer {
        /// Method and path.
        call: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl Error {
    /// Whether Vault has nothing at that path.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether Vault has answered, and asking again as it is changes nothing.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Settings(_) | Self::Refused { status: 400..=499, .. })
    }

    pub(crate) const fn answer(call: String, what: &'static str) -> Self {
        Self::Answer { call, what }
    }

    pub(crate) fn refused(call: String, answer: &Response) -> Self {
        let text = words(&answer.body);
        let hint = match answer.status {
            403 if call.ends_with("token/lookup-self") => {
                ": the token is wrong or its life is over"
            }
            403 => ": the token's policies must allow this path",
            404 => ": nothing is mounted there, or not of the kind pki",
            307 | 308 => ": this is a standby, give the address of the active node",
            503 if text.contains("sealed") => ": unseal it",
            _ => "",
        };
        Self::Refused { call, status: answer.status, text, hint }
    }
}

/// Vault's list of errors, or the beginning of whatever else it says.
fn words(body: &[u8]) -> String {
    let list = serde_json::from_slice::<Value>(body).ok();
    let list = list.as_ref().and_then(|body| body.get("errors")).and_then(Value::as_array);
    let mut text = match list {
        Some(errors) => {
            let errors: Vec<&str> = errors.iter().filter_map(Value::as_str).collect();
            errors.join("; ").trim().replace(['\n', '\t'], " ")
        }
        None => String::from_utf8_lossy(body).trim().to_owned(),
    };
    if text.is_empty() {
        "it gives no reason".clone_into(&mut text);
    }
    if text.len() > SHOWN_MAX {
        let end = (0..=SHOWN_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
    }
    text
}
