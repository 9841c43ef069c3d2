//! Bytes as text of the form in which the HTTP API shows key ids, fingerprints and serial numbers.
//!
//! Absent on purpose: reading such text, which nothing needs. Follows the observed form of
//! Consul 1.2: two lower-case digits for each byte, with a colon between bytes.

/// The bytes as `0a:1b:2c`.
pub(crate) fn colon_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 3);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 {
            text.push(':');
        }
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_for_each_byte() {
        assert_eq!(colon_hex(&[]), "");
        assert_eq!(colon_hex(&[8]), "08");
        assert_eq!(colon_hex(&[0, 0xab, 0xff]), "00:ab:ff");
    }
}
