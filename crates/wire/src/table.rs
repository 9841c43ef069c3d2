//! All methods by their names, for whoever has only those: tests, and fuzzing.

use crate::{
    Message, Method, WireError, catalog, connect_ca, coordinate, health, intention, kv, session,
    status, txn,
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
        /// All methods.
        pub const METHODS: &[Entry] = &[$(entry::<$method>()),+];
    };
}

table! {
    catalog::Deregister,
    catalog::ListDatacenters,
    catalog::ListNodes,
    catalog::ListServices,
    catalog::NodeServiceList,
    catalog::NodeServicesById,
    catalog::Register,
    catalog::ServiceNodes,
    connect_ca::AutoEncryptSign,
    connect_ca::ConfigurationGet,
    connect_ca::ConfigurationSet,
    connect_ca::Roots,
    connect_ca::Sign,
    connect_ca::SignIntermediate,
    coordinate::ListDatacenters,
    coordinate::ListNodes,
    coordinate::Node,
    coordinate::Update,
    health::ChecksInState,
    health::NodeChecks,
    health::ServiceChecks,
    health::ServiceNodes,
    intention::Apply,
    intention::Check,
    intention::Get,
    intention::List,
    intention::Match,
    kv::Apply,
    kv::Get,
    kv::List,
    kv::ListKeys,
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
}

/// The method of this name.
#[must_use]
pub fn method(name: &str) -> Option<&'static Entry> {
    METHODS.iter().find(|entry| entry.name == name)
}
