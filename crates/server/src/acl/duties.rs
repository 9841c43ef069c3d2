//! What the leader does for access control: the built-in policy and tokens are there, tokens of 1.2
//! get accessors, and those whose time is over go.

use std::time::Duration;

use lictor_state::View;
use lictor_types::acl::{
    ANONYMOUS_ACCESSOR, ANONYMOUS_SECRET, AclLink, AclPolicy, AclToken, GLOBAL_MANAGEMENT_ID,
    MANAGEMENT,
};
use lictor_types::command::{AclWrite, Command};
use lictor_types::error::EndpointError;

use super::fingerprint;
use crate::clock;
use crate::server::Server;

/// Tokens that one command upgrades or deletes at most.
const BATCH: usize = 256;
/// How often it is looked for tokens whose time is over.
pub(crate) const REAP_STEP: Duration = Duration::from_secs(5);

/// Name of the built-in policy.
pub(crate) const GLOBAL_MANAGEMENT: &str = "global-management";

/// The rules of the built-in policy: everything.
pub(crate) const GLOBAL_MANAGEMENT_RULES: &str = r#"
acl = "write"
agent_prefix "" {
	policy = "write"
}
event_prefix "" {
	policy = "write"
}
key_prefix "" {
	policy = "write"
}
keyring = "write"
node_prefix "" {
	policy = "write"
}
operator = "write"
query_prefix "" {
	policy = "write"
}
service_prefix "" {
	policy = "write"
	intentions = "write"
}
session_prefix "" {
	policy = "write"
}"#;

/// A new token with all rights.
pub(crate) fn management_token(view: &View, secret: String, description: &str) -> AclToken {
    let mut token = AclToken {
        accessor_id: unused_id(view),
        secret_id: secret,
        description: description.to_owned(),
        policies: vec![AclLink { id: GLOBAL_MANAGEMENT_ID.to_owned(), name: String::new() }],
        kind: MANAGEMENT.to_owned(),
        create_time: clock::now(),
        ..AclToken::default()
    };
    token.hash = fingerprint::token(&token);
    token
}

/// A UUID that no token has, neither as accessor nor as secret.
pub(crate) fn unused_id(view: &View) -> String {
    loop {
        let id = uuid::Uuid::new_v4().to_string();
        if view.token_by_accessor(&id).1.is_none() && view.token_by_secret(&id).1.is_none() {
            return id;
        }
    }
}

impl Server {
    /// Sees to it that what is built in is there.
    pub(crate) async fn establish_access_control(&self) -> Result<(), EndpointError> {
        // What another datacenter rules is copied from there.
        if !self.config().acl.enabled || self.primary().is_some() {
            return Ok(());
        }
        self.establish_policy().await?;
        self.establish_initial_token().await?;
        if self.view().token_by_secret(ANONYMOUS_SECRET).1.is_none() {
            let mut token = AclToken {
                accessor_id: ANONYMOUS_ACCESSOR.to_owned(),
                secret_id: ANONYMOUS_SECRET.to_owned(),
                description: "Anonymous Token".to_owned(),
                create_time: clock::now(),
                ..AclToken::default()
            };
            token.hash = fingerprint::token(&token);
            self.acl_write(AclWrite::TokenSet(token)).await?;
        }
        self.upgrade_tokens().await
    }

    async fn establish_policy(&self) -> Result<(), EndpointError> {
        let old = self.view().policy(GLOBAL_MANAGEMENT_ID).1;
        if old.as_ref().is_some_and(|old| old.rules == GLOBAL_MANAGEMENT_RULES) {
            return Ok(());
        }
        // Its name may have been changed.
        let name = old.as_ref().map_or(GLOBAL_MANAGEMENT, |old| &old.name);
        let mut policy = AclPolicy {
            id: GLOBAL_MANAGEMENT_ID.to_owned(),
            name: name.to_owned(),
            description: "Builtin Policy that grants unlimited access".to_owned(),
            rules: GLOBAL_MANAGEMENT_RULES.to_owned(),
            create_index: old.map_or(0, |old| old.create_index),
            ..AclPolicy::default()
        };
        policy.hash = fingerprint::policy(&policy);
        self.acl_write(AclWrite::PolicySet(policy)).await
    }

    async fn establish_initial_token(&self) -> Result<(), EndpointError> {
        let secret = &self.config().acl.master_token;
        let view = self.view();
        if secret.is_empty() || view.token_by_secret(secret).1.is_some() {
            return Ok(());
        }
        let token = management_token(&view, secret.clone(), "Master Token");
        let write = if view.acl_bootstrap_index().is_none() {
            AclWrite::Bootstrap { token: Box::new(token), reset_index: 0 }
        } else {
            AclWrite::TokenSet(token)
        };
        self.acl_write(write).await?;
        tracing::info!("made the management token of the configuration");
        Ok(())
    }

    /// Gives tokens that 1.2 wrote an accessor.
    async fn upgrade_tokens(&self) -> Result<(), EndpointError> {
        loop {
            let view = self.view();
            let old = view.tokens_without_accessor(BATCH);
            if old.is_empty() {
                return Ok(());
            }
            let tokens = old.into_iter().map(|old| {
                let mut token = (*old).clone();
                token.accessor_id = unused_id(&view);
                if token.kind == MANAGEMENT && token.policies.is_empty() {
                    let id = GLOBAL_MANAGEMENT_ID.to_owned();
                    token.policies.push(AclLink { id, name: GLOBAL_MANAGEMENT.to_owned() });
                }
                token.hash = fingerprint::token(&token);
                token
            });
            let tokens: Vec<_> = tokens.collect();
            tracing::info!(tokens = tokens.len(), "tokens of an older form get accessors");
            self.acl_write(AclWrite::TokensUpgrade(tokens)).await?;
        }
    }

    /// Deletes tokens whose time is over.
    pub(crate) async fn reap_tokens(&self) {
        loop {
            let view = self.view();
            let (mut over, _) = view.expired_tokens(clock::now(), BATCH);
            if self.primary().is_some() {
                // The others are the primary's to delete.
                over.retain(|accessor| view.token_by_accessor(accessor).1.is_some_and(|t| t.local));
            }
            if over.is_empty() {
                return;
            }
            tracing::info!(tokens = over.len(), "deleting tokens whose time is over");
            if let Err(error) = self.acl_write(AclWrite::TokensDelete(over)).await {
                tracing::warn!(%error, "cannot delete tokens whose time is over");
                return;
            }
        }
    }

    /// Has a write to access control agreed on.
    pub(crate) async fn acl_write(&self, write: AclWrite) -> Result<(), EndpointError> {
        self.propose(Command::Acl(Box::new(write))).await.map(drop)
    }
}
