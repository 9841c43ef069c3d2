//! The certificate authority: makes root, intermediate, leaf and cross-signed certificates.
//!
//! Absent on purpose: who may have a certificate (the leader's rules), where the key is kept, and
//! revocation, for which leaves live too short. Follows the profile that was observed in
//! certificates of Consul 1.2, except that serial numbers of leaves are random, that a leaf does
//! not outlive its root, and that a root which brings its own key identifier is pointed to by
//! that one.

mod agent;
mod foreign;
mod intermediate;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand;
use x509_parser::asn1_rs::oid;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::certificate::{Certificate, CertificateError};
use crate::csr::{Csr, CsrError};
use crate::der;
use crate::hex::colon_hex;
use crate::key::{self, KeyError, PrivateKey};
use crate::pem;
use crate::spiffe::{ServiceId, SpiffeId, TrustDomain};

pub use self::agent::check_agent_request;
pub use self::foreign::{Wanted, check_cross_signed, check_leaf};
pub use self::intermediate::{INTERMEDIATE_TTL, check_authority};

/// How long a leaf lives unless something else is asked for, in seconds: 72 hours.
pub const LEAF_TTL: i64 = 72 * 3600;

/// How long a root that is made here lives, in seconds: ten years of 365 days.
pub const ROOT_TTL: i64 = 10 * 365 * 86_400;

/// How long a cross-signed certificate lives, in seconds: 7 days.
pub const CROSS_SIGN_TTL: i64 = 7 * 86_400;

/// Certificates are valid from this long ago, in seconds, as clocks differ.
const BACKDATING: i64 = 60;

/// `clientAuth` and `serverAuth` in the extension of extended key usage.
const LEAF_PURPOSES: &[u8] = &[
    0x30, 0x14, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02, 0x06, 0x08, 0x2b, 0x06,
    0x01, 0x05, 0x05, 0x07, 0x03, 0x01,
];

/// `digitalSignature`, `keyEncipherment`, `dataEncipherment` and `keyAgreement`.
const LEAF_KEY_USAGE: &[u8] = &[0x03, 0x02, 0x03, 0xb8];

/// `digitalSignature`, `keyCertSign` and `cRLSign`.
const ROOT_KEY_USAGE: &[u8] = &[0x03, 0x02, 0x01, 0x86];

/// Basic constraints of a leaf: `cA` is false when it is absent.
const NOT_CA: &[u8] = &[0x30, 0x00];

/// Why a certificate or an authority could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The key cannot be read, made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate of the authority, or the one to be cross-signed, cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An agent asks for a name that only servers may have, or that is none.
    #[error("a certificate of an agent cannot have the name {0:?}")]
    Name(String),
    /// The request does not ask for one id.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// Certificate and key of the authority are not of one pair.
    #[error("the private key does not match the root certificate")]
    KeyMismatch,
    /// The certificate does not allow signing of certificates.
    #[error("the root certificate is not that of a certificate authority")]
    NotAnAuthority,
    /// The request asks for something else than what is to be certified.
    #[error("the certificate request is for {requested}, not for {granted}")]
    OtherId {
        /// What the request asks for.
        requested: String,
        /// What the caller wants to certify.
        granted: String,
    },
    /// It is not signed by that root.
    #[error("the certificate is not signed by the root")]
    OtherIssuer,
    /// The root's life is over.
    #[error("the root certificate has expired")]
    Expired,
    /// Another authority has signed something else than was asked for.
    #[error("the signed certificate cannot be used: {0}")]
    NotAsAsked(&'static str),
    /// The life that is asked for is over at once, or ends beyond what a certificate can say.
    #[error("invalid validity period")]
    Validity,
}

/// A leaf certificate, fresh from the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The certificate alone, without intermediates.
    pub cert_pem: String,
    /// In hexadecimal with colons.
    pub serial_number: String,
    /// Seconds since 1970 UTC.
    pub not_before: i64,
    /// Seconds since 1970 UTC.
    pub not_after: i64,
}

/// What signs, a root or an authority below one: certificate and private key. Cloning it is cheap.
#[derive(Clone)]
pub struct Root {
    inner: Arc<Inner>,
}

struct Inner {
    key: PrivateKey,
    certificate: Certificate,
    cert_pem: String,
    /// What every leaf says the same in its extensions, as DER.
    leaf_extensions: Vec<u8>,
    /// The extension with which a certificate points to this root, as DER.
    authority_key_id: Vec<u8>,
}

impl Root {
    /// Makes a root with a new key, valid from `now` on for [`ROOT_TTL`].
    ///
    /// # Errors
    /// See [`Root::with_key`].
    pub fn generate(domain: &TrustDomain, serial: u64, now: i64) -> Result<Self, IssueError> {
        Self::with_key(PrivateKey::generate()?, domain, serial, now, ROOT_TTL)
    }

    /// Makes a root that is signed with this key, valid for `ttl` seconds from `now` on.
    ///
    /// # Errors
    /// [`IssueError`] if the cryptographic library fails or its end is beyond the year 9999.
    pub fn with_key(
        key: PrivateKey,
        domain: &TrustDomain,
        serial: u64,
        now: i64,
        ttl: i64,
    ) -> Result<Self, IssueError> {
        let mut name = Vec::new();
        der::common_name(&mut name, &format!("Consul CA {serial}"));
        let key_id = key.key_id();
        let to_be_signed = ToBeSigned {
            serial: &serial.to_be_bytes(),
            issuer: &name,
            not_before: now,
            not_after: now.checked_add(ttl).ok_or(IssueError::Validity)?,
            subject: &name,
            spki: key.spki_der(),
        };
        let signed_part = to_be_signed.encode(|out| root_extensions(out, &key_id, domain))?;
        let der = key.sign_der(&signed_part)?;
        Ok(Self::new(key, Certificate::from_der(&der)?))
    }

    /// Takes key and certificate over from an operator or from storage.
    ///
    /// # Errors
    /// [`IssueError`] if one of them cannot be read, if they are not of one pair, or if the
    /// certificate is not that of an authority.
    pub fn from_pem(key_pem: &str, cert_pem: &str) -> Result<Self, IssueError> {
        let key = PrivateKey::from_pem(key_pem)?;
        let certificate = Certificate::from_pem(cert_pem)?;
        if key.spki_der() != certificate.spki_der() {
            return Err(IssueError::KeyMismatch);
        }
        if !certificate.may_sign() {
            return Err(IssueError::NotAnAuthority);
        }
        Ok(Self::new(key, certificate))
    }

    /// The private key in the form `EC PRIVATE KEY`.
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.inner.key.to_pem()
    }

    /// The certificate as PEM.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.inner.cert_pem
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.inner.certificate
    }

    /// Signs a leaf for `id`, which must be what the request asks for.
    ///
    /// It is valid from a minute before `now` on for `ttl_secs`, but not longer than the root.
    ///
    /// # Errors
    /// [`IssueError`] if the request asks for another id, the root has expired, the time to live
    /// is not longer than that minute or the cryptographic library fails.
    pub fn sign_leaf(
        &self,
        csr: &Csr,
        id: &ServiceId,
        ttl_secs: i64,
        now: i64,
    ) -> Result<Leaf, IssueError> {
        match csr.spiffe_id()? {
            SpiffeId::Service(requested) if requested == *id => {}
            other => {
                let (requested, granted) = (other.to_uri(), id.to_uri());
                return Err(IssueError::OtherId { requested, granted });
            }
        }
        let names = |out: &mut Vec<u8>| der::uri_name(out, &id.to_uri());
        self.issue(csr, &id.service, names, ttl_secs, now)
    }

    /// Signs a leaf of this name, and with this extension of alternative names.
    fn issue(
        &self,
        csr: &Csr,
        common_name: &str,
        names: impl FnOnce(&mut Vec<u8>),
        ttl_secs: i64,
        now: i64,
    ) -> Result<Leaf, IssueError> {
        let not_before = now.checked_sub(BACKDATING).ok_or(IssueError::Validity)?;
        let not_after = Some(ttl_secs)
            .filter(|ttl| *ttl > 0)
            .and_then(|ttl| not_before.checked_add(ttl))
            .ok_or(IssueError::Validity)?
            .min(self.inner.certificate.not_after());
        if self.inner.certificate.not_after() <= now {
            return Err(IssueError::Expired);
        }
        if not_after <= now {
            return Err(IssueError::Validity);
        }
        let serial = random_serial()?;
        let mut name = Vec::with_capacity(64);
        der::common_name(&mut name, common_name);
        let to_be_signed = ToBeSigned {
            serial: &serial,
            issuer: self.inner.certificate.subject_der(),
            not_before,
            not_after,
            subject: &name,
            spki: csr.spki_der(),
        };
        let signed_part = to_be_signed.encode(|out| {
            out.extend_from_slice(&self.inner.leaf_extensions);
            names(out);
        })?;
        let der = self.inner.key.sign_der(&signed_part)?;
        Ok(Leaf {
            cert_pem: std::mem::take(&mut *pem::encode("CERTIFICATE", &der)),
            serial_number: colon_hex(&serial),
            not_before,
            not_after,
        })
    }

    /// Signs another root's certificate anew, so that whoever trusts this root trusts that one
    /// for [`CROSS_SIGN_TTL`] from a minute before `now` on. The answer is PEM.
    ///
    /// This works with an expired root too: a rotation away from it must not fail.
    ///
    /// # Errors
    /// [`IssueError`] if the other certificate is not that of an authority or the cryptographic
    /// library fails.
    pub fn cross_sign(&self, new_root: &Certificate, now: i64) -> Result<String, IssueError> {
        if !new_root.may_sign() {
            return Err(IssueError::NotAnAuthority);
        }
        let (_, parsed) = X509Certificate::from_der(new_root.der())
            .map_err(|error| CertificateError::Malformed(error.to_string()))?;
        let not_before = now.checked_sub(BACKDATING).ok_or(IssueError::Validity)?;
        let to_be_signed = ToBeSigned {
            serial: &random_serial()?,
            issuer: self.inner.certificate.subject_der(),
            not_before,
            not_after: not_before.checked_add(CROSS_SIGN_TTL).ok_or(IssueError::Validity)?,
            subject: new_root.subject_der(),
            spki: new_root.spki_der(),
        };
        let signed_part = to_be_signed.encode(|out| {
            for extension in parsed.extensions() {
                if extension.oid == oid!(2.5.29.35) {
                    continue;
                }
                der::extension(out, extension.oid.as_bytes(), extension.critical, |out| {
                    out.extend_from_slice(extension.value);
                });
            }
            out.extend_from_slice(&self.inner.authority_key_id);
        })?;
        let der = self.inner.key.sign_der(&signed_part)?;
        Ok(std::mem::take(&mut *pem::encode("CERTIFICATE", &der)))
    }

    fn new(key: PrivateKey, certificate: Certificate) -> Self {
        let key_id = match certificate.subject_key_id() {
            [] => key::key_id(certificate.spki_der()).into_bytes(),
            own => own.to_vec(),
        };
        let mut authority = Vec::with_capacity(128);
        authority_key_id(&mut authority, &key_id);
        let mut leaf = Vec::with_capacity(320);
        leaf_extensions(&mut leaf, &key_id);
        let cert_pem = certificate.to_pem();
        Self {
            inner: Arc::new(Inner {
                key,
                certificate,
                cert_pem,
                leaf_extensions: leaf,
                authority_key_id: authority,
            }),
        }
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("certificate", &self.inner.certificate).finish_non_exhaustive()
    }
}

/// What is signed, except for the extensions.
struct ToBeSigned<'a> {
    /// Big-endian.
    serial: &'a [u8],
    issuer: &'a [u8],
    not_before: i64,
    not_after: i64,
    subject: &'a [u8],
    spki: &'a [u8],
}

impl ToBeSigned<'_> {
    /// The part of a certificate that is signed, as DER.
    fn encode(&self, extensions: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>, IssueError> {
        let mut signed_part = Vec::with_capacity(1024);
        let mut in_range = None;
        der::nest(&mut signed_part, der::SEQUENCE, |out| {
            der::nest(out, der::context(0), |out| der::unsigned(out, &[2]));
            der::unsigned(out, self.serial);
            out.extend_from_slice(der::ECDSA_WITH_SHA256);
            out.extend_from_slice(self.issuer);
            der::nest(out, der::SEQUENCE, |out| {
                in_range =
                    der::time(out, self.not_before).and_then(|()| der::time(out, self.not_after));
            });
            out.extend_from_slice(self.subject);
            out.extend_from_slice(self.spki);
            der::nest(out, der::context(3), |out| der::nest(out, der::SEQUENCE, extensions));
        });
        in_range.ok_or(IssueError::Validity)?;
        Ok(signed_part)
    }
}

/// All extensions of a root that is made here.
fn root_extensions(out: &mut Vec<u8>, key_id: &str, domain: &TrustDomain) {
    der::extension(out, der::OID_KEY_USAGE, true, |out| out.extend(ROOT_KEY_USAGE));
    der::extension(out, der::OID_BASIC_CONSTRAINTS, true, |out| out.extend(der::CA_TRUE));
    subject_key_id(out, key_id.as_bytes());
    authority_key_id(out, key_id.as_bytes());
    der::uri_name(out, &domain.signing_uri());
}

/// All extensions of a leaf but its name; `key_id` is that of the authority.
fn leaf_extensions(out: &mut Vec<u8>, key_id: &[u8]) {
    der::extension(out, der::OID_KEY_USAGE, true, |out| out.extend(LEAF_KEY_USAGE));
    der::extension(out, der::OID_EXTENDED_KEY_USAGE, false, |out| out.extend(LEAF_PURPOSES));
    der::extension(out, der::OID_BASIC_CONSTRAINTS, true, |out| out.extend(NOT_CA));
    // The authority's id as the leaf's own one, too: this is how leaves have always looked.
    subject_key_id(out, key_id);
    authority_key_id(out, key_id);
}

fn subject_key_id(out: &mut Vec<u8>, key_id: &[u8]) {
    der::extension(out, der::OID_SUBJECT_KEY_ID, false, |out| {
        der::value(out, der::OCTET_STRING, key_id);
    });
}

fn authority_key_id(out: &mut Vec<u8>, key_id: &[u8]) {
    der::extension(out, der::OID_AUTHORITY_KEY_ID, false, |out| {
        der::nest(out, der::SEQUENCE, |out| {
            der::value(out, der::context_primitive(0), key_id);
        });
    });
}

/// A positive number of exactly 127 bits, 126 of them random.
fn random_serial() -> Result<[u8; 16], IssueError> {
    let mut serial = [0; 16];
    rand::fill(&mut serial).map_err(|_| KeyError::Library)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

#[cfg(test)]
mod tests;
