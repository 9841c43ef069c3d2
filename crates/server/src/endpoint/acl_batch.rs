//! Policies, roles and tokens by their ids, many at once: what another datacenter copies. And how far
//! copying has come here.
//!
//! Expired tokens are among them until they are deleted, so that a copy does not lose them earlier.
//! Ids that nothing has are left out.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::{Table, Topic, View};
use lictor_types::acl::{AclPolicy, AclReplication, AclRole, AclToken};
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};

use crate::endpoint::acl_token::{Tokens, token_topics};
use crate::read::Read;
use crate::rights::Only;
use crate::server::Server;

impl Server {
    /// Policies by their ids, with their rules.
    ///
    /// # Errors
    /// When the caller may not read policies.
    pub async fn acl_policy_batch(
        &self,
        options: &QueryOptions,
        ids: &[String],
    ) -> Result<Reply<Vec<Arc<AclPolicy>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let found = ids.iter().filter_map(|id| view.policy(id).1).collect();
            Ok(Evaluated::new(view.table_index(&[Table::AclPolicies]), found))
        };
        let topics = || vec![Topic::Table(Table::AclPolicies)];
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// Roles by their ids.
    ///
    /// # Errors
    /// When the caller may not read roles.
    pub async fn acl_role_batch(
        &self,
        options: &QueryOptions,
        ids: &[String],
    ) -> Result<Reply<Vec<Arc<AclRole>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let found = ids.iter().filter_map(|id| view.role(id).1).collect();
            Ok(Evaluated::new(view.table_index(&[Table::AclRoles]), found))
        };
        let topics = || vec![Topic::Table(Table::AclRoles)];
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// Tokens by their accessors; secrets are hidden from those who may not write them.
    ///
    /// # Errors
    /// When the caller may not read tokens.
    pub async fn acl_token_batch(
        &self,
        options: &QueryOptions,
        accessors: &[String],
    ) -> Result<Reply<Vec<Arc<AclToken>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let found = accessors.iter().filter_map(|id| view.token_by_accessor(id).1).collect();
            Ok(Evaluated::new(view.table_index(&[Table::AclTokens]), found))
        };
        self.read(Read { evaluate, topics: token_topics, rights: Tokens, options }).await
    }

    /// How far what another datacenter decides has arrived here: the leader's word. Needs no right.
    ///
    /// # Errors
    /// When this server does not lead.
    pub async fn acl_replication(
        &self,
        options: &QueryOptions,
    ) -> Result<AclReplication, EndpointError> {
        self.acl_on()?;
        self.may_answer(options).await?;
        Ok(self.replication().lock().clone())
    }
}
