//! Snapshots: what is written is read back, and damage is never taken half.

use lictor_types::command::{
    Command, Outcome, PreparedQueryWrite, Refusal, RegisterRequest, SessionWrite,
};
use lictor_types::kv::{KvOp, KvWrite};
use proptest::prelude::*;

use super::*;
use crate::store::Store;

/// A store with a row of several kinds.
fn filled() -> Store {
    let store = Store::new();
    let entry = |key: &str| KvEntry { key: key.into(), value: "v".into(), ..KvEntry::default() };
    let set = |op, key| Command::Kv(KvWrite { op, entry: entry(key), lock_delayed: false });
    let register = RegisterRequest {
        node: "n".into(),
        address: "127.0.0.1".into(),
        service: Some(Service { id: "s".into(), name: "web".into(), ..Service::default() }),
        checks: vec![HealthCheck { check_id: "c".into(), ..HealthCheck::default() }],
        ..RegisterRequest::default()
    };
    let session = Session { id: "x".into(), node: "n".into(), ..Session::default() };
    let query = PreparedQuery { id: "q".into(), name: "q".into(), ..PreparedQuery::default() };
    store.apply_batch([
        Command::PreparedQuery(PreparedQueryWrite::Set(Box::new(query))),
        Command::Register(Box::new(register)),
        set(KvOp::Set, "a"),
        set(KvOp::Set, "b"),
        set(KvOp::Delete, "a"),
        Command::Session(SessionWrite::Create(session)),
    ]);
    store
}

fn written(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write(&mut bytes).unwrap();
    bytes
}

/// Either everything of it is taken, and written the same again, or nothing.
fn all_or_nothing(bytes: &[u8]) -> Result<(), TestCaseError> {
    let store = filled();
    let before = written(&store);
    if store.install(&mut &*bytes).is_err() {
        prop_assert_eq!(written(&store), before);
    } else {
        let once = written(&store);
        let other = Store::new();
        other.install(&mut once.as_slice()).unwrap();
        prop_assert_eq!(written(&other), once);
    }
    Ok(())
}

#[test]
fn a_store_is_read_back() {
    let bytes = written(&filled());
    let store = Store::new();
    store.install(&mut bytes.as_slice()).unwrap();
    assert_eq!(written(&store), bytes);
}

#[test]
fn a_portable_snapshot_is_whole_and_hides_what_came_later() {
    let store = filled();
    let (mut portable, mut at) = (Vec::new(), 0);
    store.snapshot().write_portable(&mut portable).unwrap();
    let again = Store::new();
    again.install(&mut portable.as_slice()).unwrap();
    assert_eq!(written(&again), written(&store));
    let mut reader = RecordReader { bytes: &portable, at };
    assert!(!reader.value::<Header>().unwrap().hidden.is_empty());
    while let Some(&kind) = portable.get(reader.at) {
        assert!(kind <= CA_ROOT, "record {kind} at {at}");
        at = reader.at;
        reader.at += 1;
        reader.value::<IgnoredAny>().unwrap();
    }
}

#[test]
fn a_snapshot_is_restored_by_a_command() {
    let bytes = written(&filled());
    let store = Store::new();
    let set = |key: &str| {
        let entry = KvEntry { key: key.into(), ..KvEntry::default() };
        Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false })
    };
    for n in 0..20 {
        store.apply_batch([set(&n.to_string())]);
    }
    let epoch = store.view().epoch();
    let restore = Command::Restore(bytes.into());
    let applied = store.apply_batch([restore, set("after"), Command::Restore("bad".into())]);
    let indexes: Vec<_> = applied.iter().map(|applied| applied.index).collect();
    assert_eq!(indexes, [21, 22, 23]);
    assert_eq!(applied[0].outcome, Outcome::Done);
    assert!(matches!(applied[2].outcome, Outcome::Refused(Refusal::BadSnapshot(_))));
    let view = store.view();
    assert_ne!(view.epoch(), epoch);
    let keys: Vec<_> = view.kv_keys("", "").1;
    assert_eq!(keys, ["after".into(), Arc::from("b")]);
    let (index, rows) = view.kv_list("b");
    assert_eq!((index >= 21, rows[0].modify_index), (true, 4));
    assert!(view.nodes(&StringMap::new()).0 >= 21);
}

proptest! {
    #[test]
    fn any_bytes_are_a_snapshot_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..80), kind in 0_u8..24,
    ) {
        all_or_nothing(&bytes)?;
        let header = [0x81, 0xa9, b'L', b'a', b's', b't', b'I', b'n', b'd', b'e', b'x', 5];
        all_or_nothing(&[&header[..], &[kind], &bytes].concat())?;
    }

    #[test]
    fn a_changed_snapshot_is_taken_whole_or_not_at_all(
        at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut bytes = written(&filled());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        all_or_nothing(&bytes)?;
        all_or_nothing(&bytes[..at])?;
    }
}
