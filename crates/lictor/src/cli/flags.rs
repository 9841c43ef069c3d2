//! Go-style command-line flags from a table: `-name value`, `-name=value`, one or two dashes.
//!
//! Booleans take no following word (`-flag`, `-flag=false`); reading stops at the first word that
//! is no flag, or after `--`. What a flag means is left to the command. Follows the behaviour of
//! Go's `flag` package, which scripts written for the original rely on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing, or `=true`/`=false`.
    Bool,
    /// A word; the last one given wins.
    Text,
    /// A word each time it is given.
    List,
}

/// One flag of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// Name without dashes.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// One or two sentences for the usage text.
    pub(crate) help: &'static str,
}

/// A flag of the table form.
pub(crate) const fn flag(name: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag { name, kind, help }
}

/// Why the words could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlagError {
    /// `-h`, `-help` or `--help` was given.
    #[error("help requested")]
    Help,
    /// No such flag.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// The value is missing.
    #[error("flag needs an argument: -{0}")]
    MissingValue(String),
    /// A boolean that is neither true nor false.
    #[error("invalid boolean value \"{value}\" for -{name}: parse error")]
    BadBool {
        /// The flag.
        name: String,
        /// What was given.
        value: String,
    },
    /// Not a number where one is needed.
    #[error("invalid value \"{value}\" for flag -{name}: parse error")]
    BadNumber {
        /// The flag.
        name: String,
        /// What was given.
        value: String,
    },
    /// Not `key=value` where that is needed.
    #[error("invalid value \"{value}\" for flag -{name}: Missing \"=\" value in argument: {value}")]
    NotAPair {
        /// The flag.
        name: String,
        /// What was given.
        value: String,
    },
    /// A word such as `---x` or `-=x`.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
}

impl FlagError {
    /// A value that should be `key=value`.
    pub(crate) fn not_a_pair(name: &str, value: &str) -> Self {
        Self::NotAPair { name: name.to_owned(), value: value.to_owned() }
    }
}

/// The words of a command line, read.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    values: BTreeMap<&'static str, Vec<String>>,
    /// All names and values as they came.
    pub(crate) in_order: Vec<(&'static str, String)>,
    /// The words after the flags.
    pub(crate) operands: Vec<String>,
}

impl Parsed {
    /// The value of a boolean, `default` when it was not given.
    pub(crate) fn bool_or(&self, name: &str, default: bool) -> bool {
        self.text(name).map_or(default, |v| v == "true")
    }

    /// The value of a boolean that is off by default.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.bool_or(name, false)
    }

    /// The last value given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(|v| v.last()).map(String::as_str)
    }

    /// The last value given, empty when none.
    pub(crate) fn text_or_empty(&self, name: &str) -> &str {
        self.text(name).unwrap_or("")
    }

    /// All values given.
    pub(crate) fn list(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The value as an unsigned number: decimal, or `0x`, `0o`, `0b`, leading-zero octal as Go.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, FlagError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let digits = |rest: &str, radix| u64::from_str_radix(&rest.replace('_', ""), radix);
        let lower = value.to_ascii_lowercase();
        let read = if let Some(hex) = lower.strip_prefix("0x") {
            digits(hex, 16)
        } else if let Some(octal) = lower.strip_prefix("0o") {
            digits(octal, 8)
        } else if let Some(binary) = lower.strip_prefix("0b") {
            digits(binary, 2)
        } else if lower.len() > 1 && lower.starts_with('0') {
            digits(&lower[1..], 8)
        } else {
            digits(&lower, 10)
        };
        read.map(Some)
            .map_err(|_| FlagError::BadNumber { name: name.to_owned(), value: value.to_owned() })
    }
}

/// Reads `words` by the tables, which are searched in order.
pub(crate) fn parse(tables: &[&[Flag]], words: &[String]) -> Result<Parsed, FlagError> {
    let mut parsed = Parsed::default();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if word == "--" {
            at += 1;
            break;
        }
        if !word.starts_with('-') || word == "-" {
            break;
        }
        let body = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or(word);
        if body.is_empty() || body.starts_with(['-', '=']) {
            return Err(FlagError::Syntax(word.clone()));
        }
        let (name, attached) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        at += 1;
        let Some(flag) = tables.iter().flat_map(|t| t.iter()).find(|f| f.name == name) else {
            return Err(match name {
                "h" | "help" => FlagError::Help,
                other => FlagError::Unknown(other.to_owned()),
            });
        };
        let value = match (flag.kind, attached) {
            (Kind::Bool, None) => "true".to_owned(),
            (Kind::Bool, Some(value)) => read_bool(name, &value)?,
            (Kind::Text | Kind::List, Some(value)) => value,
            (Kind::Text | Kind::List, None) => {
                let Some(value) = words.get(at) else {
                    return Err(FlagError::MissingValue(name.to_owned()));
                };
                at += 1;
                value.clone()
            }
        };
        parsed.in_order.push((flag.name, value.clone()));
        parsed.values.entry(flag.name).or_default().push(value);
    }
    parsed.operands = words.get(at..).unwrap_or_default().to_vec();
    Ok(parsed)
}

fn read_bool(name: &str, value: &str) -> Result<String, FlagError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true".to_owned()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false".to_owned()),
        _ => Err(FlagError::BadBool { name: name.to_owned(), value: value.to_owned() }),
    }
}

/// The part of a usage text that lists flags, wrapped at 80 columns.
pub(crate) fn describe(heading: &str, table: &[Flag]) -> String {
    let mut out = format!("{heading}\n");
    let mut sorted: Vec<_> = table.iter().collect();
    sorted.sort_by_key(|f| f.name);
    for flag in sorted {
        let value = if flag.kind == Kind::Bool { "" } else { "=<value>" };
        let _ = write!(out, "\n  -{}{value}\n", flag.name);
        let mut line = String::new();
        for word in flag.help.split_whitespace() {
            if !line.is_empty() && line.len() + word.len() > 73 {
                let _ = writeln!(out, "     {line}");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(out, "     {line}");
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const TABLE: &[Flag] = &[
        flag("b", Kind::Bool, "a boolean"),
        flag("t", Kind::Text, "a text"),
        flag("l", Kind::List, "a list"),
    ];

    fn read(words: &[&str]) -> Result<Parsed, FlagError> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        parse(&[TABLE], &words)
    }

    #[test]
    fn every_spelling_of_a_flag_is_read() {
        let p = read(&["-t", "1", "--t=2", "-b", "-l=a", "--l", "b", "x", "-t", "3"]).unwrap();
        assert_eq!(p.text("t"), Some("2"));
        assert!(p.is_set("b"));
        assert_eq!(p.list("l"), ["a", "b"]);
        assert_eq!(p.operands, ["x", "-t", "3"]);
        assert!(!read(&["-b=false"]).unwrap().is_set("b"));
        assert_eq!(read(&["-t", "-1"]).unwrap().text("t"), Some("-1"));
        assert_eq!(read(&["--", "-t"]).unwrap().operands, ["-t"]);
        assert_eq!(read(&["-"]).unwrap().operands, ["-"]);
    }

    #[test]
    fn numbers_are_read_as_go_does() {
        for (word, n) in [("42", 42), ("0x2a", 42), ("052", 42), ("0", 0), ("0b11", 3)] {
            assert_eq!(read(&["-t", word]).unwrap().number("t").unwrap(), Some(n), "{word}");
        }
        assert!(read(&["-t", "4x"]).unwrap().number("t").is_err());
        assert_eq!(read(&[]).unwrap().number("t").unwrap(), None);
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(read(&["-x"]).unwrap_err(), FlagError::Unknown("x".into()));
        assert_eq!(read(&["-t"]).unwrap_err(), FlagError::MissingValue("t".into()));
        assert_eq!(read(&["-help"]).unwrap_err(), FlagError::Help);
        assert!(matches!(read(&["-b=maybe"]).unwrap_err(), FlagError::BadBool { .. }));
        assert!(matches!(read(&["---t"]).unwrap_err(), FlagError::Syntax(_)));
        assert!(matches!(read(&["-=t"]).unwrap_err(), FlagError::Syntax(_)));
    }

    #[test]
    fn long_help_is_wrapped() {
        const LONG: &[Flag] = &[flag(
            "t",
            Kind::Text,
            "word word word word word word word word \
            word word word word word word word word word word word word word word word word",
        )];
        let text = describe("Options", LONG);
        assert!(text.lines().all(|l| l.len() <= 80), "{text}");
        assert!(text.contains("-t=<value>"));
    }

    proptest! {
        #[test]
        fn no_words_make_it_panic(words in prop::collection::vec("[-=a-z0-9]{0,6}", 0..8)) {
            let _ = parse(&[TABLE], &words);
        }
    }
}
