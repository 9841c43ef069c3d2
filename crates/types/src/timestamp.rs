//! Points in time as the store keeps them: nanoseconds since the Unix epoch, UTC.
//!
//! There is no clock here; callers say what time it is. Text form: RFC 3339.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time. Zero (the default) means «never set» and is shown as year 1, as Go does.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
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
