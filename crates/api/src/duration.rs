//! A duration in a body: a Go duration text, or a number of nanoseconds.
//!
//! The grammar of the text is that of `lictor_types::duration`.

use std::fmt;

use lictor_types::duration;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nanoseconds. Written as a text such as `10s`; read from such a text or from a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub i64);

impl GoDuration {
    /// Whether it is zero: such fields are left out of answers.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::format(self.0))
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&duration::format(self.0))
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber)
    }
}

struct TextOrNumber;

impl Visitor<'_> for TextOrNumber {
    type Value = GoDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"10s\", or nanoseconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
        duration::parse(text).map(GoDuration).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, nanos: i64) -> Result<GoDuration, E> {
        Ok(GoDuration(nanos))
    }

    fn visit_u64<E: de::Error>(self, nanos: u64) -> Result<GoDuration, E> {
        i64::try_from(nanos).map(GoDuration).map_err(|_| E::custom("duration is out of range"))
    }

    fn visit_f64<E: de::Error>(self, nanos: f64) -> Result<GoDuration, E> {
        if nanos.abs() < 9.2e18 {
            #[allow(clippy::cast_possible_truncation)]
            return Ok(GoDuration(nanos as i64));
        }
        Err(E::custom("duration is out of range"))
    }

    fn visit_unit<E: de::Error>(self) -> Result<GoDuration, E> {
        Ok(GoDuration(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text_and_numbers() {
        let read = |text: &str| serde_json::from_str::<GoDuration>(text).map_err(|_| ());
        assert_eq!(read("\"1m\""), Ok(GoDuration(60_000_000_000)));
        assert_eq!(read("1000"), Ok(GoDuration(1000)));
        assert_eq!(read("1e3"), Ok(GoDuration(1000)));
        assert_eq!(read("-5"), Ok(GoDuration(-5)));
        assert_eq!(read("null"), Ok(GoDuration(0)));
        for bad in ["\"\"", "\"1\"", "\"x\"", "18446744073709551615", "1e300", "[]", "true"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn is_written_as_text() {
        assert_eq!(serde_json::to_string(&GoDuration(90_000_000_000)).unwrap(), "\"1m30s\"");
    }
}
