//! The grammar of expressions.
//!
//! An expression is read by trying alternatives in order, as the original's grammar does, so that
//! both read the same and complain about the same; but no part is read again for each level that
//! it is nested in.

use crate::cursor::Cursor;
use crate::text::unquote;
use crate::{DEPTH_MAX, FilterError, LENGTH_MAX, MATCHES_MAX};

/// How a selector's value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    In,
    NotIn,
    IsEmpty,
    IsNotEmpty,
    Matches,
    NotMatches,
}

impl Operator {
    /// As error texts call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Equal => "Equal",
            Self::NotEqual => "Not Equal",
            Self::In => "In",
            Self::NotIn => "Not In",
            Self::IsEmpty => "Is Empty",
            Self::IsNotEmpty => "Is Not Empty",
            Self::Matches => "Matches",
            Self::NotMatches => "Not Matches",
        }
    }
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    /// Names of fields, from the row inwards.
    pub(crate) selector: Vec<String>,
    pub(crate) operator: Operator,
    /// As it was written, without quotes; none for the tests of emptiness.
    pub(crate) value: Option<String>,
}

/// An expression as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Match(Match),
}

/// Reads an expression.
pub(crate) fn parse(text: &str) -> Result<Expression, FilterError> {
    if text.len() > LENGTH_MAX {
        let length = text.len();
        let what =
            format!("the expression has {length} bytes, which exceeds the limit ({LENGTH_MAX})");
        return Err(FilterError(what));
    }
    let mut reader = Reader { cursor: Cursor::new(text), depth: 0, matches: 0, limit: None };
    let read = reader.input();
    let Reader { cursor, limit, matches, .. } = reader;
    if let Some(limit) = limit {
        return Err(FilterError(limit));
    }
    if matches > MATCHES_MAX {
        let what = format!("Number of match expressions exceeds the limit ({MATCHES_MAX})");
        return Err(FilterError(what));
    }
    match read {
        Some(expression) if !cursor.has_mistakes() => Ok(expression),
        _ => Err(FilterError(cursor.error())),
    }
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    depth: usize,
    /// Matches of the alternative that is being read.
    matches: usize,
    /// A limit that was passed; nothing is read any more then.
    limit: Option<String>,
}

impl Reader<'_> {
    fn input(&mut self) -> Option<Expression> {
        // Parentheses around everything are tried first.
        self.cursor.space();
        if self.cursor.word("(") {
            self.cursor.space();
            if let Some(all) = self.or() {
                self.cursor.space();
                let closed = self.cursor.word(")");
                if closed {
                    self.cursor.space();
                }
                if closed && self.cursor.end() {
                    return Some(all);
                }
            }
        }
        self.cursor.back_to(0);
        self.matches = 0;
        self.cursor.space();
        let all = self.or()?;
        self.cursor.space();
        self.cursor.end().then_some(all)
    }

    /// A list of at least one part, joined by a word; the word needs space around it.
    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Option<Expression>,
    ) -> Option<Vec<Expression>> {
        let mut parts = vec![part(self)?];
        loop {
            let end = self.cursor.position();
            let joined = self.cursor.space() && self.cursor.word(word) && self.cursor.space();
            match if joined { part(self) } else { None } {
                Some(next) => parts.push(next),
                None => {
                    self.cursor.back_to(end);
                    return Some(parts);
                }
            }
        }
    }

    fn or(&mut self) -> Option<Expression> {
        let mut parts = self.joined("or", Self::and)?;
        if parts.len() == 1 { parts.pop() } else { Some(Expression::Or(parts)) }
    }

    fn and(&mut self) -> Option<Expression> {
        let mut parts = self.joined("and", Self::not)?;
        if parts.len() == 1 { parts.pop() } else { Some(Expression::And(parts)) }
    }

    fn not(&mut self) -> Option<Expression> {
        let start = self.cursor.position();
        if self.cursor.word("not") && self.cursor.space() {
            let inner = self.nested(Self::not);
            if let Some(inner) = inner {
                return Some(match inner {
                    Expression::Not(twice) => *twice,
                    once => Expression::Not(Box::new(once)),
                });
            }
        }
        self.cursor.back_to(start);
        self.grouping()
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= DEPTH_MAX {
            let what = format!("the expression is nested deeper than the limit ({DEPTH_MAX})");
            self.limit = Some(what);
        }
        if self.limit.is_some() {
            return None;
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn grouping(&mut self) -> Option<Expression> {
        let start = self.cursor.position();
        if self.cursor.word("(") {
            self.cursor.space();
            if let Some(inner) = self.nested(Self::or) {
                self.cursor.space();
                if self.cursor.word(")") {
                    return Some(inner);
                }
                let here = self.cursor.position();
                self.cursor.mistake(here, "grouping", "Unmatched parentheses");
            }
        }
        self.cursor.back_to(start);
        self.matching()
    }

    fn matching(&mut self) -> Option<Expression> {
        if self.limit.is_some() {
            return None;
        }
        let start = self.cursor.position();
        let found = self.selector_first().or_else(|| {
            self.cursor.back_to(start);
            self.value_first()
        });
        match found {
            Some(one) => {
                self.matches += 1;
                Some(Expression::Match(one))
            }
            None => {
                self.cursor.back_to(start);
                None
            }
        }
    }

    fn selector_first(&mut self) -> Option<Match> {
        let selector = self.selector()?;
        let end = self.cursor.position();
        if let Some(operator) = self.operator_before_value()
            && let Some(value) = self.value()
        {
            return Some(Match { selector, operator, value: Some(value) });
        }
        self.cursor.back_to(end);
        let operator = self.emptiness()?;
        Some(Match { selector, operator, value: None })
    }

    fn value_first(&mut self) -> Option<Match> {
        let value = self.value()?;
        let end = self.cursor.position();
        let operator = if self.words(&["in"], true) {
            Operator::In
        } else {
            self.cursor.back_to(end);
            if !self.words(&["not", "in"], true) {
                return None;
            }
            Operator::NotIn
        };
        let here = self.cursor.position();
        if let Some(selector) = self.selector() {
            return Some(Match { selector, operator, value: Some(value) });
        }
        self.cursor.back_to(here);
        self.cursor.mistake(here, "match", "Invalid selector");
        None
    }

    /// Words with space before each of them and, with `after`, after the last one.
    fn words(&mut self, words: &[&str], after: bool) -> bool {
        words.iter().all(|word| self.cursor.space() && self.cursor.word(word))
            && (!after || self.cursor.space())
    }

    fn operator_before_value(&mut self) -> Option<Operator> {
        let start = self.cursor.position();
        for (sign, operator) in [("==", Operator::Equal), ("!=", Operator::NotEqual)] {
            self.cursor.space();
            if self.cursor.word(sign) {
                self.cursor.space();
                return Some(operator);
            }
            self.cursor.back_to(start);
        }
        let worded: [(&[&str], Operator); 4] = [
            (&["contains"], Operator::In),
            (&["not", "contains"], Operator::NotIn),
            (&["matches"], Operator::Matches),
            (&["not", "matches"], Operator::NotMatches),
        ];
        for (words, operator) in worded {
            if self.words(words, true) {
                return Some(operator);
            }
            self.cursor.back_to(start);
        }
        None
    }

    fn emptiness(&mut self) -> Option<Operator> {
        let start = self.cursor.position();
        if self.words(&["is", "empty"], false) {
            return Some(Operator::IsEmpty);
        }
        self.cursor.back_to(start);
        self.words(&["is", "not", "empty"], false).then_some(Operator::IsNotEmpty)
    }

    fn selector(&mut self) -> Option<Vec<String>> {
        let mut names = vec![self.identifier()?];
        loop {
            let start = self.cursor.position();
            if self.cursor.word(".") {
                if let Some(name) = self.identifier() {
                    names.push(name);
                    continue;
                }
                self.cursor.back_to(start);
            }
            match self.index() {
                Some(name) => names.push(name),
                None => {
                    self.cursor.back_to(start);
                    return Some(names);
                }
            }
        }
    }

    fn identifier(&mut self) -> Option<String> {
        let start = self.cursor.position();
        if !self.cursor.class("[a-zA-Z]", |c| c.is_ascii_alphabetic()) {
            return None;
        }
        self.cursor.run("[a-zA-Z0-9_]", |c| c.is_ascii_alphanumeric() || c == '_');
        Some(self.cursor.since(start).to_owned())
    }

    fn index(&mut self) -> Option<String> {
        if !self.cursor.word("[") {
            return None;
        }
        self.cursor.space();
        let Some(name) = self.text() else {
            let here = self.cursor.position();
            self.cursor.mistake(here, "index", "Invalid index");
            return None;
        };
        self.cursor.space();
        if self.cursor.word("]") {
            return Some(name);
        }
        let here = self.cursor.position();
        self.cursor.mistake(here, "index", "Unclosed index expression");
        None
    }

    fn value(&mut self) -> Option<String> {
        let start = self.cursor.position();
        if let Some(selector) = self.selector() {
            return Some(selector.join("."));
        }
        self.cursor.back_to(start);
        if let Some(number) = self.number() {
            return Some(number);
        }
        self.cursor.back_to(start);
        self.text()
    }

    fn number(&mut self) -> Option<String> {
        let start = self.cursor.position();
        let digits = "[0-9]";
        let digit = |c: char| c.is_ascii_digit();
        self.cursor.word("-");
        if !self.cursor.word("0") {
            if !self.cursor.class("[1-9]", |c| digit(c) && c != '0') {
                return None;
            }
            self.cursor.run(digits, digit);
        }
        let whole = self.cursor.position();
        if !(self.cursor.word(".") && self.cursor.run(digits, digit)) {
            self.cursor.back_to(whole);
        }
        let end = self.cursor.position();
        let number = self.cursor.since(start).to_owned();
        let ends = self.cursor.space() || self.cursor.end() || self.cursor.word(")");
        self.cursor.back_to(end);
        if !ends {
            self.cursor.mistake(end, "number", "Invalid number literal");
            return None;
        }
        Some(number)
    }

    fn text(&mut self) -> Option<String> {
        let start = self.cursor.position();
        for quote in ["`", "\""] {
            if !self.cursor.word(quote) {
                continue;
            }
            loop {
                if self.cursor.word(quote) {
                    let literal = self.cursor.since(start);
                    return Some(unquote(literal).unwrap_or_else(|| {
                        self.cursor.mistake(start, "string", "invalid syntax");
                        String::new()
                    }));
                }
                if !self.cursor.class(".", |_| true) {
                    let here = self.cursor.position();
                    self.cursor.mistake(here, "string", "Unterminated string literal");
                    self.cursor.back_to(start);
                    return None;
                }
            }
        }
        None
    }
}
