//! Domain names in the form of the wire: labels with their lengths, a zero at the end.
//!
//! Text is split at dots and taken as it is, without escapes. Compression is the writer's matter
//! ([`crate::message`]).

use std::sync::Arc;

use smallvec::SmallVec;

/// The domain of names of addresses.
pub(crate) const ARPA: &[u8] = b"\x04arpa\0";

/// Longest name, the zero included.
pub const NAME_MAX: usize = 255;
/// Longest label.
const LABEL_MAX: usize = 63;

/// A name that is kept.
pub type Name = Arc<[u8]>;
/// A name that is made on the way.
pub type NameBuf = SmallVec<[u8; 64]>;

/// Joins `parts`, each of them labels separated by dots, and ends the name with `domain`, which is
/// in wire form. `None` when the result is no proper name.
#[must_use]
pub fn join(parts: &[&str], domain: &[u8]) -> Option<NameBuf> {
    let mut name = NameBuf::new();
    for label in parts.iter().flat_map(|part| part.split('.')) {
        if label.is_empty() || label.len() > LABEL_MAX {
            return None;
        }
        name.push(u8::try_from(label.len()).ok()?);
        name.extend_from_slice(label.as_bytes());
    }
    name.extend_from_slice(domain);
    (name.len() <= NAME_MAX).then_some(name)
}

/// The wire form of a host or domain name; a dot at the end is allowed.
#[must_use]
pub fn parse(text: &str) -> Option<NameBuf> {
    match text.strip_suffix('.').unwrap_or(text) {
        "" => None,
        text => join(&[text], &[0]),
    }
}

/// The labels of a proper name.
pub fn labels(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first()?;
        let length = usize::from(*length);
        if length == 0 || after.len() < length {
            return None;
        }
        let (label, after) = after.split_at(length);
        rest = after;
        Some(label)
    })
}

/// What is before `suffix` in `name`, both in lower case; `None` when it is not in that domain.
#[must_use]
pub fn strip<'a>(name: &'a [u8], suffix: &[u8]) -> Option<&'a [u8]> {
    let cut = name.len().checked_sub(suffix.len())?;
    if name[cut..] != *suffix {
        return None;
    }
    // The cut must be where a label begins.
    let mut at = 0;
    while at < cut {
        at += 1 + usize::from(name[at]);
    }
    (at == cut).then(|| &name[..cut])
}

/// As people write it, with the dot at the end; for logs.
#[must_use]
pub fn to_text(name: &[u8]) -> String {
    let mut text = String::new();
    for label in labels(name) {
        text.push_str(&label.escape_ascii().to_string());
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_labels() {
        assert_eq!(&parse("a.bc.").unwrap()[..], b"\x01a\x02bc\0");
        assert_eq!(to_text(&parse("a.bc").unwrap()), "a.bc.");
        for wrong in ["", ".", "a..b", ".a", &"x".repeat(64), &"abc.".repeat(64)] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let domain = parse("consul").unwrap();
        assert_eq!(
            to_text(&join(&["n.1", "node", "dc1"], &domain).unwrap()),
            "n.1.node.dc1.consul."
        );
    }

    #[test]
    fn a_domain_ends_where_a_label_begins() {
        let domain = parse("consul").unwrap();
        let before =
            |text: &str| strip(&parse(text).unwrap(), &domain).map(|name| labels(name).count());
        assert_eq!(before("consul"), Some(0));
        assert_eq!(before("a.b.consul"), Some(2));
        assert_eq!(before("a.xconsul"), None);
        assert_eq!(before("consulx"), None);
        // A label that ends like the domain's wire form.
        let odd = [b"\x08a\x06consul\0".as_slice()].concat();
        assert_eq!(strip(&odd, &domain), None);
    }
}
