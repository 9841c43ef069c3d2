//! Ways to log in. Only `jwt` exists; what its settings may say is in [`crate::acl::login`].

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::{Table, Topic, View};
use lictor_types::acl::AclAuthMethod;
use lictor_types::command::AclWrite;
use lictor_types::duration;
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};

use crate::acl::login::{JWT, Validator};
use crate::endpoint::acl::is_policy_name;
use crate::endpoint::acl_token::check_life;
use crate::read::Read;
use crate::rights::Only;
use crate::server::Server;

fn topics() -> Vec<Topic> {
    vec![Topic::Table(Table::AclAuthMethods)]
}

impl Server {
    /// All ways to log in.
    ///
    /// # Errors
    /// When the caller may not read them.
    pub async fn acl_auth_method_list(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Vec<Arc<AclAuthMethod>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, methods) = view.auth_methods();
            Ok(Evaluated::new(index, methods))
        };
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// One way to log in.
    ///
    /// # Errors
    /// When the caller may not read it.
    pub async fn acl_auth_method_read(
        &self,
        options: &QueryOptions,
        name: &str,
    ) -> Result<Reply<Option<Arc<AclAuthMethod>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, found) = view.auth_method(name);
            Ok(Evaluated::new(index, found))
        };
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// Creates a way to log in, or changes the one of that name.
    ///
    /// # Errors
    /// When the caller may not, or what is wanted breaks a rule.
    pub async fn acl_auth_method_set(
        &self,
        token: &str,
        mut method: AclAuthMethod,
    ) -> Result<Arc<AclAuthMethod>, EndpointError> {
        self.acl_writer(token).await?;
        let refused = |text: String| Err(EndpointError::refused(text));
        if method.name.is_empty() {
            return refused("Invalid Auth Method: no Name is set".to_owned());
        }
        if !is_policy_name(&method.name) {
            let text = "Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and \
                        '_' are allowed";
            return refused(text.to_owned());
        }
        let old = self.view().auth_method(&method.name).1;
        if let Some(old) = &old {
            if method.kind.is_empty() {
                method.kind.clone_from(&old.kind);
            } else if method.kind != old.kind {
                return refused("the Type field of an Auth Method is immutable".to_owned());
            }
            // One name for each, in the spelling it was made with.
            method.name.clone_from(&old.name);
        }
        if method.kind != JWT {
            return refused(format!("Invalid Auth Method: Type should be one of: [{JWT}]"));
        }
        if method.max_token_ttl != 0
            && let Err(fault) = check_life(method.max_token_ttl)
        {
            let life = duration::format(method.max_token_ttl);
            return refused(format!("MaxTokenTTL {life} {fault}"));
        }
        if !matches!(&*method.token_locality, "" | "local" | "global") {
            let text = "Invalid Auth Method: TokenLocality should be one of 'local' or 'global'";
            return refused(text.to_owned());
        }
        if let Err(error) = Validator::new(&method) {
            return refused(format!("Invalid Auth Method: {error}"));
        }
        method.create_index = old.map_or(0, |old| old.create_index);
        let name = method.name.clone();
        self.acl_write(AclWrite::AuthMethodSet(method)).await?;
        self.view().auth_method(&name).1.ok_or_else(EndpointError::acl_not_found)
    }

    /// Deletes a way to log in, with its binding rules and the tokens that it made; an unknown one
    /// is no error.
    ///
    /// # Errors
    /// When the caller may not.
    pub async fn acl_auth_method_delete(
        &self,
        token: &str,
        name: &str,
    ) -> Result<(), EndpointError> {
        self.acl_writer(token).await?;
        if self.view().auth_method(name).1.is_none() {
            return Ok(());
        }
        self.acl_write(AclWrite::AuthMethodDelete(name.to_owned())).await
    }
}
