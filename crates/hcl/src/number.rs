//! Numbers of both languages.
//!
//! Ranges of settings are not checked here.

use crate::cursor::Cursor;
use crate::error::ParseError;
use crate::value::Data;

/// Reads HCL's numbers: decimal, `0x`, leading-zero octal, fractions and exponents, with `-`.
pub(crate) fn hcl(cursor: &mut Cursor<'_>) -> Result<Data, ParseError> {
    let place = cursor.place();
    let negative = cursor.eat("-");
    let mut last = ' ';
    let rest = cursor.rest();
    let hex = rest.starts_with("0x") || rest.starts_with("0X");
    let len = rest
        .find(|c: char| {
            let sign = matches!(c, '+' | '-') && matches!(last, 'e' | 'E') && !hex;
            last = c;
            !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || sign)
        })
        .unwrap_or(rest.len());
    let word = &rest[..len];
    cursor.eat(word);
    let bad = || place.error(format!("{word:?} is not a number"));
    if !hex && word.contains(['.', 'e', 'E']) {
        return float(word, negative).ok_or_else(bad);
    }
    let (digits, radix) = if hex {
        (&word[2..], 16)
    } else if word.len() > 1 && word.starts_with('0') {
        (&word[1..], 8)
    } else {
        (word, 10)
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(bad());
    }
    let magnitude = i128::from_str_radix(digits, radix).ok();
    magnitude
        .and_then(|n| i64::try_from(if negative { -n } else { n }).ok())
        .map(Data::Int)
        .ok_or_else(|| place.error(format!("{word} is out of range")))
}

fn float(word: &str, negative: bool) -> Option<Data> {
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !word.chars().all(plain) {
        return None;
    }
    let number: f64 = word.parse().ok()?;
    number.is_finite().then_some(Data::Float(if negative { -number } else { number }))
}

/// Reads JSON's numbers. A whole number beyond 64 bits becomes a float.
pub(crate) fn json(cursor: &mut Cursor<'_>) -> Result<Data, ParseError> {
    let place = cursor.place();
    let number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let word = cursor.take_while(number);
    let bad = || place.error(format!("{word:?} is not a number"));
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let whole_len = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, tail) = unsigned.split_at(whole_len);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) || !json_tail(tail) {
        return Err(bad());
    }
    if tail.is_empty()
        && let Ok(number) = word.parse()
    {
        return Ok(Data::Int(number));
    }
    word.parse().ok().filter(|n: &f64| n.is_finite()).map(Data::Float).ok_or_else(bad)
}

/// Whether `tail` is an optional fraction and an optional exponent.
fn json_tail(tail: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (fraction, exponent) = match tail.find(['e', 'E']) {
        Some(at) => (&tail[..at], Some(&tail[at + 1..])),
        None => (tail, None),
    };
    let fraction_ok = fraction.is_empty() || fraction.strip_prefix('.').is_some_and(digits);
    fraction_ok && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}
