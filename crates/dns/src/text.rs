//! Metadata of nodes as texts.
//!
//! `key=value` as RFC 1464 spells it; only the value when the key begins with `rfc1035-`.

use std::sync::Arc;

use lictor_types::catalog::StringMap;

/// Longest string of a text.
const STRING_MAX: usize = 255;
/// Longest text.
const TEXT_MAX: usize = 65_535;

/// One text in wire form for each pair.
#[must_use]
pub(crate) fn texts(meta: &StringMap) -> Vec<Arc<[u8]>> {
    meta.iter()
        .map(|(key, value)| {
            let raw = key.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("rfc1035-"));
            if raw { wire(value) } else { wire(&format!("{}={value}", escaped(key))) }
        })
        .filter(|text| text.len() <= TEXT_MAX)
        .collect()
}

/// The key with backquotes before what would be misunderstood.
fn escaped(key: &str) -> String {
    let key = key.replace('`', "``").replace('=', "`=");
    let inner = key.trim_start_matches(' ');
    let leading = key.len() - inner.len();
    let core = inner.trim_end_matches(' ');
    let trailing = inner.len() - core.len();
    format!("{}{core}{}", "` ".repeat(leading), "` ".repeat(trailing))
}

fn wire(text: &str) -> Arc<[u8]> {
    let mut out = Vec::with_capacity(text.len() + 1);
    if text.is_empty() {
        out.push(0);
    }
    for string in text.as_bytes().chunks(STRING_MAX) {
        out.push(u8::try_from(string.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(string);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_and_raw_texts_are_not() {
        let cases = [
            ("k", "v", "k=v"),
            ("k", "", "k="),
            ("a=b", "c=d", "a`=b=c=d"),
            ("a`b", "", "a``b="),
            ("  a b ", "x", "` ` a b` =x"),
            ("RFC1035-x", "raw", "raw"),
        ];
        for (key, value, expected) in cases {
            let meta = StringMap::from([(key.to_owned(), value.to_owned())]);
            assert_eq!(&texts(&meta)[0][1..], expected.as_bytes(), "{key}");
        }
        let long = StringMap::from([("k".to_owned(), "x".repeat(600))]);
        let text = &texts(&long)[0];
        assert_eq!((text[0], text[256], text.len()), (255, 255, 602 + 3));
    }
}
