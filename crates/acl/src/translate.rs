//! A policy of the old language as one of today's: blocks are renamed, all else stays as it is
//! written, comments included.

use std::ops::Range;

use crate::parse::RulesError;
use crate::rules::{Rules, Segmented};

/// Rewrites a policy of the old language, in which all blocks are about beginnings.
///
/// # Errors
/// When it is no policy of the old language.
pub fn translate(text: &str) -> Result<String, RulesError> {
    Rules::parse_legacy(text)?;
    let mut out = String::with_capacity(text.len() + 64);
    let mut copied = 0;
    for key in root_keys(text) {
        let word = text.get(key.clone()).unwrap_or_default();
        if word.contains('\\') {
            let text = format!("the name {word:?} must be written without escapes");
            return Err(RulesError::Syntax(text));
        }
        let lower = word.to_lowercase();
        if Segmented::ALL.into_iter().any(|resource| resource.as_str() == lower) {
            out.push_str(text.get(copied..key.end).unwrap_or_default());
            out.push_str("_prefix");
            copied = key.end;
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Ok(out)
}

/// Where the keys of the outermost object are, without their quotes. The text has been read
/// before, so what opens also closes.
fn root_keys(text: &str) -> Vec<Range<usize>> {
    let json = text.trim_start().starts_with('{');
    let mut keys = Vec::new();
    let mut scan = Scan { text, at: 0, json };
    let root = usize::from(json);
    let (mut depth, mut expects_key, mut after_equals) = (0_usize, !json, false);
    while let Some((kind, range)) = scan.next() {
        match kind {
            Kind::Open => {
                depth += 1;
                if json && depth == 1 {
                    expects_key = true;
                }
            }
            Kind::Close => {
                depth = depth.saturating_sub(1);
                if depth == root {
                    (expects_key, after_equals) = (true, false);
                }
            }
            Kind::Equals => after_equals |= depth == root,
            Kind::Word if depth == root => {
                if expects_key {
                    keys.push(range);
                    expects_key = false;
                } else if after_equals {
                    (expects_key, after_equals) = (true, false);
                }
            }
            Kind::Word => {}
        }
    }
    keys
}

#[derive(Clone, Copy)]
enum Kind {
    Open,
    Close,
    Equals,
    /// A name, a text, a number.
    Word,
}

/// Goes through a text by what matters here; blanks, commas and comments do not.
struct Scan<'a> {
    text: &'a str,
    at: usize,
    json: bool,
}

impl Scan<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes past everything up to and with `end`.
    fn past(&mut self, end: &str) {
        self.at += self.rest().find(end).map_or(self.rest().len(), |at| at + end.len());
    }

    fn next(&mut self) -> Option<(Kind, Range<usize>)> {
        loop {
            let first = self.rest().chars().next()?;
            let start = self.at;
            self.at += first.len_utf8();
            let kind = match first {
                '{' | '[' => Kind::Open,
                '}' | ']' => Kind::Close,
                '=' | ':' => Kind::Equals,
                '"' => {
                    let end = self.quoted();
                    return Some((Kind::Word, start + 1..end));
                }
                '#' => {
                    self.past("\n");
                    continue;
                }
                '/' if self.rest().starts_with('/') => {
                    self.past("\n");
                    continue;
                }
                '/' if self.rest().starts_with('*') => {
                    self.past("*/");
                    continue;
                }
                '<' if self.rest().starts_with('<') => {
                    self.heredoc();
                    Kind::Word
                }
                c if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+') => {
                    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
                    let rest = self.rest();
                    self.at += rest.find(|c| !word(c)).unwrap_or(rest.len());
                    Kind::Word
                }
                _ => continue,
            };
            return Some((kind, start..self.at));
        }
    }

    /// Goes past a text in quotes, whose opening quote is behind; gives where its inside ends.
    fn quoted(&mut self) -> usize {
        let mut braces = 0_u32;
        while let Some(c) = self.rest().chars().next() {
            let interpolation = !self.json && self.rest().starts_with("${");
            self.at += c.len_utf8();
            match c {
                '"' if braces == 0 => return self.at - 1,
                '\\' if braces == 0 => {
                    self.at += self.rest().chars().next().map_or(0, char::len_utf8);
                }
                '$' if interpolation => {
                    self.at += 1;
                    braces += 1;
                }
                '{' if braces > 0 => braces += 1,
                '}' if braces > 0 => braces -= 1,
                _ => {}
            }
        }
        self.at
    }

    /// Goes past a heredoc, whose first `<` is behind.
    fn heredoc(&mut self) {
        let marker = self.rest().lines().next().unwrap_or_default();
        let marker = marker.trim_start_matches('<').trim_start_matches('-').trim().to_owned();
        self.past("\n");
        loop {
            let line = self.rest().lines().next();
            let Some(ends) = line.map(|line| line.trim() == marker) else { return };
            if ends {
                self.at += line.map_or(0, str::len);
                return;
            }
            self.past("\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_renamed_and_all_else_stays() {
        let old = "# key \"x\"\nkey \"key\" { policy = \"read\" } // node\n\
            \"service\" \"a\" {\n  policy = \"write\"\n  intentions = \"deny\"\n}\n\
            event = { \"e\" = { policy = \"deny\" } }\n/* query */ operator = \"read\"\n\
            keyring = \"write\" query \"\" { policy = \"read\" }";
        let new = "# key \"x\"\nkey_prefix \"key\" { policy = \"read\" } // node\n\
            \"service_prefix\" \"a\" {\n  policy = \"write\"\n  intentions = \"deny\"\n}\n\
            event_prefix = { \"e\" = { policy = \"deny\" } }\n/* query */ operator = \"read\"\n\
            keyring = \"write\" query_prefix \"\" { policy = \"read\" }";
        assert_eq!(translate(old).unwrap(), new);
        assert_eq!(Rules::parse(new).unwrap(), Rules::parse_legacy(old).unwrap());
    }

    #[test]
    fn json_stays_json() {
        let old =
            r#"{"key":{"key":{"policy":"read"}},"operator":"read","node":{"":{"policy":"write"}}}"#;
        let new = r#"{"key_prefix":{"key":{"policy":"read"}},"operator":"read","node_prefix":{"":{"policy":"write"}}}"#;
        assert_eq!(translate(old).unwrap(), new);
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let error = translate("key \"a\" {").unwrap_err().to_string();
        assert!(error.starts_with("Failed to parse ACL rules: "), "{error}");
        assert_eq!(translate("").unwrap(), "");
        // One that means `key`, but does not say so.
        assert!(translate("\"k\\u0065y\" \"a\" { policy = \"read\" }").is_err());
    }
}
