//! Durations in the notation of the original's configuration and API (`1h30m`, `250ms`).
//!
//! Plain conversions between text and nanoseconds; there is no clock here. The grammar is the one
//! of Go: an optional sign, then numbers with an optional fraction and a unit each, or a bare `0`.

use std::fmt::Write as _;

/// Why a text is not a duration. The texts are those that users of the original know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form, or out of range (about 292 years).
    #[error("time: invalid duration \"{0}\"")]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration \"{0}\"")]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("time: unknown unit \"{unit}\" in duration \"{text}\"")]
    UnknownUnit {
        /// What was found in place of a unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Nanoseconds of the duration written in `text`.
///
/// # Errors
/// When `text` is not such a duration, or does not fit.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let whole_len = digits(rest);
        let (whole, after) = rest.split_at(whole_len);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_len = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let scale = match unit {
            "" => return Err(DurationError::MissingUnit(text.to_owned())),
            "ns" => 1,
            "us" | "µs" | "μs" => MICROSECOND,
            "ms" => MILLISECOND,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            _ => {
                return Err(DurationError::UnknownUnit {
                    unit: unit.to_owned(),
                    text: text.to_owned(),
                });
            }
        };
        let part = part_nanos(whole, fraction, scale).ok_or_else(invalid)?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    let nanos = i128::from(total) * if negative { -1 } else { 1 };
    i64::try_from(nanos).map_err(|_| invalid())
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn part_nanos(whole: &str, fraction: &str, scale: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    // Digits beyond the resolution of the largest unit cannot matter; more would only overflow.
    let kept = &fraction[..fraction.len().min(18)];
    if !kept.is_empty() {
        let numerator = u128::from(kept.parse::<u64>().ok()?) * u128::from(scale);
        let denominator = 10u128.pow(u32::try_from(kept.len()).ok()?);
        nanos = nanos.checked_add(u64::try_from(numerator / denominator).ok()?)?;
    }
    Some(nanos)
}

/// The shortest usual text for `nanos`: `1h30m0s`, `1.5s`, `250ms`, `0s`.
#[must_use]
pub fn format(nanos: i64) -> String {
    let mut out = String::new();
    let n = nanos.unsigned_abs();
    if nanos < 0 {
        out.push('-');
    }
    match n {
        0 => out.push_str("0s"),
        1..MICROSECOND => push_unit(&mut out, n, 1, "ns"),
        MICROSECOND..MILLISECOND => push_unit(&mut out, n, MICROSECOND, "µs"),
        MILLISECOND..SECOND => push_unit(&mut out, n, MILLISECOND, "ms"),
        _ => {
            if n >= HOUR {
                let _ = write!(out, "{}h", n / HOUR);
            }
            if n >= MINUTE {
                let _ = write!(out, "{}m", n % HOUR / MINUTE);
            }
            push_unit(&mut out, n % MINUTE, SECOND, "s");
        }
    }
    out
}

fn push_unit(out: &mut String, n: u64, scale: u64, unit: &str) {
    let _ = write!(out, "{}", n / scale);
    let fraction = n % scale;
    if fraction != 0 {
        let width = scale.ilog10() as usize;
        let digits = format!("{fraction:0width$}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
    out.push_str(unit);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, nanos) in [
            ("0", 0),
            ("10s", 10_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("-2m", -120_000_000_000),
            ("+3us", 3_000),
            ("1µs", 1_000),
            ("9.9s", 9_900_000_000),
            ("0.3333333333333333333h", 1_199_999_999_999),
        ] {
            assert_eq!(parse(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "-", "abc", ".s", "10", "1d", "s", "1h2", "999999999999h", "1s 2s", "µ"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            parse("1d").map_err(|e| e.to_string()),
            Err("time: unknown unit \"d\" in duration \"1d\"".to_owned())
        );
    }

    #[test]
    fn writes_the_usual_form_and_reads_it_back() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (200_000_000, "200ms"),
            (10_000_000_000, "10s"),
            (86_400_000_000_000, "24h0m0s"),
            (7_776_000_000_000_000, "2160h0m0s"),
            (61_001_000_000, "1m1.001s"),
            (-90_000_000_000, "-1m30s"),
        ] {
            assert_eq!(format(nanos), text);
            assert_eq!(parse(text), Ok(nanos));
        }
    }

    proptest! {
        #[test]
        fn every_duration_is_read_back(nanos: i64) {
            prop_assert_eq!(parse(&format(nanos)), Ok(nanos));
        }

        #[test]
        fn any_text_is_a_duration_or_an_error(text in "\\PC{0,12}|[-+]?([0-9.]{0,22}(ns|us|µs|ms|s|m|h|x)?){0,4}") {
            if let Ok(nanos) = parse(&text) {
                prop_assert_eq!(parse(&format(nanos)), Ok(nanos));
            }
        }
    }
}
