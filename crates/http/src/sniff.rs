//! The content type of raw values, guessed from their first bytes.
//!
//! Only what the original's callers can meet is told apart: text, the usual images and archives,
//! and everything else. Markup is not: a stored value must never run in somebody's browser.

/// How far is looked.
const LOOK: usize = 512;

/// The content type of `value`.
pub(crate) fn content_type(value: &[u8]) -> &'static str {
    let start = &value[..value.len().min(LOOK)];
    match start {
        [0xfe, 0xff, _, _, ..] => "text/plain; charset=utf-16be",
        [0xff, 0xfe, _, _, ..] => "text/plain; charset=utf-16le",
        [0xef, 0xbb, 0xbf, ..] => "text/plain; charset=utf-8",
        [b'%', b'P', b'D', b'F', b'-', ..] => "application/pdf",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'P', b'K', 3, 4, ..] => "application/zip",
        [0x1f, 0x8b, 8, ..] => "application/x-gzip",
        _ if start.iter().any(|&byte| is_binary(byte)) => "application/octet-stream",
        _ => "text/plain; charset=utf-8",
    }
}

const fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_text_from_the_rest() {
        assert_eq!(content_type(b"hello"), "text/plain; charset=utf-8");
        assert_eq!(content_type("grüße\n".as_bytes()), "text/plain; charset=utf-8");
        assert_eq!(content_type(b"\xff\xfea\0"), "text/plain; charset=utf-16le");
        assert_eq!(content_type(b"\xff\xfe"), "text/plain; charset=utf-8");
        assert_eq!(content_type(b"<html>"), "text/plain; charset=utf-8");
        assert_eq!(content_type(&[0, 0xff, 0xfe, 0x80, 1]), "application/octet-stream");
        assert_eq!(content_type(b"\x89PNG\r\n\x1a\n"), "image/png");
        assert_eq!(content_type(&[0x1f, 0x8b, 8, 0]), "application/x-gzip");
        let mut late = vec![b'x'; LOOK];
        late.push(0);
        assert_eq!(content_type(&late), "text/plain; charset=utf-8");
    }
}
