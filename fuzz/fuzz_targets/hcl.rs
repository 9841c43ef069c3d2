//! Configuration files in HCL: any text is a tree or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = lictor_hcl::parse_hcl(text);
});
