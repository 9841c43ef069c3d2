//! Tags of a node: names and values that all others see, at most 512 bytes together.

use std::collections::BTreeMap;

use crate::pack::{Malformed, Reader, Writer};

/// The first byte of encoded tags; without it, the whole is the role.
const MAGIC: u8 = 0xff;
const ROLE: &str = "role";

/// Tags by name.
pub type Tags = BTreeMap<String, String>;

/// Tags as they are sent.
#[must_use]
pub fn encode(tags: &Tags) -> Vec<u8> {
    let mut out = Writer::message(MAGIC);
    out.map(tags.len());
    for (name, value) in tags {
        out.raw(name).raw(value);
    }
    out.into_bytes()
}

/// Reads tags.
///
/// # Errors
/// When they are neither tags nor a role.
pub fn decode(meta: &[u8]) -> Result<Tags, Malformed> {
    let mut tags = Tags::new();
    if meta.first() != Some(&MAGIC) {
        let role = std::str::from_utf8(meta).map_err(|_| Malformed::Text)?;
        tags.insert(ROLE.to_owned(), role.to_owned());
        return Ok(tags);
    }
    let mut reader = Reader::new(&meta[1..]);
    for _ in 0..reader.map()? {
        let name = reader.text()?.to_owned();
        tags.insert(name, reader.text()?.to_owned());
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_or_a_role() {
        let tags = Tags::from([("role".into(), "node".into()), ("dc".into(), "dc1".into())]);
        assert_eq!(decode(&encode(&tags)), Ok(tags));
        assert_eq!(decode(b"consul"), Ok(Tags::from([("role".into(), "consul".into())])));
        assert_eq!(decode(&[0xff, 0x81, 0xa1]), Err(Malformed::Incomplete));
    }
}
