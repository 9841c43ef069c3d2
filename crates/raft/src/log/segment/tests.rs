//! Files of entries: what is written is read, and no bytes make the reader fail otherwise than
//! with an error.

use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;
use proptest::prelude::*;

use super::*;
use crate::batch::{Batch, LogId};

fn entry(index: u64) -> Entry {
    let leader = openraft::impls::leader_id_adv::LeaderId { term: 1, node_id: uuid::Uuid::nil() };
    let batch = Batch([lictor_types::command::Command::Noop].into());
    Entry::new(LogId::new(leader, index), EntryPayload::Normal(batch))
}

fn write(segments: &mut Segments, indexes: std::ops::Range<u64>) {
    for index in indexes {
        segments.append(&encode(&[entry(index)]).unwrap()).unwrap();
    }
    segments.sync().unwrap();
}

fn indexes(dir: &Path, from: u64) -> Vec<u64> {
    let (_, entries) = Segments::open(dir, from).unwrap();
    entries.iter().map(|entry| entry.log_id.index).collect()
}

#[test]
fn entries_are_read_back_and_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, none) = Segments::open(dir.path(), 0).unwrap();
    assert!(none.is_empty());
    write(&mut segments, 0..10);
    assert_eq!(indexes(dir.path(), 0), (0..10).collect::<Vec<_>>());
    assert_eq!(indexes(dir.path(), 4), (4..10).collect::<Vec<_>>());
    segments.truncate(6).unwrap();
    assert_eq!(indexes(dir.path(), 0), (0..6).collect::<Vec<_>>());
    write(&mut segments, 6..8);
    assert_eq!(indexes(dir.path(), 0), (0..8).collect::<Vec<_>>());
    segments.truncate(0).unwrap();
    assert_eq!(indexes(dir.path(), 0), Vec::<u64>::new());
}

#[test]
fn full_files_are_closed_and_purged() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = Segments::open(dir.path(), 0).unwrap();
    for start in [0, 10, 20] {
        write(&mut segments, start..start + 10);
        if let Some((segment, _)) = &mut segments.active {
            // As if it were full.
            segment.length = SEGMENT_MAX;
        }
    }
    assert_eq!(segments.closed.len(), 2);
    segments.purge(12).unwrap();
    assert_eq!(segments.closed.len(), 1);
    assert_eq!(indexes(dir.path(), 13), (13..30).collect::<Vec<_>>());
}

#[test]
fn a_damaged_file_full_of_small_numbers_is_judged_soon() {
    // Each of them could be the length of a record.
    let mut bytes = [&MAGIC[..], &[0, 0, 2, 0].repeat(1 << 20)].concat();
    assert!(parse(Path::new("x"), &bytes, 0, true).is_ok(), "a torn end");
    let later = encode(&[entry(7)]).unwrap().bytes;
    assert_eq!(&later[HEADER..HEADER + ENTRY.len()], ENTRY);
    bytes.extend(later);
    let error = parse(Path::new("x"), &bytes, 0, true).unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(tail in proptest::collection::vec(any::<u8>(), 0..400), last: bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        fs::write(&path, [&MAGIC[..], &tail].concat()).unwrap();
        if let Ok((segment, entries)) = read(&path, 0, last) {
            prop_assert_eq!(segment.starts.len(), entries.len());
        }
    }

    #[test]
    fn a_changed_byte_loses_the_last_entry_at_most_or_is_told(
        count in 1_u64..6, at in any::<prop::sample::Index>(), change in 1_u8..,
    ) {
        let entries: Vec<_> = (0..count).map(entry).collect();
        let records = encode(&entries).unwrap();
        let mut bytes = [&MAGIC[..], &records.bytes].concat();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let last_start = bytes.len() - records.sizes.last().unwrap().1;
        if let Ok((_, found)) = parse(Path::new("x"), &bytes, 0, true) {
            // A torn end looks like this; nothing before it may be missing.
            prop_assert!(at >= last_start && found.len() as u64 == count - 1);
            prop_assert_eq!(&entries[..found.len()], &found[..]);
        }
        prop_assert!(parse(Path::new("x"), &bytes, 0, false).is_err());
    }

    #[test]
    fn a_cut_file_keeps_every_whole_entry(count in 1_u64..6, at in any::<prop::sample::Index>()) {
        let entries: Vec<_> = (0..count).map(entry).collect();
        let records = encode(&entries).unwrap();
        let bytes = [&MAGIC[..], &records.bytes].concat();
        let end = at.index(bytes.len() + 1);
        let mut whole = 0;
        let mut length = MAGIC.len();
        for (_, size) in &records.sizes {
            length += size;
            whole += usize::from(length <= end);
        }
        let (_, found) = parse(Path::new("x"), &bytes[..end], 0, true).unwrap();
        prop_assert_eq!(&entries[..whole], &found[..]);
    }
}
