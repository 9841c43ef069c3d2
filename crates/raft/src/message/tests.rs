//! Every message is read as it was written, and what is none is refused.

use openraft::{BasicNode, EntryPayload, Membership};
use proptest::prelude::*;

use super::*;
use crate::batch::{Batch, LeaderId};
use lictor_types::command::Command;

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn leader_id() -> impl Strategy<Value = LeaderId> {
    (any::<u64>(), id()).prop_map(|(term, node_id)| LeaderId { term, node_id })
}

fn any_vote() -> impl Strategy<Value = Vote> {
    (leader_id(), any::<bool>()).prop_map(|(leader_id, committed)| Vote { leader_id, committed })
}

fn any_log_id() -> impl Strategy<Value = Option<LogId>> {
    let id =
        (leader_id(), 0..u64::MAX / 2).prop_map(|(leader_id, index)| LogId { leader_id, index });
    prop::option::of(id)
}

fn payload() -> impl Strategy<Value = EntryPayload<Batch, Uuid, BasicNode>> {
    prop_oneof![
        Just(EntryPayload::Blank),
        (0..4usize).prop_map(|n| EntryPayload::Normal(Batch(vec![Command::Noop; n].into()))),
        id().prop_map(|id| {
            let voters = std::collections::BTreeSet::from([id]);
            let nodes = std::collections::BTreeMap::from([(id, BasicNode { addr: "a:1".into() })]);
            EntryPayload::Membership(Membership::new(vec![voters], nodes).unwrap())
        }),
    ]
}

fn any_append() -> impl Strategy<Value = AppendEntriesRequest<Types>> {
    let parts = (any_vote(), any_log_id(), any_log_id(), prop::collection::vec(payload(), 0..5));
    parts.prop_map(|(vote, prev_log_id, leader_commit, payloads)| {
        let leader = prev_log_id.map_or(vote.leader_id, |prev| prev.leader_id);
        let first = prev_log_id.map_or(0, |prev| prev.index + 1);
        let entry =
            |(index, payload)| Entry { log_id: LogId { leader_id: leader, index }, payload };
        let entries = (first..).zip(payloads).map(entry).collect();
        AppendEntriesRequest { vote, prev_log_id, entries, leader_commit }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let vote = || {
        (any_vote(), any_log_id(), any::<bool>()).prop_map(|(vote, last_log_id, transfer)| {
            VoteRequest { vote, last_log_id, leadership_transfer: transfer }
        })
    };
    let whole = prop_oneof![Just(Whole::Message), any_vote().prop_map(Whole::Snapshot)];
    let bytes = prop::collection::vec(any::<u8>(), 0..50);
    let part =
        (whole, any::<u64>(), 0..1000u64, bytes).prop_map(|(whole, stream, offset, bytes)| {
            let total = offset + bytes.len() as u64 + 3;
            Message::Part(Part { whole, stream, total, offset, bytes: bytes.into() })
        });
    prop_oneof![
        any_append().prop_map(Message::Append),
        vote().prop_map(Message::Vote),
        vote().prop_map(Message::PreVote),
        (any_vote(), id(), any_log_id()).prop_map(|(from, to, last)| Message::Transfer(
            TransferLeaderRequest::new(from, to, last)
        )),
        part,
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Append(AppendEntriesResponse::Success)),
        Just(Answer::Append(AppendEntriesResponse::Conflict)),
        any_log_id().prop_map(|id| Answer::Append(AppendEntriesResponse::PartialSuccess(id))),
        any_vote().prop_map(|vote| Answer::Append(AppendEntriesResponse::HigherVote(vote))),
        (any_vote(), any_log_id(), any::<bool>())
            .prop_map(|(vote, last, granted)| Answer::Vote(VoteResponse::new(vote, last, granted))),
        any::<bool>().prop_map(Answer::Transfer),
        any::<u64>().prop_map(Answer::Next),
        any_vote().prop_map(Answer::Installed),
        ".{0,20}".prop_map(Answer::Refused),
    ]
}

const ENVELOPE: Envelope = Envelope { from: Uuid::from_u128(1), to: Uuid::from_u128(2) };

proptest! {
    #[test]
    fn messages_are_read_as_they_were_written(message in message()) {
        let bytes = message.encode(ENVELOPE).unwrap();
        let (envelope, read) = Message::decode(&bytes).unwrap();
        prop_assert_eq!(envelope, ENVELOPE);
        prop_assert_eq!(format!("{read:?}"), format!("{message:?}"));
        prop_assert_eq!(read.encode(ENVELOPE).unwrap(), &bytes);
        // Nothing is read that is not whole, or more than whole.
        for cut in 0..bytes.len() {
            let read = Message::decode(&bytes.slice(..cut));
            // Entries go to the end: fewer of them are a message, too.
            prop_assert!(read.is_err() || matches!(read, Ok((_, Message::Append(_)))));
        }
        let longer: Bytes = [&bytes[..], &[0]].concat().into();
        prop_assert!(Message::decode(&longer).is_err());
    }

    #[test]
    fn answers_are_read_as_they_were_written(answer in answer()) {
        let bytes = answer.encode(VERSION);
        prop_assert_eq!(Answer::decode(&bytes).unwrap(), answer);
        for cut in 0..bytes.len() {
            prop_assert!(Answer::decode(&bytes.slice(..cut)).is_err());
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..10u8, damage in message(),
        at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let _ = Message::decode(&bytes.clone().into());
        let _ = Answer::decode(&bytes.clone().into());
        let headed: Bytes = [&[VERSION, kind][..], &[0; 32], &bytes].concat().into();
        let _ = Message::decode(&headed);
        let _ = Answer::decode(&[&[VERSION, VERSION, kind][..], &bytes].concat().into());
        let mut damaged = damage.encode(ENVELOPE).unwrap().to_vec();
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        if let Ok((envelope, read)) = Message::decode(&damaged.clone().into()) {
            let again = read.encode(envelope).unwrap();
            let (_, twice) = Message::decode(&again).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{twice:?}"));
        }
    }
}

#[test]
fn other_versions_are_named() {
    let mut bytes = Message::Vote(VoteRequest::new(Vote::new(1, Uuid::nil()), None))
        .encode(ENVELOPE)
        .unwrap()
        .to_vec();
    bytes[0] = 9;
    let error = Message::decode(&bytes.into()).unwrap_err();
    assert_eq!(error.to_string(), "message of version 9, but only 1 to 1 are known");
}

#[test]
fn entries_that_do_not_follow_each_other_are_refused() {
    let entry = |index| Entry {
        log_id: LogId { leader_id: LeaderId { term: 1, node_id: Uuid::nil() }, index },
        payload: EntryPayload::Blank,
    };
    for (prev, indexes) in [(None, vec![1]), (Some(3), vec![5]), (Some(3), vec![4, 4])] {
        let append = AppendEntriesRequest {
            vote: Vote::new(1, Uuid::nil()),
            prev_log_id: prev.map(|index| entry(index).log_id),
            entries: indexes.into_iter().map(entry).collect(),
            leader_commit: None,
        };
        let bytes = Message::Append(append).encode(ENVELOPE).unwrap();
        assert_eq!(Message::decode(&bytes).unwrap_err(), DecodeError::Invalid("order of entries"));
    }
}

#[test]
fn a_message_takes_as_many_entries_as_fit_but_at_least_one() {
    use lictor_types::kv::{KvEntry, KvOp, KvWrite};
    let entry = |index: u64, size: usize| {
        let entry = KvEntry { key: "k".into(), value: vec![0; size].into(), ..KvEntry::default() };
        let write = Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false });
        Entry {
            log_id: LogId { leader_id: LeaderId { term: 1, node_id: Uuid::nil() }, index },
            payload: EntryPayload::Normal(Batch([write].into())),
        }
    };
    for (size, sent) in [(400_000, 2), (3_000_000, 1), (10, 5)] {
        let append = AppendEntriesRequest {
            vote: Vote::new(1, Uuid::nil()),
            prev_log_id: None,
            entries: (0..5).map(|index| entry(index, size)).collect(),
            leader_commit: None,
        };
        let (bytes, count) = Message::encode_append(ENVELOPE, &append).unwrap();
        assert_eq!(count, sent);
        assert!(count == 1 || bytes.len() <= MESSAGE_MAX);
        let Ok((_, Message::Append(read))) = Message::decode(&bytes) else { panic!("unreadable") };
        assert_eq!(read.entries.len(), sent);
    }
}
