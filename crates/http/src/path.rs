//! Paths of requests: decoding, cleaning, and what may be in them.
//!
//! Which paths exist is the router's business. The rules are those of the original's language and
//! its filter for unprintable characters, with one difference: bytes that are not UTF-8 stay in
//! their encoded form (`%BA`), so that every name is text and no two are mixed up.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The path behind its percent-encoding; `None` when an escape is broken.
pub(crate) fn decode(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let bytes = unescape(path.as_bytes(), false)?;
    Some(Cow::Owned(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => keep_foreign_bytes(error.as_bytes()),
    }))
}

/// Bytes behind percent-encoding; `plus` also turns `+` into a blank, as queries do.
pub(crate) fn unescape(text: &[u8], plus: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        match rest {
            [] => return Some(out),
            [b'%', high, low, after @ ..] => {
                out.push(hex(*high)? << 4 | hex(*low)?);
                rest = after;
            }
            [b'%', ..] => return None,
            [b'+', after @ ..] if plus => {
                out.push(b' ');
                rest = after;
            }
            [byte, after @ ..] => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn keep_foreign_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The path without empty, `.` and `..` segments; `None` when it is clean already.
pub(crate) fn clean(path: &str) -> Option<String> {
    let dirty = path.contains("//") || path.split('/').any(|s| s == "." || s == "..");
    if path.starts_with('/') && !dirty {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if kept.is_empty() || path.ends_with('/') {
        out.push('/');
    }
    Some(out)
}

/// Whether every character can be seen (or is a plain blank).
pub(crate) fn is_printable(path: &str) -> bool {
    path.bytes().all(|b| (0x20..0x7f).contains(&b)) || path.chars().all(is_printable_char)
}

fn is_printable_char(c: char) -> bool {
    let formatting = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0001}' | '\u{e0020}'..='\u{e007f}');
    let private = matches!(c,
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}');
    let no_character = u32::from(c) & 0xfffe == 0xfffe || matches!(c, '\u{fdd0}'..='\u{fdef}');
    c == ' ' || !(c.is_control() || c.is_whitespace() || formatting || private || no_character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decodes() {
        for (given, expected) in [
            ("/v1/kv/plain", "/v1/kv/plain"),
            ("/v1/kv/with%20space", "/v1/kv/with space"),
            ("/v1/kv/plus+sign", "/v1/kv/plus+sign"),
            ("/v1/kv/percent%25", "/v1/kv/percent%"),
            ("/v1/kv/caf%C3%A9", "/v1/kv/café"),
            ("/v1/kv/%bad", "/v1/kv/%BAd"),
            ("/v1/kv/%fF%c3%28", "/v1/kv/%FF%C3("),
        ] {
            assert_eq!(decode(given).as_deref(), Some(expected), "{given}");
        }
        for broken in ["/%", "/%1", "/%zz", "/a%2"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn cleans() {
        assert_eq!(clean("/v1/kv/a"), None);
        assert_eq!(clean("/v1/kv/a/"), None);
        assert_eq!(clean("/v1/kv/a..b/.c"), None);
        assert_eq!(clean("/v1/kv/double//slash").as_deref(), Some("/v1/kv/double/slash"));
        assert_eq!(clean("/v1/kv/dots/../up").as_deref(), Some("/v1/kv/up"));
        assert_eq!(clean("/../..").as_deref(), Some("/"));
        assert_eq!(clean("/a/./").as_deref(), Some("/a/"));
        assert_eq!(clean("").as_deref(), Some("/"));
    }

    #[test]
    fn sees_what_cannot_be_seen() {
        for good in ["/v1/kv/a b", "/café", "/€", "/日本語", "/🦀", "/e\u{301}"] {
            assert!(is_printable(good), "{good}");
        }
        for bad in ["/x\0y", "/\t", "/\n", "/\u{7f}", "/\u{a0}", "/\u{200b}", "/\u{e000}"] {
            assert!(!is_printable(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_encoded_are_told_apart(
            a in prop::collection::vec(any::<u8>(), 0..8),
            b in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let encode = |bytes: &[u8]| bytes.iter().fold("/".to_owned(), |mut out, byte| {
                let _ = write!(out, "%{byte:02x}");
                out
            });
            let (left, right) = (encode(&a), encode(&b));
            let (left, right) = (decode(&left).unwrap(), decode(&right).unwrap());
            // A literal percent sign in text may look like a kept byte; all else is distinct.
            if a != b && !left.contains('%') && !right.contains('%') {
                prop_assert_ne!(left, right);
            }
        }

        #[test]
        fn cleaning_twice_changes_nothing(path in "[/.a]{0,12}") {
            let once = clean(&path).unwrap_or(path);
            prop_assert_eq!(clean(&once), None);
        }

        #[test]
        fn any_text_is_decoded_or_refused(path in "\\PC*") {
            let _ = decode(&path).map(|p| (is_printable(&p), clean(&p)));
        }
    }
}
