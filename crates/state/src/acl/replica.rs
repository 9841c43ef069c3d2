//! What another datacenter decides about access, taken over as it is.
//!
//! What is not as it was told before comes at once: what is gone, then what is new, so that names and
//! secrets which change hands do not meet. Nothing is refused, since there is nobody to refuse it to;
//! local tokens are this datacenter's own and are not touched.

use lictor_types::acl::{AclPolicy, AclRole, AclToken};
use lictor_types::command::AclReplica;

use super::lowered;
use crate::apply::Writer;
use crate::index::Table;

impl Writer {
    pub(super) fn acl_replicate(&mut self, replica: AclReplica) {
        self.replicate_policies(&replica.policies_gone, replica.policies);
        self.replicate_roles(&replica.roles_gone, replica.roles);
        self.replicate_tokens(&replica.tokens_gone, replica.tokens);
    }

    fn replicate_policies(&mut self, gone: &[String], set: Vec<AclPolicy>) {
        let table = &mut self.tables.acl;
        let mut changed = false;
        for id in gone {
            changed |= table.remove_policy(id).is_some();
        }
        for mut policy in set {
            let old = table.policies.get(&*policy.id).map(|old| old.create_index);
            let holder = table.policy_names.get(&lowered(&policy.name)).cloned();
            if let Some(holder) = holder.filter(|holder| **holder != *policy.id) {
                table.remove_policy(&holder);
            }
            policy.create_index = old.unwrap_or(self.index);
            policy.modify_index = self.index;
            table.put_policy(policy);
            changed = true;
        }
        if changed {
            self.touch_table(Table::AclPolicies);
        }
    }

    fn replicate_roles(&mut self, gone: &[String], set: Vec<AclRole>) {
        let table = &mut self.tables.acl;
        let mut changed = false;
        for id in gone {
            changed |= table.remove_role(id).is_some();
        }
        for mut role in set {
            let old = table.roles.get(&*role.id).map(|old| old.create_index);
            let holder = table.role_names.get(&lowered(&role.name)).cloned();
            if let Some(holder) = holder.filter(|holder| **holder != *role.id) {
                table.remove_role(&holder);
            }
            role.create_index = old.unwrap_or(self.index);
            role.modify_index = self.index;
            table.put_role(role);
            changed = true;
        }
        if changed {
            self.touch_table(Table::AclRoles);
        }
    }

    fn replicate_tokens(&mut self, gone: &[String], set: Vec<AclToken>) {
        let table = &mut self.tables.acl;
        let mut changed = false;
        for secret in gone {
            if table.tokens.get(&**secret).is_some_and(|token| !token.local) {
                changed |= table.remove_token(secret).is_some();
            }
        }
        for mut token in set {
            let old = table.tokens.get(&*token.secret_id);
            if token.secret_id.is_empty() || old.is_some_and(|old| old.local) {
                continue;
            }
            let created = old.map(|old| old.create_index);
            let holder = table.accessors.get(&lowered(&token.accessor_id)).cloned();
            if let Some(holder) = holder.filter(|holder| **holder != *token.secret_id) {
                if table.tokens.get(&*holder).is_some_and(|holder| holder.local) {
                    continue;
                }
                table.remove_token(&holder);
            }
            token.create_index = created.unwrap_or(self.index);
            token.modify_index = self.index;
            table.put_token(token);
            changed = true;
        }
        if changed {
            self.touch_table(Table::AclTokens);
        }
    }
}

#[cfg(test)]
mod tests {
    use lictor_types::acl::AclLink;
    use lictor_types::command::{AclWrite, Command, Outcome};

    use super::*;
    use crate::{Store, TokenFilter};

    fn policy(id: &str, name: &str) -> AclPolicy {
        AclPolicy { id: id.into(), name: name.into(), ..AclPolicy::default() }
    }

    fn token(secret: &str, accessor: &str, local: bool) -> AclToken {
        AclToken {
            secret_id: secret.into(),
            accessor_id: accessor.into(),
            local,
            policies: vec![AclLink { id: "later".into(), name: String::new() }],
            ..AclToken::default()
        }
    }

    fn take(store: &Store, replica: AclReplica) {
        let write = Command::Acl(Box::new(AclWrite::Replicate(Box::new(replica))));
        let mut bytes = Vec::new();
        write.encode_into(&mut bytes).unwrap();
        assert_eq!(Command::decode(&bytes).unwrap(), write);
        assert_eq!(store.apply_batch(vec![write])[0].outcome, Outcome::Done);
    }

    #[test]
    fn names_change_hands_and_links_may_come_first() {
        let store = Store::new();
        let set = vec![policy("1", "a"), policy("2", "b")];
        take(&store, AclReplica { policies: set, ..AclReplica::default() });
        let set = vec![policy("1", "b"), policy("2", "a")];
        take(&store, AclReplica { policies: set, ..AclReplica::default() });
        let view = store.view();
        assert_eq!(view.policy_by_name("A").1.unwrap().id, "2");
        assert_eq!(view.policy_by_name("b").1.unwrap().id, "1");
        take(&store, AclReplica { tokens: vec![token("s", "t", false)], ..AclReplica::default() });
        assert!(store.view().token_by_secret("s").1.unwrap().policies.is_empty());
        let later = AclReplica { policies: vec![policy("later", "x")], ..AclReplica::default() };
        take(&store, later);
        assert_eq!(store.view().token_by_secret("s").1.unwrap().policies[0].name, "x");
        let gone = AclReplica { policies_gone: vec!["1".into()], ..AclReplica::default() };
        take(&store, gone);
        assert!(store.view().policy("1").1.is_none());
    }

    #[test]
    fn local_tokens_are_not_touched_and_nothing_new_wakes_nobody() {
        let store = Store::new();
        let mut own = token("own", "o", true);
        own.policies.clear();
        let write = Command::Acl(Box::new(AclWrite::TokenSet(own)));
        assert_eq!(store.apply_batch(vec![write])[0].outcome, Outcome::Done);
        let index = store.view().table_index(&[Table::AclTokens]);
        take(
            &store,
            AclReplica {
                tokens_gone: vec!["own".into(), "unknown".into()],
                tokens: vec![token("own", "x", false), token("y", "o", false)],
                ..AclReplica::default()
            },
        );
        let (_, all) = store.view().tokens(TokenFilter::default());
        assert_eq!(all.len(), 1);
        assert_eq!((&*all[0].secret_id, &*all[0].accessor_id, all[0].local), ("own", "o", true));
        assert_eq!(store.view().table_index(&[Table::AclTokens]), index);
        // A secret may move to another accessor, and back.
        for (secret, accessor) in [("s1", "a"), ("s2", "a"), ("s1", "b"), ("s1", "a")] {
            let tokens = vec![token(secret, accessor, false)];
            take(&store, AclReplica { tokens, ..AclReplica::default() });
            let found = store.view().token_by_accessor(accessor).1.unwrap();
            assert_eq!(found.secret_id, secret);
        }
        assert_eq!(store.view().tokens(TokenFilter::default()).1.len(), 2);
    }
}
