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

/// Why a file could not be used, in the words of other programs and without the error's number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// What is wrong with a text that is not base64.
pub(crate) fn base64_reason(error: &base64::DecodeError) -> String {
    use base64::DecodeError;
    let at = match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => *at,
        DecodeError::InvalidLength(length) => *length,
        DecodeError::InvalidPadding => return "illegal base64 data at its end".to_owned(),
    };
    format!("illegal base64 data at input byte {at}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = columns(&[row(["Node", "ID"]), row(["é", "1"]), row(["longer", ""])]);
        assert_eq!(text, "Node    ID\né       1\nlonger  ");
        assert_eq!(columns(&[]), "");
    }

    #[test]
    fn reasons_have_no_numbers_of_errors() {
        let error = std::fs::read("/nonexistent/file").unwrap_err();
        assert_eq!(reason(&error), "no such file or directory");
        let error = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, "aG!=");
        assert_eq!(base64_reason(&error.unwrap_err()), "illegal base64 data at input byte 2");
    }
}
