//! Requests and replies of the servers' calls; the first byte says of which.
#![no_main]

use lictor_wire::table::METHODS;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [which, body @ ..] = bytes else { return };
    let method = &METHODS[usize::from(*which) % METHODS.len()];
    for rewrite in [method.request, method.reply] {
        if let Ok(again) = rewrite(body) {
            // What was read is written so that it is read as the same.
            assert_eq!(rewrite(&again), Ok(again));
        }
    }
});
