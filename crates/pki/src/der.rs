//! Writes DER: the few forms of which certificates, requests and keys are made.
//!
//! Absent on purpose: reading DER (x509-parser and webpki do), and every form that nothing here
//! writes. Follows X.690 section 10 and the profile of RFC 5280: times before 2050 are `UTCTime`,
//! names are `PrintableString` where they can be and `UTF8String` else.

use std::net::IpAddr;

use time::OffsetDateTime;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The tag of a constructed value in context `number` (0 to 30).
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// The tag of a primitive value in context `number` (0 to 30).
pub(crate) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// `AlgorithmIdentifier` of ECDSA with SHA-256.
pub(crate) const ECDSA_WITH_SHA256: &[u8] =
    &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Content of the object identifier of the curve P-256.
pub(crate) const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Content of the object identifier of an extension request in a CSR (PKCS #9).
pub(crate) const OID_EXTENSION_REQUEST: &[u8] =
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];

/// Contents of the object identifiers of extensions.
pub(crate) const OID_SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
pub(crate) const OID_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
pub(crate) const OID_SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
pub(crate) const OID_BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
pub(crate) const OID_AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
pub(crate) const OID_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];

const OID_COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Basic constraints of an authority.
pub(crate) const CA_TRUE: &[u8] = &[0x30, 0x03, 0x01, 0x01, 0xff];

/// Writes a value whose content is what `content` writes.
pub(crate) fn nest(out: &mut Vec<u8>, tag: u8, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    content(out);
    // The length stands before the content and is known only now. Contents are small, so that
    // moving them costs less than finding all lengths out beforehand.
    let (length, used) = length_octets(out.len() - start);
    out.splice(start..start, length.into_iter().take(used));
}

/// Writes a value with this content.
pub(crate) fn value(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let (length, used) = length_octets(content.len());
    out.extend(length.into_iter().take(used));
    out.extend_from_slice(content);
}

/// Writes a non-negative integer given as big-endian bytes, leading zeros allowed.
pub(crate) fn unsigned(out: &mut Vec<u8>, big_endian: &[u8]) {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let digits = big_endian.get(zeros..).unwrap_or_default();
    nest(out, INTEGER, |out| {
        // A leading zero bit keeps it from being read as a negative number.
        if digits.first().is_none_or(|byte| byte & 0x80 != 0) {
            out.push(0);
        }
        out.extend_from_slice(digits);
    });
}

/// Writes a bit string of whole bytes.
pub(crate) fn bit_string(out: &mut Vec<u8>, bytes: &[u8]) {
    nest(out, BIT_STRING, |out| {
        out.push(0);
        out.extend_from_slice(bytes);
    });
}

/// Writes a name that has a common name only.
pub(crate) fn common_name(out: &mut Vec<u8>, name: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    let tag = if name.bytes().all(plain) { PRINTABLE_STRING } else { UTF8_STRING };
    nest(out, SEQUENCE, |out| {
        nest(out, SET, |out| {
            nest(out, SEQUENCE, |out| {
                value(out, OID, OID_COMMON_NAME);
                value(out, tag, name.as_bytes());
            });
        });
    });
}

/// Writes an extension whose value is the DER that `content` writes.
pub(crate) fn extension(
    out: &mut Vec<u8>,
    oid: &[u8],
    critical: bool,
    content: impl FnOnce(&mut Vec<u8>),
) {
    nest(out, SEQUENCE, |out| {
        value(out, OID, oid);
        if critical {
            out.extend_from_slice(&[0x01, 0x01, 0xff]);
        }
        nest(out, OCTET_STRING, content);
    });
}

/// Writes the extension of alternative names with one URI.
pub(crate) fn uri_name(out: &mut Vec<u8>, uri: &str) {
    extension(out, OID_SUBJECT_ALT_NAME, false, |out| {
        nest(out, SEQUENCE, |out| value(out, context_primitive(6), uri.as_bytes()));
    });
}

/// Writes the extension of alternative names with a URI and others.
pub(crate) fn names(out: &mut Vec<u8>, uri: &str, dns_names: &[String], addresses: &[IpAddr]) {
    extension(out, OID_SUBJECT_ALT_NAME, false, |out| {
        nest(out, SEQUENCE, |out| {
            for name in dns_names {
                value(out, context_primitive(2), name.as_bytes());
            }
            value(out, context_primitive(6), uri.as_bytes());
            for address in addresses {
                match address {
                    IpAddr::V4(address) => value(out, context_primitive(7), &address.octets()),
                    IpAddr::V6(address) => value(out, context_primitive(7), &address.octets()),
                }
            }
        });
    });
}

/// Writes a moment, in seconds since 1970 UTC; `None` if its year has not four digits.
#[must_use]
pub(crate) fn time(out: &mut Vec<u8>, seconds: i64) -> Option<()> {
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let year = u16::try_from(moment.year()).ok().filter(|year| *year <= 9999)?;
    let short = (1950..2050).contains(&year);
    let tag = if short { UTC_TIME } else { GENERALIZED_TIME };
    nest(out, tag, |out| {
        if !short {
            two_digits(out, u8::try_from(year / 100).unwrap_or_default());
        }
        two_digits(out, u8::try_from(year % 100).unwrap_or_default());
        two_digits(out, u8::from(moment.month()));
        two_digits(out, moment.day());
        two_digits(out, moment.hour());
        two_digits(out, moment.minute());
        two_digits(out, moment.second());
        out.push(b'Z');
    });
    Some(())
}

fn two_digits(out: &mut Vec<u8>, number: u8) {
    out.extend_from_slice(&[b'0' + number / 10, b'0' + number % 10]);
}

/// The octets of a length, and how many of them count.
fn length_octets(length: usize) -> ([u8; 9], usize) {
    let mut octets = [0; 9];
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        octets[0] = short;
        return (octets, 1);
    }
    let bytes = length.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let used = bytes.len() - zeros;
    octets[0] = 0x80 | u8::try_from(used).unwrap_or_default();
    for (to, from) in octets.iter_mut().skip(1).zip(bytes.iter().skip(zeros)) {
        *to = *from;
    }
    (octets, used + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
        for (length, octets) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0x81, 0x80]),
            (255, vec![0x81, 0xff]),
            (256, vec![0x82, 0x01, 0x00]),
            (65_535, vec![0x82, 0xff, 0xff]),
            (65_536, vec![0x83, 0x01, 0x00, 0x00]),
        ] {
            let content = vec![7; length];
            let expected = [vec![OCTET_STRING], octets, content.clone()].concat();
            assert_eq!(written(|out| value(out, OCTET_STRING, &content)), expected);
            let nested = written(|out| nest(out, OCTET_STRING, |out| out.extend(&content)));
            assert_eq!(nested, expected);
        }
    }

    #[test]
    fn integers_are_minimal_and_positive() {
        for (number, expected) in [
            (&[][..], &[2, 1, 0][..]),
            (&[0, 0], &[2, 1, 0]),
            (&[0, 0x7f], &[2, 1, 0x7f]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 1, 0], &[2, 2, 1, 0]),
        ] {
            assert_eq!(written(|out| unsigned(out, number)), expected);
        }
    }

    #[test]
    fn times_change_their_form_in_2050() {
        for (seconds, tag, text) in [
            (0, UTC_TIME, "700101000000Z"),
            (-631_152_000, UTC_TIME, "500101000000Z"),
            (-631_152_001, GENERALIZED_TIME, "19491231235959Z"),
            (2_524_607_999, UTC_TIME, "491231235959Z"),
            (2_524_608_000, GENERALIZED_TIME, "20500101000000Z"),
            (253_402_300_799, GENERALIZED_TIME, "99991231235959Z"),
        ] {
            let mut out = Vec::new();
            assert_eq!(time(&mut out, seconds), Some(()));
            assert_eq!(out, written(|out| value(out, tag, text.as_bytes())));
        }
        for seconds in [253_402_300_800, i64::MAX, i64::MIN] {
            assert_eq!(time(&mut Vec::new(), seconds), None);
        }
    }

    #[test]
    fn names_are_printable_where_they_can_be() {
        for (name, tag) in
            [("web", PRINTABLE_STRING), ("web_1", UTF8_STRING), ("käse", UTF8_STRING)]
        {
            let out = written(|out| common_name(out, name));
            assert!(out.ends_with(&written(|out| value(out, tag, name.as_bytes()))), "{name}");
        }
    }
}
