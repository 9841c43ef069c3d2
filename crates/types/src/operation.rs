//! What commands are called where they are counted.

use crate::ca::CaWrite;
use crate::command::{AclWrite, Command, IntentionWrite, PreparedQueryWrite, SessionWrite};
use crate::config_entry::{ConfigEntryWrite, Kind};
use crate::kv::KvOp;

impl Command {
    /// The name of what it writes, and what it does with it, which is empty where there is only
    /// one thing to do; `None` for what writes nothing of its own. The words are the original's.
    #[must_use]
    pub fn operation(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Register(_) => ("register", ""),
            Self::Deregister(_) => ("deregister", ""),
            Self::Kv(write) => ("kvs", kv(write.op)),
            Self::Session(SessionWrite::Create(_)) => ("session", "create"),
            Self::Session(SessionWrite::Destroy(_)) => ("session", "destroy"),
            Self::PreparedQuery(PreparedQueryWrite::Set(query)) => {
                ("prepared-query", created(query.create_index))
            }
            Self::PreparedQuery(PreparedQueryWrite::Delete(_)) => ("prepared-query", "delete"),
            Self::Txn(_) | Self::CatalogTxn(_) => ("txn", ""),
            Self::Intention(write) => ("intention", intention(write)),
            Self::Ca(write) => ("ca", ca(write)),
            Self::Acl(write) => acl(write),
            Self::Coordinates(_) => ("coordinate.batch-update", ""),
            Self::Autopilot(_) => ("autopilot", ""),
            Self::ConfigEntry(write) => config_entry(write),
            Self::ReapTombstones(_) => ("tombstone", "reap"),
            Self::Restore(_) | Self::Noop => return None,
        })
    }
}

const fn config_entry(write: &ConfigEntryWrite) -> (&'static str, &'static str) {
    let (kind, operation) = match write {
        ConfigEntryWrite::Upsert { entry, .. } => (entry.kind, "upsert"),
        ConfigEntryWrite::Delete { kind, .. } => (*kind, "delete"),
        ConfigEntryWrite::Intentions { .. } => (Kind::ServiceIntentions, "upsert"),
        ConfigEntryWrite::Replicate { .. } => return ("config_entry", "replicate"),
    };
    let name = match kind {
        Kind::IngressGateway => "config_entry.ingress-gateway",
        Kind::Mesh => "config_entry.mesh",
        Kind::ProxyDefaults => "config_entry.proxy-defaults",
        Kind::ServiceDefaults => "config_entry.service-defaults",
        Kind::ServiceIntentions => "config_entry.service-intentions",
        Kind::ServiceResolver => "config_entry.service-resolver",
        Kind::ServiceRouter => "config_entry.service-router",
        Kind::ServiceSplitter => "config_entry.service-splitter",
        Kind::TerminatingGateway => "config_entry.terminating-gateway",
    };
    (name, operation)
}

const fn created(create_index: u64) -> &'static str {
    if create_index == 0 { "create" } else { "update" }
}

const fn kv(op: KvOp) -> &'static str {
    match op {
        KvOp::Set => "set",
        KvOp::Delete => "delete",
        KvOp::DeleteCas => "delete-cas",
        KvOp::DeleteTree => "delete-tree",
        KvOp::Cas => "cas",
        KvOp::Lock => "lock",
        KvOp::Unlock => "unlock",
    }
}

fn intention(write: &IntentionWrite) -> &'static str {
    match write {
        IntentionWrite::Upsert(intention) => created(intention.create_index),
        IntentionWrite::UpsertPair(_) => "upsert",
        IntentionWrite::Delete(_) | IntentionWrite::DeletePair(_) => "delete",
        IntentionWrite::Replicate(_) => "replicate",
    }
}

const fn ca(write: &CaWrite) -> &'static str {
    match write {
        CaWrite::SetConfig { .. } => "set-config",
        CaWrite::SetRoots { .. } => "set-roots",
        CaWrite::SetRootsAndConfig { .. } => "set-roots-config",
        CaWrite::SetProviderState(_) => "set-provider-state",
        CaWrite::DeleteProviderState { .. } => "delete-provider-state",
    }
}

const fn acl(write: &AclWrite) -> (&'static str, &'static str) {
    match write {
        AclWrite::TokenSet(_) | AclWrite::Login(_) | AclWrite::TokensUpgrade(_) => ("acl", "set"),
        AclWrite::TokenDelete(_) | AclWrite::TokensDelete(_) => ("acl", "delete"),
        AclWrite::Bootstrap { .. } => ("acl", "bootstrap-now"),
        AclWrite::PolicySet(_) => ("acl.policy", "upsert"),
        AclWrite::PolicyDelete(_) => ("acl.policy", "delete"),
        AclWrite::RoleSet(_) => ("acl.role", "upsert"),
        AclWrite::RoleDelete(_) => ("acl.role", "delete"),
        AclWrite::AuthMethodSet(_) => ("acl.authmethod", "upsert"),
        AclWrite::AuthMethodDelete(_) => ("acl.authmethod", "delete"),
        AclWrite::BindingRuleSet(_) => ("acl.bindingrule", "upsert"),
        AclWrite::BindingRuleDelete(_) => ("acl.bindingrule", "delete"),
        AclWrite::Replicate(_) => ("acl", "replicate"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{KvEntry, KvWrite};

    #[test]
    fn operations_have_the_words_of_the_original() {
        let write =
            KvWrite { op: KvOp::DeleteTree, entry: KvEntry::default(), lock_delayed: false };
        assert_eq!(Command::Kv(write).operation(), Some(("kvs", "delete-tree")));
        let destroy = SessionWrite::Destroy("x".into());
        assert_eq!(Command::Session(destroy).operation(), Some(("session", "destroy")));
        let role = AclWrite::RoleDelete(String::new());
        assert_eq!(Command::Acl(Box::new(role)).operation(), Some(("acl.role", "delete")));
        assert_eq!(Command::ReapTombstones(3).operation(), Some(("tombstone", "reap")));
        assert_eq!(Command::Noop.operation(), None);
    }
}
