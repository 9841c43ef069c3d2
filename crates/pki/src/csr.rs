//! Certificate requests: agents make them, the leader reads them.
//!
//! Absent on purpose: whether a request is granted (the leader's rules), and every wish of a
//! request but its key and its names, because the authority alone decides about the rest. Follows
//! RFC 2986; unlike Consul 1.2, the signature is verified and a request has exactly one URI.

use std::net::IpAddr;

use rustls_pki_types::pem::SectionKind;
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use crate::agent_id::AgentId;
use crate::certificate::read_uris;
use crate::der;
use crate::key::{self, KeyError, PrivateKey};
use crate::pem::{self, PemError};
use crate::spiffe::{ServiceId, SpiffeError, SpiffeId, TrustDomain};

/// The longest request that is read, in bytes of PEM.
pub const MAX_CSR_BYTES: usize = 16 << 10;

/// Why a request is not taken, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// The text is no PEM, or holds no request.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// It is longer than [`MAX_CSR_BYTES`].
    #[error("certificate request of {0} bytes is too long")]
    TooLong(usize),
    /// It is not DER of a certificate request.
    #[error("malformed certificate request: {0}")]
    Malformed(String),
    /// The key is neither ECDSA on P-256 or P-384 nor RSA, or is signed with in an old way.
    #[error("certificate request with an unsupported kind of key or signature")]
    Algorithm,
    /// It is not signed with the key that it is for.
    #[error("certificate request with a wrong signature")]
    Signature,
    /// Exactly one URI is needed; this is how many there are.
    #[error("certificate request must have exactly one URI, has {0}")]
    UriCount(usize),
    /// The URI is not the id of anything.
    #[error(transparent)]
    Id(#[from] SpiffeError),
    /// The request could not be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Makes a request for a certificate of this service and key, as PEM.
///
/// # Errors
/// [`CsrError::Key`] if the cryptographic library fails.
pub fn make(id: &ServiceId, key: &PrivateKey) -> Result<String, CsrError> {
    signed(&id.service, key, |out| der::uri_name(out, &id.to_uri()))
}

/// Makes a request for a certificate of this agent and key with these names, as PEM.
///
/// # Errors
/// [`CsrError::Key`] if the cryptographic library fails.
pub fn make_for_agent(
    id: &AgentId,
    dns_names: &[String],
    addresses: &[IpAddr],
    key: &PrivateKey,
) -> Result<String, CsrError> {
    let uri = id.to_uri();
    signed(&id.common_name(), key, |out| der::names(out, &uri, dns_names, addresses))
}

/// Makes a request for the certificate of an authority that signs in this domain, below its root.
///
/// # Errors
/// [`CsrError::Key`] if the cryptographic library fails.
pub fn make_for_authority(domain: &TrustDomain, key: &PrivateKey) -> Result<String, CsrError> {
    signed(&authority_name(domain, key.spki_der()), key, |out| {
        der::extension(out, der::OID_BASIC_CONSTRAINTS, true, |out| out.extend(der::CA_TRUE));
        der::uri_name(out, &domain.signing_uri());
    })
}

/// A request of this key for a certificate of this name and with these extensions, as PEM.
fn signed(
    common_name: &str,
    key: &PrivateKey,
    extensions: impl FnOnce(&mut Vec<u8>),
) -> Result<String, CsrError> {
    let mut info = Vec::with_capacity(512);
    der::nest(&mut info, der::SEQUENCE, |out| {
        der::unsigned(out, &[0]);
        der::common_name(out, common_name);
        out.extend_from_slice(key.spki_der());
        der::nest(out, der::context(0), |out| {
            der::nest(out, der::SEQUENCE, |out| {
                der::value(out, der::OID, der::OID_EXTENSION_REQUEST);
                der::nest(out, der::SET, |out| der::nest(out, der::SEQUENCE, extensions));
            });
        });
    });
    let signed = key.sign_der(&info)?;
    Ok(std::mem::take(&mut *pem::encode("CERTIFICATE REQUEST", &signed)))
}

/// What an authority below the root of a domain is called: another one with each key, since a chain is
/// followed by names.
pub(crate) fn authority_name(domain: &TrustDomain, spki: &[u8]) -> String {
    let key: String = key::key_id(spki).chars().filter(char::is_ascii_hexdigit).take(8).collect();
    let cluster: String = domain.as_str().chars().take(8).collect();
    format!("sec-{}.consul.ca.{cluster}.consul", key.to_ascii_lowercase())
}

/// A request whose signature is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    names: Names,
    spki: Vec<u8>,
}

/// The alternative names that a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    uris: Vec<String>,
    dns: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Csr {
    /// Reads a request and verifies that it is signed with the key that it is for.
    ///
    /// # Errors
    /// [`CsrError`] if it is too long, malformed, of another kind of key or wrongly signed.
    pub fn from_pem(text: &str) -> Result<Self, CsrError> {
        if text.len() > MAX_CSR_BYTES {
            return Err(CsrError::TooLong(text.len()));
        }
        let found = pem::all(text, SectionKind::Csr, "certificate request")?;
        Self::from_der(found.first().map(Vec::as_slice).unwrap_or_default())
    }

    /// All URIs that it asks for.
    #[must_use]
    pub fn uris(&self) -> &[String] {
        &self.names.uris
    }

    /// All DNS names that it asks for.
    #[must_use]
    pub fn dns_names(&self) -> &[String] {
        &self.names.dns
    }

    /// All addresses that it asks for.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.names.addresses
    }

    /// The id that it asks for.
    ///
    /// # Errors
    /// [`CsrError::UriCount`] unless it has exactly one URI, [`CsrError::Id`] if that is no id.
    pub fn spiffe_id(&self) -> Result<SpiffeId, CsrError> {
        match self.names.uris.as_slice() {
            [uri] => Ok(SpiffeId::parse(uri)?),
            uris => Err(CsrError::UriCount(uris.len())),
        }
    }

    /// Its public key as DER of `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(malformed)?;
        if !rest.is_empty() {
            return Err(malformed("something follows it"));
        }
        check_signature(&request)?;
        Ok(Self {
            names: requested_names(&request)?,
            spki: request.certification_request_info.subject_pki.raw.to_vec(),
        })
    }
}

fn check_signature(request: &X509CertificationRequest<'_>) -> Result<(), CsrError> {
    const ECDSA: [Oid<'static>; 2] = [oid!(1.2.840.10045.4.3.2), oid!(1.2.840.10045.4.3.3)];
    // These also demand at least 2048 bits; the SHA-1 form does not, and is left out.
    const RSA: [Oid<'static>; 3] =
        [oid!(1.2.840.113549.1.1.11), oid!(1.2.840.113549.1.1.12), oid!(1.2.840.113549.1.1.13)];
    let known: &[Oid<'_>] = match request.certification_request_info.subject_pki.parsed() {
        Ok(PublicKey::EC(_)) => &ECDSA,
        Ok(PublicKey::RSA(_)) => &RSA,
        _ => return Err(CsrError::Algorithm),
    };
    if !known.contains(&request.signature_algorithm.algorithm) {
        return Err(CsrError::Algorithm);
    }
    use x509_parser::error::X509Error;
    request.verify_signature().map_err(|error| match error {
        X509Error::SignatureUnsupportedAlgorithm => CsrError::Algorithm,
        _ => CsrError::Signature,
    })
}

/// All requested alternative names, wherever they stand; of other kinds of names nothing is made.
fn requested_names(request: &X509CertificationRequest<'_>) -> Result<Names, CsrError> {
    let mut found = Names::default();
    for attribute in request.certification_request_info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else {
            // An extension request that cannot be read might have hidden a second name.
            if attribute.oid == oid!(1.2.840.113549.1.9.14) {
                return Err(malformed("unreadable extension request"));
            }
            continue;
        };
        for extension in &requested.extensions {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    read_uris(&names.general_names, &mut found.uris).map_err(malformed)?;
                    for name in &names.general_names {
                        match name {
                            GeneralName::DNSName(name) => found.dns.push((*name).to_owned()),
                            GeneralName::IPAddress(bytes) => {
                                let address = address(bytes);
                                found
                                    .addresses
                                    .push(address.ok_or_else(|| malformed("bad address"))?);
                            }
                            _ => {}
                        }
                    }
                }
                _ if extension.oid == oid!(2.5.29.17) => {
                    return Err(malformed("unreadable alternative names"));
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// An address as a certificate has it.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

fn malformed(error: impl ToString) -> CsrError {
    CsrError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests;
