//! Text tables as every command prints them: columns parted by two blanks.
//!
//! Widths are counted in characters; the last column is not padded.

/// Lays `rows` out in columns, one line each, without a final newline.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; count];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut line = String::new();
            for (i, cell) in row.iter().enumerate() {
                line.push_str(cell);
                if i + 1 < row.len() {
                    let pad = widths[i] - cell.chars().count() + 2;
                    line.extend(std::iter::repeat_n(' ', pad));
                }
            }
            line
        })
        .collect();
    lines.join("\n")
}

/// A row from anything that is text.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|c| (*c).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = columns(&[row(["Node", "ID"]), row(["é", "1"]), row(["longer", ""])]);
        assert_eq!(text, "Node    ID\né       1\nlonger  ");
        assert_eq!(columns(&[]), "");
    }
}
