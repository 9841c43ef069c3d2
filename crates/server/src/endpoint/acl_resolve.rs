//! What agents ask who decide by themselves what the bearer of a token may do: the policies and
//! roles of that token, which its bearer may see whatever else it may.

use std::collections::BTreeSet;
use std::sync::Arc;

use lictor_state::{TOKEN_TABLES, View};
use lictor_types::acl::{ANONYMOUS_SECRET, AclPolicy, AclRole, AclToken};
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};

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
}

fn bearer(view: &View, secret: &str) -> Result<Arc<AclToken>, EndpointError> {
    let secret = if secret.is_empty() { ANONYMOUS_SECRET } else { secret };
    let found = view.token_by_secret(secret).1;
    found.filter(|token| !token.is_expired(clock::now())).ok_or_else(EndpointError::acl_not_found)
}
