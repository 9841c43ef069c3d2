//! Roles: policies and identities under one name.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::{Table, Topic, View};
use lictor_types::acl::AclRole;
use lictor_types::command::{AclWrite, Refusal};
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};

use crate::acl::fingerprint;
use crate::endpoint::acl::{check_identities, is_role_name, is_uuid, lookup_id};
use crate::endpoint::acl_policy::new_id;
use crate::endpoint::acl_token::policy_links;
use crate::read::Read;
use crate::rights::Only;
use crate::server::Server;

fn topics() -> Vec<Topic> {
    vec![Topic::Table(Table::AclRoles), Topic::Table(Table::AclPolicies)]
}

impl Server {
    /// Roles that have a policy (by ID); all where it is empty.
    ///
    /// # Errors
    /// When the caller may not read them.
    pub async fn acl_role_list(
        &self,
        options: &QueryOptions,
        policy: &str,
    ) -> Result<Reply<Vec<Arc<AclRole>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, roles) = view.roles(policy);
            Ok(Evaluated::new(index, roles))
        };
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// The role with an ID.
    ///
    /// # Errors
    /// When the caller may not read it, or the ID is no UUID.
    pub async fn acl_role_read(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Option<Arc<AclRole>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, found) = view.role(&lookup_id("role", id)?);
            Ok(Evaluated::new(index, found))
        };
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// The role with a name.
    ///
    /// # Errors
    /// When the caller may not read it.
    pub async fn acl_role_read_by_name(
        &self,
        options: &QueryOptions,
        name: &str,
    ) -> Result<Reply<Option<Arc<AclRole>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, found) = view.role_by_name(name);
            Ok(Evaluated::new(index, found))
        };
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// Creates a role, or changes the one with its ID.
    ///
    /// # Errors
    /// When the caller may not, or what is wanted breaks a rule.
    pub async fn acl_role_set(
        &self,
        token: &str,
        mut role: AclRole,
    ) -> Result<Arc<AclRole>, EndpointError> {
        self.acl_writer(token).await?;
        let refused = |text: String| Err(EndpointError::refused(text));
        if role.name.is_empty() {
            return refused("Invalid Role: no Name is set".to_owned());
        }
        if !is_role_name(&role.name) {
            let text = "Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are \
                        allowed";
            return refused(text.to_owned());
        }
        let view = self.view();
        let holder = view.role_by_name(&role.name).1;
        if role.id.is_empty() {
            if holder.is_some() {
                return Err(Refusal::AclNameTaken { what: "Role", name: role.name }.into());
            }
            role.id = new_id(|id| view.role(id).1.is_some());
            role.create_index = 0;
        } else {
            if !is_uuid(&role.id) {
                return refused("Role ID invalid UUID".to_owned());
            }
            role.id.make_ascii_lowercase();
            let Some(old) = view.role(&role.id).1 else {
                return refused(format!("cannot find role {}", role.id));
            };
            if holder.is_some_and(|holder| holder.id != role.id) {
                let name = &role.name;
                return refused(format!("Invalid Role: A role with name {name:?} already exists"));
            }
            role.create_index = old.create_index;
        }
        policy_links(&view, &mut role.policies)?;
        check_identities("role", false, &mut role.service_identities, &mut role.node_identities)?;
        role.hash = fingerprint::role(&role);
        let id = role.id.clone();
        self.acl_write(AclWrite::RoleSet(role)).await?;
        self.view().role(&id).1.ok_or_else(EndpointError::acl_not_found)
    }

    /// Deletes a role; an unknown one is no error.
    ///
    /// # Errors
    /// When the caller may not.
    pub async fn acl_role_delete(&self, token: &str, id: &str) -> Result<(), EndpointError> {
        self.acl_writer(token).await?;
        let id = lookup_id("role", id)?;
        if self.view().role(&id).1.is_none() {
            return Ok(());
        }
        self.acl_write(AclWrite::RoleDelete(id)).await
    }
}
