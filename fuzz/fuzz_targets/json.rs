//! Configuration files in JSON: any text is a tree or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = lictor_hcl::parse_json(text);
});
