//! Access control of the simple model: everything is found by looking at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_types::Index;
use lictor_types::acl::{AclAuthMethod, AclBindingRule, AclLink, AclPolicy, AclRole, AclToken};
use lictor_types::command::{AclReplica, AclWrite, Refusal};
use lictor_types::timestamp::Timestamp;

use crate::naive::Naive;
use crate::queries::{AclQuery, Answer};

#[derive(Clone, Debug, Default)]
pub(crate) struct NaiveAcl {
    /// By secret.
    pub(crate) tokens: BTreeMap<String, AclToken>,
    pub(crate) policies: BTreeMap<String, AclPolicy>,
    pub(crate) roles: BTreeMap<String, AclRole>,
    /// By name in lower case.
    pub(crate) methods: BTreeMap<String, AclAuthMethod>,
    pub(crate) rules: BTreeMap<String, AclBindingRule>,
    bootstrapped: Option<Index>,
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn raced(what: &'static str, id: &str) -> Refusal {
    Refusal::AclRaced { what, id: id.to_owned() }
}

fn no_such(what: &'static str, by: &'static str, id: &str) -> Refusal {
    Refusal::AclNoSuch { what, by, id: id.to_owned() }
}

impl Naive {
    pub(crate) fn acl_write(&mut self, write: &AclWrite) -> Result<(), Refusal> {
        match write {
            AclWrite::TokenSet(token) => self.token(token, false)?,
            AclWrite::Login(token) => self.token(token, true)?,
            AclWrite::Bootstrap { token, reset_index } => {
                match self.acl.bootstrapped {
                    Some(_) if *reset_index == 0 => return Err(Refusal::AclBootstrapDone),
                    Some(done) if done != *reset_index => return Err(Refusal::AclBootstrapIndex),
                    _ => self.token(token, false)?,
                }
                self.acl.bootstrapped = Some(self.index);
            }
            AclWrite::TokenDelete(accessor) => {
                self.acl.tokens.retain(|_, token| !same(&token.accessor_id, accessor));
            }
            AclWrite::TokensDelete(accessors) => {
                self.acl
                    .tokens
                    .retain(|_, token| !accessors.iter().any(|one| same(one, &token.accessor_id)));
            }
            AclWrite::TokensUpgrade(tokens) => self.upgrade(tokens),
            AclWrite::Replicate(replica) => self.replicate(replica),
            AclWrite::PolicySet(policy) => self.policy(policy)?,
            AclWrite::PolicyDelete(id) => drop(self.acl.policies.remove(id)),
            AclWrite::RoleSet(role) => self.role(role)?,
            AclWrite::RoleDelete(id) => drop(self.acl.roles.remove(id)),
            AclWrite::AuthMethodSet(method) => {
                let old = self.acl.methods.get(&method.name.to_lowercase());
                let created = old.map(|old| old.create_index);
                if method.create_index != created.unwrap_or(0) {
                    return Err(raced("Auth Method", &method.name));
                }
                let mut method = method.clone();
                method.create_index = created.unwrap_or(self.index);
                method.modify_index = self.index;
                self.acl.methods.insert(method.name.to_lowercase(), method);
            }
            AclWrite::AuthMethodDelete(name) => {
                if self.acl.methods.remove(&name.to_lowercase()).is_some() {
                    self.acl.rules.retain(|_, rule| !same(&rule.auth_method, name));
                    self.acl.tokens.retain(|_, token| !same(&token.auth_method, name));
                }
            }
            AclWrite::BindingRuleSet(rule) => self.rule(rule)?,
            AclWrite::BindingRuleDelete(id) => drop(self.acl.rules.remove(id)),
        }
        Ok(())
    }

    fn token(&mut self, token: &AclToken, login: bool) -> Result<(), Refusal> {
        let acl = &self.acl;
        let mut token = token.clone();
        let old = acl.tokens.get(&token.secret_id);
        let other = |old: &AclToken| old.accessor_id != token.accessor_id;
        if old.is_some_and(|old| !old.accessor_id.is_empty() && other(old)) {
            return Err(Refusal::AclTokenTaken("SecretID"));
        }
        let others = acl.tokens.values().filter(|other| other.secret_id != token.secret_id);
        if others.clone().any(|other| same(&other.accessor_id, &token.accessor_id)) {
            return Err(Refusal::AclTokenTaken("AccessorID"));
        }
        if token.create_index != old.map_or(0, |old| old.create_index) {
            return Err(raced("Token", &token.accessor_id));
        }
        for link in &token.policies {
            if !acl.policies.contains_key(&link.id) {
                return Err(no_such("policy", "ID", &link.id));
            }
        }
        if !login && let Some(lost) = token.roles.iter().find(|l| !acl.roles.contains_key(&l.id)) {
            return Err(no_such("role", "ID", &lost.id));
        }
        let method = &token.auth_method;
        if !method.is_empty() && !acl.methods.contains_key(&method.to_lowercase()) {
            return Err(no_such("auth method", "Name", method));
        }
        token.policies = self.policy_links(&token.policies);
        token.roles = self.role_links(&token.roles);
        let nothing = token.policies.is_empty()
            && token.roles.is_empty()
            && token.service_identities.is_empty();
        if login && nothing {
            return Err(Refusal::AclNoPrivileges);
        }
        token.create_index = old.map_or(self.index, |old| old.create_index);
        token.modify_index = self.index;
        self.acl.tokens.insert(token.secret_id.clone(), token);
        Ok(())
    }

    fn upgrade(&mut self, tokens: &[AclToken]) {
        for token in tokens {
            let seen = self.acl.tokens.get(&token.secret_id).is_some_and(|old| {
                old.accessor_id.is_empty() && old.modify_index == token.modify_index
            });
            let mut all = self.acl.tokens.values();
            if seen && !all.any(|other| same(&other.accessor_id, &token.accessor_id)) {
                let token = AclToken { modify_index: self.index, ..token.clone() };
                self.acl.tokens.insert(token.secret_id.clone(), token);
            }
        }
    }

    /// One after the other; whoever has the name or the accessor that is given makes place.
    fn replicate(&mut self, replica: &AclReplica) {
        let (acl, index) = (&mut self.acl, self.index);
        acl.policies.retain(|id, _| !replica.policies_gone.contains(id));
        for new in &replica.policies {
            let created = acl.policies.get(&new.id).map_or(index, |old| old.create_index);
            acl.policies.retain(|_, other| !same(&other.name, &new.name));
            let new = AclPolicy { create_index: created, modify_index: index, ..new.clone() };
            acl.policies.insert(new.id.clone(), new);
        }
        acl.roles.retain(|id, _| !replica.roles_gone.contains(id));
        for new in &replica.roles {
            let created = acl.roles.get(&new.id).map_or(index, |old| old.create_index);
            acl.roles.retain(|_, other| !same(&other.name, &new.name));
            let new = AclRole { create_index: created, modify_index: index, ..new.clone() };
            acl.roles.insert(new.id.clone(), new);
        }
        acl.tokens.retain(|id, old| old.local || !replica.tokens_gone.contains(id));
        for new in &replica.tokens {
            let created = acl.tokens.get(&new.secret_id).map_or(index, |old| old.create_index);
            let meets = |old: &AclToken| {
                let accessor = &new.accessor_id;
                old.secret_id == new.secret_id
                    || !accessor.is_empty() && same(&old.accessor_id, accessor)
            };
            // What is this datacenter's own stays.
            if acl.tokens.values().any(|old| old.local && meets(old)) {
                continue;
            }
            acl.tokens.retain(|_, old| !meets(old));
            let new = AclToken { create_index: created, modify_index: index, ..new.clone() };
            acl.tokens.insert(new.secret_id.clone(), new);
        }
    }

    fn policy(&mut self, policy: &AclPolicy) -> Result<(), Refusal> {
        let policies = &self.acl.policies;
        let taken = |other: &AclPolicy| other.id != policy.id && same(&other.name, &policy.name);
        if policies.values().any(taken) {
            return Err(Refusal::AclNameTaken { what: "Policy", name: policy.name.clone() });
        }
        let created = policies.get(&policy.id).map(|old| old.create_index);
        if policy.create_index != created.unwrap_or(0) {
            return Err(raced("Policy", &policy.id));
        }
        let mut policy = policy.clone();
        policy.create_index = created.unwrap_or(self.index);
        policy.modify_index = self.index;
        self.acl.policies.insert(policy.id.clone(), policy);
        Ok(())
    }

    fn role(&mut self, role: &AclRole) -> Result<(), Refusal> {
        let roles = &self.acl.roles;
        let taken = |other: &AclRole| other.id != role.id && same(&other.name, &role.name);
        if roles.values().any(taken) {
            return Err(Refusal::AclNameTaken { what: "Role", name: role.name.clone() });
        }
        let created = roles.get(&role.id).map(|old| old.create_index);
        if role.create_index != created.unwrap_or(0) {
            return Err(raced("Role", &role.id));
        }
        for link in &role.policies {
            if !self.acl.policies.contains_key(&link.id) {
                return Err(no_such("policy", "ID", &link.id));
            }
        }
        let mut role = role.clone();
        role.policies = self.policy_links(&role.policies);
        role.create_index = created.unwrap_or(self.index);
        role.modify_index = self.index;
        self.acl.roles.insert(role.id.clone(), role);
        Ok(())
    }

    fn rule(&mut self, rule: &AclBindingRule) -> Result<(), Refusal> {
        if !self.acl.methods.contains_key(&rule.auth_method.to_lowercase()) {
            return Err(no_such("auth method", "Name", &rule.auth_method));
        }
        let created = self.acl.rules.get(&rule.id).map(|old| old.create_index);
        if rule.create_index != created.unwrap_or(0) {
            return Err(raced("Binding Rule", &rule.id));
        }
        let mut rule = rule.clone();
        rule.create_index = created.unwrap_or(self.index);
        rule.modify_index = self.index;
        self.acl.rules.insert(rule.id.clone(), rule);
        Ok(())
    }

    fn policy_links(&self, links: &[AclLink]) -> Vec<AclLink> {
        let name = |link: &AclLink| Some(self.acl.policies.get(&link.id)?.name.clone());
        let shown = |link: &AclLink| Some(AclLink { id: link.id.clone(), name: name(link)? });
        links.iter().filter_map(shown).collect()
    }

    fn role_links(&self, links: &[AclLink]) -> Vec<AclLink> {
        let name = |link: &AclLink| Some(self.acl.roles.get(&link.id)?.name.clone());
        let shown = |link: &AclLink| Some(AclLink { id: link.id.clone(), name: name(link)? });
        links.iter().filter_map(shown).collect()
    }

    fn tokens(&self, which: impl Fn(&AclToken) -> bool) -> Answer {
        let shown = |token: &AclToken| {
            Arc::new(AclToken {
                policies: self.policy_links(&token.policies),
                roles: self.role_links(&token.roles),
                ..token.clone()
            })
        };
        Answer::Tokens(self.acl.tokens.values().filter(|token| which(token)).map(shown).collect())
    }

    fn roles(&self, which: impl Fn(&AclRole) -> bool) -> Answer {
        let shown = |role: &AclRole| {
            Arc::new(AclRole { policies: self.policy_links(&role.policies), ..role.clone() })
        };
        Answer::Roles(self.acl.roles.values().filter(|role| which(role)).map(shown).collect())
    }

    pub(crate) fn acl_answer(&self, query: AclQuery) -> Answer {
        let linked = |links: &[AclLink], id: &str| links.iter().any(|link| link.id == id);
        match query {
            AclQuery::BySecret(secret) => self.tokens(|token| token.secret_id == secret),
            AclQuery::ByAccessor(accessor) => {
                self.tokens(|token| same(&token.accessor_id, accessor))
            }
            AclQuery::Tokens => self.tokens(|_| true),
            AclQuery::WithPolicy(id) => self.tokens(|token| linked(&token.policies, id)),
            AclQuery::WithRole(id) => self.tokens(|token| linked(&token.roles, id)),
            AclQuery::OfService(name) => self.tokens(|token| {
                token.service_identities.iter().any(|one| one.service_name == name)
            }),
            AclQuery::OfMethod(name) => self.tokens(|token| same(&token.auth_method, name)),
            AclQuery::Expired(now) => {
                let ends = self.acl.tokens.values();
                let mut ends: Vec<_> =
                    ends.filter_map(|token| Some((token.expiration_time?, token))).collect();
                ends.sort_by(|a, b| (a.0, &a.1.secret_id).cmp(&(b.0, &b.1.secret_id)));
                let now = Timestamp(now);
                let over = ends.iter().filter(|(end, _)| *end < now).take(2);
                let over = over.map(|(_, token)| token.accessor_id.clone()).collect();
                Answer::Expired(over, ends.iter().map(|(end, _)| *end).find(|end| *end >= now))
            }
            AclQuery::Policies => {
                Answer::Policies(self.acl.policies.values().cloned().map(Arc::new).collect())
            }
            AclQuery::PolicyNamed(name) => {
                let found = self.acl.policies.values().filter(|policy| same(&policy.name, name));
                Answer::Policies(found.cloned().map(Arc::new).collect())
            }
            AclQuery::Roles => self.roles(|_| true),
            AclQuery::RolesWith(id) => self.roles(|role| linked(&role.policies, id)),
            AclQuery::RoleNamed(name) => self.roles(|role| same(&role.name, name)),
            AclQuery::Methods => {
                Answer::Methods(self.acl.methods.values().cloned().map(Arc::new).collect())
            }
            AclQuery::Rules(method) => {
                let rules = self.acl.rules.values();
                let of = rules.filter(|rule| method.is_empty() || same(&rule.auth_method, method));
                Answer::Rules(of.cloned().map(Arc::new).collect())
            }
            AclQuery::Bootstrapped => Answer::Bootstrapped(self.acl.bootstrapped),
        }
    }
}
