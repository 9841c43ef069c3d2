//! Access control: policies, roles, ways to log in, and who decides. Tokens are in `acl_token`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_server::Server;
use lictor_types::acl::{AclAuthMethod, AclBindingRule, AclPolicy, AclQuestion, AclRole, AclToken};
use lictor_types::error::EndpointError;
use lictor_types::query::{QueryOptions, Reply};
use lictor_wire::acl::{
    self, Decided, LoginArgs, MethodChange, MethodName, OfMethod, PolicyArgs, PolicyChange,
    PolicyId, Questions, RoleArgs, RoleChange, RoleId, RuleChange, RuleId, WithPolicy,
};

use super::acl_token;
use crate::away::{Serving, WriteOptions, answers, read, write};
use crate::servers::Servers;

/// Why there are no ways to log in here.
const NEEDS_TOKENS: &str =
    "Token replication is required for auth methods to function in secondary datacenters";

/// Declares reads that are answered here or elsewhere.
macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $value:ty
        = $method:ty, $args:expr;)+) => {
        impl Servers { $(
            $(#[$doc])*
            ///
            /// # Errors
            /// See [`Servers::kv_get`].
            pub async fn $name(
                &self,
                options: &QueryOptions,
                $($arg: $type),*
            ) -> Result<Reply<$value>, EndpointError> {
                read!(self, options, |server| server.$name(options, $($arg),*), $method, $args)
            }
        )+ }
    };
}

reads! {
    /// All policies, without their rules.
    acl_policy_list() -> Vec<Arc<AclPolicy>> = acl::PolicyList, ();
    /// A policy.
    acl_policy_read(id: &str) -> Option<Arc<AclPolicy>> =
        acl::PolicyRead, PolicyArgs { id: id.to_owned(), ..PolicyArgs::default() };
    /// A policy by its name.
    acl_policy_read_by_name(name: &str) -> Option<Arc<AclPolicy>> =
        acl::PolicyRead, PolicyArgs { name: name.to_owned(), ..PolicyArgs::default() };
    /// All roles, or those with a policy.
    acl_role_list(policy: &str) -> Vec<Arc<AclRole>> =
        acl::RoleList, WithPolicy { policy: policy.to_owned() };
    /// A role.
    acl_role_read(id: &str) -> Option<Arc<AclRole>> =
        acl::RoleRead, RoleArgs { id: id.to_owned(), ..RoleArgs::default() };
    /// A role by its name.
    acl_role_read_by_name(name: &str) -> Option<Arc<AclRole>> =
        acl::RoleRead, RoleArgs { name: name.to_owned(), ..RoleArgs::default() };
    /// All ways to log in.
    acl_auth_method_list() -> Vec<Arc<AclAuthMethod>> = acl::AuthMethodList, ();
    /// A way to log in.
    acl_auth_method_read(name: &str) -> Option<Arc<AclAuthMethod>> =
        acl::AuthMethodRead, MethodName { name: name.to_owned() };
    /// All binding rules, or those of a method.
    acl_binding_rule_list(method: &str) -> Vec<Arc<AclBindingRule>> =
        acl::BindingRuleList, OfMethod { method: method.to_owned() };
    /// A binding rule.
    acl_binding_rule_read(id: &str) -> Option<Arc<AclBindingRule>> =
        acl::BindingRuleRead, RuleId { id: id.to_owned() };
}

/// Declares writes that are carried out here or elsewhere.
macro_rules! writes {
    ($place:ident: $($(#[$doc:meta])* $name:ident($arg:ident: $type:ty) -> $value:ty
        = $here:expr, $method:ty, $args:expr, |$reply:ident| $shown:expr;)+) => {
        impl Servers { $(
            $(#[$doc])*
            ///
            /// # Errors
            /// See [`Servers::kv_apply`].
            pub async fn $name(
                &self,
                to: &WriteOptions,
                $arg: $type,
            ) -> Result<$value, EndpointError> {
                let to = &*self.$place(to)?;
                write!(self, to, |server| server.$name(&to.token, $here), $method, $args,
                    |$reply| $shown)
            }
        )+ }
    };
}

writes! { everywhere:
    /// Creates or changes a policy.
    acl_policy_set(policy: AclPolicy) -> Arc<AclPolicy> = policy.clone(),
        acl::PolicySet, PolicyChange { policy: policy.clone() }, |made| made;
    /// Deletes a policy.
    acl_policy_delete(id: &str) -> () = id,
        acl::PolicyDelete, PolicyId { id: id.to_owned() }, |_name| ();
    /// Creates or changes a role.
    acl_role_set(role: AclRole) -> Arc<AclRole> = role.clone(),
        acl::RoleSet, RoleChange { role: role.clone() }, |made| made;
    /// Deletes a role.
    acl_role_delete(id: &str) -> () = id,
        acl::RoleDelete, RoleId { id: id.to_owned() }, |_name| ();
}

writes! { where_tokens_are:
    /// Creates or changes a way to log in.
    acl_auth_method_set(method: AclAuthMethod) -> Arc<AclAuthMethod> = method.clone(),
        acl::AuthMethodSet, MethodChange { method: method.clone() }, |made| made;
    /// Deletes a way to log in.
    acl_auth_method_delete(name: &str) -> () = name,
        acl::AuthMethodDelete, MethodName { name: name.to_owned() }, |_done| ();
    /// Creates or changes a binding rule.
    acl_binding_rule_set(rule: AclBindingRule) -> Arc<AclBindingRule> = rule.clone(),
        acl::BindingRuleSet, RuleChange { rule: rule.clone() }, |made| made;
    /// Deletes a binding rule.
    acl_binding_rule_delete(id: &str) -> () = id,
        acl::BindingRuleDelete, RuleId { id: id.to_owned() }, |_done| ();
}

impl Servers {
    /// Policies and roles are the same everywhere.
    fn everywhere<'a>(&self, to: &'a WriteOptions) -> Result<Cow<'a, WriteOptions>, EndpointError> {
        Ok(self.of_access(to))
    }

    /// Whoever logs in gets a token of this datacenter.
    fn where_tokens_are<'a>(
        &self,
        to: &'a WriteOptions,
    ) -> Result<Cow<'a, WriteOptions>, EndpointError> {
        if self.check_own(&to.datacenter).is_ok() && !self.keeps_tokens() {
            return Err(EndpointError::refused(NEEDS_TOKENS));
        }
        Ok(Cow::Borrowed(to))
    }

    /// Makes a token for whoever a method vouches for.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn acl_login(
        &self,
        datacenter: &str,
        method: &str,
        bearer: &str,
        meta: &BTreeMap<String, String>,
    ) -> Result<Arc<AclToken>, EndpointError> {
        let to = &WriteOptions { datacenter: datacenter.to_owned(), ..WriteOptions::default() };
        let to = &*self.where_tokens_are(to)?;
        let args = || LoginArgs {
            method: method.to_owned(),
            bearer: bearer.to_owned(),
            meta: meta.clone(),
        };
        write!(self, to, |server| server.acl_login(method, bearer, meta), acl::Login, args())
    }

    /// Ends the caller's token, which a login made.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn acl_logout(&self, to: &WriteOptions) -> Result<(), EndpointError> {
        let to = &*self.where_tokens_are(to)?;
        let to = &*self.unless_local(to, |server| server.is_local_secret(&to.token));
        write!(self, to, |server| server.acl_logout(&to.token), acl::Logout, (), |_done| ())
    }

    /// Rules of 1.2 in the language of today, for those who may read tokens.
    ///
    /// # Errors
    /// When the caller may not, or they cannot be understood.
    pub async fn acl_translate(&self, token: &str, rules: &str) -> Result<String, EndpointError> {
        if !self.authorizer(token).await?.acl_read() {
            return Err(EndpointError::permission_denied());
        }
        lictor_acl::translate(rules).map_err(|error| EndpointError::bad_request(error.to_string()))
    }

    /// Rules of a token of 1.2 in the language of today.
    ///
    /// # Errors
    /// When the token has none, or they cannot be understood.
    pub fn acl_translate_token(&self, token: &AclToken) -> Result<String, EndpointError> {
        if token.rules.is_empty() {
            let text = "The specified token does not have any rules set";
            return Err(EndpointError::refused(text));
        }
        lictor_acl::translate(&token.rules).map_err(|error| {
            EndpointError::refused(format!("Failed to parse legacy rules: {error}"))
        })
    }

    /// Decides many questions about one token.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn acl_authorize(
        &self,
        options: &QueryOptions,
        questions: &[AclQuestion],
    ) -> Result<Vec<bool>, EndpointError> {
        let here = async |server: &Server| {
            self.check_own(&options.datacenter)?;
            server.acl_authorize(&options.token, questions)
        };
        let args = || Questions { questions: questions.to_vec() };
        read!(self, options, |server| here(server), acl::Authorize, args(), |decided| decided
            .iter()
            .map(|one| one.allow)
            .collect())
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    let to = |datacenter: String, token: String| WriteOptions { datacenter, token };
    if method.contains("Token") {
        return acl_token::serve(servers, method, body);
    }
    answers! { method, body;
        acl::PolicyList, r => servers.acl_policy_list(&r.options);
        acl::PolicyRead, r => async {
            match r.args.name.is_empty() {
                true => servers.acl_policy_read(&r.options, &r.args.id).await,
                false => servers.acl_policy_read_by_name(&r.options, &r.args.name).await,
            }
        };
        acl::PolicySet, r => async {
            servers.acl_policy_set(&to(r.datacenter, r.token), r.args.policy).await
        };
        acl::PolicyDelete, r => async {
            let to = to(r.datacenter, r.token);
            servers.acl_policy_delete(&to, &r.args.id).await.map(|()| String::new())
        };
        acl::RoleList, r => servers.acl_role_list(&r.options, &r.args.policy);
        acl::RoleRead, r => async {
            match r.args.name.is_empty() {
                true => servers.acl_role_read(&r.options, &r.args.id).await,
                false => servers.acl_role_read_by_name(&r.options, &r.args.name).await,
            }
        };
        acl::RoleSet, r => async {
            servers.acl_role_set(&to(r.datacenter, r.token), r.args.role).await
        };
        acl::RoleDelete, r => async {
            let to = to(r.datacenter, r.token);
            servers.acl_role_delete(&to, &r.args.id).await.map(|()| String::new())
        };
        acl::AuthMethodList, r => servers.acl_auth_method_list(&r.options);
        acl::AuthMethodRead, r => servers.acl_auth_method_read(&r.options, &r.args.name);
        acl::AuthMethodSet, r => async {
            servers.acl_auth_method_set(&to(r.datacenter, r.token), r.args.method).await
        };
        acl::AuthMethodDelete, r => async {
            let to = to(r.datacenter, r.token);
            servers.acl_auth_method_delete(&to, &r.args.name).await.map(|()| true)
        };
        acl::BindingRuleList, r => servers.acl_binding_rule_list(&r.options, &r.args.method);
        acl::BindingRuleRead, r => servers.acl_binding_rule_read(&r.options, &r.args.id);
        acl::BindingRuleSet, r => async {
            servers.acl_binding_rule_set(&to(r.datacenter, r.token), r.args.rule).await
        };
        acl::BindingRuleDelete, r => async {
            let to = to(r.datacenter, r.token);
            servers.acl_binding_rule_delete(&to, &r.args.id).await.map(|()| true)
        };
        acl::Authorize, r => async {
            let allowed = servers.acl_authorize(&r.options, &r.args.questions).await?;
            let decided = r.args.questions.into_iter().zip(allowed);
            let decided = decided.map(|(question, allow)| Decided { question, allow });
            Ok::<_, EndpointError>(decided.collect::<Vec<_>>())
        };
        acl::Login, r => async {
            let LoginArgs { method, bearer, meta } = &r.args;
            servers.acl_login(&r.datacenter, method, bearer, meta).await
        };
        acl::Logout, r => async {
            servers.acl_logout(&to(r.datacenter, r.token)).await.map(|()| true)
        };
    }
}
