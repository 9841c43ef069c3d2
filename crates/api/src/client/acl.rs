//! Calls of `/v1/acl`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Client, ClientError, Method, ReadOptions, Request};
use crate::acl::{AclPolicy, AclPolicyStub, AclRole, AclToken, AgentToken};
use crate::acl_auth::{AuthMethod, BindingRule, Login};
use crate::url;

/// Which tokens are listed; empty texts ask for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenQuery<'a> {
    /// ID of a policy they have.
    pub policy: &'a str,
    /// ID of a role they have.
    pub role: &'a str,
    /// Method that made them.
    pub auth_method: &'a str,
}

/// Where an object of a kind is.
fn place(kind: &str, id: &str) -> String {
    if id.is_empty() {
        format!("/v1/acl/{kind}")
    } else {
        url::path(&format!("/v1/acl/{kind}/"), id)
    }
}

impl Client {
    async fn acl_put<T: DeserializeOwned>(
        &self,
        kind: &str,
        id: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.call_json(self.put(&place(kind, id)).json(body)?).await
    }

    async fn acl_delete(&self, kind: &str, id: &str) -> Result<(), ClientError> {
        self.call(self.request(Method::DELETE, &place(kind, id))).await.map(drop)
    }

    fn acl_get(&self, path: &str, options: ReadOptions) -> Request {
        self.read(path, options)
    }

    /// Makes the first token with all rights.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_bootstrap(&self) -> Result<AclToken, ClientError> {
        self.call_json(self.put("/v1/acl/bootstrap")).await
    }

    /// Tokens.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_tokens(
        &self,
        query: TokenQuery<'_>,
        options: ReadOptions,
    ) -> Result<Vec<AclToken>, ClientError> {
        let mut request = self.acl_get("/v1/acl/tokens", options);
        let pairs =
            [("policy", query.policy), ("role", query.role), ("authmethod", query.auth_method)];
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            request = request.pair(name, value);
        }
        self.call_json(request).await
    }

    /// One token by accessor, or the own one where it is `self`.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_token(
        &self,
        accessor: &str,
        options: ReadOptions,
    ) -> Result<AclToken, ClientError> {
        self.call_json(self.acl_get(&place("token", accessor), options)).await
    }

    /// Creates a token.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_token_create(&self, token: &AclToken) -> Result<AclToken, ClientError> {
        self.acl_put("token", "", token).await
    }

    /// Changes the token with the same accessor.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_token_update(&self, token: &AclToken) -> Result<AclToken, ClientError> {
        self.acl_put("token", &token.accessor_id, token).await
    }

    /// Copies a token.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_token_clone(
        &self,
        accessor: &str,
        description: &str,
    ) -> Result<AclToken, ClientError> {
        let body = AclToken { description: description.to_owned(), ..AclToken::default() };
        let path = format!("{}/clone", place("token", accessor));
        self.call_json(self.put(&path).json(&body)?).await
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_token_delete(&self, accessor: &str) -> Result<(), ClientError> {
        self.acl_delete("token", accessor).await
    }

    /// All policies, without their rules.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_policies(
        &self,
        options: ReadOptions,
    ) -> Result<Vec<AclPolicyStub>, ClientError> {
        self.call_json(self.acl_get("/v1/acl/policies", options)).await
    }

    /// One policy by ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_policy(
        &self,
        id: &str,
        options: ReadOptions,
    ) -> Result<AclPolicy, ClientError> {
        self.call_json(self.acl_get(&place("policy", id), options)).await
    }

    /// One policy by name.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_policy_by_name(
        &self,
        name: &str,
        options: ReadOptions,
    ) -> Result<AclPolicy, ClientError> {
        self.call_json(self.acl_get(&place("policy/name", name), options)).await
    }

    /// Creates a policy, or changes the one with its ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_policy_set(&self, policy: &AclPolicy) -> Result<AclPolicy, ClientError> {
        self.acl_put("policy", &policy.id, policy).await
    }

    /// Deletes a policy.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_policy_delete(&self, id: &str) -> Result<(), ClientError> {
        self.acl_delete("policy", id).await
    }

    /// All roles.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_roles(&self, options: ReadOptions) -> Result<Vec<AclRole>, ClientError> {
        self.call_json(self.acl_get("/v1/acl/roles", options)).await
    }

    /// One role by ID; `None` when there is none.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_role(
        &self,
        id: &str,
        options: ReadOptions,
    ) -> Result<Option<AclRole>, ClientError> {
        self.acl_found(self.acl_get(&place("role", id), options)).await
    }

    /// One role by name; `None` when there is none.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_role_by_name(
        &self,
        name: &str,
        options: ReadOptions,
    ) -> Result<Option<AclRole>, ClientError> {
        self.acl_found(self.acl_get(&place("role/name", name), options)).await
    }

    async fn acl_found<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<Option<T>, ClientError> {
        let response = self.send(request).await?;
        if response.status == 404 {
            return Ok(None);
        }
        Ok(Some(response.expect_ok()?.json()?))
    }

    /// Creates a role, or changes the one with its ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_role_set(&self, role: &AclRole) -> Result<AclRole, ClientError> {
        self.acl_put("role", &role.id, role).await
    }

    /// Deletes a role.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_role_delete(&self, id: &str) -> Result<(), ClientError> {
        self.acl_delete("role", id).await
    }

    /// All ways to log in, without their settings.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_auth_methods(
        &self,
        options: ReadOptions,
    ) -> Result<Vec<AuthMethod>, ClientError> {
        self.call_json(self.acl_get("/v1/acl/auth-methods", options)).await
    }

    /// One way to log in; `None` when there is none of that name.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_auth_method(
        &self,
        name: &str,
        options: ReadOptions,
    ) -> Result<Option<AuthMethod>, ClientError> {
        self.acl_found(self.acl_get(&place("auth-method", name), options)).await
    }

    /// Creates a way to log in.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_auth_method_create(
        &self,
        method: &AuthMethod,
    ) -> Result<AuthMethod, ClientError> {
        self.acl_put("auth-method", "", method).await
    }

    /// Changes the way to log in with the same name.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_auth_method_update(
        &self,
        method: &AuthMethod,
    ) -> Result<AuthMethod, ClientError> {
        self.acl_put("auth-method", &method.name, method).await
    }

    /// Deletes a way to log in.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_auth_method_delete(&self, name: &str) -> Result<(), ClientError> {
        self.acl_delete("auth-method", name).await
    }

    /// Binding rules of a method; all where it is empty.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_binding_rules(
        &self,
        method: &str,
        options: ReadOptions,
    ) -> Result<Vec<BindingRule>, ClientError> {
        let mut request = self.acl_get("/v1/acl/binding-rules", options);
        if !method.is_empty() {
            request = request.pair("authmethod", method);
        }
        self.call_json(request).await
    }

    /// One binding rule; `None` when there is none.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_binding_rule(
        &self,
        id: &str,
        options: ReadOptions,
    ) -> Result<Option<BindingRule>, ClientError> {
        self.acl_found(self.acl_get(&place("binding-rule", id), options)).await
    }

    /// Creates a binding rule, or changes the one with its ID.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_binding_rule_set(
        &self,
        rule: &BindingRule,
    ) -> Result<BindingRule, ClientError> {
        self.acl_put("binding-rule", &rule.id, rule).await
    }

    /// Deletes a binding rule.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_binding_rule_delete(&self, id: &str) -> Result<(), ClientError> {
        self.acl_delete("binding-rule", id).await
    }

    /// Logs in; gives the token.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_login(&self, login: &Login) -> Result<AclToken, ClientError> {
        let request = self.request(Method::POST, "/v1/acl/login");
        self.call_json(request.json(login)?).await
    }

    /// Deletes the own token, which a login made.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_logout(&self) -> Result<(), ClientError> {
        self.call(self.request(Method::POST, "/v1/acl/logout")).await.map(drop)
    }

    /// Rules of 1.2 in the language of today.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_translate_rules(&self, rules: &str) -> Result<String, ClientError> {
        let request = self.request(Method::POST, "/v1/acl/rules/translate");
        let answer = self.call(request.body(rules.to_owned())).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// The same of the rules that a token of 1.2 has.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn acl_translate_token(&self, accessor: &str) -> Result<String, ClientError> {
        let answer = self.call(self.get(&place("rules/translate", accessor))).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Sets one of the agent's own tokens: `default`, `agent`, …
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn agent_token_set(&self, kind: &str, secret: &str) -> Result<(), ClientError> {
        let request = self.put(&url::path("/v1/agent/token/", kind));
        let body = AgentToken { token: secret.to_owned() };
        self.call(request.json(&body)?).await.map(drop)
    }
}
