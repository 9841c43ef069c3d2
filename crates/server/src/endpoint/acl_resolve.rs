//! What agents ask who decide by themselves what the bearer of a token may do: the policies and
//! roles of that token, which its bearer may see whatever else it may.

use std::collections::BTreeSet;
use std::sync::Arc;

use lictor_acl::{DefaultPolicy, Rules};
use lictor_state::{TOKEN_TABLES, View};
use lictor_types::acl::{ANONYMOUS_SECRET, AclPolicy, AclRole, AclToken};
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryMeta, QueryOptions, Reply};

use crate::acl::{fingerprint, resolver};
use crate::clock;
use crate::server::Server;

impl Server {
    /// Those of some policies that the caller's token has, by itself or by a role.
    ///
    /// # Errors
    /// When there is no such token; else see [`Server::catalog_nodes`].
    pub async fn acl_policy_resolve(
        &self,
        options: &QueryOptions,
        ids: &[String],
    ) -> Result<Reply<Vec<Arc<AclPolicy>>>, EndpointError> {
        self.acl_on()?;
        self.may_answer(options).await?;
        let view = self.view();
        let token = bearer(&view, &options.token)?;
        let mut own: BTreeSet<&str> = token.policies.iter().map(|link| &*link.id).collect();
        let roles: Vec<_> = token.roles.iter().filter_map(|link| view.role(&link.id).1).collect();
        own.extend(roles.iter().flat_map(|role| role.policies.iter().map(|link| &*link.id)));
        let found = ids.iter().filter(|id| own.contains(id.as_str()));
        let found: Vec<_> = found.filter_map(|id| view.policy(id).1).collect();
        let index = view.table_index(&TOKEN_TABLES);
        Ok(Reply { meta: self.meta(options, index), result: Evaluated::new(index, found) })
    }

    /// Those of some roles that the caller's token has.
    ///
    /// # Errors
    /// See [`Server::acl_policy_resolve`].
    pub async fn acl_role_resolve(
        &self,
        options: &QueryOptions,
        ids: &[String],
    ) -> Result<Reply<Vec<Arc<AclRole>>>, EndpointError> {
        self.acl_on()?;
        self.may_answer(options).await?;
        let view = self.view();
        let token = bearer(&view, &options.token)?;
        let found = ids.iter().filter(|id| token.roles.iter().any(|link| link.id == **id));
        let found: Vec<_> = found.filter_map(|id| view.role(id).1).collect();
        let index = view.table_index(&TOKEN_TABLES);
        Ok(Reply { meta: self.meta(options, index), result: Evaluated::new(index, found) })
    }

    /// What the bearer of a secret may do, for agents of version 1.2, which decide by rules.
    ///
    /// # Errors
    /// When there is no such token; else see [`Server::catalog_nodes`].
    pub async fn acl_legacy_policy(
        &self,
        options: &QueryOptions,
        secret: &str,
    ) -> Result<LegacyPolicy, EndpointError> {
        self.acl_on()?;
        self.may_answer(options).await?;
        if resolver::is_root(secret) {
            return Err(EndpointError::acl_not_found());
        }
        let view = self.view();
        let token = match bearer(&view, secret) {
            // The first leader makes it; before that nobody has more than the default.
            Err(_) if secret.is_empty() || secret == ANONYMOUS_SECRET => None,
            found => Some(found?),
        };
        let rules = match token {
            Some(token) => self.resolver().rules_of(&view, &token)?,
            None => Some(Vec::new()),
        };
        let parent = match (&rules, self.acl_settings().default_policy) {
            (None, _) => "manage",
            (Some(_), DefaultPolicy::Allow) => "allow",
            (Some(_), DefaultPolicy::Deny) => "deny",
        };
        let rules = Rules::for_old_agents(rules.iter().flatten().map(|rules| &**rules));
        let meta = self.meta(options, view.table_index(&TOKEN_TABLES));
        Ok(LegacyPolicy { parent, id: fingerprint::rules(&rules), rules, meta })
    }
}

/// Rights in the form of version 1.2.
#[derive(Clone, Debug)]
pub struct LegacyPolicy {
    /// What holds where no rule speaks: `allow`, `deny` or `manage`.
    pub parent: &'static str,
    /// A digest of the rules, in hexadecimal.
    pub id: String,
    /// The rules; all of their names are beginnings of names.
    pub rules: Rules,
    /// How fresh it is.
    pub meta: QueryMeta,
}

fn bearer(view: &View, secret: &str) -> Result<Arc<AclToken>, EndpointError> {
    let secret = if secret.is_empty() { ANONYMOUS_SECRET } else { secret };
    let found = view.token_by_secret(secret).1;
    found.filter(|token| !token.is_expired(clock::now())).ok_or_else(EndpointError::acl_not_found)
}
