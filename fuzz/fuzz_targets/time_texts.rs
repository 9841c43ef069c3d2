//! Durations and times: what is read is written in a form that is read as the same.
#![no_main]

use lictor_types::duration;
use lictor_types::timestamp::Timestamp;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(nanos) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::format(nanos)), Ok(nanos));
    }
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Some(time));
    }
});
