//! Certificates for the interfaces of agents: an authority of its own, and what it signs.
//!
//! It has nothing to do with the mesh. Absent on purpose: files, and the time, which is told.
//! Names and uses follow those that the original's command line makes.

use std::net::IpAddr;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
    SerialNumber,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::certificate::{Certificate, CertificateError};
use crate::key::{KeyError, PrivateKey};

/// Longest validity that is accepted, in days.
const DAYS_MAX: u32 = 365 * 100;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AgentTlsError {
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The authority's certificate cannot be read.
    #[error("failed to parse CA: {0}")]
    Authority(#[from] CertificateError),
    /// The authority's key cannot be read.
    #[error("failed to parse the CA's key: {0}")]
    AuthorityKey(String),
    /// The key is not that of the certificate.
    #[error("the key does not belong to the CA's certificate")]
    Mismatch,
    /// A name cannot be in a certificate.
    #[error("{0:?} cannot be a name in a certificate")]
    Name(String),
    /// The validity makes no sense.
    #[error("a certificate cannot be valid for {0} days")]
    Days(u32),
    /// The certificate could not be made.
    #[error("failed to create certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate with its key, both PEM.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: Zeroizing<String>,
}

/// An authority to make.
#[derive(Clone, Debug, Default)]
pub struct AuthorityRequest {
    /// Common name; one is made up when it is empty.
    pub name: String,
    /// Days of validity.
    pub days: u32,
    /// DNS names that it may sign for; none is all.
    pub permitted: Vec<String>,
    /// URI of what it stands for; empty for none.
    pub uri: String,
}

/// A certificate to make.
#[derive(Clone, Debug, Default)]
pub struct AgentRequest {
    /// Common name.
    pub name: String,
    /// Days of validity.
    pub days: u32,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it is for both sides of TLS connections; else it names no use.
    pub for_tls: bool,
}

fn ia5(name: &str) -> Result<Ia5String, AgentTlsError> {
    Ia5String::try_from(name).map_err(|_| AgentTlsError::Name(name.to_owned()))
}

/// What all of them have, and the serial number as a number.
fn parameters(
    key: &PrivateKey,
    days: u32,
    now: i64,
) -> Result<(CertificateParams, u128), AgentTlsError> {
    let start = OffsetDateTime::from_unix_timestamp(now).map_err(|_| AgentTlsError::Days(days))?;
    if days == 0 || days > DAYS_MAX {
        return Err(AgentTlsError::Days(days));
    }
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| KeyError::Library)?;
    // Positive, and as long as it may be.
    serial[0] &= 0x7f;
    let mut params = CertificateParams::default();
    params.not_before = start;
    params.not_after = start + Duration::days(i64::from(days));
    params.serial_number = Some(SerialNumber::from(serial.to_vec()));
    params.distinguished_name = DistinguishedName::new();
    let id = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.spki_der());
    params.key_identifier_method = KeyIdMethod::PreSpecified(id.as_ref().to_vec());
    params.use_authority_key_identifier_extension = true;
    Ok((params, u128::from_be_bytes(serial)))
}

fn key_pair(pem: &str) -> Result<KeyPair, String> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())?;
    KeyPair::try_from(&der).map_err(|error| error.to_string())
}

/// Makes an authority; `now` is in seconds since 1970.
///
/// # Errors
/// [`AgentTlsError`].
pub fn make_authority(request: &AuthorityRequest, now: i64) -> Result<Issued, AgentTlsError> {
    let key = PrivateKey::generate()?;
    let (mut params, serial) = parameters(&key, request.days, now)?;
    let name = match request.name.as_str() {
        "" => format!("Agent CA {serial}"),
        name => name.to_owned(),
    };
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    if !request.permitted.is_empty() {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: request
                .permitted
                .iter()
                .map(|name| GeneralSubtree::DnsName(name.clone()))
                .collect(),
            excluded_subtrees: Vec::new(),
        });
    }
    if !request.uri.is_empty() {
        params.subject_alt_names = vec![SanType::URI(ia5(&request.uri)?)];
    }
    let pem = key.to_pem();
    let pair = key_pair(&pem).map_err(AgentTlsError::AuthorityKey)?;
    Ok(Issued { certificate: params.self_signed(&pair)?.pem(), key: pem })
}

/// Makes a certificate that the authority of this certificate and key signs; `now` is in seconds
/// since 1970.
///
/// # Errors
/// [`AgentTlsError`].
pub fn make_certificate(
    authority: &str,
    authority_key: &str,
    request: &AgentRequest,
    now: i64,
) -> Result<Issued, AgentTlsError> {
    let authority = Certificate::from_pem(authority)?;
    let signer = key_pair(authority_key).map_err(AgentTlsError::AuthorityKey)?;
    let issuer = Issuer::from_ca_cert_der(&authority.der().to_vec().into(), signer)?;
    let key = PrivateKey::generate()?;
    let (mut params, _) = parameters(&key, request.days, now)?;
    params.distinguished_name.push(DnType::CommonName, request.name.clone());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    if request.for_tls {
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    }
    let names = request.dns_names.iter().map(|name| ia5(name).map(SanType::DnsName));
    let addresses = request.addresses.iter().map(|address| Ok(SanType::IpAddress(*address)));
    params.subject_alt_names = names.chain(addresses).collect::<Result<_, AgentTlsError>>()?;
    let pem = key.to_pem();
    let own = key_pair(&pem).map_err(AgentTlsError::AuthorityKey)?;
    let made = params.signed_by(&own, &issuer)?;
    let belongs = X509Certificate::from_der(made.der())
        .ok()
        .zip(X509Certificate::from_der(authority.der()).ok())
        .is_some_and(|((_, made), (_, ca))| made.verify_signature(Some(ca.public_key())).is_ok());
    if !belongs {
        return Err(AgentTlsError::Mismatch);
    }
    Ok(Issued { certificate: made.pem(), key: pem })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn authority() -> Issued {
        let request = AuthorityRequest { days: 10, ..AuthorityRequest::default() };
        make_authority(&request, NOW).unwrap()
    }

    fn server() -> AgentRequest {
        AgentRequest {
            name: "server.dc1.consul".into(),
            days: 5,
            dns_names: vec!["server.dc1.consul".into(), "localhost".into()],
            addresses: vec!["127.0.0.1".parse().unwrap()],
            for_tls: true,
        }
    }

    #[test]
    fn what_an_authority_signs_is_trusted() {
        let ca = authority();
        let made = make_certificate(&ca.certificate, &ca.key, &server(), NOW).unwrap();
        let ca = Certificate::from_pem(&ca.certificate).unwrap();
        let cert = Certificate::from_pem(&made.certificate).unwrap();
        let root = webpki::anchor_from_trusted_cert(&ca.der().to_vec().into())
            .map(|anchor| anchor.to_owned())
            .unwrap();
        let der = cert.der().to_vec().into();
        let end = webpki::EndEntityCert::try_from(&der).unwrap();
        let now = std::time::Duration::from_secs(NOW.unsigned_abs() + 1);
        end.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[root],
            &[],
            rustls_pki_types::UnixTime::since_unix_epoch(now),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .unwrap();
        let name = rustls_pki_types::ServerName::try_from("server.dc1.consul").unwrap();
        end.verify_is_valid_for_subject_name(&name).unwrap();
        assert!(PrivateKey::from_pem(&made.key).is_ok());
    }

    #[test]
    fn foreign_keys_and_odd_wishes_are_refused() {
        let (ca, other) = (authority(), authority());
        let made = make_certificate(&ca.certificate, &other.key, &server(), NOW);
        assert!(matches!(made, Err(AgentTlsError::Mismatch)));
        let none = AgentRequest { days: 0, ..server() };
        let made = make_certificate(&ca.certificate, &ca.key, &none, NOW);
        assert!(matches!(made, Err(AgentTlsError::Days(0))));
        let odd = AgentRequest { dns_names: vec!["é".into()], ..server() };
        let made = make_certificate(&ca.certificate, &ca.key, &odd, NOW);
        assert!(matches!(made, Err(AgentTlsError::Name(_))));
        assert!(make_certificate("x", &ca.key, &server(), NOW).is_err());
        assert!(make_certificate(&ca.certificate, "x", &server(), NOW).is_err());
    }
}
