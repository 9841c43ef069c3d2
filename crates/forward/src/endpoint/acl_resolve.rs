//! What agents ask to decide by themselves what the bearer of a token may do, and what other
//! datacenters ask to copy policies, roles and tokens.
//!
//! Client agents of version 1.2 and 1.3 ask for rules (`ACL.GetPolicy`), later ones for the policies
//! and roles of a token.

use std::sync::Arc;

use lictor_acl::{Level, Rule, Rules, Segmented};
use lictor_server::{LegacyPolicy, Server};
use lictor_types::acl::{AclPolicy, AclReplication, AclRole, AclToken};
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use lictor_wire::acl::{self, Batch, PolicyIds, RoleIds};
use lictor_wire::acl_legacy::{self, PolicyQuestion, Resolved};
use lictor_wire::acl_token::{self, Accessors, TokensFound};

use crate::away::{Serving, answers, mapped, read};
use crate::servers::Servers;

/// What stands for a secret that is not shown.
const HIDDEN: &str = "<hidden>";

impl Servers {
    /// Policies by their ids, with their rules; those that there are.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn acl_policy_batch(
        &self,
        options: &QueryOptions,
        ids: &[String],
    ) -> Result<Reply<Vec<Arc<AclPolicy>>>, EndpointError> {
        read!(
            self,
            options,
            |server| server.acl_policy_batch(options, ids),
            acl::PolicyBatchRead,
            PolicyIds { ids: ids.to_vec() },
            |reply| mapped(reply, |batch| batch.0),
        )
    }

    /// Roles by their ids; those that there are.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn acl_role_batch(
        &self,
        options: &QueryOptions,
        ids: &[String],
    ) -> Result<Reply<Vec<Arc<AclRole>>>, EndpointError> {
        read!(
            self,
            options,
            |server| server.acl_role_batch(options, ids),
            acl::RoleBatchRead,
            RoleIds { ids: ids.to_vec() },
        )
    }

    /// Those of some policies that the caller's token has.
    async fn acl_policy_resolve(
        &self,
        options: &QueryOptions,
        ids: &[String],
    ) -> Result<Reply<Vec<Arc<AclPolicy>>>, EndpointError> {
        let options = &*self.of_tokens(options);
        read!(
            self,
            options,
            |server| server.acl_policy_resolve(options, ids),
            acl::PolicyResolve,
            PolicyIds { ids: ids.to_vec() },
            |reply| mapped(reply, |batch| batch.0),
        )
    }

    /// Those of some roles that the caller's token has.
    async fn acl_role_resolve(
        &self,
        options: &QueryOptions,
        ids: &[String],
    ) -> Result<Reply<Vec<Arc<AclRole>>>, EndpointError> {
        let options = &*self.of_tokens(options);
        read!(
            self,
            options,
            |server| server.acl_role_resolve(options, ids),
            acl::RoleResolve,
            RoleIds { ids: ids.to_vec() },
        )
    }

    /// Tokens by their accessors; those that there are. Whoever may not write tokens does not see
    /// their secrets.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn acl_token_batch(
        &self,
        options: &QueryOptions,
        accessors: &[String],
    ) -> Result<Reply<Vec<Arc<AclToken>>>, EndpointError> {
        let options = &*self.of_tokens(options);
        read!(
            self,
            options,
            |server| server.acl_token_batch(options, accessors),
            acl_token::TokenBatchRead,
            Accessors { accessors: accessors.to_vec() },
            |reply| mapped(reply, |found| found.tokens),
        )
    }

    /// How far what another datacenter decides about access has arrived in a datacenter.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn acl_replication(
        &self,
        options: &QueryOptions,
    ) -> Result<AclReplication, EndpointError> {
        read!(self, options, |server| server.acl_replication(options), acl::ReplicationStatus, ())
    }

    /// What the bearer of a secret may do, in the form of version 1.2.
    async fn acl_resolved_of_old(
        &self,
        options: &QueryOptions,
        question: &PolicyQuestion,
    ) -> Result<Reply<Resolved>, EndpointError> {
        let here = async |server: &Server| {
            let found = server.acl_legacy_policy(options, &question.id).await?;
            Ok::<_, EndpointError>(self.as_resolved(found, &question.etag))
        };
        let options = &*self.of_tokens(options);
        read!(self, options, |server| here(server), acl_legacy::GetPolicy, question.clone())
    }

    fn as_resolved(&self, found: LegacyPolicy, known: &str) -> Reply<Resolved> {
        let LegacyPolicy { parent, id, rules, meta } = found;
        let mut resolved = Resolved {
            etag: format!("{parent}:{id}"),
            ttl: self.config().token_ttl,
            ..Resolved::default()
        };
        if resolved.etag != known {
            parent.clone_into(&mut resolved.parent);
            resolved.policy = Some(as_old(id, rules));
        }
        Reply { result: Evaluated::new(meta.index, resolved), meta }
    }
}

fn as_old(id: String, rules: Rules) -> acl_legacy::Rules {
    let level = |level: Option<Level>| level.map_or("", Level::as_str).to_owned();
    let mut old = acl_legacy::Rules {
        id,
        acl: level(rules.acl),
        keyring: level(rules.keyring),
        operator: level(rules.operator),
        ..acl_legacy::Rules::default()
    };
    for Rule { resource, segment, level: granted, intentions, .. } in rules.rules {
        let list = match resource {
            Segmented::Agent => &mut old.agents,
            Segmented::Event => &mut old.events,
            Segmented::Key => &mut old.keys,
            Segmented::Node => &mut old.nodes,
            Segmented::Query => &mut old.prepared_queries,
            Segmented::Service => &mut old.services,
            Segmented::Session => &mut old.sessions,
        };
        let policy = granted.as_str().to_owned();
        list.push(acl_legacy::Rule { prefix: segment, policy, intentions: level(intentions) });
    }
    old
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        acl_legacy::GetPolicy, r => servers.acl_resolved_of_old(&r.options, &r.args);
        acl::PolicyResolve, r => async {
            let reply = servers.acl_policy_resolve(&r.options, &r.args.ids).await?;
            Ok::<_, EndpointError>(mapped(reply, Batch))
        };
        acl::RoleResolve, r => servers.acl_role_resolve(&r.options, &r.args.ids);
        acl::PolicyBatchRead, r => async {
            let reply = servers.acl_policy_batch(&r.options, &r.args.ids).await?;
            Ok::<_, EndpointError>(mapped(reply, Batch))
        };
        acl::RoleBatchRead, r => servers.acl_role_batch(&r.options, &r.args.ids);
        acl_token::TokenBatchRead, r => async {
            let reply = servers.acl_token_batch(&r.options, &r.args.accessors).await?;
            Ok::<_, EndpointError>(mapped(reply, |tokens| TokensFound {
                redacted: tokens.iter().any(|token| token.secret_id == HIDDEN),
                removed: false,
                tokens,
            }))
        };
        acl::ReplicationStatus, r => servers.acl_replication(&r.options);
    }
}
