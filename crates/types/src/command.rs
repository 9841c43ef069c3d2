//! The writes that go through consensus, and what comes back.
//!
//! A command holds every id, time and random value that it needs: applying it is a pure function
//! of the state, the command and its index. On disk a command is one version byte, one type byte
//! (the original's numbers where it has one) and a MessagePack body.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Index;
use crate::acl::{AclAuthMethod, AclBindingRule, AclPolicy, AclRole, AclToken};
use crate::autopilot::AutopilotWrite;
use crate::ca::CaWrite;
use crate::catalog::{Service, StringMap};
use crate::check::HealthCheck;
use crate::codec::{self, CodecError, nullable};
use crate::config_entry::ConfigEntryWrite;
use crate::coordinate::NodeCoordinate;
use crate::intention::Intention;
use crate::kv::{KvEntry, KvWrite};
use crate::prepared_query::PreparedQuery;
use crate::session::Session;
use crate::txn::{TxnError, TxnOp, TxnRow, TxnStep};

/// Version of the command encoding written by this program; it reads this and the one before.
pub const COMMAND_VERSION: u8 = 1;

/// Registers a node, and optionally a service and checks on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RegisterRequest {
    /// UUID of the node; empty when unknown.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name of the node.
    pub node: Arc<str>,
    /// Address of the node.
    pub address: String,
    /// Datacenter of the node.
    pub datacenter: String,
    /// Further addresses of the node.
    #[serde(deserialize_with = "nullable")]
    pub tagged_addresses: StringMap,
    /// Metadata of the node.
    #[serde(deserialize_with = "nullable")]
    pub node_meta: StringMap,
    /// A service on it.
    pub service: Option<Service>,
    /// Checks on it.
    #[serde(deserialize_with = "nullable")]
    pub checks: Vec<HealthCheck>,
    /// Leave an existing node's row as it is.
    pub skip_node_update: bool,
}

/// Removes a node with everything on it, or one service with its checks, or one check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeregisterRequest {
    /// Name of the node.
    pub node: Arc<str>,
    /// Service to remove; empty for none.
    #[serde(rename = "ServiceID")]
    pub service_id: Arc<str>,
    /// Check to remove; empty for none. A service given as well takes precedence.
    #[serde(rename = "CheckID")]
    pub check_id: Arc<str>,
}

/// A write to sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionWrite {
    /// Creates it; the id is in the session.
    Create(Session),
    /// Ends it; unknown ids are ignored.
    Destroy(Arc<str>),
}

/// A write to intentions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IntentionWrite {
    /// Creates or replaces by id; refused when another id has the same source and destination.
    Upsert(Box<Intention>),
    /// Deletes by id; unknown ids are ignored.
    Delete(String),
    /// Creates, or replaces the one with the same source and destination, whose id it then gets.
    UpsertPair(Box<Intention>),
    /// Deletes by source and destination; a pair without one is ignored.
    DeletePair(IntentionPair),
    /// Takes over what another datacenter decides.
    Replicate(Box<IntentionReplica>),
}

/// What another datacenter decides about intentions and is not so here yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IntentionReplica {
    /// Intentions by ID that are gone.
    pub delete: Vec<String>,
    /// Intentions as they are there. One of the same pair that has another ID here makes place.
    pub set: Vec<Intention>,
}

/// The two sides of an intention.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IntentionPair {
    /// Namespace and name of the source.
    pub source: (String, String),
    /// Namespace and name of the destination.
    pub destination: (String, String),
}

/// A write to prepared queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreparedQueryWrite {
    /// Creates or replaces by id; refused when its name means another one already.
    Set(Box<PreparedQuery>),
    /// Deletes by id; unknown ids are ignored.
    Delete(Arc<str>),
}

/// A write to access control.
///
/// What is set is created if its `create_index` is 0, and must not be there yet; otherwise it must
/// be there still. So two who write at once cannot undo a deletion or take over another's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AclWrite {
    /// Creates or replaces a token by secret; its policies and roles must exist.
    TokenSet(AclToken),
    /// Deletes a token by accessor.
    TokenDelete(String),
    /// Creates or replaces a policy by id.
    PolicySet(AclPolicy),
    /// Deletes a policy by id.
    PolicyDelete(String),
    /// Creates the first token with all rights.
    Bootstrap {
        /// The token.
        token: Box<AclToken>,
        /// Index of the last bootstrap, to be allowed another one; 0 for none.
        reset_index: Index,
    },
    /// Creates the token of a login. Roles that are gone are left out; a token that would be able
    /// to do nothing is refused.
    Login(Box<AclToken>),
    /// Gives tokens of 1.2 that have no accessor yet one; those that changed since are left out.
    TokensUpgrade(Vec<AclToken>),
    /// Deletes tokens by accessor.
    TokensDelete(Vec<String>),
    /// Creates or replaces a role by id; its policies must exist.
    RoleSet(AclRole),
    /// Deletes a role by id.
    RoleDelete(String),
    /// Creates or replaces a way to log in by name.
    AuthMethodSet(AclAuthMethod),
    /// Deletes a way to log in, with its binding rules and its tokens.
    AuthMethodDelete(String),
    /// Creates or replaces a binding rule by id; its method must exist.
    BindingRuleSet(AclBindingRule),
    /// Deletes a binding rule by id.
    BindingRuleDelete(String),
    /// Takes over what another datacenter decides.
    Replicate(Box<AclReplica>),
}

/// What another datacenter decides about access and is not so here yet. It is not judged: whoever has a
/// name or a secret that is given away there makes place, and links may lead to what comes later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclReplica {
    /// Policies by ID that are gone.
    pub policies_gone: Vec<String>,
    /// Policies as they are there.
    pub policies: Vec<AclPolicy>,
    /// Roles by ID that are gone.
    pub roles_gone: Vec<String>,
    /// Roles as they are there.
    pub roles: Vec<AclRole>,
    /// Tokens by secret that are gone.
    pub tokens_gone: Vec<String>,
    /// Tokens as they are there. One that is local here stays as it is.
    pub tokens: Vec<AclToken>,
}

/// Everything that can change the replicated state.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Catalog registration.
    Register(Box<RegisterRequest>),
    /// Catalog deregistration.
    Deregister(DeregisterRequest),
    /// Key/value write.
    Kv(KvWrite),
    /// Session write.
    Session(SessionWrite),
    /// Prepared query write.
    PreparedQuery(PreparedQueryWrite),
    /// Transaction with at least one write.
    Txn(Vec<TxnOp>),
    /// Transaction that touches the catalog.
    CatalogTxn(Vec<TxnStep>),
    /// Intention write.
    Intention(Box<IntentionWrite>),
    /// Certificate authority write.
    Ca(Box<CaWrite>),
    /// Token or policy write.
    Acl(Box<AclWrite>),
    /// Network coordinates of several nodes.
    Coordinates(Vec<NodeCoordinate>),
    /// Settings of autopilot.
    Autopilot(Box<AutopilotWrite>),
    /// Configuration entry write.
    ConfigEntry(Box<ConfigEntryWrite>),
    /// Forgets tombstones up to an index.
    ReapTombstones(Index),
    /// Replaces everything by what a snapshot holds; refused, changing nothing, if it is damaged.
    Restore(Bytes),
    /// Changes nothing; used as a barrier.
    Noop,
}

/// What applying a command gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done, nothing to tell.
    Done,
    /// Whether a conditional write took place.
    Applied(bool),
    /// The transaction's results, in order (deletes give none).
    Txn(Vec<Arc<KvEntry>>),
    /// The results of a transaction that touched the catalog, in order (deletes give none).
    CatalogTxn(Vec<TxnRow>),
    /// The transaction failed; nothing was applied.
    TxnFailed(Vec<TxnError>),
    /// The command was refused; nothing was applied.
    Refused(Refusal),
}

/// Why the store refused a command. The texts are the original's; clients match on them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A service or check for a node that is not registered.
    #[error("Missing node registration")]
    MissingNode,
    /// A check for a service that is not registered.
    #[error("Missing service registration")]
    MissingService,
    /// A session wants a check that its node does not have.
    #[error("Missing check '{0}' registration")]
    MissingCheck(String),
    /// A session wants a check that is critical.
    #[error("Check '{0}' is in critical state")]
    CriticalCheck(String),
    /// A lock without a session.
    #[error("missing session")]
    MissingSession,
    /// A lock by a session that does not exist.
    #[error("invalid session \"{0}\"")]
    InvalidSession(String),
    /// A session id that is no UUID.
    #[error("failed session lookup: index error: UUID must be 36 characters")]
    SessionNotUuid,
    /// Another node has the same id.
    #[error(
        "failed inserting node: node ID \"{id}\" for node \"{name}\" aliases existing node \"{holder}\""
    )]
    NodeIdTaken {
        /// The id.
        id: String,
        /// The node that wants it.
        name: String,
        /// The node that has it.
        holder: String,
    },
    /// Two prepared queries of one name.
    #[error("name '{0}' aliases an existing query name")]
    QueryNameTaken(String),
    /// A prepared query that is called as another one is identified.
    #[error("name '{0}' aliases an existing query ID")]
    QueryNameIsId(String),
    /// Two templates for everything.
    #[error("a query template with an empty name already exists")]
    EmptyTemplateTaken,
    /// Two intentions for one pair.
    #[error("duplicate intention found: {0}")]
    DuplicateIntention(String),
    /// A compare-and-set of CA state whose index no longer holds.
    #[error("CA state was changed concurrently (index {found}, expected {expected})")]
    CaIndexMismatch {
        /// Index that the writer had read.
        expected: Index,
        /// Index that holds.
        found: Index,
    },
    /// Not exactly one root of a new list is active.
    #[error("there must be exactly one active CA")]
    NotOneActiveRoot,
    /// A token without a secret or an accessor.
    #[error("Missing ACL Token {0}")]
    AclTokenWithout(&'static str),
    /// Another token has the secret or the accessor.
    #[error("Invalid Token: {0} is already in use")]
    AclTokenTaken(&'static str),
    /// A name that another one has.
    #[error("Invalid {what}: A {what} with Name {name:?} already exists")]
    AclNameTaken {
        /// `Policy`, `Role` or `Auth Method`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A link that leads nowhere.
    #[error("No such {what} with {by}: {id}")]
    AclNoSuch {
        /// `policy`, `role` or `auth method`.
        what: &'static str,
        /// `ID` or `Name`.
        by: &'static str,
        /// Its ID or name.
        id: String,
    },
    /// What was to be changed is gone, or what was to be created is there.
    #[error("{what} {id:?} was changed by somebody else meanwhile; try again")]
    AclRaced {
        /// `Token`, `Policy`, …
        what: &'static str,
        /// Its ID or name.
        id: String,
    },
    /// A login that would give nothing.
    #[error("token has no privileges")]
    AclNoPrivileges,
    /// The first token was made already.
    #[error("ACL bootstrap no longer allowed")]
    AclBootstrapDone,
    /// The index given to be allowed another bootstrap is not that of the last one.
    #[error("Invalid ACL bootstrap reset index")]
    AclBootstrapIndex,
    /// A configuration entry that does not fit the others.
    #[error("{0}")]
    ConfigEntry(String),
    /// A snapshot that cannot be restored.
    #[error("{0}")]
    BadSnapshot(String),
}

#[derive(Clone, Copy)]
#[repr(u8)]
enum Tag {
    Register = 0,
    Deregister = 1,
    Kv = 2,
    Session = 3,
    ReapTombstones = 5,
    Coordinates = 6,
    PreparedQuery = 7,
    Txn = 8,
    Autopilot = 9,
    Intention = 12,
    Ca = 13,
    Acl = 17,
    ConfigEntry = 22,
    CatalogTxn = 125,
    Restore = 126,
    Noop = 127,
}

impl Command {
    /// Appends the encoded command to `out`.
    ///
    /// # Errors
    /// When a value cannot be expressed in MessagePack.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.push(COMMAND_VERSION);
        let tag = match self {
            Self::Register(_) => Tag::Register,
            Self::Deregister(_) => Tag::Deregister,
            Self::Kv(_) => Tag::Kv,
            Self::Session(_) => Tag::Session,
            Self::PreparedQuery(_) => Tag::PreparedQuery,
            Self::Txn(_) => Tag::Txn,
            Self::CatalogTxn(_) => Tag::CatalogTxn,
            Self::Intention(_) => Tag::Intention,
            Self::Ca(_) => Tag::Ca,
            Self::Acl(_) => Tag::Acl,
            Self::Coordinates(_) => Tag::Coordinates,
            Self::Autopilot(_) => Tag::Autopilot,
            Self::ConfigEntry(_) => Tag::ConfigEntry,
            Self::ReapTombstones(_) => Tag::ReapTombstones,
            Self::Restore(_) => Tag::Restore,
            Self::Noop => Tag::Noop,
        };
        out.push(tag as u8);
        match self {
            Self::Register(r) => codec::encode_into(r, out),
            Self::Deregister(r) => codec::encode_into(r, out),
            Self::Kv(r) => codec::encode_into(r, out),
            Self::Session(r) => codec::encode_into(r, out),
            Self::PreparedQuery(r) => codec::encode_into(r, out),
            Self::Txn(r) => codec::encode_into(r, out),
            Self::CatalogTxn(r) => codec::encode_into(r, out),
            Self::Intention(r) => codec::encode_into(r, out),
            Self::Ca(r) => codec::encode_into(r, out),
            Self::Acl(r) => codec::encode_into(r, out),
            Self::Coordinates(r) => codec::encode_into(r, out),
            Self::Autopilot(r) => codec::encode_into(r, out),
            Self::ConfigEntry(r) => codec::encode_into(r, out),
            Self::ReapTombstones(r) => codec::encode_into(r, out),
            Self::Restore(state) => {
                out.extend_from_slice(state);
                Ok(())
            }
            Self::Noop => Ok(()),
        }
    }

    /// Reads one encoded command.
    ///
    /// # Errors
    /// When the bytes are of another version or kind, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let [version, tag, body @ ..] = bytes else { return Err(CodecError::Truncated) };
        if *version != COMMAND_VERSION {
            return Err(CodecError::Unknown { what: "command version", number: *version });
        }
        Ok(match *tag {
            t if t == Tag::Register as u8 => Self::Register(codec::decode(body)?),
            t if t == Tag::Deregister as u8 => Self::Deregister(codec::decode(body)?),
            t if t == Tag::Kv as u8 => Self::Kv(codec::decode(body)?),
            t if t == Tag::Session as u8 => Self::Session(codec::decode(body)?),
            t if t == Tag::PreparedQuery as u8 => Self::PreparedQuery(codec::decode(body)?),
            t if t == Tag::Txn as u8 => Self::Txn(codec::decode(body)?),
            t if t == Tag::CatalogTxn as u8 => Self::CatalogTxn(codec::decode(body)?),
            t if t == Tag::Intention as u8 => Self::Intention(codec::decode(body)?),
            t if t == Tag::Ca as u8 => Self::Ca(codec::decode(body)?),
            t if t == Tag::Acl as u8 => Self::Acl(codec::decode(body)?),
            t if t == Tag::Coordinates as u8 => Self::Coordinates(codec::decode(body)?),
            t if t == Tag::Autopilot as u8 => Self::Autopilot(codec::decode(body)?),
            t if t == Tag::ConfigEntry as u8 => Self::ConfigEntry(codec::decode(body)?),
            t if t == Tag::ReapTombstones as u8 => Self::ReapTombstones(codec::decode(body)?),
            t if t == Tag::Restore as u8 => Self::Restore(Bytes::copy_from_slice(body)),
            t if t == Tag::Noop as u8 => Self::Noop,
            number => return Err(CodecError::Unknown { what: "command type", number }),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::acl::AclLink;
    use crate::catalog::Node;
    use crate::kv::KvOp;
    use crate::timestamp::Timestamp;
    use crate::txn::CatalogVerb;

    fn round_trip(command: &Command) {
        let mut bytes = Vec::new();
        command.encode_into(&mut bytes).unwrap();
        assert_eq!(&Command::decode(&bytes).unwrap(), command);
        for cut in 0..bytes.len() {
            // A damaged log record must be an error, never a panic.
            let _ = Command::decode(&bytes[..cut]);
        }
    }

    #[test]
    fn commands_survive_the_log() {
        round_trip(&Command::Noop);
        round_trip(&Command::ReapTombstones(7));
        round_trip(&Command::Coordinates(vec![NodeCoordinate::default()]));
        let write = AutopilotWrite { config: Default::default(), cas: Some(3) };
        round_trip(&Command::Autopilot(Box::new(write)));
        round_trip(&Command::Restore(Bytes::from_static(&[0x80, 2])));
        round_trip(&Command::Kv(KvWrite {
            op: KvOp::DeleteCas,
            entry: KvEntry {
                key: "a/b".into(),
                value: vec![0, 255, 7].into(),
                ..Default::default()
            },
            lock_delayed: false,
        }));
        round_trip(&Command::Register(Box::new(RegisterRequest {
            node: "n".into(),
            service: Some(Service { id: "s".into(), name: "s".into(), ..Service::default() }),
            checks: vec![HealthCheck::default()],
            ..RegisterRequest::default()
        })));
        round_trip(&Command::Session(SessionWrite::Create(Session::default())));
        round_trip(&Command::Deregister(DeregisterRequest::default()));
        let query = PreparedQuery { name: "q".into(), ..PreparedQuery::default() };
        round_trip(&Command::PreparedQuery(PreparedQueryWrite::Set(Box::new(query))));
        round_trip(&Command::PreparedQuery(PreparedQueryWrite::Delete("q".into())));
        let get = CatalogVerb::Get;
        round_trip(&Command::CatalogTxn(vec![
            TxnStep::Node { verb: CatalogVerb::DeleteCas, node: Node::default() },
            TxnStep::Service { verb: get, node: "n".into(), service: Box::default() },
            TxnStep::Check { verb: CatalogVerb::Cas, check: Box::default() },
        ]));
        let side = |name: &str| ("default".to_owned(), name.to_owned());
        let pair = IntentionPair { source: side("web"), destination: side("db") };
        round_trip(&Command::Intention(Box::new(IntentionWrite::DeletePair(pair))));
        let token = AclToken {
            secret_id: "s".into(),
            roles: vec![AclLink { id: "r".into(), name: "n".into() }],
            expiration_time: Some(Timestamp(7)),
            hash: vec![1, 2],
            ..AclToken::default()
        };
        let method = AclAuthMethod { max_token_ttl: 9, ..AclAuthMethod::default() };
        for write in [
            AclWrite::TokenSet(token.clone()),
            AclWrite::Bootstrap { token: Box::new(token.clone()), reset_index: 3 },
            AclWrite::TokensUpgrade(vec![token]),
            AclWrite::TokensDelete(vec!["a".into()]),
            AclWrite::AuthMethodSet(method),
        ] {
            round_trip(&Command::Acl(Box::new(write)));
        }
    }

    #[test]
    fn unknown_records_are_refused() {
        assert!(matches!(Command::decode(&[]), Err(CodecError::Truncated)));
        assert!(matches!(Command::decode(&[9, 0]), Err(CodecError::Unknown { number: 9, .. })));
        assert!(matches!(Command::decode(&[1, 99]), Err(CodecError::Unknown { number: 99, .. })));
    }

    fn read_back(bytes: &[u8]) -> Result<(), TestCaseError> {
        if let Ok(command) = Command::decode(bytes) {
            let mut again = Vec::new();
            command.encode_into(&mut again).unwrap();
            prop_assert_eq!(Command::decode(&again).unwrap(), command);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_command_or_an_error(
            tag in prop_oneof![0_u8..20, 125_u8..],
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            read_back(&[&[COMMAND_VERSION, tag][..], &bytes].concat())?;
            read_back(&bytes)?;
        }

        #[test]
        fn a_changed_command_is_a_command_or_an_error(
            key in "\\PC{0,9}", value in prop::collection::vec(any::<u8>(), 0..20),
            at in any::<prop::sample::Index>(), byte: u8,
        ) {
            let entry = KvEntry { key: key.into(), value: value.into(), ..Default::default() };
            let write = KvWrite { op: KvOp::Set, entry, lock_delayed: false };
            let register = RegisterRequest {
                node: "n".into(),
                service: Some(Service { id: "s".into(), ..Service::default() }),
                checks: vec![HealthCheck::default()],
                ..RegisterRequest::default()
            };
            for command in [Command::Kv(write), Command::Register(Box::new(register))] {
                let mut bytes = Vec::new();
                command.encode_into(&mut bytes).unwrap();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                read_back(&bytes)?;
            }
        }
    }
}
