//! Bodies of calls recorded between agents: each is read, and written again it says the same.
//!
//! The bytes differ, since the fields of both versions are written. So values are compared: what
//! was recorded is there again, and whatever else is written is zero. What is not kept, and what is
//! written in two forms for two versions, is named.

use std::collections::{BTreeMap, BTreeSet};

use lictor_pack::{Malformed, Reader};
use lictor_wire::WireError;
use lictor_wire::table::{METHODS, method};
use proptest::prelude::*;

/// A value without its type.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Nothing,
    Truth(bool),
    Number(f64),
    Raw(Vec<u8>),
    List(Vec<Self>),
    Map(BTreeMap<Vec<u8>, Self>),
}

impl Tree {
    fn read(from: &mut Reader<'_>) -> Self {
        match from.peek().expect("a value") {
            0xc0 => {
                from.nil();
                Self::Nothing
            }
            0xc2 | 0xc3 => Self::Truth(from.bool().expect("a truth value")),
            0x80..=0x8f | 0xde | 0xdf => {
                let pairs = 0..from.map().expect("a map");
                let pair = |_| (from.raw().expect("a key").to_vec(), Self::read(from));
                Self::Map(pairs.map(pair).collect())
            }
            0x90..=0x9f | 0xdc | 0xdd => {
                let values = 0..from.array().expect("a list");
                Self::List(values.map(|_| Self::read(from)).collect())
            }
            0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb => {
                let mut bytes = from.raw().expect("bytes").to_vec();
                // The zone of a time: it is UTC in two forms.
                if bytes.len() == 15 && bytes.starts_with(&[1, 0, 0]) && bytes.ends_with(&[0, 0]) {
                    bytes[13..].fill(0xff);
                }
                Self::Raw(bytes)
            }
            _ => Self::Number(from.float().expect("a number")),
        }
    }

    fn of(method: &str, bytes: &[u8]) -> Self {
        let mut from = Reader::new(bytes);
        let tree = Self::read(&mut from);
        assert!(from.rest().is_empty());
        match tree {
            // Several values, as the bytes of one.
            Self::Raw(inner) if method.starts_with("ConfigEntry.") => {
                let mut from = Reader::new(&inner);
                let mut values = Vec::new();
                while !from.rest().is_empty() {
                    values.push(Self::read(&mut from));
                }
                Self::List(values)
            }
            tree => tree,
        }
    }

    fn is_zero(&self) -> bool {
        // The first year's first second.
        const NO_TIME: [u8; 15] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        match self {
            Self::Nothing => true,
            Self::Truth(truth) => !truth,
            Self::Number(number) => *number == 0.0,
            Self::Raw(bytes) => bytes.is_empty() || *bytes == NO_TIME,
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.values().all(Self::is_zero),
        }
    }
}

/// Beginnings and ends of paths whose values are not kept, or written otherwise, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("", ".MaxStaleDuration", "compared by whoever asks"),
    ("", ".Weights", "1 and 1 where version 1.2 has none"),
    ("", ".ServiceWeights", "likewise"),
    ("Session.", ".Checks", "those of nodes and services, for version 1.2"),
    ("Session.", ".NodeChecks", "the same for later versions"),
    ("Session.", ".SessionID", "what `Session` says, for later versions"),
    ("Session.Apply", ".Behavior", "where a session is ended, nothing but its id counts"),
    ("ACL.ReplicationStatus request", ".Source", "nothing is sorted"),
    ("ConnectCA.Roots", ".PrivateKeyBits", "not known of a root"),
    ("ConnectCA.Roots", ".PrivateKeyType", "likewise"),
    ("Intention.", ".Hash", "not kept"),
    ("Intention.List", ".DataOrigin", "not kept: there is one"),
    ("Intention.Check", "NS", "the only namespace, which version 1.10 leaves out"),
    ("Intention.Match", ".Namespace", "likewise"),
];

fn differences(path: &str, recorded: &Tree, ours: &Tree, found: &mut Vec<String>) {
    let known =
        |(start, end, _): &(&str, &str, &str)| path.starts_with(start) && path.ends_with(end);
    if recorded == ours || recorded.is_zero() && ours.is_zero() || DIFFERENT.iter().any(known) {
        return;
    }
    match (recorded, ours) {
        (Tree::Map(recorded), Tree::Map(ours)) => {
            let keys = recorded.keys().chain(ours.keys());
            for key in keys.collect::<BTreeSet<_>>() {
                let path = format!("{path}.{}", String::from_utf8_lossy(key));
                let value = |map: &BTreeMap<_, _>| map.get(key).cloned().unwrap_or(Tree::Nothing);
                differences(&path, &value(recorded), &value(ours), found);
            }
        }
        (Tree::List(recorded), Tree::List(ours)) if recorded.len() == ours.len() => {
            for (at, (recorded, ours)) in recorded.iter().zip(ours).enumerate() {
                differences(&format!("{path}.{at}"), recorded, ours, found);
            }
        }
        _ => found.push(format!("{path}: recorded {recorded:?}, written {ours:?}")),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits =
        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex");
    hex.as_bytes().chunks(2).map(digits).collect()
}

/// Recorded ones by name, side and bytes.
fn recorded() -> Vec<(String, &'static str, Vec<u8>)> {
    let files = [
        include_str!("../testdata/1.2.0.txt"),
        include_str!("../testdata/1.10.11.txt"),
        include_str!("../testdata/other.txt"),
    ];
    let lines = files.into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let [name, side, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("not of three words: {line}");
            };
            let name = name.split_once('-').map_or(name, |(name, _)| name);
            (name.to_owned(), side, unhex(hex))
        })
        .collect()
}

#[test]
fn what_was_recorded_is_written_again() {
    let mut found = Vec::new();
    let mut compared = 0;
    for (name, side, bytes) in recorded() {
        let method = method(&name).unwrap_or_else(|| panic!("{name} is not known"));
        let rewrite = if side == "request" { method.request } else { method.reply };
        match rewrite(&bytes) {
            Ok(again) => {
                let path = format!("{name} {side}");
                differences(&path, &Tree::of(&name, &bytes), &Tree::of(&name, &again), &mut found);
                // What is written is read as the same.
                assert_eq!(rewrite(&again).as_ref(), Ok(&again), "{name} {side}");
                compared += 1;
            }
            Err(error) => found.push(format!("{name} {side}: {error}")),
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(compared > 50, "only {compared} were compared");
}

proptest! {
    #[test]
    fn what_was_damaged_is_refused_or_read(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(), cut: bool,
    ) {
        let all = recorded();
        let (name, side, bytes) = which.get(&all);
        if let Some(method) = method(name) {
            let rewrite = if *side == "request" { method.request } else { method.reply };
            let mut bytes = bytes.clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            if let Ok(again) = rewrite(&bytes) {
                prop_assert_eq!(rewrite(&again), Ok(again));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(
        which in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let method = which.get(METHODS);
        for rewrite in [method.request, method.reply] {
            if let Ok(again) = rewrite(&bytes) {
                prop_assert_eq!(rewrite(&again), Ok(again));
            }
        }
    }
}

#[test]
fn a_claimed_length_costs_nothing() {
    // A list of 2³² − 1 rows, and one of a million that are there but empty.
    let claimed = [&[0x81, 0xa5][..], b"Nodes", &[0xdd, 0xff, 0xff, 0xff, 0xff]].concat();
    let nodes = method("Health.ServiceNodes").expect("a method").reply;
    assert_eq!(nodes(&claimed), Err(WireError::Decode(Malformed::Incomplete)));
    let mut empty = [&[0x81, 0xa5][..], b"Nodes", &[0xdd, 0, 16, 0, 0]].concat();
    empty.resize(empty.len() + (1 << 20), 0x80);
    assert_eq!(nodes(&empty), Err(WireError::Decode(Malformed::TooLarge)));
}

#[test]
fn methods_are_in_the_table_once() {
    let mut names: Vec<_> = METHODS.iter().map(|method| method.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}
