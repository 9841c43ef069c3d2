//! What an agent finds in its data directory: definitions, reports, and the record of proxies.
#![no_main]

use lictor_agent::fuzzing::{KINDS, rewrite};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for kind in KINDS {
        if let Some(once) = rewrite(kind, bytes) {
            assert_eq!(rewrite(kind, &once), Some(once), "{kind:?}");
        }
    }
});
