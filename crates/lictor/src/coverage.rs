//! Holds `docs/coverage.md` against the tables of settings, flags and commands.

use lictor_testkit::{Row, check_coverage};

use crate::cli;
use crate::config;

/// What is written for a command that is there.
const HERE: &str = "yes";

#[test]
fn options_and_commands_are_documented() {
    check_coverage("Options", |_| config::coverage());
    check_coverage("Agent flags", |_| {
        let row =
            |flag: &cli::Flag| vec![format!("`-{}`", flag.name), config::flag_state(flag.name)];
        let mut rows: Vec<Row> = config::AGENT_FLAGS.iter().map(row).collect();
        rows.sort();
        rows
    });
    check_coverage("Commands", |rows| {
        // What is not there keeps its words, until it is there.
        let here = cli::coverage();
        let missing = rows.iter().filter(|row| {
            row.get(2).is_none_or(|state| state != HERE) && !here.iter().any(|one| one[0] == row[0])
        });
        let mut all: Vec<Row> = missing.cloned().collect();
        all.extend(here.into_iter().map(|[path, flags]| vec![path, flags, HERE.to_owned()]));
        all.sort();
        all
    });
}
