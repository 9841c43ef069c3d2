//! The token that asks: what it is, and a longer life for it.

use std::time::Duration;

use lictor_api::client::Method;
use serde_json::{Map, Value, json};

use crate::{Error, Vault};

/// What Vault says about the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whether its life can be made longer.
    pub renewable: bool,
    /// How long it lives from now on; zero is without end.
    pub ttl: Duration,
    /// How long it lived when it was made; zero where Vault does not say.
    pub whole: Duration,
}

fn seconds(of: &Map<String, Value>, name: &str) -> Duration {
    Duration::from_secs(of.get(name).and_then(Value::as_u64).unwrap_or_default())
}

fn flag(of: &Map<String, Value>, name: &str) -> bool {
    of.get(name).and_then(Value::as_bool).unwrap_or_default()
}

impl Vault {
    /// Asks about the token.
    ///
    /// # Errors
    /// See [`Error`]; status 403 is a token that Vault does not know.
    pub async fn token(&self) -> Result<Token, Error> {
        let data = self.data(Method::GET, "auth/token/lookup-self", None).await?;
        Ok(Token {
            renewable: flag(&data, "renewable"),
            ttl: seconds(&data, "ttl"),
            whole: seconds(&data, "creation_ttl"),
        })
    }

    /// Asks for another life of this length, of which Vault may give less.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn renew_token(&self, ttl: Duration) -> Result<Token, Error> {
        let path = "auth/token/renew-self";
        let body = json!({ "increment": format!("{}s", ttl.as_secs()) });
        let answer = self.call(Method::PUT, path, Some(&body)).await?;
        match answer.as_ref().and_then(|answer| answer.get("auth")) {
            Some(Value::Object(auth)) => Ok(Token {
                renewable: flag(auth, "renewable"),
                ttl: seconds(auth, "lease_duration"),
                whole: Duration::ZERO,
            }),
            _ => Err(Error::answer(format!("PUT /v1/{path}"), "it does not tell the token's life")),
        }
    }
}
