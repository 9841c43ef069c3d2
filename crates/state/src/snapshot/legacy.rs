//! What 1.2 can be told of access control.

use lictor_types::acl::{
    ANONYMOUS_SECRET, AclToken, CLIENT, GLOBAL_MANAGEMENT_ID, LegacyAcl, MANAGEMENT,
};

use crate::acl::AclTable;

/// Whether 1.2 has a word for everything that is there.
pub(super) fn suffices(table: &AclTable) -> bool {
    table.tokens().all(|token| kind(token).is_some())
        && table.policies().all(|policy| policy.id == GLOBAL_MANAGEMENT_ID)
        && table.roles().next().is_none()
        && table.methods().next().is_none()
        && table.rules().next().is_none()
}

/// The type that a token has in 1.2.
fn kind(token: &AclToken) -> Option<&'static str> {
    let plain = token.roles.is_empty()
        && token.service_identities.is_empty()
        && token.node_identities.is_empty()
        && token.expiration_time.is_none()
        && token.auth_method.is_empty();
    match (&*token.policies, &*token.kind) {
        _ if !plain => None,
        ([], MANAGEMENT) => Some(MANAGEMENT),
        ([], CLIENT) => Some(CLIENT),
        ([], "") if token.secret_id == ANONYMOUS_SECRET => Some(CLIENT),
        ([all], _) if all.id == GLOBAL_MANAGEMENT_ID => Some(MANAGEMENT),
        _ => None,
    }
}

pub(super) fn token(token: &AclToken) -> LegacyAcl {
    LegacyAcl {
        id: token.secret_id.clone(),
        name: token.description.clone(),
        kind: kind(token).unwrap_or(CLIENT).to_owned(),
        rules: token.rules.clone(),
        create_index: token.create_index,
        modify_index: token.modify_index,
    }
}

#[cfg(test)]
mod tests {
    use lictor_types::acl::{ANONYMOUS_ACCESSOR, AclLink, AclPolicy};
    use lictor_types::command::{AclWrite, Command};
    use serde::de::IgnoredAny;

    use crate::snapshot::{Header, RecordReader};
    use crate::{Store, TokenFilter};

    use super::*;

    fn write(store: &Store, write: AclWrite) {
        store.apply_batch([Command::Acl(Box::new(write))]);
    }

    fn token(accessor: &str, secret: &str, kind: &str, rules: &str) -> AclToken {
        AclToken {
            accessor_id: accessor.into(),
            secret_id: secret.into(),
            kind: kind.into(),
            rules: rules.into(),
            ..AclToken::default()
        }
    }

    /// A store with what 1.2 knows, as the first leader makes it.
    fn store() -> Store {
        let store = Store::new();
        let policy = AclPolicy {
            id: GLOBAL_MANAGEMENT_ID.into(),
            name: "global-management".into(),
            ..AclPolicy::default()
        };
        write(&store, AclWrite::PolicySet(policy));
        let mut first = token("a1", "root", MANAGEMENT, "");
        first.policies.push(AclLink { id: GLOBAL_MANAGEMENT_ID.into(), name: String::new() });
        write(&store, AclWrite::Bootstrap { token: Box::new(first), reset_index: 0 });
        write(&store, AclWrite::TokenSet(token(ANONYMOUS_ACCESSOR, ANONYMOUS_SECRET, "", "")));
        write(&store, AclWrite::TokenSet(token("a2", "client", CLIENT, "operator = \"read\"")));
        store
    }

    /// Types of the records that a reader meets who looks at nothing in the header.
    fn kinds(bytes: &[u8]) -> Vec<u8> {
        let mut reader = RecordReader { bytes, at: 0 };
        reader.value::<Header>().unwrap();
        let mut kinds = Vec::new();
        while let Some(&kind) = reader.bytes.get(reader.at) {
            reader.at += 1;
            kinds.push(kind);
            reader.value::<IgnoredAny>().unwrap();
        }
        kinds
    }

    fn portable(store: &Store) -> Vec<u8> {
        let mut bytes = Vec::new();
        store.snapshot().write_portable(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_1_2_knows_is_written_in_its_words_and_read_back_whole() {
        let store = store();
        let bytes = portable(&store);
        assert_eq!(kinds(&bytes), [4, 4, 4, 11]);
        let other = Store::new();
        other.restore(&mut bytes.as_slice()).unwrap();
        let tokens = |store: &Store| store.view().tokens(TokenFilter::default()).1;
        assert_eq!(tokens(&other), tokens(&store));
        assert_eq!(other.view().acl_bootstrap_index(), store.view().acl_bootstrap_index());
    }

    #[test]
    fn what_it_does_not_know_makes_it_refuse_the_archive() {
        let store = store();
        let policy = AclPolicy { id: "p".into(), name: "p".into(), ..AclPolicy::default() };
        write(&store, AclWrite::PolicySet(policy));
        let kinds = kinds(&portable(&store));
        assert!(kinds.starts_with(&[17, 17, 17, 19, 19]) && !kinds.contains(&4), "{kinds:?}");
    }
}
