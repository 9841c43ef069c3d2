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
