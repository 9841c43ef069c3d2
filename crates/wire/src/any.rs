//! Free values: settings whose meaning only their reader knows.
//!
//! The original takes them from JSON, where all numbers have a fraction, and compares what it
//! wrote with what it reads; so numbers are written as floats where they fit, and whole ones are
//! shown as whole numbers. Bytes that are no text are read as the text nearest to them.

use lictor_pack::{DEPTH_MAX, Malformed, Reader, Writer};
use serde_json::{Map, Number, Value as Json};

use crate::value::Value;

/// From here on not all whole numbers are floats.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

impl Value for Json {
    fn write(&self, to: &mut Writer) {
        write(self, to, Numbers::OfJson);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        read(from, DEPTH_MAX)
    }
}

/// Settings by name; none at all are `nil`.
impl Value for Map<String, Json> {
    fn write(&self, to: &mut Writer) {
        if self.is_empty() {
            to.nil();
        } else {
            write_map(self, to, Numbers::OfJson);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        read_map(from, DEPTH_MAX)
    }
}

/// How whole numbers are written.
#[derive(Clone, Copy)]
enum Numbers {
    /// As floats.
    OfJson,
    /// As whole numbers, for fields that are such.
    OfFields,
}

fn write(value: &Json, to: &mut Writer, numbers: Numbers) {
    match value {
        Json::Null => {
            to.nil();
        }
        Json::Bool(truth) => {
            to.bool(*truth);
        }
        Json::Number(number) => write_number(number, to, numbers),
        Json::String(text) => {
            to.raw(text);
        }
        Json::Array(list) => {
            to.array(list.len());
            for value in list {
                write(value, to, numbers);
            }
        }
        Json::Object(map) => write_map(map, to, numbers),
    }
}

fn write_map(map: &Map<String, Json>, to: &mut Writer, numbers: Numbers) {
    to.map(map.len());
    for (key, value) in map {
        to.raw(key);
        write(value, to, numbers);
    }
}

fn write_number(number: &Number, to: &mut Writer, numbers: Numbers) {
    match (number.as_f64(), number.as_i64(), number.as_u64()) {
        (Some(float), None, None) => to.float(float),
        (Some(float), _, _) if float.abs() < WHOLE_MAX && matches!(numbers, Numbers::OfJson) => {
            to.float(float)
        }
        (_, Some(whole), _) => to.int(whole),
        (_, _, Some(whole)) => to.uint(whole),
        _ => to.nil(),
    };
}

fn read(from: &mut Reader<'_>, depth: usize) -> Result<Json, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed::TooLarge)?;
    Ok(match from.peek()? {
        0xc0 => {
            from.nil();
            Json::Null
        }
        0xc2 | 0xc3 => Json::Bool(from.bool()?),
        0xca | 0xcb => number(from.float()?),
        0x00..=0x7f | 0xcc..=0xcf => Json::from(from.uint()?),
        0xd0..=0xd3 | 0xe0..=0xff => Json::from(from.int()?),
        0x90..=0x9f | 0xdc | 0xdd => {
            let mut list = Vec::new();
            for _ in 0..from.array()? {
                from.charge(size_of::<Json>())?;
                list.push(read(from, depth)?);
            }
            Json::Array(list)
        }
        0x80..=0x8f | 0xde | 0xdf => Json::Object(read_map(from, depth)?),
        0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb => Json::String(text(from)?),
        _ => return Err(Malformed::Type),
    })
}

fn read_map(from: &mut Reader<'_>, depth: usize) -> Result<Map<String, Json>, Malformed> {
    let mut map = Map::new();
    for _ in 0..from.map()? {
        from.charge(size_of::<(String, Json)>())?;
        let key = text(from)?;
        map.insert(key, read(from, depth)?);
    }
    Ok(map)
}

fn text(from: &mut Reader<'_>) -> Result<String, Malformed> {
    from.raw().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Whole numbers as such; what JSON has no word for is nothing.
#[expect(clippy::cast_possible_truncation, reason = "only of what is whole and small enough")]
fn number(float: f64) -> Json {
    if float.fract() == 0.0 && float.abs() < WHOLE_MAX {
        Json::from(float as i64)
    } else {
        Number::from_f64(float).map_or(Json::Null, Json::Number)
    }
}

/// A structure that is kept as a free value, where one whose fields all are zero is none.
pub(crate) struct Kept;

impl Kept {
    pub(crate) fn write(value: &Json, to: &mut Writer) {
        write(value, to, Numbers::OfFields);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Json, Malformed> {
        let value = Json::read(from)?;
        Ok(if is_zero(&value) { Json::Null } else { value })
    }
}

fn is_zero(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.values().all(is_zero),
        Json::Bool(true) => false,
    }
}
