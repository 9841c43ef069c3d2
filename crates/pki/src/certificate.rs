//! Facts read from a certificate, and a certificate as PEM.
//!
//! Absent on purpose: whether it is to be trusted (`verify` decides), and making certificates
//! (`authority` does). Follows RFC 5280; fingerprint and serial number have the form in which the
//! HTTP API of Consul 1.2 shows them.

use aws_lc_rs::digest;
use rustls_pki_types::pem::SectionKind;
use x509_parser::asn1_rs::oid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::hex::colon_hex;
use crate::pem::{self, PemError};

/// The longest certificate that is read, in bytes of DER.
pub const MAX_CERTIFICATE_BYTES: usize = 64 << 10;

/// Why a certificate cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The text is no PEM, or holds no certificate.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// It is longer than [`MAX_CERTIFICATE_BYTES`].
    #[error("certificate of {0} bytes is too long")]
    TooLong(usize),
    /// It is not DER of an X.509 certificate.
    #[error("malformed certificate: {0}")]
    Malformed(String),
}

/// A certificate and what this crate's users ask of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// Big-endian, without leading zeros.
    serial: Vec<u8>,
    not_before: i64,
    not_after: i64,
    subject: Vec<u8>,
    subject_key_id: Vec<u8>,
    uris: Vec<String>,
    spki: Vec<u8>,
    is_ca: bool,
    may_sign: bool,
    names_purposes: bool,
}

impl Certificate {
    /// Reads the first certificate of a text.
    ///
    /// # Errors
    /// [`CertificateError`] if there is none or it cannot be read.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let found = pem::all(text, SectionKind::Certificate, "certificate")?;
        Self::from_der(found.first().map(Vec::as_slice).unwrap_or_default())
    }

    /// Reads all certificates of a text, of which there is at least one.
    ///
    /// # Errors
    /// [`CertificateError`] if there is none or one of them cannot be read.
    pub fn chain_from_pem(text: &str) -> Result<Vec<Self>, CertificateError> {
        let found = pem::all(text, SectionKind::Certificate, "certificate")?;
        found.iter().map(|der| Self::from_der(der)).collect()
    }

    /// Reads a certificate.
    ///
    /// # Errors
    /// [`CertificateError`] if it is too long, malformed or followed by something else.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLong(der.len()));
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(malformed)?;
        if !rest.is_empty() {
            return Err(malformed("something follows it"));
        }
        let constraints = parsed.basic_constraints().map_err(malformed)?;
        let usage = parsed.key_usage().map_err(malformed)?;
        let purposes = parsed.extended_key_usage().map_err(malformed)?;
        let mut uris = Vec::new();
        if let Some(names) = parsed.subject_alternative_name().map_err(malformed)? {
            read_uris(&names.value.general_names, &mut uris).map_err(malformed)?;
        }
        let raw_serial = parsed.tbs_certificate.raw_serial();
        let zeros = raw_serial.iter().take_while(|byte| **byte == 0).count();
        let is_ca = constraints.is_some_and(|constraints| constraints.value.ca);
        Ok(Self {
            der: der.to_vec(),
            serial: raw_serial.get(zeros..).unwrap_or_default().to_vec(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            subject: parsed.subject().as_raw().to_vec(),
            subject_key_id: subject_key_id(&parsed).map_err(malformed)?,
            uris,
            spki: parsed.public_key().raw.to_vec(),
            is_ca,
            may_sign: is_ca && usage.is_none_or(|usage| usage.value.key_cert_sign()),
            names_purposes: purposes.is_some(),
        })
    }

    /// The certificate between dashes.
    #[must_use]
    pub fn to_pem(&self) -> String {
        std::mem::take(&mut *pem::encode("CERTIFICATE", &self.der))
    }

    /// The certificate as DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-1 of the DER in hexadecimal with colons: the id of a root.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        // SHA-1 because clients know roots by it; nothing is trusted on account of it.
        colon_hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der).as_ref())
    }

    /// The serial number in hexadecimal with colons, such as `08` or `1a:2b`.
    #[must_use]
    pub fn serial_hex(&self) -> String {
        if self.serial.is_empty() { "00".to_owned() } else { colon_hex(&self.serial) }
    }

    /// The low 64 bits of the serial number.
    #[must_use]
    pub fn serial_u64(&self) -> u64 {
        self.serial.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The first second of its life, since 1970 UTC.
    #[must_use]
    pub const fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The last second of its life, since 1970 UTC.
    #[must_use]
    pub const fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The subject key identifier, empty if it has none.
    #[must_use]
    pub fn subject_key_id(&self) -> &[u8] {
        &self.subject_key_id
    }

    /// The subject key identifier in hexadecimal with colons: the API's `SigningKeyID`.
    #[must_use]
    pub fn subject_key_id_hex(&self) -> String {
        colon_hex(&self.subject_key_id)
    }

    /// All URIs among its alternative names.
    #[must_use]
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// Its public key as DER of `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Whether its basic constraints say that it belongs to an authority.
    #[must_use]
    pub const fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Whether it belongs to an authority whose key usage, if limited, includes certificates.
    #[must_use]
    pub const fn may_sign(&self) -> bool {
        self.may_sign
    }

    /// The subject as DER.
    pub(crate) fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// Whether it says what it may be used for (extended key usage).
    pub(crate) const fn names_purposes(&self) -> bool {
        self.names_purposes
    }
}

/// Appends the URIs of a list of names; fails on a name that cannot be read, which may be one.
pub(crate) fn read_uris(
    names: &[GeneralName<'_>],
    uris: &mut Vec<String>,
) -> Result<(), &'static str> {
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            GeneralName::Invalid(..) => return Err("unreadable alternative name"),
            _ => {}
        }
    }
    Ok(())
}

fn subject_key_id(parsed: &X509Certificate<'_>) -> Result<Vec<u8>, &'static str> {
    use x509_parser::extensions::ParsedExtension;

    let found =
        parsed.get_extension_unique(&oid!(2.5.29.14)).map_err(|_| "two subject key identifiers")?;
    match found.map(|extension| extension.parsed_extension()) {
        None => Ok(Vec::new()),
        Some(ParsedExtension::SubjectKeyIdentifier(id)) => Ok(id.0.to_vec()),
        Some(_) => Err("unreadable subject key identifier"),
    }
}

fn malformed(error: impl ToString) -> CertificateError {
    CertificateError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{LEAF_2018, ROOT_2018, ca_params, issuer, leaf_params, root, spoilt_leaf};

    #[test]
    fn facts_of_observed_certificates() {
        let root = Certificate::from_pem(ROOT_2018).unwrap();
        assert!(root.is_ca() && root.may_sign());
        assert_eq!((root.serial_hex().as_str(), root.serial_u64()), ("07", 7));
        assert_eq!(root.uris(), ["spiffe://2630df8e-d50b-3eb7-a63f-028c9c40d733.consul"]);
        // 2026-11-24 00:15:42 and 2036-11-21 00:15:42.
        assert_eq!((root.not_before(), root.not_after()), (1_795_479_342, 2_110_839_342));
        assert!(root.subject_key_id().starts_with(b"89:9a:e4:45:aa:"));
        assert!(root.subject_key_id_hex().starts_with("38:39:3a:39:61:3a:65:34:"));
        assert_eq!(root.fingerprint().len(), 59);

        let leaf = Certificate::from_pem(LEAF_2018).unwrap();
        assert!(!leaf.is_ca() && !leaf.may_sign() && leaf.names_purposes());
        assert_eq!(leaf.serial_hex(), "08");
        assert_eq!(leaf.subject_key_id(), root.subject_key_id());
        let uri = "spiffe://2630df8e-d50b-3eb7-a63f-028c9c40d733.consul/ns/default/dc/dc1/svc/web";
        assert_eq!(leaf.uris(), [uri]);
    }

    #[test]
    fn the_fingerprint_is_sha1_of_the_der() {
        let root = Certificate::from_pem(ROOT_2018).unwrap();
        assert_eq!(
            root.fingerprint(),
            "40:41:3b:11:c8:f2:0f:ae:c9:c2:2a:3d:2f:ce:d1:63:fa:31:84:7f"
        );
    }

    #[test]
    fn text_and_bytes_come_back() {
        let chain = Certificate::chain_from_pem(&format!("{LEAF_2018}\n{ROOT_2018}")).unwrap();
        assert_eq!(chain.len(), 2);
        assert_eq!(chain[0], Certificate::from_pem(LEAF_2018).unwrap());
        assert_eq!(chain[1].to_pem().trim(), ROOT_2018.trim());
        assert_eq!(Certificate::from_der(chain[1].der()).unwrap(), chain[1]);
    }

    #[test]
    fn serial_numbers_of_any_size() {
        let mut params = ca_params();
        for (serial, hex, low) in [
            (vec![0x80], "80", 0x80),
            (vec![1; 20], &"01:".repeat(20)[..59], 0x0101_0101_0101_0101),
        ] {
            params.serial_number = Some(serial.into());
            let (cert, _) = spoilt_leaf(&params, &issuer(&root(7)));
            let cert = Certificate::from_pem(&cert).unwrap();
            assert_eq!((cert.serial_hex().as_str(), cert.serial_u64()), (hex, low));
        }
    }

    #[test]
    fn all_uris_are_seen() {
        let params = leaf_params(&["spiffe://a.consul", "http://x", "spiffe://a.consul"]);
        let (cert, _) = spoilt_leaf(&params, &issuer(&root(7)));
        let cert = Certificate::from_pem(&cert).unwrap();
        assert_eq!(cert.uris(), ["spiffe://a.consul", "http://x", "spiffe://a.consul"]);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let missing = Certificate::from_pem("").unwrap_err();
        assert_eq!(missing.to_string(), "no PEM-encoded certificate found");
        assert!(Certificate::chain_from_pem("hello").is_err());
        let der = Certificate::from_pem(ROOT_2018).unwrap().der().to_vec();
        for end in 0..der.len() {
            assert!(Certificate::from_der(&der[..end]).is_err(), "{end}");
        }
        let longer = [der.as_slice(), &[0]].concat();
        assert!(matches!(Certificate::from_der(&longer), Err(CertificateError::Malformed(_))));
        let long = vec![0x30; MAX_CERTIFICATE_BYTES + 1];
        assert_eq!(Certificate::from_der(&long), Err(CertificateError::TooLong(long.len())));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(der in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Certificate::from_der(&der);
        }

        #[test]
        fn no_changed_byte_makes_it_panic(at in any::<prop::sample::Index>(), byte: u8) {
            for text in [ROOT_2018, LEAF_2018] {
                let mut der = Certificate::from_pem(text).unwrap().der().to_vec();
                let at = at.index(der.len());
                der[at] = byte;
                if let Ok(cert) = Certificate::from_der(&der) {
                    let _ = (cert.serial_hex(), cert.serial_u64(), cert.to_pem());
                }
            }
        }
    }
}
