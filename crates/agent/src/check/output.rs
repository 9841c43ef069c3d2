//! What is kept of a check's output: a bounded piece of text.
//!
//! Which text a kind of check writes around it is in that kind's file.

use lictor_types::limits::CHECK_OUTPUT_MAX;

/// The end of a stream of bytes, and how long the stream was.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    total: u64,
}

impl Tail {
    /// Adds what was read.
    pub(super) fn push(&mut self, data: &[u8]) {
        self.total += data.len() as u64;
        let data = &data[data.len().saturating_sub(CHECK_OUTPUT_MAX)..];
        self.bytes.extend_from_slice(data);
        if self.bytes.len() > 2 * CHECK_OUTPUT_MAX {
            self.bytes.drain(..self.bytes.len() - CHECK_OUTPUT_MAX);
        }
    }

    /// The end of it, at most [`CHECK_OUTPUT_MAX`] bytes, as text.
    pub(super) fn text(&self) -> String {
        let mut tail = &self.bytes[self.bytes.len().saturating_sub(CHECK_OUTPUT_MAX)..];
        // A character that was cut in two is dropped, not shown as damage.
        while self.total > tail.len() as u64 && tail.first().is_some_and(|b| b & 0xc0 == 0x80) {
            tail = &tail[1..];
        }
        String::from_utf8_lossy(tail).into_owned()
    }

    /// The end of it, with a line in front that tells how much was dropped, if anything was.
    pub(super) fn text_with_notice(&self) -> String {
        let text = self.text();
        if self.total > CHECK_OUTPUT_MAX as u64 {
            return format!("Captured {CHECK_OUTPUT_MAX} of {} bytes\n...\n{text}", self.total);
        }
        text
    }
}

/// An output given by an application: the beginning is kept, and a notice tells of the rest.
pub(crate) fn cut_end(output: &str) -> String {
    if output.len() <= CHECK_OUTPUT_MAX {
        return output.to_owned();
    }
    let mut end = CHECK_OUTPUT_MAX;
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ... (captured {CHECK_OUTPUT_MAX} of {} bytes)", &output[..end], output.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_outputs_are_kept_whole() {
        let mut tail = Tail::default();
        tail.push(b"fine");
        tail.push(b"\n");
        assert_eq!(tail.text_with_notice(), "fine\n");
        assert_eq!(cut_end("fine"), "fine");
    }

    #[test]
    fn of_long_outputs_the_end_is_kept() {
        let mut tail = Tail::default();
        for _ in 0..5000 {
            tail.push(b"0123456789");
        }
        tail.push(b"END");
        let text = tail.text_with_notice();
        let (notice, kept) = text.split_once("\n...\n").unwrap();
        assert_eq!(notice, "Captured 4096 of 50003 bytes");
        assert_eq!(kept.len(), CHECK_OUTPUT_MAX);
        assert!(kept.ends_with("6789END"));
        let mut one = Tail::default();
        one.push(&vec![b'x'; 100_000]);
        assert_eq!(one.text().len(), CHECK_OUTPUT_MAX);
    }

    #[test]
    fn characters_are_not_cut_in_two() {
        let mut tail = Tail::default();
        tail.push("é".repeat(4096).as_bytes());
        tail.push(b"x");
        assert!(!tail.text().contains('\u{fffd}'));
        let text = format!("x{}", "é".repeat(4096));
        let cut = cut_end(&text);
        assert!(cut.ends_with(" ... (captured 4096 of 8193 bytes)"), "{cut}");
    }

    #[test]
    fn the_end_of_reported_outputs_is_cut() {
        let cut = cut_end(&"x".repeat(5000));
        assert_eq!(cut, format!("{} ... (captured 4096 of 5000 bytes)", "x".repeat(4096)));
    }
}
