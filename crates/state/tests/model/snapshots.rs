//! Snapshots: what is written is what is read; what is damaged changes nothing.
//!
//! The format has neither checksum nor length: the archive around it has both. So a flipped bit, or
//! an end between two records, may give another state, but never a panic, neither now nor later, and never half a state.

use lictor_state::Store;
use lictor_types::command::Command;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::cases;
use crate::life::{Life, installed, written};
use crate::queries::ask_all;
use crate::steps::{command, resolve};

fn lived(commands: Vec<Command>) -> Life {
    let mut life = Life::default();
    for command in commands {
        life.apply(command);
    }
    life
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_store_that_takes_over_goes_on_as_the_first_would(
        commands in vec(command(), 1..80),
        later in vec(command(), 1..40),
    ) {
        let mut life = lived(commands);
        let other = installed(&written(&life.store));
        prop_assert_eq!(ask_all(&other.view()), ask_all(&life.store.view()));
        for command in later {
            let (command, _) = life.apply(command);
            other.apply_batch([command]);
        }
        prop_assert_eq!(written(&other), written(&life.store));
    }

    #[test]
    fn a_restored_archive_is_newer_than_everything(
        commands in vec(command(), 1..60),
        own in vec(command(), 1..60),
    ) {
        let (archive, mut life) = (lived(commands), lived(own));
        let (before, epoch) = (ask_all(&life.store.view()), life.store.view().epoch());
        let most = life.model.index.max(archive.model.index);
        life.store.restore(&mut written(&archive.store).as_slice()).unwrap();
        let view = life.store.view();
        prop_assert!(view.epoch() > epoch && view.index() > most);
        let after = ask_all(&view);
        for ((query, old, _), (_, new, is)) in before.iter().zip(&after) {
            prop_assert_eq!(is, &archive.model.answer(*query));
            prop_assert!(new > old && *new > most, "{:?}: {} then {}", query, old, new);
        }
        // And stays so over a restart.
        prop_assert_eq!(ask_all(&installed(&written(&life.store)).view()), after);
        life.model = archive.model;
        life.model.index = view.index();
    }

    #[test]
    fn damage_is_an_error_that_changes_nothing_and_never_a_panic(
        commands in vec(command(), 1..40),
        cuts in vec(any::<Index>(), 20),
        flips in vec((any::<Index>(), any::<u8>()), 40),
        later in vec(command(), 1..10),
    ) {
        let bytes = written(&lived(commands).store);
        let cut = cuts.iter().map(|at| bytes[..at.index(bytes.len())].to_vec());
        let flipped = flips.iter().map(|(at, flip)| {
            let mut bytes = bytes.clone();
            let at = at.index(bytes.len());
            bytes[at] ^= flip.max(&1);
            bytes
        });
        for bytes in cut.chain(flipped) {
            for take in [Store::install, Store::restore] {
                let life = lived(later.clone());
                let before = (life.store.view().index(), written(&life.store));
                if take(&life.store, &mut bytes.as_slice()).is_ok() {
                    ask_all(&life.store.view());
                    let commands = later.iter().map(|c| resolve(c.clone(), &life.model));
                    life.store.apply_batch(commands);
                    ask_all(&life.store.view());
                } else {
                    let after = (life.store.view().index(), written(&life.store));
                    prop_assert_eq!(after, before);
                }
            }
        }
    }
}

#[test]
fn an_index_that_no_cluster_reaches_is_damage() {
    let mut header = vec![0x81, 0xa9];
    header.extend_from_slice(b"LastIndex");
    header.push(0xcf);
    header.extend_from_slice(&u64::MAX.to_be_bytes());
    let store = Store::new();
    assert!(store.install(&mut header.as_slice()).is_err());
    assert!(store.restore(&mut header.as_slice()).is_err());
    assert_eq!((store.view().index(), store.view().epoch()), (0, 0));
}
