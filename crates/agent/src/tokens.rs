//! The agent's own tokens: from the configuration, or set while it runs and then kept if wished.
//!
//! One that was set over the API wins over the configuration's, also after a restart; emptying it
//! brings the configuration's back. They are kept in one file with the original's name and form.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::error::AgentError;
use crate::persist;

/// Name of the file in the data folder.
const FILE: &str = "acl-tokens.json";

/// Which token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Of requests, services and checks that bring none.
    Default,
    /// Of the agent's own reads and writes.
    Agent,
    /// Accepted by this agent when no server can be asked.
    Recovery,
    /// Of copying tokens and policies from another datacenter.
    Replication,
    /// Of services and checks in configuration files that bring none.
    Files,
    /// Of questions over DNS.
    Dns,
}

impl TokenKind {
    /// The kind of a name of the API, of 1.2 or later.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "default" | "acl_token" => Some(Self::Default),
            "agent" | "acl_agent_token" => Some(Self::Agent),
            "agent_recovery" | "agent_master" | "acl_agent_master_token" => Some(Self::Recovery),
            "replication" | "acl_replication_token" => Some(Self::Replication),
            "config_file_service_registration" => Some(Self::Files),
            "dns" => Some(Self::Dns),
            _ => None,
        }
    }
}

/// One secret for each kind.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenSet {
    /// See [`TokenKind::Replication`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub replication: String,
    /// See [`TokenKind::Recovery`].
    #[serde(
        rename = "agent_master",
        alias = "agent_recovery",
        skip_serializing_if = "String::is_empty"
    )]
    pub recovery: String,
    /// See [`TokenKind::Default`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default: String,
    /// See [`TokenKind::Agent`]; empty for the default one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// See [`TokenKind::Files`]; empty for the default one.
    #[serde(rename = "config_file_service_registration", skip_serializing_if = "String::is_empty")]
    pub files: String,
    /// See [`TokenKind::Dns`]; empty for the default one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dns: String,
}

impl std::fmt::Debug for TokenSet {
    /// Secrets do not get into logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSet").finish_non_exhaustive()
    }
}

impl TokenSet {
    fn place(&mut self, kind: TokenKind) -> &mut String {
        match kind {
            TokenKind::Default => &mut self.default,
            TokenKind::Agent => &mut self.agent,
            TokenKind::Recovery => &mut self.recovery,
            TokenKind::Replication => &mut self.replication,
            TokenKind::Files => &mut self.files,
            TokenKind::Dns => &mut self.dns,
        }
    }
}

/// What holds now.
#[derive(Default)]
struct Effective {
    default: Arc<str>,
    agent: Arc<str>,
    recovery: Arc<str>,
    replication: Arc<str>,
    files: Arc<str>,
    dns: Arc<str>,
}

impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effective").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Sources {
    configured: TokenSet,
    set: TokenSet,
}

impl Sources {
    fn effective(&self) -> Effective {
        let first = |set: &str, configured: &str| -> Arc<str> {
            if set.is_empty() { configured.into() } else { set.into() }
        };
        let default = first(&self.set.default, &self.configured.default);
        let or_default =
            |token: Arc<str>| if token.is_empty() { Arc::clone(&default) } else { token };
        Effective {
            agent: or_default(first(&self.set.agent, &self.configured.agent)),
            files: or_default(first(&self.set.files, &self.configured.files)),
            dns: or_default(first(&self.set.dns, &self.configured.dns)),
            default: Arc::clone(&default),
            recovery: first(&self.set.recovery, &self.configured.recovery),
            replication: first(&self.set.replication, &self.configured.replication),
        }
    }
}

/// The agent's tokens.
#[derive(Debug, Default)]
pub struct Tokens {
    effective: RwLock<Effective>,
    sources: Mutex<Sources>,
    /// Where those are kept that are set.
    file: Option<PathBuf>,
    /// Told of every change; whoever follows it is the only one.
    changed: Notify,
}

impl Tokens {
    /// The tokens of the configuration, and those that were kept in `folder`. Blocks.
    pub(crate) fn open(configured: TokenSet, folder: Option<PathBuf>) -> Self {
        let file = folder.map(|folder| folder.join(FILE));
        let set = file.as_deref().map(persist::read_tokens).unwrap_or_default();
        let sources = Sources { configured, set };
        let effective = RwLock::new(sources.effective());
        Self { effective, sources: Mutex::new(sources), file, changed: Notify::new() }
    }

    /// Of requests, services and checks that bring none.
    #[must_use]
    pub fn default_token(&self) -> Arc<str> {
        Arc::clone(&self.effective.read().default)
    }

    /// Of the agent's own reads and writes.
    #[must_use]
    pub fn agent_token(&self) -> Arc<str> {
        Arc::clone(&self.effective.read().agent)
    }

    /// Of services and checks in configuration files that bring none.
    pub(crate) fn files_token(&self) -> Arc<str> {
        Arc::clone(&self.effective.read().files)
    }

    /// Of questions over DNS.
    #[must_use]
    pub fn dns_token(&self) -> Arc<str> {
        Arc::clone(&self.effective.read().dns)
    }

    /// Accepted by this agent when no server can be asked.
    #[must_use]
    pub fn recovery_token(&self) -> Arc<str> {
        Arc::clone(&self.effective.read().recovery)
    }

    /// Of copying from another datacenter.
    #[must_use]
    pub fn replication_token(&self) -> Arc<str> {
        Arc::clone(&self.effective.read().replication)
    }

    /// Replaces a token until the agent ends, or for good where they are kept. Blocks.
    pub(crate) fn set(&self, kind: TokenKind, secret: &str) -> Result<(), AgentError> {
        let mut sources = self.sources.lock();
        let mut set = sources.set.clone();
        secret.clone_into(set.place(kind));
        if let Some(file) = &self.file {
            persist::write_tokens(file, &set).map_err(|error| {
                AgentError::refused(format!("Failed to persist tokens - {error}"))
            })?;
        }
        sources.set = set;
        self.take_effect(&sources);
        Ok(())
    }

    /// Takes a new configuration over.
    pub(crate) fn configure(&self, configured: TokenSet) {
        let mut sources = self.sources.lock();
        if sources.configured != configured {
            sources.configured = configured;
            self.take_effect(&sources);
        }
    }

    fn take_effect(&self, sources: &Sources) {
        *self.effective.write() = sources.effective();
        self.changed.notify_one();
    }

    /// Waits for a change; remembers one.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(default: &str, agent: &str) -> TokenSet {
        TokenSet { default: default.into(), agent: agent.into(), ..TokenSet::default() }
    }

    #[test]
    fn what_is_set_wins_and_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data = Some(folder.path().to_owned());
        let tokens = Tokens::open(configured("d", ""), data.clone());
        assert_eq!((&*tokens.default_token(), &*tokens.agent_token()), ("d", "d"));
        tokens.set(TokenKind::Agent, "a").unwrap();
        tokens.set(TokenKind::Recovery, "r").unwrap();
        assert_eq!((&*tokens.default_token(), &*tokens.agent_token()), ("d", "a"));
        let again = Tokens::open(configured("other", "x"), data);
        assert_eq!((&*again.default_token(), &*again.agent_token()), ("other", "a"));
        assert_eq!(&*again.recovery_token(), "r");
        again.set(TokenKind::Agent, "").unwrap();
        assert_eq!(&*again.agent_token(), "x");
        again.configure(configured("new", ""));
        assert_eq!((&*again.files_token(), &*again.dns_token()), ("new", "new"));
        again.set(TokenKind::Files, "f").unwrap();
        again.set(TokenKind::Dns, "n").unwrap();
        assert_eq!((&*again.files_token(), &*again.dns_token()), ("f", "n"));
        assert_eq!((&*again.agent_token(), &*again.recovery_token()), ("new", "r"));
        use std::os::unix::fs::PermissionsExt as _;
        let mode = folder.path().join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn without_a_folder_nothing_is_kept() {
        let tokens = Tokens::open(TokenSet::default(), None);
        tokens.set(TokenKind::Default, "s").unwrap();
        assert_eq!(&*tokens.default_token(), "s");
        assert!(!format!("{tokens:?}").contains("replication: \""), "{tokens:?}");
    }

    #[test]
    fn names_of_all_versions() {
        for (name, kind) in [
            ("default", Some(TokenKind::Default)),
            ("acl_agent_token", Some(TokenKind::Agent)),
            ("agent_master", Some(TokenKind::Recovery)),
            ("agent_recovery", Some(TokenKind::Recovery)),
            ("replication", Some(TokenKind::Replication)),
            ("config_file_service_registration", Some(TokenKind::Files)),
            ("dns", Some(TokenKind::Dns)),
            ("other", None),
        ] {
            assert_eq!(TokenKind::parse(name), kind, "{name}");
        }
    }
}
