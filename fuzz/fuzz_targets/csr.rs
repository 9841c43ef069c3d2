//! Certificate requests, as PEM and as the bytes within.
#![no_main]

use lictor_pki::Csr;

fn read(text: &str) {
    if let Ok(csr) = Csr::from_pem(text) {
        let _ = csr.spiffe_id();
        assert!(!csr.spki_der().is_empty());
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
    read(&lictor_fuzz::pem("CERTIFICATE REQUEST", bytes));
});
