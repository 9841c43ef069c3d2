//! `docs/coverage.md` as tests see it: tables of what there is, kept true by whoever has the tables.
//!
//! A table is the rows under a heading `## name`. With the variable `LICTOR_BLESS` a test that finds
//! its table wrong writes it anew instead of failing.

use std::fs;
use std::path::Path;

/// A row: the texts of its cells.
pub type Row = Vec<String>;

/// Compares the table under the heading `name` with what `expected` makes of its rows.
///
/// # Panics
/// When they differ and are not to be written, or there is no such table.
pub fn check_coverage(name: &str, expected: impl FnOnce(&[Row]) -> Vec<Row>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coverage.md");
    let text = fs::read_to_string(&path).expect("docs/coverage.md");
    let (before, table, after) = split(&text, name);
    let rows: Vec<Row> = table.lines().map(cells).collect();
    let expected = expected(&rows);
    if rows == expected {
        return;
    }
    if std::env::var_os("LICTOR_BLESS").is_some() {
        let lines: String =
            expected.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
        fs::write(&path, format!("{before}{lines}{after}")).expect("docs/coverage.md");
        return;
    }
    let only = |a: &[Row], b: &[Row]| -> Vec<String> {
        a.iter()
            .filter(|row| !b.contains(row))
            .map(|row| format!("  {}", row.join(" | ")))
            .collect()
    };
    panic!(
        "docs/coverage.md, {name}, is not true any more. Run this test with LICTOR_BLESS=1 and look \
         at what changed.\nMissing:\n{}\nToo much:\n{}",
        only(&expected, &rows).join("\n"),
        only(&rows, &expected).join("\n")
    );
}

/// What stands before the rows of a table, the rows, and what stands behind them.
fn split<'a>(text: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let heading = text.find(&format!("\n## {name}\n")).expect("the heading of the table");
    let rule = heading + text[heading..].find("\n| ---").expect("the head of the table") + 1;
    let start = rule + text[rule..].find('\n').expect("the end of a line") + 1;
    let rows: usize = text[start..]
        .split_inclusive('\n')
        .take_while(|line| line.starts_with('|'))
        .map(str::len)
        .sum();
    (&text[..start], &text[start..start + rows], &text[start + rows..])
}

fn cells(line: &str) -> Row {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|');
    // A bar inside of a cell is written with a backslash.
    let mut cells = vec![String::new()];
    let mut last = ' ';
    for c in line.chars() {
        if c == '|' && last != '\\' {
            cells.push(String::new());
        } else if let Some(cell) = cells.last_mut() {
            cell.push(c);
        }
        last = c;
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}
