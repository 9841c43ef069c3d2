//! SPIFFE ids: what is read is written in a form that is read as the same.
#![no_main]

use lictor_pki::SpiffeId;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(id) = SpiffeId::parse(text) {
        assert_eq!(SpiffeId::parse(&id.to_uri()), Ok(id));
    }
});
