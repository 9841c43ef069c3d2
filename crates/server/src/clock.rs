//! The time of day, for what is stored: certificates and times of creation.

use std::time::{SystemTime, UNIX_EPOCH};

use lictor_types::timestamp::Timestamp;

const NANOS: i64 = 1_000_000_000;

/// Now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Whole seconds since 1970, as certificates count.
pub(crate) fn now_seconds() -> i64 {
    now().0 / NANOS
}

/// A certificate's second as a timestamp.
pub(crate) const fn from_seconds(seconds: i64) -> Timestamp {
    Timestamp(seconds.saturating_mul(NANOS))
}
