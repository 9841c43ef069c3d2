//! Quoted texts: raw between backticks, with escapes between double quotes.

/// The text that a literal with its quotes stands for; `None` when an escape is wrong.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('`') {
        // As in the original's language, carriage returns are no part of it.
        return raw.strip_suffix('`').map(|raw| raw.replace('\r', ""));
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains(['\\', '\n']) {
        return Some(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => return None,
            '\\' => escaped(&mut chars, &mut bytes)?,
            c => push(&mut bytes, c),
        }
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into()))
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn escaped(chars: &mut std::str::Chars<'_>, bytes: &mut Vec<u8>) -> Option<()> {
    let byte = match chars.next()? {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        'x' => u8::try_from(digits(chars, 2, 16, 0)?).ok()?,
        first @ '0'..='7' => u8::try_from(digits(chars, 2, 8, first.to_digit(8)?)?).ok()?,
        'u' => {
            push(bytes, char::from_u32(digits(chars, 4, 16, 0)?)?);
            return Some(());
        }
        'U' => {
            push(bytes, char::from_u32(digits(chars, 8, 16, 0)?)?);
            return Some(());
        }
        _ => return None,
    };
    bytes.push(byte);
    Some(())
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32, first: u32) -> Option<u32> {
    let mut number = first;
    for _ in 0..count {
        number = number.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (literal, text) in [
            (r#""""#, Some("")),
            (r#""a\tb\\\x41\101\u00e9\U0001F600""#, Some("a\tb\\AAé😀")),
            ("`a\\d\r`", Some("a\\d")),
            (r#""\d""#, None),
            (r#""\x4""#, None),
            (r#""\777""#, None),
            (r#""\ud800""#, None),
            ("\"a\nb\"", None),
        ] {
            assert_eq!(unquote(literal).as_deref(), text, "{literal}");
        }
    }
}
