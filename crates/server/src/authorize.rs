//! What the bearer of a token may do.
//!
//! Every endpoint asks here, with the secret that came with the request, and then decides with the
//! [`Authorizer`] that it gets. A blocked read asks again when it returns: it shows what the token
//! may see by then, and nothing when the token is gone.

use std::sync::Arc;

use lictor_acl::{Authorizer, DefaultPolicy};
use lictor_types::error::EndpointError;

use crate::clock;
use crate::server::Server;

/// The token of those who bring none, and its secret.
pub use lictor_types::acl::ANONYMOUS_SECRET as ANONYMOUS;

/// What is done about tokens while nobody can say what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DownPolicy {
    /// As if the default policy were to allow.
    Allow,
    /// Nothing is permitted.
    Deny,
    /// What was known last holds on; this is the default.
    #[default]
    ExtendCache,
    /// The same, and what is known is refreshed in the background.
    AsyncCache,
}

/// Settings of access control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclSettings {
    /// Whether anything is checked at all.
    pub enabled: bool,
    /// What holds where no rule speaks.
    pub default_policy: DefaultPolicy,
    /// What holds while tokens cannot be looked up.
    pub down_policy: DownPolicy,
    /// Whether listing keys needs a right of its own, the level `list`.
    pub key_list_policy: bool,
    /// Whether nodes, sessions and agents need no right, as before `acl_enforce_version_8`.
    pub nodes_open: bool,
    /// Secret of a token that manages the cluster and that the first leader makes; empty for none.
    pub master_token: String,
}

impl Server {
    /// What the bearer of a token may do; an empty one is nobody's in particular. Without access
    /// control everybody may do everything.
    ///
    /// # Errors
    /// When there is no such token (`ACL not found`), or it cannot be looked up.
    pub fn authorizer(&self, token: &str) -> Result<Arc<Authorizer>, EndpointError> {
        if !self.config().acl.enabled {
            return Ok(self.resolver().manage_all());
        }
        self.resolver().of(&self.view(), clock::now, token)
    }

    /// Says what a secret permits that is not kept here, as the datacenter that rules this one has it;
    /// `None` that there is no such token.
    pub fn lend(&self, secret: &str, who: Option<&Arc<Authorizer>>) {
        self.resolver().lend(secret, who);
    }

    /// Whether a connection may be made that no intention speaks about. No token decides it: else
    /// whoever asks with a strong one would open the mesh.
    #[must_use]
    pub fn intention_default_allow(&self) -> bool {
        let settings = &self.config().acl;
        !settings.enabled || settings.default_policy == DefaultPolicy::Allow
    }

    /// Whether access control is on.
    #[must_use]
    pub fn acl_enabled(&self) -> bool {
        self.config().acl.enabled
    }

    /// The settings of access control.
    #[must_use]
    pub fn acl_settings(&self) -> &AclSettings {
        &self.config().acl
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn who_may_do_what_without_tokens_of_their_own() {
        let open = testing::start().await;
        assert!(open.authorizer("anything").unwrap().allows_everything());
        assert!(open.intention_default_allow());
        open.shutdown().await;
        let mut config = testing::config();
        config.acl = AclSettings {
            enabled: true,
            default_policy: DefaultPolicy::Deny,
            master_token: "root".to_owned(),
            ..AclSettings::default()
        };
        let closed = testing::start_with(config).await;
        assert!(closed.authorizer("root").unwrap().acl_write());
        for nobody in ["", ANONYMOUS] {
            assert!(!closed.authorizer(nobody).unwrap().key_read("a"));
        }
        assert_eq!(closed.authorizer("x").unwrap_err(), EndpointError::acl_not_found());
        assert!(
            !closed.intention_default_allow() && !closed.authorizer("").unwrap().node_read("n")
        );
        closed.shutdown().await;
        let mut config = testing::config();
        config.acl = AclSettings {
            enabled: true,
            default_policy: DefaultPolicy::Deny,
            nodes_open: true,
            ..AclSettings::default()
        };
        let open = testing::start_with(config).await;
        let anybody = open.authorizer("").unwrap();
        assert!(anybody.node_write("n") && anybody.session_write("n") && anybody.agent_read("n"));
        assert!(anybody.service_read("consul") && !anybody.service_read("web"));
        assert!(!anybody.key_read("a") && !anybody.service_write("consul"));
        open.shutdown().await;
    }
}
