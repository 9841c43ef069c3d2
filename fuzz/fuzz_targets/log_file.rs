//! A file of log entries: any bytes are entries or an error, and a file in the middle of the log
//! is never read more generously than the last one.
#![no_main]

use lictor_raft::fuzzing::log_file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let last = log_file(bytes, true);
    if let Some(count) = log_file(bytes, false) {
        assert_eq!(last, Some(count));
    }
});
