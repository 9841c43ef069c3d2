//! Points in time as the store keeps them: nanoseconds since the Unix epoch, UTC.
//!
//! There is no clock here; callers say what time it is. Text form: RFC 3339. On the wire a time is
//! the 15 bytes of Go's binary form: version, seconds since year 1, nanoseconds, zone.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time. Zero (the default) means «never set» and is shown as year 1, as Go does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// RFC 3339 with nanoseconds as far as they are not zero.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        if self.0 == 0 {
            return "0001-01-01T00:00:00Z".to_owned();
        }
        // Every i64 of nanoseconds is inside the range of `OffsetDateTime` (years 1677 to 2262).
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0))
            .ok()
            .and_then(|t| t.format(&Rfc3339).ok())
            .unwrap_or_default()
    }

    /// Reads RFC 3339; `None` when the text is not such a time or out of range.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        if text == "0001-01-01T00:00:00Z" {
            return Some(Self(0));
        }
        let t = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(t.unix_timestamp_nanos()).ok().map(Self)
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(t: OffsetDateTime) -> Self {
        Self(i64::try_from(t.unix_timestamp_nanos()).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for OffsetDateTime {
    fn from(t: Timestamp) -> Self {
        Self::from_unix_timestamp_nanos(i128::from(t.0)).unwrap_or(Self::UNIX_EPOCH)
    }
}

/// Seconds from year 1 to 1970.
const EPOCH: i64 = 62_135_596_800;
const VERSION: u8 = 1;
const LENGTH: usize = 15;
const SECOND: i64 = 1_000_000_000;

impl Timestamp {
    /// The 15 bytes of the wire.
    #[must_use]
    pub fn to_binary(self) -> [u8; LENGTH] {
        let (seconds, nanos) = if self.0 == 0 {
            (0, 0)
        } else {
            (self.0.div_euclid(SECOND) + EPOCH, self.0.rem_euclid(SECOND))
        };
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&seconds.to_be_bytes());
        // Below a second: fits.
        bytes[9..13].copy_from_slice(&u32::try_from(nanos).unwrap_or(0).to_be_bytes());
        // A zone of -1 is UTC.
        bytes[13..].copy_from_slice(&(-1_i16).to_be_bytes());
        bytes
    }

    /// Reads the 15 bytes; `None` when they are none, or a time out of range.
    #[must_use]
    pub fn from_binary(bytes: &[u8]) -> Option<Self> {
        let [version, s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, _, _] = *bytes else {
            return None;
        };
        let seconds = i64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let nanos = i64::from(u32::from_be_bytes([n0, n1, n2, n3]));
        if version != VERSION {
            return None;
        }
        if (seconds, nanos) == (0, 0) {
            return Some(Self(0));
        }
        let nanos = seconds.checked_sub(EPOCH)?.checked_mul(SECOND)?.checked_add(nanos)?;
        Some(Self(nanos))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_binary())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Option::<serde_bytes::ByteBuf>::deserialize(deserializer)?.unwrap_or_default();
        if bytes.is_empty() {
            return Ok(Self(0));
        }
        Self::from_binary(&bytes).ok_or_else(|| serde::de::Error::custom("not a binary time"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_those_of_the_original() {
        let hex = "010000000ee296cfbb1bae348cffff";
        let bytes: Vec<u8> =
            (0..15).map(|i| u8::from_str_radix(&hex[i * 2..i * 2 + 2], 16).unwrap()).collect();
        let time = Timestamp::from_binary(&bytes).unwrap();
        assert_eq!(time.to_rfc3339(), "2026-11-24T00:22:19.464401548Z");
        assert_eq!(time.to_binary()[..], bytes[..]);
        assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Some(time));
        assert_eq!(Timestamp::from_binary(&Timestamp(0).to_binary()), Some(Timestamp(0)));
        assert_eq!(Timestamp(0).to_rfc3339(), "0001-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_binary(&bytes[..14]), None);
    }

    proptest! {
        #[test]
        fn every_time_is_read_back(nanos: i64) {
            let time = Timestamp(nanos);
            prop_assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Some(time));
            prop_assert_eq!(Timestamp::from_binary(&time.to_binary()), Some(time));
            let bytes = rmp_serde::to_vec(&time).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Timestamp>(&bytes).unwrap(), time);
        }

        #[test]
        fn any_bytes_are_a_time_or_none(
            bytes in prop::collection::vec(any::<u8>(), 0..18), version in 0_u8..3,
        ) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            if let Some(time) = Timestamp::from_binary(&bytes) {
                prop_assert!(bytes.len() == LENGTH && version == VERSION);
                prop_assert_eq!(Timestamp::from_binary(&time.to_binary()), Some(time));
            }
            let _ = rmp_serde::from_slice::<Timestamp>(&bytes);
        }

        #[test]
        fn any_text_is_a_time_or_none(text in "\\PC{0,30}|[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,12})?(Z|[+-][0-9]{2}:[0-9]{2})") {
            if let Some(time) = Timestamp::parse_rfc3339(&text) {
                prop_assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Some(time));
            }
        }
    }
}
