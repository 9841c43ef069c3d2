//! Settings of autopilot: one row, written under a condition if the writer wants one.

use std::sync::Arc;

use lictor_types::Index;
use lictor_types::autopilot::{AutopilotConfig, AutopilotWrite};

use crate::apply::Writer;
use crate::index::Table;
use crate::view::View;

impl View {
    /// The settings, if there are any yet.
    #[must_use]
    pub fn autopilot_config(&self) -> (Index, Option<Arc<AutopilotConfig>>) {
        (self.table_index(&[Table::AutopilotConfig]), self.tables.autopilot.clone())
    }
}

impl Writer {
    /// Writes the settings; gives whether the condition held.
    pub(crate) fn autopilot_write(&mut self, write: AutopilotWrite) -> bool {
        let AutopilotWrite { mut config, cas } = write;
        let old = self.tables.autopilot.as_deref();
        if cas.is_some_and(|index| index != old.map_or(0, |old| old.modify_index)) {
            return false;
        }
        config.create_index = old.map_or(self.index, |old| old.create_index);
        config.modify_index = self.index;
        self.tables.autopilot = Some(Arc::new(config));
        self.touch_table(Table::AutopilotConfig);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_types::command::{Command, Outcome};

    use crate::store::Store;

    #[test]
    fn a_condition_is_the_index_of_the_last_change() {
        let store = Store::new();
        let write = |cas, trailing| {
            let config =
                AutopilotConfig { max_trailing_logs: trailing, ..AutopilotConfig::default() };
            let command = Command::Autopilot(Box::new(AutopilotWrite { config, cas }));
            store.apply_batch([command]).remove(0).outcome
        };
        assert_eq!(write(Some(7), 1), Outcome::Applied(false));
        assert_eq!(store.view().autopilot_config(), (0, None));
        assert_eq!(write(Some(0), 1), Outcome::Applied(true));
        assert_eq!(write(Some(0), 2), Outcome::Applied(false));
        assert_eq!(write(Some(2), 3), Outcome::Applied(true));
        assert_eq!(write(None, 4), Outcome::Applied(true));
        let held = store.view().autopilot_config().1.unwrap();
        assert_eq!((held.max_trailing_logs, held.create_index, held.modify_index), (4, 2, 5));

        let mut bytes = Vec::new();
        store.snapshot().write(&mut bytes).unwrap();
        let other = Store::new();
        other.install(&mut bytes.as_slice()).unwrap();
        assert_eq!(other.view().autopilot_config(), (5, Some(held)));
    }
}
