//! From the common flags of a command to a client of the agent's HTTP API.
//!
//! Flags win over the environment; see the `api` crate for what the variables mean.

use lictor_api::client::{Client, ClientConfig, ConfigError, Overrides, ReadOptions, Request};

use super::Call;

impl Call {
    /// The client that the flags and the environment ask for.
    pub(super) fn client(&self) -> Result<Client, ConfigError> {
        self.client_with(None)
    }

    /// The same, with a token that applies when neither flag nor environment gives one.
    pub(super) fn client_with(&self, token: Option<String>) -> Result<Client, ConfigError> {
        let text = |name: &str| self.parsed.text(name).map(str::to_owned);
        let overrides = Overrides {
            address: text("http-addr"),
            token: text("token").or(token),
            token_file: text("token-file"),
            ca_file: text("ca-file"),
            ca_path: text("ca-path"),
            client_cert: text("client-cert"),
            client_key: text("client-key"),
            tls_server_name: text("tls-server-name"),
            datacenter: text("datacenter"),
        };
        Client::new(&ClientConfig::resolve(&overrides, |name| std::env::var(name).ok())?)
    }

    /// A read with the consistency that the flags ask for.
    pub(super) fn read(&self, client: &Client, path: &str) -> Request {
        client.read(path, ReadOptions { stale: self.parsed.is_set("stale"), consistent: false })
    }
}

/// Either the client, or the exit code 1 after its error was printed.
macro_rules! client_or_fail {
    ($call:expr) => {
        match $call.client() {
            Ok(client) => client,
            Err(error) => {
                return super::fail(format!("Error connecting to Consul agent: {error}"));
            }
        }
    };
}
pub(super) use client_or_fail;
