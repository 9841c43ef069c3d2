//! Binding rules: what those get who log in.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::{Table, Topic, View};
use lictor_types::acl::AclBindingRule;
use lictor_types::command::AclWrite;
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};

use crate::acl::login::{Identity, LoginError, Validator};
use crate::endpoint::acl::{is_identity_name, is_role_name, is_uuid, lookup_id};
use crate::endpoint::acl_policy::new_id;
use crate::read::Read;
use crate::rights::Only;
use crate::server::Server;

fn topics() -> Vec<Topic> {
    vec![Topic::Table(Table::AclBindingRules)]
}

/// What those get whom a rule concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    Service,
    Node,
    Role,
}

impl Bind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "service" => Some(Self::Service),
            "node" => Some(Self::Node),
            "role" => Some(Self::Role),
            _ => None,
        }
    }

    /// The name for an identity, and whether it is one that can be had.
    pub(crate) fn name(
        self,
        template: &str,
        identity: &Identity,
    ) -> Result<(String, bool), LoginError> {
        let name = identity.fill_in(template)?;
        let valid = match self {
            Self::Service | Self::Node => is_identity_name(&name),
            Self::Role => is_role_name(&name),
        };
        Ok((name, valid))
    }
}

impl Server {
    /// Binding rules of a method; all where it is empty.
    ///
    /// # Errors
    /// When the caller may not read them.
    pub async fn acl_binding_rule_list(
        &self,
        options: &QueryOptions,
        method: &str,
    ) -> Result<Reply<Vec<Arc<AclBindingRule>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, rules) = view.binding_rules(method);
            Ok(Evaluated::new(index, rules))
        };
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// One binding rule.
    ///
    /// # Errors
    /// When the caller may not read it, or the ID is no UUID.
    pub async fn acl_binding_rule_read(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Option<Arc<AclBindingRule>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, found) = view.binding_rule(&lookup_id("binding rule", id)?);
            Ok(Evaluated::new(index, found))
        };
        self.read(Read { evaluate, topics, rights: Only(Authorizer::acl_read), options }).await
    }

    /// Creates a binding rule, or changes the one with its ID.
    ///
    /// # Errors
    /// When the caller may not, or what is wanted breaks a rule.
    pub async fn acl_binding_rule_set(
        &self,
        token: &str,
        mut rule: AclBindingRule,
    ) -> Result<Arc<AclBindingRule>, EndpointError> {
        self.acl_writer(token).await?;
        let refused = |text: String| Err(EndpointError::refused(text));
        let invalid = |why: &str| refused(format!("Invalid Binding Rule: {why}"));
        let view = self.view();
        if rule.id.is_empty() {
            rule.id = new_id(|id| view.binding_rule(id).1.is_some());
            rule.create_index = 0;
        } else {
            if !is_uuid(&rule.id) {
                return refused("Binding Rule ID invalid UUID".to_owned());
            }
            rule.id.make_ascii_lowercase();
            let Some(old) = view.binding_rule(&rule.id).1 else {
                return refused(format!("cannot find binding rule {}", rule.id));
            };
            if rule.auth_method.is_empty() {
                rule.auth_method.clone_from(&old.auth_method);
            } else if !rule.auth_method.eq_ignore_ascii_case(&old.auth_method) {
                let text = "the AuthMethod field of an Binding Rule is immutable";
                return refused(text.to_owned());
            }
            rule.create_index = old.create_index;
        }
        if rule.auth_method.is_empty() {
            return invalid("no AuthMethod is set");
        }
        let Some(method) = view.auth_method(&rule.auth_method).1 else {
            let name = &rule.auth_method;
            return refused(format!("cannot find auth method with name {name:?}"));
        };
        let blank = Validator::new(&method)
            .map_err(|error| EndpointError::refused(error.to_string()))?
            .blank();
        if let Err(error) = blank.is_selected_by(&rule.selector) {
            return refused(format!("invalid Binding Rule: Selector is invalid: {error}"));
        }
        if rule.bind_type.is_empty() {
            return invalid("no BindType is set");
        }
        if rule.bind_name.is_empty() {
            return invalid("no BindName is set");
        }
        let Some(bind) = Bind::parse(&rule.bind_type) else {
            return invalid(&format!("unknown BindType {:?}", rule.bind_type));
        };
        // Any value will do to find out whether the rest of the name is in order.
        let mut sample = blank;
        sample.values.values_mut().for_each(|value| "fake".clone_into(value));
        match bind.name(&rule.bind_name, &sample) {
            Ok((_, true)) => {}
            Ok((_, false)) => return invalid("invalid BindName"),
            Err(error) => return invalid(&format!("invalid BindName: {error}")),
        }
        let id = rule.id.clone();
        self.acl_write(AclWrite::BindingRuleSet(rule)).await?;
        self.view().binding_rule(&id).1.ok_or_else(EndpointError::acl_not_found)
    }

    /// Deletes a binding rule; an unknown one is no error.
    ///
    /// # Errors
    /// When the caller may not.
    pub async fn acl_binding_rule_delete(
        &self,
        token: &str,
        id: &str,
    ) -> Result<(), EndpointError> {
        self.acl_writer(token).await?;
        let id = lookup_id("binding rule", id)?;
        if self.view().binding_rule(&id).1.is_none() {
            return Ok(());
        }
        self.acl_write(AclWrite::BindingRuleDelete(id)).await
    }
}
