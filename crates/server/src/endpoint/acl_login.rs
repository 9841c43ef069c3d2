//! Logging in and out: a token for what somebody else vouches for, and its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_state::View;
use lictor_types::acl::{
    AclAuthMethod, AclLink, AclToken, NodeIdentity, ServiceIdentity, TokenRequest,
};
use lictor_types::command::{AclWrite, Refusal};
use lictor_types::error::{EndpointError, ErrorKind};

use crate::acl::login::{Identity, Validator};
use crate::clock;
use crate::endpoint::acl_binding_rule::Bind;
use crate::endpoint::acl_token::{complete, new_token};
use crate::server::Server;

impl Server {
    /// Makes a token for one whom a method vouches for. `meta` becomes part of its description.
    ///
    /// # Errors
    /// When the method does not vouch, or nothing is bound to what it says.
    pub async fn acl_login(
        &self,
        method: &str,
        bearer: &str,
        meta: &BTreeMap<String, String>,
    ) -> Result<Arc<AclToken>, EndpointError> {
        self.acl_on()?;
        self.wait_for_leadership().await?;
        let view = self.view();
        let Some(method) = view.auth_method(method).1 else {
            let text = format!("ACL not found: auth method {method:?} not found");
            return Err(EndpointError::new(ErrorKind::PermissionDenied, text));
        };
        let refused = |error: &dyn std::fmt::Display| EndpointError::refused(error.to_string());
        let validator = Validator::new(&method).map_err(|error| refused(&error))?;
        let now = clock::now();
        let identity = validator.validate(bearer, now).map_err(|error| refused(&error))?;
        let mut token = self.bound(&view, &method, &identity)?;
        "token created via login".clone_into(&mut token.description);
        if !meta.is_empty() {
            let meta = serde_json::to_string(meta).map_err(|error| refused(&error))?;
            token.description.push_str(": ");
            token.description.push_str(&meta);
        }
        let request = TokenRequest { token, expiration_ttl: method.max_token_ttl, create: true };
        let mut token = new_token(&view, request, now)?;
        complete(&view, &mut token)?;
        let write = |token| AclWrite::Login(Box::new(token));
        self.write_token(token, write).await.map_err(|error| {
            let nothing = error.text == Refusal::AclNoPrivileges.to_string();
            if nothing { EndpointError::permission_denied() } else { error }
        })
    }

    /// What is bound to an identity, as a token without a name.
    fn bound(
        &self,
        view: &View,
        method: &AclAuthMethod,
        identity: &Identity,
    ) -> Result<AclToken, EndpointError> {
        let mut token = AclToken {
            // Whoever is ruled by another datacenter has no tokens to give for all of them.
            local: method.token_locality != "global" || self.primary().is_some(),
            auth_method: method.name.clone(),
            ..AclToken::default()
        };
        for rule in view.binding_rules(&method.name).1 {
            // A selector that cannot be understood selects nobody.
            if identity.is_selected_by(&rule.selector) != Ok(true) {
                continue;
            }
            let Some(bind) = Bind::parse(&rule.bind_type) else { continue };
            let kind = &rule.bind_type;
            let (name, valid) = bind.name(&rule.bind_name, identity).map_err(|error| {
                let text = format!("cannot compute {kind:?} bind name for bind target: {error}");
                EndpointError::refused(text)
            })?;
            if !valid {
                return Err(EndpointError::refused(format!(
                    "computed {kind:?} bind name for bind target is invalid: {name:?}"
                )));
            }
            match bind {
                Bind::Service => token
                    .service_identities
                    .push(ServiceIdentity { service_name: name, datacenters: Vec::new() }),
                Bind::Node => token.node_identities.push(NodeIdentity {
                    node_name: name,
                    datacenter: self.config().datacenter.clone(),
                }),
                Bind::Role => {
                    if let Some(role) = view.role_by_name(&name).1 {
                        token.roles.push(AclLink { id: role.id.clone(), name: String::new() });
                    }
                }
            }
        }
        let nothing = token.roles.is_empty()
            && token.service_identities.is_empty()
            && token.node_identities.is_empty();
        if nothing { Err(EndpointError::permission_denied()) } else { Ok(token) }
    }

    /// Deletes a token that a login made.
    ///
    /// # Errors
    /// When it is unknown, or was made in another way.
    pub async fn acl_logout(&self, token: &str) -> Result<(), EndpointError> {
        self.acl_on()?;
        self.wait_for_leadership().await?;
        let found = self.view().token_by_secret(token).1;
        let found = found.ok_or_else(EndpointError::acl_not_found)?;
        if found.auth_method.is_empty() {
            return Err(EndpointError::permission_denied());
        }
        self.acl_write(AclWrite::TokenDelete(found.accessor_id.clone())).await
    }
}
