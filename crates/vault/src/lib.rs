//! Calls of Vault's HTTP API that an authority of the mesh needs: its token, mounts of secrets
//! engines of the kind `pki`, and what such an engine signs.
//!
//! Each method is one call, with a deadline and a limit on the size of the answer, and says what
//! Vault says. Absent on purpose: which call follows which, when a token is renewed, whether a
//! certificate is what was asked for, and tasks. The token goes nowhere but into the request's
//! header: neither errors nor `Debug` show it. Follows the API of Vault 0.10.3 to 1.14 and of
//! `OpenBao` 2, so what later versions added is used only where an answer tells of it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod pki;
mod token;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lictor_api::client::{Client, ClientConfig, Method, Request, Response, TlsConfig};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub use self::error::Error;
pub use self::pki::{Authority, Issuer, NewAuthority, NewIntermediate};
pub use self::token::Token;

/// Longest time that a call takes, waiting for others included.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest answer that is read, in bytes: a list of mounts may be long.
const ANSWER_MAX: usize = 1 << 20;
/// Calls at a time.
const CALLS_MAX: usize = 16;

/// Where Vault is, and who asks it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `http://host:port` or `https://host:port`.
    pub address: String,
    /// The secret of whoever asks.
    pub token: String,
    /// The namespace of all paths; empty for none.
    pub namespace: String,
    /// PEM of authorities that may have signed Vault's certificate; empty for the system's.
    pub ca_file: String,
    /// A folder of them.
    pub ca_path: String,
    /// The certificate to present; needs `key_file`.
    pub cert_file: String,
    /// Its key.
    pub key_file: String,
    /// What Vault's certificate must be for; empty for the host of the address.
    pub tls_server_name: String,
    /// Whether any certificate is taken.
    pub tls_skip_verify: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A Vault that can be asked.
pub struct Vault {
    client: Client,
    token: Zeroizing<String>,
    namespace: String,
    places: Semaphore,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Vault {
    /// Reads the files; nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Settings`] when the address is none or a file cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let invalid = |text: String| Error::Settings(text);
        let (scheme, rest) = settings.address.split_once("://").unwrap_or_default();
        let host = rest.trim_end_matches('/');
        if !matches!(scheme, "http" | "https") || host.is_empty() || host.contains('/') {
            return Err(invalid(format!(
                "the address {:?} is not of the form https://host:port",
                settings.address
            )));
        }
        let mut config = ClientConfig::for_address(&settings.address)
            .map_err(|error| invalid(format!("the address {:?}: {error}", settings.address)))?;
        let path = |text: &str| Some(text).filter(|text| !text.is_empty()).map(PathBuf::from);
        if config.tls.is_some() {
            config.tls = Some(TlsConfig {
                ca_file: path(&settings.ca_file),
                ca_path: path(&settings.ca_path),
                client_cert: path(&settings.cert_file),
                client_key: path(&settings.key_file),
                server_name: Some(settings.tls_server_name.clone()).filter(|name| !name.is_empty()),
                skip_verify: settings.tls_skip_verify,
            });
        }
        let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable(&settings.token) || !printable(&settings.namespace) {
            let text = "the token or the namespace holds characters that cannot be sent";
            return Err(invalid(text.to_owned()));
        }
        Ok(Self {
            client: Client::new(&config).map_err(|error| invalid(error.to_string()))?,
            token: Zeroizing::new(settings.token.clone()),
            namespace: settings.namespace.clone(),
            places: Semaphore::new(CALLS_MAX),
        })
    }

    /// Sends a request, and gives what came back, whatever its status.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, Error> {
        let call = || format!("{method} /v1/{path}");
        let failed = |source| Error::Unreachable { call: call(), source: Box::new(source) };
        let mut request: Request = self
            .client
            .request(method.clone(), &format!("/v1/{path}"))
            .timeout(PATIENCE)
            .limit(ANSWER_MAX)
            .header("x-vault-token", &self.token)
            .map_err(failed)?
            // Vault refuses what a browser could be made to send.
            .header("x-vault-request", "true")
            .map_err(failed)?;
        if !self.namespace.is_empty() {
            request = request.header("x-vault-namespace", &self.namespace).map_err(failed)?;
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .and_then(|request| request.json(body))
                .map_err(failed)?;
        }
        let send = async {
            // The semaphore is never closed.
            let _place = self.places.acquire().await;
            self.client.send(request).await
        };
        match tokio::time::timeout(PATIENCE, send).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(Error::Busy { call: call() }),
        }
    }

    /// The same for answers that are objects, or nothing (204, and `None`).
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Map<String, Value>>, Error> {
        let name = format!("{method} /v1/{path}");
        let answer = self.exchange(method, path, body).await?;
        if !matches!(answer.status, 200 | 204) {
            return Err(Error::refused(name, &answer));
        }
        if answer.body.is_empty() {
            return Ok(None);
        }
        match serde_json::from_slice(&answer.body) {
            Ok(Value::Object(object)) => Ok(Some(object)),
            _ => Err(Error::answer(name, "it is not a JSON object")),
        }
    }

    /// The object `data` of a call's answer.
    async fn data(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Map<String, Value>, Error> {
        let name = format!("{method} /v1/{path}");
        match self.call(method, path, body).await?.and_then(|mut answer| answer.remove("data")) {
            Some(Value::Object(data)) => Ok(data),
            _ => Err(Error::answer(name, "it has no data")),
        }
    }
}

#[cfg(test)]
mod tests;
