//! Quoted texts and heredocs.
//!
//! Interpolations `${…}` are not evaluated: they are kept as they are, quotes inside included.

use crate::cursor::{Cursor, Place};
use crate::error::ParseError;

const UNTERMINATED: &str = "the text has no closing quote";

/// Reads HCL's `"…"`; the cursor is at the opening quote.
pub(crate) fn quoted(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    let start = cursor.place();
    cursor.bump();
    let mut out = String::new();
    let mut braces = 0_u32;
    loop {
        let place = cursor.place();
        let interpolation = cursor.rest().starts_with("${");
        let c = cursor.bump().ok_or_else(|| start.error(UNTERMINATED))?;
        match c {
            '"' if braces == 0 => return Ok(out),
            '\\' if braces == 0 => out.push(escape(cursor, place)?),
            '$' if interpolation => {
                cursor.bump();
                braces += 1;
                out.push_str("${");
            }
            '{' if braces > 0 => {
                braces += 1;
                out.push(c);
            }
            '}' if braces > 0 => {
                braces -= 1;
                out.push(c);
            }
            c => out.push(c),
        }
    }
}

/// Reads what follows a backslash.
fn escape(cursor: &mut Cursor<'_>, place: Place) -> Result<char, ParseError> {
    let bad = || place.error("unknown escape in a text");
    let c = cursor.bump().ok_or_else(bad)?;
    let code = match c {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        '\\' | '"' => u32::from(c),
        '0'..='7' => {
            let rest = digits(cursor, 2, 8).ok_or_else(bad)?;
            byte(u32::from(c) - u32::from('0'), 64, rest, place)?
        }
        'x' => byte(0, 0, digits(cursor, 2, 16).ok_or_else(bad)?, place)?,
        'u' => digits(cursor, 4, 16).ok_or_else(bad)?,
        'U' => digits(cursor, 8, 16).ok_or_else(bad)?,
        _ => return Err(bad()),
    };
    // A lone surrogate has no character of its own.
    match char::from_u32(code) {
        Some(c) => Ok(c),
        None if (0xd800..0xe000).contains(&code) => Ok(char::REPLACEMENT_CHARACTER),
        None => Err(bad()),
    }
}

/// A character given as a byte; above ASCII it would not be a character at all.
fn byte(high: u32, scale: u32, low: u32, place: Place) -> Result<u32, ParseError> {
    let code = high * scale + low;
    if code >= 0x80 {
        return Err(place.error("a byte escape above 0x7f is no character; use \\u"));
    }
    Ok(code)
}

fn digits(cursor: &mut Cursor<'_>, count: u32, radix: u32) -> Option<u32> {
    let mut code = 0_u32;
    for _ in 0..count {
        let digit = cursor.peek().and_then(|c| c.to_digit(radix))?;
        cursor.bump();
        code = code.checked_mul(radix)?.checked_add(digit)?;
    }
    Some(code)
}

/// Reads `<<X` or `<<-X` with its lines; the cursor is at the first `<`.
///
/// The text ends with the line that has nothing but the marker, which may be indented. After
/// `<<-` that indentation is taken off all lines, if all of them have it.
pub(crate) fn heredoc(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    let start = cursor.place();
    cursor.eat("<<");
    let indented = cursor.eat("-");
    let marker = cursor.take_while(|c| c.is_alphanumeric() || c == '_');
    let after = cursor.take_while(|c| c == '\r');
    if marker.is_empty() || after.len() > 1 || cursor.peek() != Some('\n') {
        return Err(cursor.error("a name and a line end must follow <<"));
    }
    cursor.bump();
    let mut lines: Vec<&str> = Vec::new();
    loop {
        if cursor.rest().is_empty() {
            return Err(start.error(format!("no line with {marker:?} alone ends the text")));
        }
        let line = cursor.take_while(|c| c != '\n');
        if line.trim_end_matches('\r').trim_start() == marker {
            let indentation = &line[..line.len() - line.trim_start().len()];
            return Ok(joined(&lines, if indented { indentation } else { "" }));
        }
        cursor.bump();
        lines.push(line);
    }
}

fn joined(lines: &[&str], indentation: &str) -> String {
    let strip = lines.iter().all(|line| line.starts_with(indentation));
    let cut = if strip { indentation.len() } else { 0 };
    lines.iter().flat_map(|line| [&line[cut..], "\n"]).collect()
}

/// Reads JSON's `"…"`; the cursor is at the opening quote.
pub(crate) fn json(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    let start = cursor.place();
    cursor.bump();
    let mut out = String::new();
    loop {
        let place = cursor.place();
        match cursor.bump() {
            None => return Err(start.error(UNTERMINATED)),
            Some('"') => return Ok(out),
            Some('\\') => out.push(json_escape(cursor, place)?),
            Some(c) if c < ' ' => {
                return Err(place.error("a control character in a text must be escaped"));
            }
            Some(c) => out.push(c),
        }
    }
}

fn json_escape(cursor: &mut Cursor<'_>, place: Place) -> Result<char, ParseError> {
    let bad = || place.error("unknown escape in a text");
    Ok(match cursor.bump().ok_or_else(bad)? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        c @ ('\\' | '"' | '/') => c,
        'u' => {
            let high = digits(cursor, 4, 16).ok_or_else(bad)?;
            let low = second_half(cursor, high);
            let code = low.map_or(high, |low| 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        _ => return Err(bad()),
    })
}

/// Reads the second half of a surrogate pair, if `high` is the first and it follows.
fn second_half(cursor: &mut Cursor<'_>, high: u32) -> Option<u32> {
    let hex = cursor.rest().strip_prefix("\\u")?.get(..4)?;
    let low = u32::from_str_radix(hex, 16).ok()?;
    if !(0xd800..0xdc00).contains(&high) || !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    cursor.eat("\\u");
    cursor.eat(hex);
    Some(low)
}
