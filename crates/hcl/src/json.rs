//! JSON, with the tree's lines.
//!
//! Comments and trailing commas are not accepted. Of a repeated key the last value counts.

use std::collections::BTreeMap;

use crate::cursor::Cursor;
use crate::error::ParseError;
use crate::value::{Data, Field, Object, Value, list, single};
use crate::{number, text};

/// Depth inside the outermost object.
const ROOT: u32 = 1;

/// Reads a text in JSON; its root may be any value.
///
/// # Errors
/// At the first mistake, and when the text is too long or too deeply nested.
pub fn parse_json(text: &str) -> Result<Value, ParseError> {
    parse(&mut Cursor::new(text)?)
}

pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Value, ParseError> {
    let root = value(cursor, 0)?;
    skip_blank(cursor);
    if cursor.peek().is_some() {
        return Err(cursor.error(format!("nothing may follow, but {} does", cursor.found())));
    }
    Ok(root)
}

fn skip_blank(cursor: &mut Cursor<'_>) {
    cursor.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
}

fn value(cursor: &mut Cursor<'_>, depth: u32) -> Result<Value, ParseError> {
    skip_blank(cursor);
    let place = cursor.place();
    let data = match cursor.peek() {
        Some('"') => Data::Text(text::json(cursor)?),
        Some('-' | '0'..='9') => number::json(cursor)?,
        Some('[') => return items(cursor, depth),
        Some('{') => return object(cursor, depth),
        Some(c) if c.is_alphabetic() => match cursor.take_while(char::is_alphanumeric) {
            "true" => Data::Bool(true),
            "false" => Data::Bool(false),
            "null" => Data::Null,
            other => {
                return Err(place.error(format!("a value is expected, not the bare word {other}")));
            }
        },
        _ => return Err(cursor.error(format!("a value is expected, not {}", cursor.found()))),
    };
    Ok(Value { line: place.line, data })
}

/// After an element: true at a comma, false past the `closing` character.
fn goes_on(cursor: &mut Cursor<'_>, closing: char) -> Result<bool, ParseError> {
    skip_blank(cursor);
    match cursor.peek() {
        Some(',') => {
            cursor.bump();
            Ok(true)
        }
        Some(c) if c == closing => {
            cursor.bump();
            Ok(false)
        }
        _ => {
            let found = cursor.found();
            Err(cursor.error(format!("a comma or {closing} is expected, not {found}")))
        }
    }
}

fn items(cursor: &mut Cursor<'_>, depth: u32) -> Result<Value, ParseError> {
    let line = cursor.place().line;
    let depth = cursor.enter(depth)?;
    cursor.bump();
    skip_blank(cursor);
    let mut items = Vec::new();
    if !cursor.eat("]") {
        loop {
            items.push(value(cursor, depth)?);
            if !goes_on(cursor, ']')? {
                break;
            }
        }
    }
    Ok(list(line, items))
}

fn object(cursor: &mut Cursor<'_>, depth: u32) -> Result<Value, ParseError> {
    let mut object = Object { line: cursor.place().line, fields: Vec::new() };
    let depth = cursor.enter(depth)?;
    cursor.bump();
    skip_blank(cursor);
    if cursor.eat("}") {
        return Ok(single(object));
    }
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        let field = field(cursor, depth)?;
        match known.get(&field.key).and_then(|at| object.fields.get_mut(*at)) {
            Some(earlier) => *earlier = field,
            None => {
                known.insert(field.key.clone(), object.fields.len());
                object.fields.push(field);
            }
        }
        if !goes_on(cursor, '}')? {
            return Ok(single(object));
        }
    }
}

fn field(cursor: &mut Cursor<'_>, depth: u32) -> Result<Field, ParseError> {
    skip_blank(cursor);
    let line = cursor.place().line;
    if cursor.peek() != Some('"') {
        return Err(cursor.error(format!("a quoted key is expected, not {}", cursor.found())));
    }
    let start = cursor.offset();
    let key = text::json(cursor)?;
    if depth == ROOT {
        cursor.root_keys.push(start..cursor.offset());
    }
    skip_blank(cursor);
    if !cursor.eat(":") {
        let found = cursor.found();
        return Err(cursor.error(format!("a colon must follow {key:?}, not {found}")));
    }
    Ok(Field { key, line, value: value(cursor, depth)? })
}
