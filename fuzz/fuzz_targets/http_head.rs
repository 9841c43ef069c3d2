//! The head of a request: any bytes are a head that lies within them, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(length) = lictor_http::fuzzing::head(bytes) {
        assert!(length <= bytes.len());
    }
});
