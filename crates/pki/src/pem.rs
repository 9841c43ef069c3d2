//! PEM text: what is between the dashes, and bytes put between dashes.
//!
//! Absent on purpose: what the bytes mean, and encrypted keys. Follows RFC 7468; text around the
//! sections, and sections of kinds that nothing here asks for, are passed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use zeroize::Zeroizing;

/// The longest text that is read, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 1 << 20;

const LINE: usize = 64;

/// Why no section could be taken from a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Longer than anything that is meant to be read.
    #[error("PEM text of {0} bytes is too long")]
    TooLong(usize),
    /// A section is broken.
    #[error("malformed PEM text: {0}")]
    Malformed(String),
    /// There is no section of a kind that was asked for.
    #[error("no PEM-encoded {0} found")]
    Missing(&'static str),
}

/// What stands between two lines of dashes, emptied from memory when dropped.
pub(crate) type Section = (SectionKind, Zeroizing<Vec<u8>>);

/// All sections of known kinds, in order.
pub(crate) fn sections(text: &str) -> Result<Vec<Section>, PemError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(PemError::TooLong(text.len()));
    }
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes())
        .map(|section| match section {
            Ok((kind, der)) => Ok((kind, Zeroizing::new(der))),
            Err(error) => Err(PemError::Malformed(error.to_string())),
        })
        .collect()
}

/// The DER of all sections of this kind, of which there is at least one; `name` is for the error.
pub(crate) fn all(
    text: &str,
    kind: SectionKind,
    name: &'static str,
) -> Result<Vec<Vec<u8>>, PemError> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for (of, mut der) in sections(text)? {
        if of == kind {
            found.push(std::mem::take(&mut *der));
        }
    }
    if found.is_empty() { Err(PemError::Missing(name)) } else { Ok(found) }
}

/// A section with this label, ended by a line feed.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    // All of it is allocated at once: growing would leave pieces of a key in freed memory.
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(
        body.len() + body.len() / LINE + 2 * label.len() + 40,
    ));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sections_are_found_among_other_text() {
        let text = format!(
            "hello\n{}-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
            *encode("CERTIFICATE", &[1; 100]),
            *encode("CERTIFICATE REQUEST", &[2]),
        );
        let found = all(&text, SectionKind::Certificate, "certificate").unwrap();
        assert_eq!(found, [vec![1; 100]]);
        assert_eq!(all(&text, SectionKind::Csr, "x").unwrap(), [vec![2]]);
        let missing = all(&text, SectionKind::Crl, "list").unwrap_err();
        assert_eq!(missing.to_string(), "no PEM-encoded list found");
    }

    #[test]
    fn broken_and_endless_texts_are_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(sections(broken), Err(PemError::Malformed(_))));
        let open = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(matches!(sections(open), Err(PemError::Malformed(_))));
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        assert_eq!(sections(&long), Err(PemError::TooLong(MAX_TEXT_BYTES + 1)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(der in proptest::collection::vec(any::<u8>(), 1..300)) {
            let text = encode("CERTIFICATE", &der);
            prop_assert!(text.lines().all(|line| line.len() <= LINE));
            let found = all(&text, SectionKind::Certificate, "certificate");
            prop_assert_eq!(found, Ok(vec![der]));
        }

        #[test]
        fn nothing_makes_it_panic(text in "(-----(BEGIN|END) (CERTIFICATE|X)-----|[A-Za-z=\n-]){0,20}") {
            let _ = sections(&text);
        }
    }
}
