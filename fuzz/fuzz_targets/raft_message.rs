//! What servers tell each other: any bytes are a message or an error, and what was read is written
//! so that it is read alike.
#![no_main]

use lictor_raft::fuzzing::message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(again) = message(bytes) {
        assert_eq!(message(&again).as_deref(), Some(&again[..]));
    }
});
