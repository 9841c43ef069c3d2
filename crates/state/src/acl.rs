//! Tokens, policies, roles, ways to log in and what these give; each by all that it is looked for by.
//!
//! Tokens are kept by secret, as the original does: one of 1.2 has no other name until the leader
//! gives it one. Names are looked up without regard to case. Links are by ID: those whose goal is
//! gone or renamed are put right when they are read. Rules are not looked at here.

mod replica;
mod write;

use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use lictor_types::Index;
use lictor_types::acl::{AclAuthMethod, AclBindingRule, AclLink, AclPolicy, AclRole, AclToken};
use lictor_types::timestamp::Timestamp;

use crate::index::{IndexKey, Table};
use crate::view::View;

type Text = Arc<str>;

#[derive(Clone, Debug, Default)]
pub(crate) struct AclTable {
    /// By secret.
    tokens: OrdMap<Text, Arc<AclToken>>,
    /// Accessor in lower case to secret.
    accessors: OrdMap<Text, Text>,
    /// ID of policy, or of role, or name of method in lower case, and secret.
    tokens_by_policy: OrdSet<(Text, Text)>,
    tokens_by_role: OrdSet<(Text, Text)>,
    tokens_by_method: OrdSet<(Text, Text)>,
    /// End and secret.
    tokens_by_end: OrdSet<(Timestamp, Text)>,
    policies: OrdMap<Text, Arc<AclPolicy>>,
    /// Name in lower case to ID.
    policy_names: OrdMap<Text, Text>,
    roles: OrdMap<Text, Arc<AclRole>>,
    role_names: OrdMap<Text, Text>,
    /// ID of policy and of role.
    roles_by_policy: OrdSet<(Text, Text)>,
    /// By name in lower case.
    methods: OrdMap<Text, Arc<AclAuthMethod>>,
    rules: OrdMap<Text, Arc<AclBindingRule>>,
    /// Name of method in lower case, and ID of rule.
    rules_by_method: OrdSet<(Text, Text)>,
}

fn text(name: &str) -> Text {
    name.into()
}

fn lowered(name: &str) -> Text {
    name.to_lowercase().into()
}

/// The second parts of the pairs that begin with `first`.
fn seconds<'a>(set: &'a OrdSet<(Text, Text)>, first: &'a str) -> impl Iterator<Item = &'a Text> {
    set.range((Bound::Included((text(first), text(""))), Bound::Unbounded))
        .take_while(move |(one, _)| **one == *first)
        .map(|(_, second)| second)
}

impl AclTable {
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &Arc<AclToken>> {
        self.tokens.values()
    }

    pub(crate) fn policies(&self) -> impl Iterator<Item = &Arc<AclPolicy>> {
        self.policies.values()
    }

    pub(crate) fn roles(&self) -> impl Iterator<Item = &Arc<AclRole>> {
        self.roles.values()
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = &Arc<AclAuthMethod>> {
        self.methods.values()
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &Arc<AclBindingRule>> {
        self.rules.values()
    }

    pub(crate) fn put_token(&mut self, token: AclToken) {
        self.remove_token(&token.secret_id);
        let secret = text(&token.secret_id);
        if !token.accessor_id.is_empty() {
            self.accessors.insert(lowered(&token.accessor_id), Arc::clone(&secret));
        }
        for link in &token.policies {
            self.tokens_by_policy.insert((text(&link.id), Arc::clone(&secret)));
        }
        for link in &token.roles {
            self.tokens_by_role.insert((text(&link.id), Arc::clone(&secret)));
        }
        if !token.auth_method.is_empty() {
            self.tokens_by_method.insert((lowered(&token.auth_method), Arc::clone(&secret)));
        }
        if let Some(end) = token.expiration_time.filter(|end| end.0 != 0) {
            self.tokens_by_end.insert((end, Arc::clone(&secret)));
        }
        self.tokens.insert(secret, Arc::new(token));
    }

    fn remove_token(&mut self, secret: &str) -> Option<Arc<AclToken>> {
        let (secret, old) = self.tokens.remove_with_key(secret)?;
        self.accessors.remove(&lowered(&old.accessor_id));
        for link in &old.policies {
            self.tokens_by_policy.remove(&(text(&link.id), Arc::clone(&secret)));
        }
        for link in &old.roles {
            self.tokens_by_role.remove(&(text(&link.id), Arc::clone(&secret)));
        }
        self.tokens_by_method.remove(&(lowered(&old.auth_method), Arc::clone(&secret)));
        if let Some(end) = old.expiration_time.filter(|end| end.0 != 0) {
            self.tokens_by_end.remove(&(end, secret));
        }
        Some(old)
    }

    pub(crate) fn put_policy(&mut self, policy: AclPolicy) {
        self.remove_policy(&policy.id);
        let id = text(&policy.id);
        self.policy_names.insert(lowered(&policy.name), Arc::clone(&id));
        self.policies.insert(id, Arc::new(policy));
    }

    fn remove_policy(&mut self, id: &str) -> Option<Arc<AclPolicy>> {
        let old = self.policies.remove(id)?;
        self.policy_names.remove(&lowered(&old.name));
        Some(old)
    }

    pub(crate) fn put_role(&mut self, role: AclRole) {
        self.remove_role(&role.id);
        let id = text(&role.id);
        self.role_names.insert(lowered(&role.name), Arc::clone(&id));
        for link in &role.policies {
            self.roles_by_policy.insert((text(&link.id), Arc::clone(&id)));
        }
        self.roles.insert(id, Arc::new(role));
    }

    fn remove_role(&mut self, id: &str) -> Option<Arc<AclRole>> {
        let (id, old) = self.roles.remove_with_key(id)?;
        self.role_names.remove(&lowered(&old.name));
        for link in &old.policies {
            self.roles_by_policy.remove(&(text(&link.id), Arc::clone(&id)));
        }
        Some(old)
    }

    pub(crate) fn put_method(&mut self, method: AclAuthMethod) {
        self.methods.insert(lowered(&method.name), Arc::new(method));
    }

    pub(crate) fn put_rule(&mut self, rule: AclBindingRule) {
        self.remove_rule(&rule.id);
        let id = text(&rule.id);
        self.rules_by_method.insert((lowered(&rule.auth_method), Arc::clone(&id)));
        self.rules.insert(id, Arc::new(rule));
    }

    fn remove_rule(&mut self, id: &str) -> Option<Arc<AclBindingRule>> {
        let (id, old) = self.rules.remove_with_key(id)?;
        self.rules_by_method.remove(&(lowered(&old.auth_method), id));
        Some(old)
    }

    fn policy_link(&self, link: &AclLink) -> Option<&str> {
        self.policies.get(&*link.id).map(|policy| &*policy.name)
    }

    fn role_link(&self, link: &AclLink) -> Option<&str> {
        self.roles.get(&*link.id).map(|role| &*role.name)
    }

    /// The token with links as they are now.
    fn shown_token(&self, token: &Arc<AclToken>) -> Arc<AclToken> {
        let policies = |link: &AclLink| self.policy_link(link);
        let roles = |link: &AclLink| self.role_link(link);
        if are_true(&token.policies, policies) && are_true(&token.roles, roles) {
            return Arc::clone(token);
        }
        let mut shown = (**token).clone();
        put_right(&mut shown.policies, policies);
        put_right(&mut shown.roles, roles);
        Arc::new(shown)
    }

    fn shown_role(&self, role: &Arc<AclRole>) -> Arc<AclRole> {
        let policies = |link: &AclLink| self.policy_link(link);
        if are_true(&role.policies, policies) {
            return Arc::clone(role);
        }
        let mut shown = (**role).clone();
        put_right(&mut shown.policies, policies);
        Arc::new(shown)
    }
}

fn are_true<'a>(links: &[AclLink], name: impl Fn(&AclLink) -> Option<&'a str>) -> bool {
    links.iter().all(|link| name(link) == Some(&*link.name))
}

/// Corrects names, and removes links that lead nowhere.
fn put_right<'a>(links: &mut Vec<AclLink>, name: impl Fn(&AclLink) -> Option<&'a str>) {
    links.retain_mut(|link| {
        let found = name(link);
        if let Some(name) = found {
            name.clone_into(&mut link.name);
        }
        found.is_some()
    });
}

/// What tokens are asked for; empty texts ask for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenFilter<'a> {
    /// ID of a policy they have.
    pub policy: &'a str,
    /// ID of a role they have.
    pub role: &'a str,
    /// Name of the method that made them.
    pub auth_method: &'a str,
    /// Name of a service whose identity they have.
    pub service: &'a str,
}

/// Tables that decide what a token may do and how it is shown.
pub const TOKEN_TABLES: [Table; 3] = [Table::AclTokens, Table::AclPolicies, Table::AclRoles];

impl View {
    /// The token with this secret.
    #[must_use]
    pub fn token_by_secret(&self, secret: &str) -> (Index, Option<Arc<AclToken>>) {
        let table = &self.tables.acl;
        let found = table.tokens.get(secret).map(|token| table.shown_token(token));
        (self.table_index(&TOKEN_TABLES), found)
    }

    /// The token with this accessor, in whatever case it is written.
    #[must_use]
    pub fn token_by_accessor(&self, accessor: &str) -> (Index, Option<Arc<AclToken>>) {
        match self.tables.acl.accessors.get(&lowered(accessor)) {
            Some(secret) => self.token_by_secret(secret),
            None => (self.table_index(&TOKEN_TABLES), None),
        }
    }

    /// The tokens that a filter lets through. Only one part of it is looked at.
    #[must_use]
    pub fn tokens(&self, filter: TokenFilter<'_>) -> (Index, Vec<Arc<AclToken>>) {
        let table = &self.tables.acl;
        let method = filter.auth_method.to_lowercase();
        let some: Option<Vec<&Text>> = if !filter.policy.is_empty() {
            Some(seconds(&table.tokens_by_policy, filter.policy).collect())
        } else if !filter.role.is_empty() {
            Some(seconds(&table.tokens_by_role, filter.role).collect())
        } else if !method.is_empty() {
            Some(seconds(&table.tokens_by_method, &method).collect())
        } else {
            None
        };
        let rows = match some {
            None if filter.service.is_empty() => {
                table.tokens.values().map(|token| table.shown_token(token)).collect()
            }
            None => {
                let is = |token: &Arc<AclToken>| {
                    token.service_identities.iter().any(|one| one.service_name == filter.service)
                };
                let found = table.tokens.values().filter(|token| is(token));
                found.map(|token| table.shown_token(token)).collect()
            }
            Some(secrets) => {
                let found = secrets.into_iter().filter_map(|secret| table.tokens.get(secret));
                found.map(|token| table.shown_token(token)).collect()
            }
        };
        (self.table_index(&TOKEN_TABLES), rows)
    }

    /// Accessors of tokens whose end came before `now`, the oldest first, and the next end.
    #[must_use]
    pub fn expired_tokens(&self, now: Timestamp, most: usize) -> (Vec<String>, Option<Timestamp>) {
        let table = &self.tables.acl;
        let mut ends = table.tokens_by_end.iter();
        let over = ends.by_ref().take_while(|(end, _)| *end < now).take(most);
        let over = over.filter_map(|(_, secret)| table.tokens.get(secret));
        let over = over.map(|token| token.accessor_id.clone()).collect();
        let next = table.tokens_by_end.iter().map(|(end, _)| *end).find(|end| *end >= now);
        (over, next)
    }

    /// Tokens without an accessor, at most so many.
    #[must_use]
    pub fn tokens_without_accessor(&self, most: usize) -> Vec<Arc<AclToken>> {
        let tokens = self.tables.acl.tokens.values();
        tokens.filter(|token| token.accessor_id.is_empty()).take(most).cloned().collect()
    }

    /// The policy with this ID.
    #[must_use]
    pub fn policy(&self, id: &str) -> (Index, Option<Arc<AclPolicy>>) {
        (self.table_index(&[Table::AclPolicies]), self.tables.acl.policies.get(id).cloned())
    }

    /// The policy with this name.
    #[must_use]
    pub fn policy_by_name(&self, name: &str) -> (Index, Option<Arc<AclPolicy>>) {
        let id = self.tables.acl.policy_names.get(&*name.to_lowercase());
        self.policy(id.map_or("", |id| &**id))
    }

    /// All policies in ID order.
    #[must_use]
    pub fn policies(&self) -> (Index, Vec<Arc<AclPolicy>>) {
        let rows = self.tables.acl.policies().cloned().collect();
        (self.table_index(&[Table::AclPolicies]), rows)
    }

    /// The role with this ID.
    #[must_use]
    pub fn role(&self, id: &str) -> (Index, Option<Arc<AclRole>>) {
        let table = &self.tables.acl;
        let found = table.roles.get(id).map(|role| table.shown_role(role));
        (self.table_index(&[Table::AclRoles, Table::AclPolicies]), found)
    }

    /// The role with this name.
    #[must_use]
    pub fn role_by_name(&self, name: &str) -> (Index, Option<Arc<AclRole>>) {
        let id = self.tables.acl.role_names.get(&*name.to_lowercase());
        self.role(id.map_or("", |id| &**id))
    }

    /// The roles that have a policy; all roles in ID order where it is empty.
    #[must_use]
    pub fn roles(&self, policy: &str) -> (Index, Vec<Arc<AclRole>>) {
        let table = &self.tables.acl;
        let rows = if policy.is_empty() {
            table.roles().map(|role| table.shown_role(role)).collect()
        } else {
            let found = seconds(&table.roles_by_policy, policy);
            let found = found.filter_map(|id| table.roles.get(id));
            found.map(|role| table.shown_role(role)).collect()
        };
        (self.table_index(&[Table::AclRoles, Table::AclPolicies]), rows)
    }

    /// The way to log in with this name.
    #[must_use]
    pub fn auth_method(&self, name: &str) -> (Index, Option<Arc<AclAuthMethod>>) {
        let found = self.tables.acl.methods.get(&*name.to_lowercase()).cloned();
        (self.table_index(&[Table::AclAuthMethods]), found)
    }

    /// All ways to log in, by name.
    #[must_use]
    pub fn auth_methods(&self) -> (Index, Vec<Arc<AclAuthMethod>>) {
        let rows = self.tables.acl.methods().cloned().collect();
        (self.table_index(&[Table::AclAuthMethods]), rows)
    }

    /// One binding rule.
    #[must_use]
    pub fn binding_rule(&self, id: &str) -> (Index, Option<Arc<AclBindingRule>>) {
        (self.table_index(&[Table::AclBindingRules]), self.tables.acl.rules.get(id).cloned())
    }

    /// The binding rules of a method; all in ID order where it is empty.
    #[must_use]
    pub fn binding_rules(&self, method: &str) -> (Index, Vec<Arc<AclBindingRule>>) {
        let table = &self.tables.acl;
        let rows = if method.is_empty() {
            table.rules().cloned().collect()
        } else {
            let method = method.to_lowercase();
            let found = seconds(&table.rules_by_method, &method);
            found.filter_map(|id| table.rules.get(id).cloned()).collect()
        };
        (self.table_index(&[Table::AclBindingRules]), rows)
    }

    /// Index at which the first token with all rights was made; `None` when it may still be.
    #[must_use]
    pub fn acl_bootstrap_index(&self) -> Option<Index> {
        self.tables.indexes.get(&IndexKey::AclBootstrap)
    }
}
