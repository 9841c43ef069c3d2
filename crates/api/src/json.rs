//! JSON text as the original writes it: compact, or indented by four blanks with a final newline.
//!
//! Only writing is here; reading request bodies is in [`crate::decode`]. The characters `<`, `>`,
//! `&`, U+2028 and U+2029 are escaped in strings, control characters as `\u00xx` except `\n`,
//! `\r`, `\t`: the rules of Go's encoder, which clients may compare with byte by byte.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// Appends `value` to `out`; `pretty` indents and ends with a newline.
///
/// # Errors
/// When the value has map keys that are no strings, or its own `Serialize` fails.
pub fn write<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    value: &T,
    pretty: bool,
) -> Result<(), serde_json::Error> {
    if pretty {
        let indented = GoStrings(PrettyFormatter::with_indent(b"    "));
        value.serialize(&mut Serializer::with_formatter(&mut *out, indented))?;
        out.push(b'\n');
    } else {
        let compact = GoStrings(CompactFormatter);
        value.serialize(&mut Serializer::with_formatter(out, compact))?;
    }
    Ok(())
}

/// The JSON text of `value`; see [`write`].
///
/// # Errors
/// Those of [`write`].
pub fn to_vec<T: Serialize + ?Sized>(
    value: &T,
    pretty: bool,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(128);
    write(&mut out, value, pretty)?;
    Ok(out)
}

/// Lays JSON out anew: with `indent` blanks for each level, or without any blank. Neither strings
/// nor the order of names change. What is no JSON comes out somehow.
#[must_use]
pub fn reformat(text: &[u8], indent: Option<usize>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        if let Some(indent) = indent {
            out.push(b'\n');
            out.extend(std::iter::repeat_n(b' ', indent * depth));
        }
    };
    for &byte in text {
        if in_string {
            out.push(byte);
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if !matches!(out.last(), Some(b'[' | b'{')) {
                    line(&mut out, depth);
                }
            }
            // The first inside something.
            _ if matches!(out.last(), Some(b'[' | b'{')) && !in_string => line(&mut out, depth),
            _ => {}
        }
        out.push(byte);
        match byte {
            b'[' | b'{' => depth += 1,
            b',' => line(&mut out, depth),
            b':' if indent.is_some() => out.push(b' '),
            b'"' => in_string = true,
            _ => {}
        }
    }
    out
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut clean = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escaped: usize = match byte {
            b'"' | b'\\' | b'<' | b'>' | b'&' | 0..0x20 => 1,
            0xe2 if is_line_separator(&bytes[at..]) => 3,
            _ => continue,
        };
        out.extend_from_slice(&bytes[clean..at]);
        push_escape(out, byte, bytes.get(at + 2));
        clean = at + escaped;
    }
    out.extend_from_slice(&bytes[clean..]);
    out.push(b'"');
}

fn is_line_separator(bytes: &[u8]) -> bool {
    matches!(bytes, [0xe2, 0x80, 0xa8 | 0xa9, ..])
}

fn push_escape(out: &mut Vec<u8>, byte: u8, third: Option<&u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0xe2 if third == Some(&0xa8) => out.extend_from_slice(b"\\u2028"),
        0xe2 => out.extend_from_slice(b"\\u2029"),
        _ => out.extend_from_slice(&control_escape(byte)),
    }
}

fn control_escape(byte: u8) -> [u8; 6] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    [b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// Delegates the layout to `F` and escapes strings by Go's rules.
struct GoStrings<F>(F);

macro_rules! delegate {
    ($($name:ident($($arg:ident: $kind:ty),*);)*) => {$(
        fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $arg: $kind)*)
            -> io::Result<()>
        {
            self.0.$name(writer $(, $arg)*)
        }
    )*};
}

impl<F: Formatter> Formatter for GoStrings<F> {
    delegate! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let bytes = fragment.as_bytes();
        let mut clean = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            let (length, escape): (usize, &[u8]) = match byte {
                b'<' => (1, b"\\u003c"),
                b'>' => (1, b"\\u003e"),
                b'&' => (1, b"\\u0026"),
                0xe2 if is_line_separator(&bytes[at..]) => {
                    (3, if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" })
                }
                _ => continue,
            };
            writer.write_all(&bytes[clean..at])?;
            writer.write_all(escape)?;
            clean = at + length;
        }
        writer.write_all(&bytes[clean..])
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Backspace => writer.write_all(&control_escape(8)),
            CharEscape::FormFeed => writer.write_all(&control_escape(12)),
            other => self.0.write_char_escape(writer, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: &serde_json::Value, pretty: bool) -> String {
        String::from_utf8(to_vec(value, pretty).unwrap()).unwrap()
    }

    #[test]
    fn escapes_what_go_escapes() {
        let value = serde_json::json!("<a>&\u{2028}\u{2029}\"\\\n\r\t\u{8}\u{c}\u{1}\u{7f}é€");
        let expected = "\"\\u003ca\\u003e\\u0026\\u2028\\u2029\\\"\\\\\\n\\r\\t\\u0008\\u000c\\u0001\u{7f}é€\"";
        assert_eq!(text(&value, false), expected);
    }

    #[test]
    fn pretty_is_indented_by_four_and_ends_with_a_newline() {
        let value = serde_json::json!([{"a": 1, "b": [], "c": {}}]);
        assert_eq!(
            text(&value, true),
            "[\n    {\n        \"a\": 1,\n        \"b\": [],\n        \"c\": {}\n    }\n]\n"
        );
        assert_eq!(text(&value, false), "[{\"a\":1,\"b\":[],\"c\":{}}]");
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[\\[\\]{}:, \"\\\\a]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a{\"]{0,3}", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_laid_out_anew_is_what_would_have_been_written(value in any_json()) {
            let (compact, pretty) = (to_vec(&value, false).unwrap(), to_vec(&value, true).unwrap());
            let mut again = reformat(&compact, Some(4));
            again.push(b'\n');
            prop_assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(pretty.clone()).unwrap());
            prop_assert_eq!(reformat(&pretty, None), compact);
        }

        #[test]
        fn any_bytes_are_laid_out(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (reformat(&bytes, Some(4)), reformat(&bytes, None));
        }

        #[test]
        fn both_writers_agree_and_are_read_back(any in "\\PC*|[\\x00-\\x7f\u{2020}-\u{2030}]*") {
            let mut direct = Vec::new();
            write_string(&mut direct, &any);
            prop_assert_eq!(&direct, &to_vec(&any, false).unwrap());
            prop_assert_eq!(serde_json::from_slice::<String>(&direct).unwrap(), any);
        }
    }
}
