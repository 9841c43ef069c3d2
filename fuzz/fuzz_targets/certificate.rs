//! Certificates, as PEM and as the bytes within, and the roots and keys around them.
#![no_main]

use lictor_pki::{Certificate, PrivateKey};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(cert) = Certificate::from_der(bytes) {
        assert_eq!(Certificate::from_pem(&cert.to_pem()).as_ref(), Ok(&cert));
        let _ = (cert.serial_hex(), cert.fingerprint(), cert.may_sign());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Certificate::chain_from_pem(text);
        let _ = PrivateKey::from_pem(text);
    }
    let _ = PrivateKey::from_pem(&lictor_fuzz::pem("EC PRIVATE KEY", bytes));
});
