//! A position in a text that knows its line and column.
//!
//! It decides nothing about either language.

use std::ops::Range;

use crate::error::ParseError;
use crate::{MAX_BYTES, MAX_DEPTH};

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Place {
    pub(crate) fn error(self, reason: impl Into<String>) -> ParseError {
        ParseError { line: self.line, column: self.column, reason: reason.into() }
    }
}

/// Reads a text from front to end.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    rest: &'a str,
    place: Place,
    /// Where the keys of the outermost object are, as far as they have been read.
    pub(crate) root_keys: Vec<Range<usize>>,
}

impl<'a> Cursor<'a> {
    /// Starts at the front of `text`, unless it is too long or contains a NUL.
    pub(crate) fn new(text: &'a str) -> Result<Self, ParseError> {
        let start = Place { line: 1, column: 1 };
        if text.len() > MAX_BYTES {
            return Err(start.error(format!("the text is longer than {MAX_BYTES} bytes")));
        }
        if let Some(at) = text.find('\0') {
            let before = &text[..at];
            let line = before.matches('\n').count();
            let column = before.rsplit('\n').next().unwrap_or("").chars().count();
            let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
            let place = Place { line: number(line), column: number(column) };
            return Err(place.error("a NUL character is not allowed"));
        }
        Ok(Self { text, rest: text, place: start, root_keys: Vec::new() })
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// An error at the current place.
    pub(crate) fn error(&self, reason: impl Into<String>) -> ParseError {
        self.place.error(reason)
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    /// How many bytes are behind.
    pub(crate) fn offset(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// What stands here, for an error text.
    pub(crate) fn found(&self) -> String {
        self.peek().map_or_else(|| "the end of the text".to_owned(), |c| format!("{c:?}"))
    }

    pub(crate) fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        if c == '\n' {
            self.place.line = self.place.line.saturating_add(1);
            self.place.column = 1;
        } else {
            self.place.column = self.place.column.saturating_add(1);
        }
        Some(c)
    }

    /// Goes past `word` if it stands here.
    pub(crate) fn eat(&mut self, word: &str) -> bool {
        let here = self.rest.starts_with(word);
        if here {
            word.chars().for_each(|_| {
                self.bump();
            });
        }
        here
    }

    /// Goes past all characters that `wanted` accepts and gives them.
    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let start = self.rest;
        while self.peek().is_some_and(&wanted) {
            self.bump();
        }
        &start[..start.len() - self.rest.len()]
    }

    /// Refuses to go deeper than [`MAX_DEPTH`].
    pub(crate) fn enter(&self, depth: u32) -> Result<u32, ParseError> {
        if depth >= MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(depth + 1)
    }
}
