//! Tokens by accessor and by secret; policies by ID and by name.

use std::sync::Arc;

use imbl::OrdMap;
use lictor_types::Index;
use lictor_types::acl::{AclPolicy, AclToken};

use crate::apply::Writer;
use crate::index::Table;
use crate::view::View;

#[derive(Clone, Debug, Default)]
pub(crate) struct AclTable {
    pub(crate) tokens: OrdMap<String, Arc<AclToken>>,
    secrets: OrdMap<String, String>,
    pub(crate) policies: OrdMap<String, Arc<AclPolicy>>,
    names: OrdMap<String, String>,
}

impl AclTable {
    pub(crate) fn put_token(&mut self, token: AclToken) {
        if let Some(old) = self.tokens.get(&token.accessor_id) {
            self.secrets.remove(&old.secret_id);
        }
        self.secrets.insert(token.secret_id.clone(), token.accessor_id.clone());
        self.tokens.insert(token.accessor_id.clone(), Arc::new(token));
    }

    pub(crate) fn put_policy(&mut self, policy: AclPolicy) {
        if let Some(old) = self.policies.get(&policy.id) {
            self.names.remove(&old.name);
        }
        self.names.insert(policy.name.clone(), policy.id.clone());
        self.policies.insert(policy.id.clone(), Arc::new(policy));
    }
}

impl View {
    /// The token with this secret.
    #[must_use]
    pub fn token_by_secret(&self, secret: &str) -> Option<Arc<AclToken>> {
        let accessor = self.tables.acl.secrets.get(secret)?;
        self.tables.acl.tokens.get(accessor).cloned()
    }

    /// All tokens in accessor order.
    #[must_use]
    pub fn tokens(&self) -> (Index, Vec<Arc<AclToken>>) {
        let rows = self.tables.acl.tokens.values().cloned().collect();
        (self.table_index(&[Table::AclTokens]), rows)
    }

    /// The policy with this name.
    #[must_use]
    pub fn policy_by_name(&self, name: &str) -> Option<Arc<AclPolicy>> {
        let id = self.tables.acl.names.get(name)?;
        self.tables.acl.policies.get(id).cloned()
    }

    /// All policies in ID order.
    #[must_use]
    pub fn policies(&self) -> (Index, Vec<Arc<AclPolicy>>) {
        let rows = self.tables.acl.policies.values().cloned().collect();
        (self.table_index(&[Table::AclPolicies]), rows)
    }
}

impl Writer {
    pub(crate) fn token_set(&mut self, mut token: AclToken) {
        let old = self.tables.acl.tokens.get(&token.accessor_id);
        token.create_index = old.map_or(self.index, |old| old.create_index);
        token.modify_index = self.index;
        self.tables.acl.put_token(token);
        self.touch_table(Table::AclTokens);
    }

    pub(crate) fn token_delete(&mut self, accessor: &str) {
        if let Some(old) = self.tables.acl.tokens.remove(accessor) {
            self.tables.acl.secrets.remove(&old.secret_id);
            self.touch_table(Table::AclTokens);
        }
    }

    pub(crate) fn policy_set(&mut self, mut policy: AclPolicy) {
        let old = self.tables.acl.policies.get(&policy.id);
        policy.create_index = old.map_or(self.index, |old| old.create_index);
        policy.modify_index = self.index;
        self.tables.acl.put_policy(policy);
        self.touch_table(Table::AclPolicies);
    }

    pub(crate) fn policy_delete(&mut self, id: &str) {
        if let Some(old) = self.tables.acl.policies.remove(id) {
            self.tables.acl.names.remove(&old.name);
            self.touch_table(Table::AclPolicies);
        }
    }
}
