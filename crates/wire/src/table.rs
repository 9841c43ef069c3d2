//! All methods by their names, for whoever has only those: tests, and fuzzing.

use crate::{
    Message, Method, WireError, acl, acl_legacy, acl_token, catalog, config_entry, connect_ca,
    coordinate, discovery_chain, health, intention, internal, kv, operator, prepared_query,
    session, snapshot, status, txn,
};

/// Reads a message and writes it again.
pub type Rewrite = fn(&[u8]) -> Result<Vec<u8>, WireError>;

/// A method.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it is asked.
    pub request: Rewrite,
    /// What it answers.
    pub reply: Rewrite,
}

const fn entry<M: Method>() -> Entry {
    Entry { name: M::NAME, request: rewrite::<M::Request>, reply: rewrite::<M::Reply> }
}

fn rewrite<T: Message>(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    T::decode(bytes)?.encode()
}

macro_rules! table {
    ($($method:path,)+) => {
        /// All methods, and what takes the place of one on a connection for a snapshot.
        pub const METHODS: &[Entry] = &[
            $(entry::<$method>(),)+
            Entry {
                name: "Snapshot",
                request: rewrite::<snapshot::SnapshotRequest>,
                reply: rewrite::<snapshot::SnapshotReply>,
            },
        ];
    };
}

table! {
    acl::PolicyRead,
    acl::PolicyBatchRead,
    acl::PolicyResolve,
    acl::PolicyList,
    acl::PolicySet,
    acl::PolicyDelete,
    acl::RoleRead,
    acl::RoleBatchRead,
    acl::RoleResolve,
    acl::RoleList,
    acl::RoleSet,
    acl::RoleDelete,
    acl::AuthMethodRead,
    acl::AuthMethodList,
    acl::AuthMethodSet,
    acl::AuthMethodDelete,
    acl::BindingRuleRead,
    acl::BindingRuleList,
    acl::BindingRuleSet,
    acl::BindingRuleDelete,
    acl::Authorize,
    acl::Login,
    acl::Logout,
    acl::ReplicationStatus,
    acl_legacy::Apply,
    acl_legacy::Bootstrap,
    acl_legacy::Get,
    acl_legacy::List,
    acl_legacy::GetPolicy,
    acl_token::TokenRead,
    acl_token::TokenBatchRead,
    acl_token::TokenList,
    acl_token::TokenSet,
    acl_token::TokenClone,
    acl_token::TokenDelete,
    acl_token::BootstrapTokens,
    catalog::Register,
    catalog::Deregister,
    catalog::ListDatacenters,
    catalog::ListNodes,
    catalog::ListServices,
    catalog::ServiceNodes,
    catalog::NodeServicesById,
    catalog::NodeServiceList,
    connect_ca::ConfigurationGet,
    connect_ca::ConfigurationSet,
    connect_ca::Roots,
    connect_ca::Sign,
    connect_ca::SignIntermediate,
    connect_ca::AutoEncryptSign,
    coordinate::ListDatacenters,
    coordinate::ListNodes,
    coordinate::Node,
    coordinate::Update,
    health::ChecksInState,
    health::NodeChecks,
    health::ServiceChecks,
    health::ServiceNodes,
    intention::Apply,
    intention::Get,
    intention::List,
    intention::Match,
    intention::Check,
    internal::NodeInformation,
    internal::NodeDump,
    internal::ServiceDump,
    internal::EventFire,
    internal::Keyring,
    kv::Apply,
    kv::Get,
    kv::List,
    kv::ListKeys,
    operator::RaftGetConfiguration,
    operator::RaftRemovePeerByAddress,
    operator::RaftRemovePeerByID,
    operator::RaftTransferLeader,
    operator::Usage,
    operator::AutopilotGetConfiguration,
    operator::AutopilotSetConfiguration,
    operator::Health,
    operator::AutopilotState,
    prepared_query::Apply,
    prepared_query::Get,
    prepared_query::List,
    prepared_query::Explain,
    prepared_query::Execute,
    prepared_query::ExecuteRemote,
    session::Apply,
    session::Get,
    session::List,
    session::NodeSessions,
    session::Renew,
    status::Leader,
    status::Peers,
    status::Ping,
    status::RaftStats,
    txn::Apply,
    txn::Read,
    // Below what inputs of fuzzing count on.
    config_entry::Apply,
    config_entry::Delete,
    config_entry::Get,
    config_entry::List,
    config_entry::ListAll,
    config_entry::ResolveServiceConfig,
    discovery_chain::Get,
}

/// The method of this name.
#[must_use]
pub fn method(name: &str) -> Option<&'static Entry> {
    METHODS.iter().find(|entry| entry.name == name)
}
