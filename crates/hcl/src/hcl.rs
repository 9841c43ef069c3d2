//! HCL 1: keys, blocks with labels, values, lists, comments.
//!
//! Later versions of the language are not read, and nothing is evaluated. Differences from the
//! original's reader: a key without a value is refused (it takes it for unset), a list may
//! contain lists.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::cursor::Cursor;
use crate::error::ParseError;
use crate::value::{Data, Field, Object, Value, list, single};
use crate::{json, number, text};

/// Reads a text in HCL 1; one that starts with `{` is read as JSON. The root is one object.
///
/// # Errors
/// At the first mistake, and when the text is too long or too deeply nested.
pub fn parse_hcl(text: &str) -> Result<Value, ParseError> {
    parse(&mut Cursor::new(text)?)
}

/// Where the keys of the outermost object are, in bytes, quotes included and each as often as it
/// is written: for changing a text without writing it anew.
///
/// # Errors
/// Those of [`parse_hcl`].
pub fn root_keys(text: &str) -> Result<Vec<Range<usize>>, ParseError> {
    let mut cursor = Cursor::new(text)?;
    parse(&mut cursor)?;
    Ok(cursor.root_keys)
}

fn parse(cursor: &mut Cursor<'_>) -> Result<Value, ParseError> {
    skip_blank(cursor)?;
    if cursor.peek() == Some('{') {
        return json::parse(cursor);
    }
    Ok(single(body(cursor, false, 0)?))
}

/// Goes past blanks, line ends and comments.
fn skip_blank(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    loop {
        cursor.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
        let start = cursor.place();
        if cursor.eat("#") || cursor.eat("//") {
            cursor.take_while(|c| c != '\n');
        } else if cursor.eat("/*") {
            let Some(end) = cursor.rest().find("*/") else {
                return Err(start.error("the comment has no end"));
            };
            let comment = &cursor.rest()[..end];
            cursor.eat(comment);
            cursor.eat("*/");
        } else {
            return Ok(());
        }
    }
}

/// Reads fields up to the closing brace, or to the end of the text.
fn body(cursor: &mut Cursor<'_>, braced: bool, depth: u32) -> Result<Object, ParseError> {
    let mut object = Object { line: cursor.place().line, fields: Vec::new() };
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        skip_blank(cursor)?;
        match cursor.peek() {
            None if braced => return Err(cursor.error("a closing } is missing")),
            None => return Ok(object),
            Some('}') if braced => {
                cursor.bump();
                return Ok(object);
            }
            Some(_) => {}
        }
        let place = cursor.place();
        let field = field(cursor, depth)?;
        match known.get(&field.key).and_then(|at| object.fields.get_mut(*at)) {
            None => {
                known.insert(field.key.clone(), object.fields.len());
                object.fields.push(field);
            }
            Some(earlier) => earlier
                .value
                .join(field.value)
                .map_err(|_| place.error(format!("{:?} is of another kind before", field.key)))?,
        }
        skip_blank(cursor)?;
        cursor.eat(",");
    }
}

/// Reads a key with its value, or with its labels and its block.
fn field(cursor: &mut Cursor<'_>, depth: u32) -> Result<Field, ParseError> {
    let line = cursor.place().line;
    let start = cursor.offset();
    let key = name(cursor)?;
    if depth == 0 {
        cursor.root_keys.push(start..cursor.offset());
    }
    let mut labels: Vec<(String, u32)> = Vec::new();
    let mut inner = depth;
    let value = loop {
        skip_blank(cursor)?;
        match cursor.peek() {
            Some('=') if labels.is_empty() => {
                cursor.bump();
                break value(cursor, depth)?;
            }
            Some('{') => {
                let inner = cursor.enter(inner)?;
                cursor.bump();
                break single(body(cursor, true, inner)?);
            }
            Some(c) if c == '"' || starts_name(c) => {
                inner = cursor.enter(inner)?;
                let line = cursor.place().line;
                labels.push((name(cursor)?, line));
            }
            _ => {
                let wanted = if labels.is_empty() { "= or {" } else { "{" };
                let found = cursor.found();
                return Err(
                    cursor.error(format!("after {key:?} {wanted} must follow, not {found}"))
                );
            }
        }
    };
    let nested = |value, (key, line): (String, u32)| {
        single(Object { line, fields: vec![Field { key, line, value }] })
    };
    Ok(Field { key, line, value: labels.into_iter().rev().fold(value, nested) })
}

fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// Reads a key or label, quoted or not.
fn name(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    match cursor.peek() {
        Some('"') => text::quoted(cursor),
        Some(c) if starts_name(c) => Ok(word(cursor).to_owned()),
        _ => Err(cursor.error(format!("a key is expected, not {}", cursor.found()))),
    }
}

fn word<'a>(cursor: &mut Cursor<'a>) -> &'a str {
    cursor.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn value(cursor: &mut Cursor<'_>, depth: u32) -> Result<Value, ParseError> {
    skip_blank(cursor)?;
    let place = cursor.place();
    let data = match cursor.peek() {
        Some('"') => Data::Text(text::quoted(cursor)?),
        Some('<') if cursor.rest().starts_with("<<") => Data::Text(text::heredoc(cursor)?),
        Some('-' | '.' | '0'..='9') => number::hcl(cursor)?,
        Some('[') => return items(cursor, depth),
        Some('{') => {
            let depth = cursor.enter(depth)?;
            cursor.bump();
            return Ok(single(Object { line: place.line, ..body(cursor, true, depth)? }));
        }
        Some(c) if starts_name(c) => match word(cursor) {
            "true" => Data::Bool(true),
            "false" => Data::Bool(false),
            other => {
                return Err(place.error(format!("a value is expected, not the bare word {other}")));
            }
        },
        _ => return Err(cursor.error(format!("a value is expected, not {}", cursor.found()))),
    };
    Ok(Value { line: place.line, data })
}

/// Reads `[…]`. A comma too many does no harm, one too few is a mistake.
fn items(cursor: &mut Cursor<'_>, depth: u32) -> Result<Value, ParseError> {
    let line = cursor.place().line;
    let depth = cursor.enter(depth)?;
    cursor.bump();
    let mut items = Vec::new();
    let mut separated = true;
    loop {
        skip_blank(cursor)?;
        match cursor.peek() {
            Some(']') => {
                cursor.bump();
                return Ok(list(line, items));
            }
            Some(',') => {
                cursor.bump();
                separated = true;
            }
            Some(_) if separated => {
                items.push(value(cursor, depth)?);
                separated = false;
            }
            _ => {
                let found = cursor.found();
                return Err(cursor.error(format!("a comma or ] is expected, not {found}")));
            }
        }
    }
}
