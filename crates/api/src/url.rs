//! Percent-encoding of paths and queries of requests.
//!
//! Decoding is the server's business (`http` crate).

use std::fmt::Write as _;

/// Appends `text` to `out` as (part of) a path; `/` stays.
pub fn escape_path(out: &mut String, text: &str) {
    escape(out, text, b"-_.~/$&+,:=@!'()*;");
}

/// Appends `text` to `out` as one segment of a path; `/` is encoded.
pub fn escape_segment(out: &mut String, text: &str) {
    escape(out, text, b"-_.~$&+:=@");
}

/// Appends `text` to `out` as the value of a query parameter.
pub fn escape_query(out: &mut String, text: &str) {
    escape(out, text, b"-_.~");
}

/// `prefix` followed by `text` as (part of) a path.
#[must_use]
pub fn path(prefix: &str, text: &str) -> String {
    let mut out = String::with_capacity(prefix.len() + text.len());
    out.push_str(prefix);
    escape_path(&mut out, text);
    out
}

fn escape(out: &mut String, text: &str, kept: &[u8]) {
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_what_is_not_plain() {
        assert_eq!(path("/v1/kv/", "a b/%é?#"), "/v1/kv/a%20b/%25%C3%A9%3F%23");
        let mut segment = String::new();
        escape_segment(&mut segment, "a/b");
        assert_eq!(segment, "a%2Fb");
        let mut query = String::new();
        escape_query(&mut query, "k=v&w x+");
        assert_eq!(query, "k%3Dv%26w%20x%2B");
    }
}
