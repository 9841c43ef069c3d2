//! Writes to access control; each is refused before it changes anything.

use lictor_types::Index;
use lictor_types::acl::{AclAuthMethod, AclBindingRule, AclLink, AclPolicy, AclRole, AclToken};
use lictor_types::command::{AclWrite, Refusal};

use super::{AclTable, lowered, seconds};
use crate::apply::Writer;
use crate::index::{IndexKey, Table};

/// Whether what the writer saw is still so.
fn expect(what: &'static str, id: &str, seen: Index, old: Option<Index>) -> Result<(), Refusal> {
    match (seen, old) {
        (0, None) => Ok(()),
        (seen, Some(created)) if seen == created => Ok(()),
        _ => Err(Refusal::AclRaced { what, id: id.to_owned() }),
    }
}

impl AclTable {
    /// Completes the names of links. Those that lead nowhere are left out, or refused.
    fn resolve(&self, links: &mut Vec<AclLink>, role: bool, lenient: bool) -> Result<(), Refusal> {
        let name =
            |link: &AclLink| if role { self.role_link(link) } else { self.policy_link(link) };
        if let Some(lost) = links.iter().find(|link| name(link).is_none())
            && !lenient
        {
            let what = if role { "role" } else { "policy" };
            return Err(Refusal::AclNoSuch { what, by: "ID", id: lost.id.clone() });
        }
        super::put_right(links, name);
        Ok(())
    }
}

impl Writer {
    pub(crate) fn acl_write(&mut self, write: AclWrite) -> Result<(), Refusal> {
        match write {
            AclWrite::TokenSet(token) => self.token_set(token, false)?,
            AclWrite::Login(token) => self.token_set(*token, true)?,
            AclWrite::TokenDelete(accessor) => self.token_delete(&accessor),
            AclWrite::TokensDelete(accessors) => {
                accessors.iter().for_each(|accessor| self.token_delete(accessor));
            }
            AclWrite::TokensUpgrade(tokens) => self.tokens_upgrade(tokens),
            AclWrite::Bootstrap { token, reset_index } => self.bootstrap(*token, reset_index)?,
            AclWrite::PolicySet(policy) => self.policy_set(policy)?,
            AclWrite::PolicyDelete(id) => {
                if self.tables.acl.remove_policy(&id).is_some() {
                    self.touch_table(Table::AclPolicies);
                }
            }
            AclWrite::RoleSet(role) => self.role_set(role)?,
            AclWrite::RoleDelete(id) => {
                if self.tables.acl.remove_role(&id).is_some() {
                    self.touch_table(Table::AclRoles);
                }
            }
            AclWrite::AuthMethodSet(method) => self.auth_method_set(method)?,
            AclWrite::AuthMethodDelete(name) => self.auth_method_delete(&name),
            AclWrite::BindingRuleSet(rule) => self.binding_rule_set(rule)?,
            AclWrite::BindingRuleDelete(id) => {
                if self.tables.acl.remove_rule(&id).is_some() {
                    self.touch_table(Table::AclBindingRules);
                }
            }
            AclWrite::Replicate(replica) => self.acl_replicate(*replica),
        }
        Ok(())
    }

    fn token_set(&mut self, mut token: AclToken, login: bool) -> Result<(), Refusal> {
        let table = &self.tables.acl;
        if token.secret_id.is_empty() {
            return Err(Refusal::AclTokenWithout("Secret"));
        }
        if token.accessor_id.is_empty() {
            return Err(Refusal::AclTokenWithout("Accessor"));
        }
        let old = table.tokens.get(&*token.secret_id);
        if old
            .is_some_and(|old| !old.accessor_id.is_empty() && old.accessor_id != token.accessor_id)
        {
            return Err(Refusal::AclTokenTaken("SecretID"));
        }
        let holder = table.accessors.get(&lowered(&token.accessor_id));
        if holder.is_some_and(|holder| **holder != *token.secret_id) {
            return Err(Refusal::AclTokenTaken("AccessorID"));
        }
        expect("Token", &token.accessor_id, token.create_index, old.map(|old| old.create_index))?;
        table.resolve(&mut token.policies, false, false)?;
        table.resolve(&mut token.roles, true, login)?;
        if !token.auth_method.is_empty()
            && !table.methods.contains_key(&*lowered(&token.auth_method))
        {
            let id = token.auth_method;
            return Err(Refusal::AclNoSuch { what: "auth method", by: "Name", id });
        }
        if login
            && token.policies.is_empty()
            && token.roles.is_empty()
            && token.service_identities.is_empty()
            && token.node_identities.is_empty()
        {
            return Err(Refusal::AclNoPrivileges);
        }
        token.create_index = old.map_or(self.index, |old| old.create_index);
        token.modify_index = self.index;
        self.tables.acl.put_token(token);
        self.touch_table(Table::AclTokens);
        Ok(())
    }

    fn token_delete(&mut self, accessor: &str) {
        let secret = self.tables.acl.accessors.get(&lowered(accessor)).cloned();
        let Some(secret) = secret else { return };
        if self.tables.acl.remove_token(&secret).is_some() {
            self.touch_table(Table::AclTokens);
        }
    }

    fn tokens_upgrade(&mut self, tokens: Vec<AclToken>) {
        for mut token in tokens {
            let table = &self.tables.acl;
            let same = table.tokens.get(&*token.secret_id).is_some_and(|old| {
                old.accessor_id.is_empty() && old.modify_index == token.modify_index
            });
            if same && !table.accessors.contains_key(&lowered(&token.accessor_id)) {
                token.modify_index = self.index;
                self.tables.acl.put_token(token);
                self.touch_table(Table::AclTokens);
            }
        }
    }

    fn bootstrap(&mut self, token: AclToken, reset_index: Index) -> Result<(), Refusal> {
        match (self.tables.indexes.get(&IndexKey::AclBootstrap), reset_index) {
            (Some(_), 0) => return Err(Refusal::AclBootstrapDone),
            (Some(done), reset) if done != reset => return Err(Refusal::AclBootstrapIndex),
            _ => {}
        }
        self.token_set(token, false)?;
        self.tables.indexes.raise(IndexKey::AclBootstrap, self.index);
        Ok(())
    }

    fn policy_set(&mut self, mut policy: AclPolicy) -> Result<(), Refusal> {
        let table = &self.tables.acl;
        let holder = table.policy_names.get(&lowered(&policy.name));
        if holder.is_some_and(|holder| **holder != *policy.id) {
            return Err(Refusal::AclNameTaken { what: "Policy", name: policy.name });
        }
        let old = table.policies.get(&*policy.id).map(|old| old.create_index);
        expect("Policy", &policy.id, policy.create_index, old)?;
        policy.create_index = old.unwrap_or(self.index);
        policy.modify_index = self.index;
        self.tables.acl.put_policy(policy);
        self.touch_table(Table::AclPolicies);
        Ok(())
    }

    fn role_set(&mut self, mut role: AclRole) -> Result<(), Refusal> {
        let table = &self.tables.acl;
        let holder = table.role_names.get(&lowered(&role.name));
        if holder.is_some_and(|holder| **holder != *role.id) {
            return Err(Refusal::AclNameTaken { what: "Role", name: role.name });
        }
        let old = table.roles.get(&*role.id).map(|old| old.create_index);
        expect("Role", &role.id, role.create_index, old)?;
        table.resolve(&mut role.policies, false, false)?;
        role.create_index = old.unwrap_or(self.index);
        role.modify_index = self.index;
        self.tables.acl.put_role(role);
        self.touch_table(Table::AclRoles);
        Ok(())
    }

    fn auth_method_set(&mut self, mut method: AclAuthMethod) -> Result<(), Refusal> {
        let old = self.tables.acl.methods.get(&lowered(&method.name)).map(|old| old.create_index);
        expect("Auth Method", &method.name, method.create_index, old)?;
        method.create_index = old.unwrap_or(self.index);
        method.modify_index = self.index;
        self.tables.acl.put_method(method);
        self.touch_table(Table::AclAuthMethods);
        Ok(())
    }

    fn auth_method_delete(&mut self, name: &str) {
        let name = lowered(name);
        let table = &mut self.tables.acl;
        if table.methods.remove(&name).is_none() {
            return;
        }
        let rules: Vec<_> = seconds(&table.rules_by_method, &name).cloned().collect();
        let tokens: Vec<_> = seconds(&table.tokens_by_method, &name).cloned().collect();
        rules.iter().for_each(|id| drop(table.remove_rule(id)));
        tokens.iter().for_each(|secret| drop(table.remove_token(secret)));
        self.touch_table(Table::AclAuthMethods);
        if !rules.is_empty() {
            self.touch_table(Table::AclBindingRules);
        }
        if !tokens.is_empty() {
            self.touch_table(Table::AclTokens);
        }
    }

    fn binding_rule_set(&mut self, mut rule: AclBindingRule) -> Result<(), Refusal> {
        let table = &self.tables.acl;
        if !table.methods.contains_key(&lowered(&rule.auth_method)) {
            let id = rule.auth_method;
            return Err(Refusal::AclNoSuch { what: "auth method", by: "Name", id });
        }
        let old = table.rules.get(&*rule.id).map(|old| old.create_index);
        expect("Binding Rule", &rule.id, rule.create_index, old)?;
        rule.create_index = old.unwrap_or(self.index);
        rule.modify_index = self.index;
        self.tables.acl.put_rule(rule);
        self.touch_table(Table::AclBindingRules);
        Ok(())
    }
}
