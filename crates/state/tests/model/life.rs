//! A store and its model that live through the same steps.

use lictor_state::{Applied, Store};
use lictor_types::Index;
use lictor_types::command::Command;

use crate::naive::Naive;
use crate::queries::{self, Answer, Query};
use crate::steps::{Step, resolve};

#[derive(Default)]
pub(crate) struct Life {
    pub(crate) store: Store,
    pub(crate) model: Naive,
    saved: Option<(Vec<u8>, Naive)>,
}

/// The state as it is written out.
pub(crate) fn written(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write(&mut bytes).unwrap();
    bytes
}

/// A store that takes over a snapshot.
pub(crate) fn installed(bytes: &[u8]) -> Store {
    let store = Store::new();
    store.install(&mut &*bytes).unwrap();
    store
}

impl Life {
    /// One step of both; what a command gave must be the same.
    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Apply(command) => drop(self.apply(command)),
            Step::Restart => self.store = installed(&written(&self.store)),
            Step::Save => self.saved = Some((written(&self.store), self.model.clone())),
            Step::Restore => {
                let Some((bytes, model)) = &self.saved else { return };
                let report = self.store.restore(&mut bytes.as_slice()).unwrap();
                assert_eq!(report.index, model.index);
                let before = self.model.index;
                self.model = model.clone();
                self.model.index = before.max(model.index) + 1;
            }
        }
        assert_eq!(self.store.view().index(), self.model.index);
    }

    /// Applies a command to both and gives it with its expected indexes.
    pub(crate) fn apply(&mut self, command: Command) -> (Command, Applied) {
        let command = resolve(command, &self.model);
        let mut applied = self.store.apply_batch([command.clone()]).remove(0);
        let outcome = self.model.apply(&command);
        assert_eq!(applied.outcome, outcome, "{command:?}");
        assert_eq!(applied.index, self.model.index);
        applied.released.sort();
        self.model.released.sort();
        assert_eq!(applied.released, self.model.released);
        (command, applied)
    }

    /// Every query with its index and answer; the model's answer must be the same.
    pub(crate) fn ask_all(&self) -> Vec<(Query, Index, Answer)> {
        let asked = queries::ask_all(&self.store.view());
        for (query, index, answer) in &asked {
            assert_eq!(*answer, self.model.answer(*query), "{query:?}");
            assert!(*index <= self.model.index, "{query:?} reports {index}");
        }
        asked
    }
}
