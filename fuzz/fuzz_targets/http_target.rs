//! Paths and query strings: what is taken can be seen and is clean.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if let Some(path) = lictor_http::fuzzing::path(path) {
        assert!(!path.contains("//") && !path.contains('\0'));
    }
    let _ = lictor_http::fuzzing::query(query);
});
