//! However commands are cut into batches, the state is the same.

use lictor_state::Store;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::cases;
use crate::life::{Life, written};
use crate::steps::command;

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn batches_of_any_size_give_the_state_of_single_commands(
        commands in vec(command(), 1..80),
        sizes in vec(1..20_usize, 80),
    ) {
        let mut life = Life::default();
        let (commands, single): (Vec<_>, Vec<_>) =
            commands.into_iter().map(|command| life.apply(command)).unzip();
        let store = Store::new();
        let mut batched = Vec::new();
        let (mut rest, mut sizes) = (&commands[..], sizes.into_iter());
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
            batched.extend(store.apply_batch(batch.to_vec()));
            rest = after;
        }
        for applied in &mut batched {
            applied.released.sort();
        }
        prop_assert_eq!(batched, single);
        prop_assert_eq!(written(&store), written(&life.store));
    }
}
