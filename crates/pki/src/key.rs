//! Private keys of the mesh, ECDSA on P-256, and the key ids that certificates carry.
//!
//! Absent on purpose: other kinds of keys, as nothing in the mesh is signed with them, and where
//! keys are kept. Follows RFC 5915 and RFC 5208 for the forms of a key, and the observed form of
//! Consul 1.2 for the key id.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, Signature};
use rustls_pki_types::pem::SectionKind;
use zeroize::Zeroizing;

use crate::der;
use crate::hex::colon_hex;
use crate::pem::{self, PemError};

/// A P-256 public key starts so when it is written as `SubjectPublicKeyInfo`; the point follows.
const SPKI_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is no PEM, or holds no private key.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// It is a key of another kind than ECDSA on P-256.
    #[error("invalid key type")]
    Kind,
    /// It says that it is a key but cannot be read as one.
    #[error("malformed private key")]
    Malformed,
    /// The source of randomness or the signing itself failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// A private key, ECDSA on P-256. Cloning it is cheap and copies no secret.
#[derive(Clone)]
pub struct PrivateKey {
    inner: Arc<Inner>,
}

struct Inner {
    pair: EcdsaKeyPair,
    /// RFC 5915 form.
    sec1: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
}

impl PrivateKey {
    /// Makes a new random key.
    ///
    /// # Errors
    /// [`KeyError::Library`] if there is no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map_err(|_| KeyError::Library)?;
        Self::new(pair)
    }

    /// Reads the first key of a text, in the form `EC PRIVATE KEY` or `PRIVATE KEY`.
    ///
    /// # Errors
    /// [`KeyError`]; a key of another kind, such as RSA, is [`KeyError::Kind`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        for (kind, der) in pem::sections(text)? {
            match kind {
                SectionKind::RsaPrivateKey => return Err(KeyError::Kind),
                SectionKind::EcPrivateKey | SectionKind::PrivateKey => return Self::from_der(&der),
                _ => {}
            }
        }
        Err(PemError::Missing("private key").into())
    }

    /// The key in the form `EC PRIVATE KEY`.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem::encode("EC PRIVATE KEY", &self.inner.sec1)
    }

    /// The id of the key: SHA-256 of [`Self::spki_der`] in hexadecimal with colons.
    ///
    /// The 95 bytes of this *text* are what certificates carry as key identifiers.
    #[must_use]
    pub fn key_id(&self) -> String {
        key_id(&self.inner.spki)
    }

    /// The public key as DER of `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.inner.spki
    }

    /// Signs with SHA-256; the signature is DER.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        self.inner.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Library)
    }

    /// Appends `AlgorithmIdentifier` and signature to the part that is signed and wraps all of it,
    /// as certificates and requests are made.
    pub(crate) fn sign_der(&self, signed_part: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.sign(signed_part)?;
        let mut out = Vec::with_capacity(signed_part.len() + 100);
        der::nest(&mut out, der::SEQUENCE, |out| {
            out.extend_from_slice(signed_part);
            out.extend_from_slice(der::ECDSA_WITH_SHA256);
            der::bit_string(out, signature.as_ref());
        });
        Ok(out)
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        match EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der) {
            Ok(pair) => Self::new(pair),
            Err(_) if is_other_kind(der) => Err(KeyError::Kind),
            Err(_) => Err(KeyError::Malformed),
        }
    }

    fn new(pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let point = pair.public_key().as_ref();
        let spki = [SPKI_PREFIX, point].concat();
        let scalar: EcPrivateKeyBin<'_> =
            pair.private_key().as_be_bytes().map_err(|_| KeyError::Library)?;
        // Capacity for all of it, so that no part of the key is left behind by growing.
        let mut sec1 = Zeroizing::new(Vec::with_capacity(160));
        der::nest(&mut sec1, der::SEQUENCE, |out| {
            der::unsigned(out, &[1]);
            der::value(out, der::OCTET_STRING, scalar.as_ref());
            der::nest(out, der::context(0), |out| der::value(out, der::OID, der::OID_P256));
            der::nest(out, der::context(1), |out| der::bit_string(out, point));
        });
        Ok(Self { inner: Arc::new(Inner { pair, sec1, spki }) })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}

/// The id of the public key that is given as DER of `SubjectPublicKeyInfo`.
pub(crate) fn key_id(spki: &[u8]) -> String {
    colon_hex(digest::digest(&digest::SHA256, spki).as_ref())
}

/// Whether this is a good key of a kind that is not used here.
fn is_other_kind(der: &[u8]) -> bool {
    use aws_lc_rs::signature::{
        ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, Ed25519KeyPair,
    };
    rsa::KeyPair::from_pkcs8(der).is_ok()
        || Ed25519KeyPair::from_pkcs8(der).is_ok()
        || [&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING]
            .into_iter()
            .any(|curve| EcdsaKeyPair::from_private_key_der(curve, der).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo};

    use super::*;
    use crate::certificate::Certificate;
    use crate::fixture::ROOT_2018;

    #[test]
    fn a_key_survives_both_forms() {
        let key = PrivateKey::generate().unwrap();
        let sec1 = key.to_pem();
        assert!(sec1.starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
        let read = PrivateKey::from_pem(&sec1).unwrap();
        assert_eq!(read.spki_der(), key.spki_der());
        assert_eq!(*read.to_pem(), *sec1);

        let pair = rcgen::KeyPair::generate().unwrap();
        let read = PrivateKey::from_pem(&pair.serialize_pem()).unwrap();
        assert_eq!(read.spki_der(), rcgen::PublicKeyData::subject_public_key_info(&pair));
    }

    #[test]
    fn the_key_id_is_that_of_observed_certificates() {
        let root = Certificate::from_pem(ROOT_2018).unwrap();
        let id = key_id(root.spki_der());
        assert_eq!(id.len(), 95);
        assert_eq!(id.as_bytes(), root.subject_key_id());
    }

    #[test]
    fn the_public_key_is_well_formed() {
        let key = PrivateKey::generate().unwrap();
        let (rest, spki) = SubjectPublicKeyInfo::from_der(key.spki_der()).unwrap();
        assert!(rest.is_empty());
        assert!(spki.parsed().is_ok());
    }

    #[test]
    fn other_kinds_of_keys_are_refused() {
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let pkcs8 = aws_lc_rs::encoding::AsDer::as_der(&rsa).unwrap();
        let pkcs8: &aws_lc_rs::encoding::Pkcs8V1Der<'_> = &pkcs8;
        let rsa = pem::encode("PRIVATE KEY", pkcs8.as_ref());
        let error = PrivateKey::from_pem(&rsa).unwrap_err();
        assert_eq!((error.to_string().as_str(), error), ("invalid key type", KeyError::Kind));
        for kind in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let pair = rcgen::KeyPair::generate_for(kind).unwrap();
            let error = PrivateKey::from_pem(&pair.serialize_pem()).unwrap_err();
            assert_eq!(error, KeyError::Kind);
        }
        let old = pem::encode("RSA PRIVATE KEY", &[0x30, 0]);
        assert_eq!(PrivateKey::from_pem(&old).unwrap_err(), KeyError::Kind);
        let broken = pem::encode("EC PRIVATE KEY", &[0x30, 0]);
        assert_eq!(PrivateKey::from_pem(&broken).unwrap_err(), KeyError::Malformed);
        let error = PrivateKey::from_pem(ROOT_2018).unwrap_err();
        assert_eq!(error.to_string(), "no PEM-encoded private key found");
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let key = PrivateKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), format!("PrivateKey {{ key_id: {:?}, .. }}", key.key_id()));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            for label in ["EC PRIVATE KEY", "PRIVATE KEY"] {
                prop_assert!(PrivateKey::from_pem(&pem::encode(label, &der)).is_err());
            }
        }
    }
}
