//! Entries through the store: conditions, intentions as entries, snapshots, replicas.

use lictor_types::command::{Command, Outcome};
use lictor_types::intention::Action;

use super::*;
use crate::store::Store;

fn entry(kind: Kind, name: &str, fields: Value) -> ConfigEntry {
    let Value::Object(fields) = fields else { panic!("no object") };
    ConfigEntry { kind, name: name.to_owned(), fields, create_index: 0, modify_index: 0 }
}

fn apply(store: &Store, write: ConfigEntryWrite) -> Outcome {
    store.apply_batch([Command::ConfigEntry(Box::new(write))]).remove(0).outcome
}

fn upsert(store: &Store, entry: ConfigEntry, cas: Option<Index>) -> Outcome {
    apply(store, ConfigEntryWrite::Upsert { entry: Box::new(entry), cas })
}

fn source(name: &str, action: Action) -> Intention {
    Intention {
        id: format!("11111111-2222-3333-4444-{:012}", fastrand(name)),
        description: String::new(),
        source_ns: DEFAULT_NAMESPACE.to_owned(),
        source_name: name.to_owned(),
        destination_ns: DEFAULT_NAMESPACE.to_owned(),
        destination_name: "db".to_owned(),
        source_type: "consul".to_owned(),
        action,
        default_addr: String::new(),
        default_port: 0,
        meta: Default::default(),
        precedence: 0,
        created_at: Default::default(),
        updated_at: Default::default(),
        create_index: 0,
        modify_index: 0,
    }
}

/// A number for a name.
fn fastrand(name: &str) -> u64 {
    name.bytes().fold(7, |sum, byte| sum * 31 % 1_000_000 + u64::from(byte))
}

#[test]
fn conditions_are_indexes_of_the_last_change() {
    let store = Store::new();
    let web = |protocol: &str| entry(Kind::ServiceDefaults, "web", json!({"Protocol": protocol}));
    assert_eq!(upsert(&store, web("http"), Some(7)), Outcome::Applied(false));
    assert_eq!(upsert(&store, web("http"), Some(0)), Outcome::Applied(true));
    assert_eq!(upsert(&store, web("tcp"), Some(0)), Outcome::Applied(false));
    let (index, held) = store.view().config_entry(Kind::ServiceDefaults, "web");
    assert_eq!((index, held.unwrap().modify_index), (2, 2));
    assert_eq!(upsert(&store, web("http"), None), Outcome::Applied(true));
    assert_eq!(store.view().config_entry(Kind::ServiceDefaults, "web").0, 2, "nothing changed");
    assert_eq!(upsert(&store, web("grpc"), Some(2)), Outcome::Applied(true));
    let held = store.view().config_entry(Kind::ServiceDefaults, "web").1.unwrap();
    assert_eq!((held.create_index, held.modify_index), (2, 5));
    let delete = |cas| {
        let (kind, name) = (Kind::ServiceDefaults, "web".to_owned());
        apply(&store, ConfigEntryWrite::Delete { kind, name, cas })
    };
    assert_eq!(delete(Some(2)), Outcome::Applied(false));
    assert_eq!(delete(Some(5)), Outcome::Applied(true));
    assert_eq!(delete(None), Outcome::Applied(true));
    assert_eq!(store.view().config_entries(&Kind::ALL), (7, Vec::new()));
}

#[test]
fn intentions_of_a_destination_are_an_entry_and_are_written_as_one() {
    let store = Store::new();
    let write = |sources: &[(&str, Action)], cas| {
        let sources = sources.iter().map(|(name, action)| source(name, *action)).collect();
        apply(&store, ConfigEntryWrite::Intentions { name: "db".to_owned(), sources, cas })
    };
    let read = || store.view().config_entry(Kind::ServiceIntentions, "DB").1;
    assert_eq!(read(), None);
    let first = [("*", Action::Deny), ("web", Action::Allow), ("api", Action::Allow)];
    assert_eq!(write(&first, Some(0)), Outcome::Applied(true));
    let held = read().unwrap();
    assert_eq!((held.name.as_str(), held.create_index, held.modify_index), ("db", 1, 1));
    let names = |entry: &ConfigEntry| -> Vec<String> {
        let sources = entry.fields["Sources"].as_array().unwrap();
        sources.iter().map(|one| one["Name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&held), ["api", "web", "*"]);
    assert_eq!(write(&first[..1], Some(0)), Outcome::Applied(false));
    // Who stays as it is keeps its index; what is gone still counts as a change.
    assert_eq!(write(&first[..2], Some(1)), Outcome::Applied(true));
    let held = read().unwrap();
    assert_eq!((names(&held), held.modify_index), (vec!["web".to_owned(), "*".to_owned()], 3));
    assert!(store.view().intentions().1.iter().all(|row| row.modify_index == 1));
    // Written alone, an intention is part of it.
    let pair = IntentionPair {
        source: (DEFAULT_NAMESPACE.to_owned(), "web".to_owned()),
        destination: (DEFAULT_NAMESPACE.to_owned(), "db".to_owned()),
    };
    let delete = lictor_types::command::IntentionWrite::DeletePair(pair);
    store.apply_batch([Command::Intention(Box::new(delete))]);
    let held = read().unwrap();
    assert_eq!((names(&held), held.modify_index), (vec!["*".to_owned()], 4));
    assert_eq!(write(&[], None), Outcome::Applied(true));
    assert_eq!(read(), None);
    assert!(store.view().intentions().1.is_empty());
}

#[test]
fn entries_survive_a_snapshot() {
    let store = Store::new();
    let config = json!({"Config": {"protocol": "http", "n": 5, "deep": {"a": [1.5, null]}}});
    upsert(&store, entry(Kind::ProxyDefaults, "global", config), None);
    let splits = json!({"Splits": [{"Weight": 33.33}, {"Weight": 66.67}]});
    upsert(&store, entry(Kind::ServiceSplitter, "web", splits), None);
    upsert(&store, entry(Kind::Mesh, "mesh", json!({"Meta": {"a": "b"}})), None);
    let timeout = json!({"ConnectTimeout": 15_000_000_000_i64, "Subsets": {"v1": {}}});
    upsert(&store, entry(Kind::ServiceResolver, "web", timeout), None);
    let sources = vec![source("web", Action::Allow)];
    apply(&store, ConfigEntryWrite::Intentions { name: "db".to_owned(), sources, cas: None });
    let all = store.view().config_entries(&Kind::ALL).1;
    assert_eq!(all.len(), 5);
    for portable in [false, true] {
        let mut bytes = Vec::new();
        let snapshot = store.snapshot();
        match portable {
            false => snapshot.write(&mut bytes).unwrap(),
            true => snapshot.write_portable(&mut bytes).unwrap(),
        }
        let other = Store::new();
        let report = other.install(&mut bytes.as_slice()).unwrap();
        assert!(report.skipped.is_empty(), "{report:?}");
        assert_eq!(other.view().config_entries(&Kind::ALL).1, all);
    }
}

#[test]
fn a_replica_is_taken_over_as_it_is() {
    let store = Store::new();
    let defaults = |name| entry(Kind::ServiceDefaults, name, json!({"Protocol": "http"}));
    upsert(&store, defaults("a"), None);
    let replica = ConfigEntryWrite::Replicate {
        delete: vec![(Kind::ServiceDefaults, "a".to_owned())],
        set: vec![defaults("b"), defaults("c")],
    };
    assert_eq!(apply(&store, replica), Outcome::Applied(true));
    let (index, held) = store.view().config_entries(&[Kind::ServiceDefaults]);
    let names: Vec<_> = held.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!((index, names), (2, vec!["b", "c"]));
}
