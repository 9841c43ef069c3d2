//! Questions to a DNS server, as bytes (RFC 1035, section 4).

/// A question about `name` and a type of records, with recursion desired; its ID is 0x0707.
///
/// # Panics
/// When a label is longer than 255 bytes.
#[must_use]
pub fn dns_question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label"));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}
