//! What the stand-in for Vault signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, SanType, SubjectPublicKeyInfo,
};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::Pem;
use x509_parser::prelude::{GeneralName, ParsedExtension, X509Certificate};

/// An authority: certificate and key.
pub(crate) struct Issued {
    pub(crate) pem: String,
    pub(crate) key: Arc<KeyPair>,
}

impl Issued {
    fn issuer(&self) -> Issuer<'static, KeyPair> {
        // Keys cannot be copied otherwise.
        let key = KeyPair::from_pem(&self.key.serialize_pem()).expect("just written");
        Issuer::from_ca_cert_pem(&self.pem, key).expect("an authority's certificate")
    }
}

/// A leaf to be signed.
pub(crate) struct Leaf<'a> {
    pub(crate) csr: &'a str,
    pub(crate) ttl: i64,
    /// For another key than that of the request.
    pub(crate) other_key: bool,
    /// A DNS name that nobody has asked for.
    pub(crate) more: Option<&'a str>,
}

impl Leaf<'_> {
    pub(crate) fn sign(&self, by: &Issued) -> String {
        let mut csr = CertificateSigningRequestParams::from_pem(self.csr).expect("a request");
        let params = &mut csr.params;
        lives(params, self.ttl);
        params.is_ca = IsCa::NoCa;
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        if let Some(name) = self.more {
            params.subject_alt_names.push(SanType::DnsName(name.try_into().expect("a name")));
        }
        if self.other_key {
            let key = KeyPair::generate().expect("a key");
            return params.signed_by(&key, &by.issuer()).expect("a certificate").pem();
        }
        csr.signed_by(&by.issuer()).expect("a certificate").pem()
    }
}

fn lives(params: &mut CertificateParams, ttl: i64) {
    params.not_before = OffsetDateTime::now_utc() - Duration::seconds(30);
    params.not_after = OffsetDateTime::now_utc() + Duration::seconds(ttl);
}

fn named(common_name: &str, uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a URI"))];
    params
}

fn authority(params: &mut CertificateParams, ttl: i64) {
    lives(params, ttl);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
}

/// A root.
pub(crate) fn root(key: &KeyPair, common_name: &str, uri: &str, ttl: i64) -> String {
    let mut params = named(common_name, uri);
    authority(&mut params, ttl);
    params.self_signed(key).expect("a certificate").pem()
}

/// A request for an authority below a root.
pub(crate) fn request(key: &KeyPair, common_name: &str, uri: &str) -> String {
    named(common_name, uri).serialize_request(key).expect("a request").pem().expect("PEM")
}

/// An authority below a root.
pub(crate) fn intermediate(by: &Issued, csr: &str, ttl: i64) -> String {
    let mut csr = CertificateSigningRequestParams::from_pem(csr).expect("a request");
    authority(&mut csr.params, ttl);
    csr.signed_by(&by.issuer()).expect("a certificate").pem()
}

fn certificate<T>(pem: &str, read: impl FnOnce(&X509Certificate<'_>) -> T) -> T {
    let pem = Pem::iter_from_buffer(pem.as_bytes()).next().expect("PEM").expect("PEM");
    read(&pem.parse_x509().expect("a certificate"))
}

/// Whether a certificate belongs to a key.
pub(crate) fn is_for(pem: &str, key: &KeyPair) -> bool {
    certificate(pem, |one| one.public_key().raw == key.subject_public_key_info())
}

/// A root's certificate, signed anew; `None` for one that is no root.
pub(crate) fn crossed(by: &Issued, pem: &str) -> Option<String> {
    certificate(pem, |root| {
        if root.subject() != root.issuer() || root.verify_signature(None).is_err() {
            return None;
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = root.subject().iter_common_name().next()?;
        let text = name.as_str().ok()?;
        // Chains are followed by the bytes of names.
        let value = if name.attr_value().tag().0 == 0x13 {
            DnValue::PrintableString(text.try_into().ok()?)
        } else {
            DnValue::Utf8String(text.to_owned())
        };
        params.distinguished_name.push(DnType::CommonName, value);
        for extension in root.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    for name in &names.general_names {
                        if let GeneralName::URI(uri) = name {
                            let uri = SanType::URI((*uri).try_into().ok()?);
                            params.subject_alt_names.push(uri);
                        }
                    }
                }
                ParsedExtension::SubjectKeyIdentifier(id) => {
                    params.key_identifier_method = KeyIdMethod::PreSpecified(id.0.to_vec());
                }
                _ => {}
            }
        }
        authority(&mut params, 7 * 86_400);
        let key = SubjectPublicKeyInfo::from_der(root.public_key().raw).ok()?;
        Some(params.signed_by(&key, &by.issuer()).ok()?.pem())
    })
}

/// Whether the first certificate of a text leads to a root over the others.
pub(crate) fn leads_to(chain: &str, root: &str) -> bool {
    let pems: Vec<Pem> = Pem::iter_from_buffer(chain.as_bytes()).flatten().collect();
    let root = Pem::iter_from_buffer(root.as_bytes()).flatten().next().expect("PEM");
    let root = root.parse_x509().expect("a root");
    let all: Vec<_> = pems.iter().map(|pem| pem.parse_x509().expect("a certificate")).collect();
    let signed = |one: &X509Certificate<'_>, by: &X509Certificate<'_>| {
        one.issuer().as_raw() == by.subject().as_raw()
            && one.verify_signature(Some(by.public_key())).is_ok()
    };
    let Some((leaf, others)) = all.split_first() else { return false };
    let mut at = leaf;
    for _ in 0..=others.len() {
        if signed(at, &root) {
            return true;
        }
        let Some(next) = others.iter().find(|one| signed(at, one)) else { return false };
        at = next;
    }
    false
}
