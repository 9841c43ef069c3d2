//! What a log entry holds: commands that were proposed at about the same time.
//!
//! Encoded, a batch is the commands one after the other, each with its length (32 bits, big
//! endian). The commands themselves say their version.

use std::fmt;
use std::sync::Arc;

use lictor_state::Applied;
use lictor_types::command::Command;
use openraft::vote::RaftLeaderId;
use serde::de::Visitor;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The types that openraft works with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types;

impl openraft::RaftTypeConfig for Types {
    type D = Batch;
    type R = Answers;
    type NodeId = uuid::Uuid;
    type Node = openraft::BasicNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = openraft::impls::Vote<LeaderId>;
    type Payload = openraft::EntryPayload<Batch, uuid::Uuid, openraft::BasicNode>;
    type Entry = openraft::Entry<<LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = Runtime;
    type Responder<T>
        = Responder<T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// Where the engine's answer goes, once there is one. It is dropped if there never is.
pub(crate) struct Responder<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Responder<T> {
    pub(crate) fn new(answer: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(answer))
    }
}

impl<T: 'static> openraft::raft::responder::Responder<Types, T> for Responder<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}

/// What runs the engine; in tests its chance can come from a seed.
#[cfg(not(test))]
type Runtime = openraft::TokioRuntime;
#[cfg(test)]
type Runtime = crate::simulation::Seeded;

pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, uuid::Uuid>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Types>;
pub(crate) type Membership = openraft::type_config::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<Types>;

/// Commands in order. Clones share them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batch(pub(crate) Arc<[Command]>);

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands", self.0.len())
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = Vec::with_capacity(64 * self.0.len());
        for command in &*self.0 {
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            command.encode_into(&mut out).map_err(S::Error::custom)?;
            let size = u32::try_from(out.len() - start - 4)
                .map_err(|_| S::Error::custom("command of more than 4 GiB"))?;
            if let Some(place) = out.get_mut(start..start + 4) {
                place.copy_from_slice(&size.to_be_bytes());
            }
        }
        serializer.serialize_bytes(&out)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Batch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("commands with their lengths")
            }

            fn visit_bytes<E: serde::de::Error>(self, mut bytes: &[u8]) -> Result<Batch, E> {
                let mut commands = Vec::new();
                while let Some((size, rest)) = bytes.split_first_chunk::<4>() {
                    let size = u32::from_be_bytes(*size) as usize;
                    let (command, rest) =
                        rest.split_at_checked(size).ok_or_else(|| E::custom("cut off"))?;
                    commands.push(Command::decode(command).map_err(E::custom)?);
                    bytes = rest;
                }
                if bytes.is_empty() {
                    Ok(Batch(commands.into()))
                } else {
                    Err(E::custom("cut off"))
                }
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// What applying an entry gave, in the order of its commands. It never leaves the process: the
/// library asks for an encoding only because other programs send answers between nodes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answers {
    #[serde(skip)]
    pub(crate) applied: Vec<Applied>,
}

#[cfg(test)]
mod tests {
    use lictor_types::kv::{KvEntry, KvOp, KvWrite};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn batches_survive_the_log() {
        let set = |key: &str| {
            Command::Kv(KvWrite {
                op: KvOp::Set,
                entry: KvEntry { key: key.into(), ..KvEntry::default() },
                lock_delayed: false,
            })
        };
        for commands in [vec![], vec![set("a")], vec![set("a"), Command::Noop, set("b")]] {
            let batch = Batch(commands.into());
            let bytes = rmp_serde::to_vec(&batch).unwrap();
            assert_eq!(rmp_serde::from_slice::<Batch>(&bytes).unwrap(), batch);
        }
        let cut = rmp_serde::to_vec(&serde_bytes_like(&[0, 0, 0, 9, 1])).unwrap();
        assert!(rmp_serde::from_slice::<Batch>(&cut).is_err());
    }

    fn serde_bytes_like(bytes: &[u8]) -> impl Serialize + use<> {
        struct Raw(Vec<u8>);
        impl Serialize for Raw {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }
        Raw(bytes.to_vec())
    }

    proptest! {
        #[test]
        fn any_bytes_are_commands_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for bytes in [rmp_serde::to_vec(&serde_bytes_like(&bytes)).unwrap(), bytes] {
                if let Ok(batch) = rmp_serde::from_slice::<Batch>(&bytes) {
                    let again = rmp_serde::to_vec(&batch).unwrap();
                    prop_assert_eq!(rmp_serde::from_slice::<Batch>(&again).unwrap(), batch);
                }
            }
        }
    }
}
