//! Policies: named rules.

use std::sync::Arc;

use lictor_acl::{Authorizer, Rules};
use lictor_state::{Table, Topic, View};
use lictor_types::acl::{AclPolicy, GLOBAL_MANAGEMENT_ID, RESERVED_PREFIX};
use lictor_types::command::{AclWrite, Refusal};
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};

use crate::acl::fingerprint;
use crate::endpoint::acl::{is_policy_name, is_uuid, lookup_id};
use crate::read::Read;
use crate::rights::Only;
use crate::server::Server;

fn topics() -> Vec<Topic> {
    vec![Topic::Table(Table::AclPolicies)]
}

impl Server {
    /// All policies.
    ///
    /// # Errors
    /// When the caller may not read them.
    pub async fn acl_policy_list(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Vec<Arc<AclPolicy>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, policies) = view.policies();
            Ok(Evaluated::new(index, policies))
        };
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// The policy with an ID.
    ///
    /// # Errors
    /// When the caller may not read it, or the ID is no UUID.
    pub async fn acl_policy_read(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Option<Arc<AclPolicy>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, found) = view.policy(&lookup_id("policy", id)?);
            Ok(Evaluated::new(index, found))
        };
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// The policy with a name.
    ///
    /// # Errors
    /// When the caller may not read it.
    pub async fn acl_policy_read_by_name(
        &self,
        options: &QueryOptions,
        name: &str,
    ) -> Result<Reply<Option<Arc<AclPolicy>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, found) = view.policy_by_name(name);
            Ok(Evaluated::new(index, found))
        };
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// Creates a policy, or changes the one with its ID.
    ///
    /// # Errors
    /// When the caller may not, or what is wanted breaks a rule.
    pub async fn acl_policy_set(
        &self,
        token: &str,
        mut policy: AclPolicy,
    ) -> Result<Arc<AclPolicy>, EndpointError> {
        self.acl_writer(token).await?;
        let refused = |text: String| Err(EndpointError::refused(text));
        if policy.name.is_empty() {
            return refused("Invalid Policy: no Name is set".to_owned());
        }
        if !is_policy_name(&policy.name) {
            let text = "Invalid Policy: invalid Name. Only alphanumeric characters, '-' and '_' \
                        are allowed";
            return refused(text.to_owned());
        }
        let view = self.view();
        let holder = view.policy_by_name(&policy.name).1;
        if policy.id.is_empty() {
            if holder.is_some() {
                return Err(Refusal::AclNameTaken { what: "Policy", name: policy.name }.into());
            }
            policy.id = new_id(|id| view.policy(id).1.is_some());
            policy.create_index = 0;
        } else {
            if !is_uuid(&policy.id) {
                return refused("Policy ID invalid UUID".to_owned());
            }
            policy.id.make_ascii_lowercase();
            let Some(old) = view.policy(&policy.id).1 else {
                return refused(format!("cannot find policy {}", policy.id));
            };
            if holder.is_some_and(|holder| holder.id != policy.id) {
                let name = &policy.name;
                return refused(format!(
                    "Invalid Policy: A policy with name {name:?} already exists"
                ));
            }
            if policy.id == GLOBAL_MANAGEMENT_ID {
                let what = if !policy.datacenters.is_empty() {
                    Some("Datacenters of")
                } else if policy.rules != old.rules {
                    Some("Rules for")
                } else {
                    None
                };
                if let Some(what) = what {
                    return refused(format!(
                        "Changing the {what} the builtin global-management policy is not permitted"
                    ));
                }
            }
            policy.create_index = old.create_index;
        }
        Rules::parse(&policy.rules).map_err(|error| EndpointError::refused(error.to_string()))?;
        policy.hash = fingerprint::policy(&policy);
        let id = policy.id.clone();
        self.acl_write(AclWrite::PolicySet(policy)).await?;
        self.view().policy(&id).1.ok_or_else(EndpointError::acl_not_found)
    }

    /// Deletes a policy; an unknown one is no error.
    ///
    /// # Errors
    /// When the caller may not, or the policy is built in.
    pub async fn acl_policy_delete(&self, token: &str, id: &str) -> Result<(), EndpointError> {
        self.acl_writer(token).await?;
        let id = lookup_id("policy", id)?;
        if self.view().policy(&id).1.is_none() {
            return Ok(());
        }
        if id == GLOBAL_MANAGEMENT_ID {
            let text = "Delete operation not permitted on the builtin global-management policy";
            return Err(EndpointError::refused(text));
        }
        self.acl_write(AclWrite::PolicyDelete(id)).await
    }
}

/// A random ID that nothing has and that is not kept for built-in things.
pub(crate) fn new_id(taken: impl Fn(&str) -> bool) -> String {
    loop {
        let id = uuid::Uuid::new_v4().to_string();
        if !id.starts_with(RESERVED_PREFIX) && !taken(&id) {
            return id;
        }
    }
}
