//! Every query gives what the model gives; indexes go forwards only, and with every change.

use lictor_types::command::{Command, Outcome};
use proptest::prelude::*;

use crate::cases;
use crate::life::{Life, written};
use crate::naive::Naive;
use crate::steps::{SERVICES, Step, steps};

/// Index of what is shown of each service, by name and by mesh name: that of the last command
/// after which it was shown differently. One that has parts may also have changed it and changed it back.
fn shown_indexes(life: &Life, before: &Naive, has_parts: bool, seen: &mut [Option<u64>]) {
    let view = life.store.view();
    let names = SERVICES.iter().flat_map(|name| [(name, false), (name, true)]);
    for ((name, mesh), seen) in names.zip(seen) {
        if life.model.shown(name, mesh) != before.shown(name, mesh) {
            *seen = Some(life.model.index);
        }
        let found = if mesh { view.connect_index(name) } else { view.service_index(name) };
        if has_parts && found == Some(life.model.index) {
            *seen = found;
        }
        assert_eq!(found, *seen, "{name}, mesh: {mesh}");
    }
}

/// Bytes before the first record: the index of the last command, which even a refused one raises.
const HEADER: usize = 12;

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn queries_answer_as_the_model_and_their_indexes_grow_with_every_change(steps in steps(60)) {
        let mut life = Life::default();
        let mut before = life.ask_all();
        for step in steps {
            let told = format!("{step:?}");
            life.step(step);
            let after = life.ask_all();
            for ((query, old, was), (_, new, is)) in before.iter().zip(&after) {
                prop_assert!(new >= old, "{query:?} goes from {old} back to {new} at {told}");
                prop_assert!(was == is || new > old, "{query:?} changes unseen at {told}");
            }
            before = after;
        }
    }

    #[test]
    fn a_service_is_as_new_as_what_is_shown_of_it(steps in steps(40)) {
        let mut life = Life::default();
        let mut seen = vec![None; SERVICES.len() * 2];
        for step in steps {
            let before = life.model.clone();
            if let Step::Apply(command) = &step {
                let has_parts = matches!(command, Command::CatalogTxn(_));
                life.step(step);
                shown_indexes(&life, &before, has_parts, &mut seen);
            }
        }
    }

    #[test]
    fn a_refused_command_changes_nothing(steps in steps(60)) {
        let mut life = Life::default();
        for step in steps {
            let Step::Apply(command) = step else { continue };
            let (before, bytes) = (life.ask_all(), written(&life.store));
            let (_, applied) = life.apply(command);
            if matches!(applied.outcome, Outcome::Refused(_) | Outcome::TxnFailed(_)) {
                prop_assert_eq!(&life.ask_all(), &before);
                prop_assert!(applied.released.is_empty());
                prop_assert_eq!(&written(&life.store)[HEADER..], &bytes[HEADER..]);
            }
        }
    }
}
