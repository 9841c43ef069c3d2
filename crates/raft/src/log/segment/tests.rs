//! Files of entries: what is written is read, whatever is lost of what was not on disk yet, and
//! no bytes make the reader fail otherwise than with an error.

use lictor_types::command::Command;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;
use proptest::prelude::*;
use proptest::sample::Index;

use super::record::HEADER;
use super::*;
use crate::batch::{Batch, LogId};

/// An entry with a value of so many bytes.
fn sized(index: u64, value: usize) -> Entry {
    let leader = openraft::impls::leader_id_adv::LeaderId { term: 1, node_id: Uuid::nil() };
    let value = vec![index as u8; value];
    let entry = KvEntry { key: "k".into(), value: value.into(), ..KvEntry::default() };
    let command = Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false });
    Entry::new(LogId::new(leader, index), EntryPayload::Normal(Batch([command].into())))
}

fn entry(index: u64) -> Entry {
    sized(index, 5)
}

fn write(segments: &mut Segments, indexes: std::ops::Range<u64>) {
    for index in indexes {
        segments.append(&mut encode(&[entry(index)]).unwrap()).unwrap();
    }
    segments.sync().unwrap();
}

fn open(dir: &Path) -> (Segments, Vec<Entry>) {
    Segments::open(dir, 0, None).unwrap()
}

fn indexes(dir: &Path, from: u64) -> Vec<u64> {
    let (_, entries) = Segments::open(dir, from, None).unwrap();
    entries.iter().map(|entry| entry.log_id.index).collect()
}

/// A file of the present version with entries that are synced in groups, and where each group
/// ends. The last group was not synced.
fn file(groups: &[Vec<Entry>], room: usize) -> (Vec<u8>, Vec<usize>) {
    let id = Uuid::from_u128(0x1234);
    let (mut bytes, mut ends) = (record::head(id).to_vec(), Vec::new());
    for group in groups {
        let at = bytes.len() as u64;
        let mut records = encode(group).unwrap();
        records.seal(id, at, at);
        bytes.extend(records.bytes);
        ends.push(bytes.len());
    }
    bytes.resize(bytes.len().max(room), 0);
    (bytes, ends)
}

/// A file of the first version.
fn old_file(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = b"LICTLOG1".to_vec();
    for entry in entries {
        let body = rmp_serde::to_vec(entry).unwrap();
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(body);
    }
    bytes
}

fn found(bytes: &[u8], last: bool) -> Result<Vec<Entry>, LogError> {
    parse(Path::new("x"), bytes, 0, last).map(|content| content.entries)
}

#[test]
fn entries_are_read_back_and_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, none) = open(dir.path());
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
    write(&mut segments, 0..3);
    assert_eq!(indexes(dir.path(), 0), [0, 1, 2]);
}

#[test]
fn room_is_made_before_it_is_used_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open(dir.path());
    write(&mut segments, 0..3);
    let path = dir.path().join("00000000000000000000.log");
    assert_eq!(path.metadata().unwrap().len(), ROOM_MIN, "its length does not change");
    let length = segments.active.as_ref().unwrap().0.length;
    let large = sized(3, ROOM_MIN as usize);
    segments.append(&mut encode(&[large]).unwrap()).unwrap();
    segments.sync().unwrap();
    assert_eq!(path.metadata().unwrap().len(), length, "what is not used is given back");
    let second = dir.path().join("00000000000000000003.log");
    assert_eq!(second.metadata().unwrap().len(), 2 * ROOM_MIN);
    // One that no file has room for goes over the end.
    segments.append(&mut encode(&[sized(4, ROOM_MAX as usize)]).unwrap()).unwrap();
    write(&mut segments, 5..6);
    assert_eq!(indexes(dir.path(), 0), (0..6).collect::<Vec<_>>());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[tokio::test]
async fn the_next_file_is_made_ahead_and_forgotten_at_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = TaskSet::new("test");
    let (mut segments, _) = Segments::open(dir.path(), 0, Some(&tasks)).unwrap();
    segments.append(&mut encode(&[sized(0, 600_000)]).unwrap()).unwrap();
    segments.sync().unwrap();
    tasks.shutdown(std::time::Duration::from_secs(10)).await;
    let next = dir.path().join("next");
    assert_eq!(next.metadata().unwrap().len(), 2 * ROOM_MIN);
    segments.append(&mut encode(&[sized(1, 600_000)]).unwrap()).unwrap();
    segments.sync().unwrap();
    assert!(!next.exists(), "it is used");
    assert_eq!(indexes(dir.path(), 0), [0, 1]);
    fs::write(&next, "half of one").unwrap();
    assert_eq!(indexes(dir.path(), 0), [0, 1]);
    assert!(!next.exists());
}

#[test]
fn full_files_are_closed_and_purged() {
    let dir = tempfile::tempdir().unwrap();
    let (mut segments, _) = open(dir.path());
    for start in [0, 10, 20] {
        write(&mut segments, start..start + 10);
        if let Some((segment, _)) = &mut segments.active {
            // As if it were full.
            segment.room = segment.length;
        }
    }
    assert_eq!(segments.closed.len(), 2);
    segments.purge(12).unwrap();
    assert_eq!(segments.closed.len(), 1);
    assert_eq!(indexes(dir.path(), 13), (13..30).collect::<Vec<_>>());
}

#[test]
fn a_log_of_the_first_version_is_read_and_goes_on_in_files_of_this_one() {
    for entries in [0, 1, 4] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.log");
        fs::write(&path, old_file(&(0..entries).map(entry).collect::<Vec<_>>())).unwrap();
        let (mut segments, found) = open(dir.path());
        assert_eq!(found.len() as u64, entries);
        if entries == 4 {
            segments.truncate(3).unwrap();
        }
        let next = entries.min(3);
        write(&mut segments, next..next + 3);
        assert_eq!(indexes(dir.path(), 0), (0..next + 3).collect::<Vec<_>>());
        segments.truncate(0).unwrap();
        write(&mut segments, 0..2);
        assert_eq!(indexes(dir.path(), 0), [0, 1]);
    }
    // The start was not written whole.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("00000000000000000000.log"), b"LICT").unwrap();
    let (mut segments, _) = open(dir.path());
    // After a snapshot of another server it goes on elsewhere.
    write(&mut segments, 5..7);
    assert_eq!(indexes(dir.path(), 5), [5, 6]);
}

#[test]
fn a_damaged_file_full_of_small_numbers_is_judged_soon() {
    // Each of them could be the length of a record.
    let mut bytes = old_file(&[]);
    bytes.extend([0, 0, 2, 0].repeat(1 << 20));
    assert!(parse(Path::new("x"), &bytes, 0, true).unwrap().torn);
    let later = &old_file(&[entry(7)])[8..];
    bytes.extend(later);
    let error = parse(Path::new("x"), &bytes, 0, true).unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
}

#[test]
fn what_a_client_stores_is_not_taken_for_a_record() {
    // A value holds a whole file, but that has another id and another place.
    let (image, _) = file(&[vec![entry(5)], vec![entry(6)], vec![entry(7)]], 0);
    let leader = openraft::impls::leader_id_adv::LeaderId { term: 1, node_id: Uuid::nil() };
    let kv = KvEntry { key: "k".into(), value: image.into(), ..KvEntry::default() };
    let command = Command::Kv(KvWrite { op: KvOp::Set, entry: kv, lock_delayed: false });
    let payload = EntryPayload::Normal(Batch([command].into()));
    let (mut bytes, ends) =
        file(&[vec![entry(0)], vec![Entry::new(LogId::new(leader, 1), payload)]], 0);
    bytes[ends[0]] ^= 1;
    assert_eq!(found(&bytes, true).unwrap(), [entry(0)]);
}

fn groups() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    let sizes = proptest::collection::vec(proptest::collection::vec(0_usize..900, 1..4), 1..6);
    sizes.prop_map(|groups| {
        let mut next = 0..;
        let mut entry = |size| sized(next.next().unwrap(), size);
        groups.into_iter().map(|group| group.into_iter().map(&mut entry).collect()).collect()
    })
}

proptest! {
    // Some of them write files.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_survived(
        tail in proptest::collection::vec(any::<u8>(), 0..400), last: bool, old: bool,
    ) {
        let head = if old { old_file(&[]) } else { file(&[], 0).0 };
        let bytes = [head, tail].concat();
        if let Ok(content) = parse(Path::new("x"), &bytes, 0, last) {
            prop_assert_eq!(content.starts.len(), content.entries.len());
        }
    }

    /// A crash leaves any part of what was being written; nothing that was synced is missing then,
    /// and what is written next is all that follows.
    #[test]
    fn a_crash_loses_only_what_was_not_synced(
        groups in groups(), sector in 1_usize..700, lost in any::<u64>(), shorter in 0_usize..3,
    ) {
        let (mut bytes, ends) = file(&groups, 1 << 14);
        let synced = ends.len().checked_sub(2).map_or(HEAD, |before| ends[before]);
        let end = *ends.last().unwrap();
        for (nth, sector) in bytes[synced..end].chunks_mut(sector).enumerate() {
            if lost >> (nth % 64) & 1 == 1 {
                sector.fill(0);
            }
        }
        let all: Vec<_> = groups.concat();
        let safe = all.len() - groups.last().unwrap().len();
        let left = found(&bytes, true).unwrap();
        prop_assert!(left.len() >= safe && left[..] == all[..left.len()]);

        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("00000000000000000000.log"), &bytes).unwrap();
        let (mut segments, again) = open(dir.path());
        prop_assert_eq!(&again, &left);
        let mut expected = left;
        // As long as what was lost, so that what follows it would fit, and shorter.
        for index in (expected.len() as u64..).take(shorter) {
            let lost = all.get(index as usize).cloned().unwrap_or_else(|| entry(index));
            segments.append(&mut encode(std::slice::from_ref(&lost)).unwrap()).unwrap();
            segments.sync().unwrap();
            expected.push(lost);
        }
        prop_assert_eq!(open(dir.path()).1, expected);
    }

    /// Cut back, as a follower does whose leader has lost, and written again.
    #[test]
    fn nothing_that_was_truncated_comes_back(
        sizes in proptest::collection::vec(0_usize..900, 2..8), keep in any::<Index>(),
        again in proptest::collection::vec(0_usize..900, 0..3),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut segments, _) = open(dir.path());
        let mut expected = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            expected.push(sized(index as u64, *size));
            segments.append(&mut encode(&expected[index..]).unwrap()).unwrap();
        }
        segments.sync().unwrap();
        let keep = keep.index(sizes.len());
        expected.truncate(keep);
        segments.truncate(keep as u64).unwrap();
        for (index, size) in (keep..).zip(&again) {
            expected.push(sized(index as u64, *size));
            segments.append(&mut encode(&expected[index..]).unwrap()).unwrap();
        }
        segments.sync().unwrap();
        prop_assert_eq!(open(dir.path()).1, expected);
    }

    #[test]
    fn a_changed_byte_loses_what_was_written_last_at_most_or_is_told(
        groups in groups(), at in any::<Index>(), change in 1_u8.., room in 0_usize..9000,
    ) {
        let (mut bytes, ends) = file(&groups, room);
        let end = *ends.last().unwrap();
        let at = at.index(end);
        bytes[at] ^= change;
        let synced = ends.len().checked_sub(2).map_or(HEAD, |before| ends[before]);
        let all = groups.concat();
        if let Ok(found) = found(&bytes, true) {
            // The end looks like one that was being written; nothing before it may be missing.
            let safe = all.len() - groups.last().unwrap().len();
            prop_assert!(at >= synced && found.len() >= safe && found.len() < all.len());
            prop_assert_eq!(&all[..found.len()], &found[..]);
        }
        prop_assert!(found(&bytes, false).is_err());
    }

    #[test]
    fn a_cut_file_keeps_every_whole_entry(count in 1_u64..6, at in any::<Index>(), old: bool) {
        let entries: Vec<_> = (0..count).map(entry).collect();
        let bytes = if old { old_file(&entries) } else { file(std::slice::from_ref(&entries), 0).0 };
        let (head, header) = if old { (8, 8) } else { (HEAD, HEADER) };
        let end = at.index(bytes.len() + 1);
        let mut length = head;
        let mut whole = 0;
        for entry in &entries {
            length += header + rmp_serde::to_vec(entry).unwrap().len();
            whole += usize::from(length <= end);
        }
        match found(&bytes[..end], true) {
            Ok(found) => prop_assert_eq!(&entries[..whole], &found[..]),
            // Files of this version get their name when they are whole.
            Err(_) => prop_assert!(end < head && !old),
        }
    }
}
