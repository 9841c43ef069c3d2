//! A place in an expression, and what would have fitted at the farthest place that was reached.
//!
//! The texts of syntax errors name everything that was tried there, in the original's notation:
//! words in quotes, classes of characters as they are written in its grammar.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Reads a text from left to right; a reader that fails goes back to where it started.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Looking ahead for what must not be there: what fits is the mistake.
    inverted: bool,
    farthest: usize,
    /// With what was tried at `farthest`.
    tried: BTreeSet<String>,
    /// Mistakes that have a name of their own.
    mistakes: Vec<String>,
}

/// White space of the language.
pub(crate) const SPACE: &str = "[ \\t\\r\\n]";

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            inverted: false,
            farthest: 0,
            tried: BTreeSet::new(),
            mistakes: Vec::new(),
        }
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    pub(crate) const fn back_to(&mut self, position: usize) {
        self.at = position;
    }

    /// The text from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn note(&mut self, fits: bool, at: usize, what: &str) {
        if fits != self.inverted || at < self.farthest {
            return;
        }
        if at > self.farthest {
            self.farthest = at;
            self.tried.clear();
        }
        let not = if self.inverted { "!" } else { "" };
        self.tried.insert(format!("{not}{what}"));
    }

    /// Takes a word, if it is next.
    pub(crate) fn word(&mut self, word: &str) -> bool {
        let fits = self.rest().starts_with(word);
        self.note(fits, self.at, &format!("{word:?}"));
        if fits {
            self.at += word.len();
        }
        fits
    }

    /// Takes one character of a class, which is written as `what`.
    pub(crate) fn class(&mut self, what: &str, contains: impl Fn(char) -> bool) -> bool {
        let next = self.rest().chars().next().filter(|c| contains(*c));
        self.note(next.is_some(), self.at, what);
        self.at += next.map_or(0, char::len_utf8);
        next.is_some()
    }

    /// Takes characters of a class as long as there are any; whether there was one.
    pub(crate) fn run(&mut self, what: &str, contains: impl Fn(char) -> bool + Copy) -> bool {
        let start = self.at;
        while self.class(what, contains) {}
        self.at > start
    }

    /// Takes white space; whether there was any.
    pub(crate) fn space(&mut self) -> bool {
        self.run(SPACE, |c| matches!(c, ' ' | '\t' | '\r' | '\n'))
    }

    /// Whether the end is reached.
    pub(crate) fn end(&mut self) -> bool {
        let fits = !self.rest().is_empty();
        let inverted = self.inverted;
        self.inverted = !inverted;
        self.note(fits, self.at, ".");
        self.inverted = inverted;
        !fits
    }

    /// Notes a mistake that has a name, found at `position` while a `rule` was read.
    pub(crate) fn mistake(&mut self, position: usize, rule: &str, what: &str) {
        let text = format!("{}: rule \"{rule}\": {what}", self.place(position));
        if !self.mistakes.contains(&text) {
            self.mistakes.push(text);
        }
    }

    pub(crate) const fn has_mistakes(&self) -> bool {
        !self.mistakes.is_empty()
    }

    /// What went wrong.
    pub(crate) fn error(mut self) -> String {
        if !self.mistakes.is_empty() {
            return self.mistakes.join("\n");
        }
        let end = self.tried.remove("!.");
        let tried = std::mem::take(&mut self.tried);
        let names: Vec<String> = tried.into_iter().chain(end.then(|| "EOF".to_owned())).collect();
        let mut text = format!("{}: no match found, expected: ", self.place(self.farthest));
        match &names[..] {
            [first @ .., last] if !first.is_empty() => {
                let _ = write!(text, "{} or {last}", first.join(", "));
            }
            names => text.push_str(&names.concat()),
        }
        text
    }

    /// Line, column (from 1) and byte of a position.
    fn place(&self, position: usize) -> String {
        let before = self.text.get(..position).unwrap_or(self.text);
        let mut line = 1 + before.matches('\n').count();
        let mut column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
        if before.contains('\n') {
            column -= 1;
        }
        // The end of a line counts as the start of the next one.
        if self.text.get(position..).is_some_and(|rest| rest.starts_with('\n')) {
            (line, column) = (line + 1, 0);
        }
        format!("{line}:{column} ({position})")
    }
}
