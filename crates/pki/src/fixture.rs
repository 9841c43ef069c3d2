//! A mesh for tests: roots, identities and certificates that the crate itself refuses to make.
//!
//! Absent on purpose: assertions. The files in `testdata` were observed; rcgen is the second
//! opinion on certificates.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, SanType,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::authority::{LEAF_TTL, Root};
use crate::certificate::Certificate;
use crate::csr::{self, Csr};
use crate::key::PrivateKey;
use crate::roots::TrustBundle;
use crate::spiffe::{ServiceId, TrustDomain};
use crate::tls::Identity;

/// The time of all tests: 2027-01-15 08:00:00 UTC.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) const ROOT_2018: &str = include_str!("testdata/root-2018.pem");
pub(crate) const LEAF_2018: &str = include_str!("testdata/leaf-2018.pem");
pub(crate) const CSR_2018: &str = include_str!("testdata/csr-2018.pem");
pub(crate) const DOMAIN_2018: &str = "2630df8e-d50b-3eb7-a63f-028c9c40d733.consul";

pub(crate) fn domain() -> TrustDomain {
    TrustDomain::new("11111111-2222-3333-4444-555555555555.consul").unwrap()
}

pub(crate) fn service(name: &str) -> ServiceId {
    ServiceId::new(domain(), "dc1", name)
}

pub(crate) fn root(serial: u64) -> Root {
    Root::generate(&domain(), serial, NOW).unwrap()
}

pub(crate) fn bundle(roots: &[&Root]) -> TrustBundle {
    TrustBundle::new(domain(), roots.iter().map(|root| root.cert_pem())).unwrap()
}

pub(crate) fn request(id: &ServiceId, key: &PrivateKey) -> Csr {
    Csr::from_pem(&csr::make(id, key).unwrap()).unwrap()
}

/// A leaf of `root` as PEM, and its key as PEM.
pub(crate) fn leaf(root: &Root, id: &ServiceId, now: i64) -> (String, String) {
    let key = PrivateKey::generate().unwrap();
    let leaf = root.sign_leaf(&request(id, &key), id, LEAF_TTL, now).unwrap();
    (leaf.cert_pem, key.to_pem().to_string())
}

/// An identity whose leaf is signed by `root`, with these intermediates.
pub(crate) fn identity(root: &Root, name: &str, intermediates: &str) -> Identity {
    let (chain, key) = leaf(root, &service(name), NOW);
    Identity::from_pem(&(chain + intermediates), &key).unwrap()
}

pub(crate) fn ders(chain_pem: &str) -> Vec<CertificateDer<'static>> {
    let chain = Certificate::chain_from_pem(chain_pem).unwrap();
    chain.iter().map(|cert| CertificateDer::from(cert.der().to_vec())).collect()
}

/// What rcgen signs with for this root.
pub(crate) fn issuer(root: &Root) -> Issuer<'static, KeyPair> {
    // rcgen reads PKCS#8 only.
    let sec1 = root.key_pem();
    let key = rustls_pki_types::PrivateKeyDer::try_from(
        crate::pem::sections(&sec1).unwrap().remove(0).1.to_vec(),
    )
    .unwrap();
    let key = KeyPair::try_from(&key).unwrap();
    Issuer::from_ca_cert_pem(root.cert_pem(), key).unwrap()
}

/// A leaf as the crate would make it, to be spoilt before [`spoilt_leaf`] signs it.
pub(crate) fn leaf_params(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = OffsetDateTime::from_unix_timestamp(NOW - 60).unwrap();
    params.not_after = OffsetDateTime::from_unix_timestamp(NOW + LEAF_TTL).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    params.subject_alt_names =
        uris.iter().map(|uri| SanType::URI(Ia5String::try_from(*uri).unwrap())).collect();
    params
}

/// An intermediate that may sign, to be spoilt.
pub(crate) fn ca_params() -> CertificateParams {
    let mut params = leaf_params(&[]);
    params.extended_key_usages.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// Certificate and key as PEM.
pub(crate) fn spoilt_leaf(
    params: &CertificateParams,
    by: &Issuer<'_, KeyPair>,
) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
}

/// A request of these parameters, signed with a key of this kind.
pub(crate) fn foreign_request(
    params: &CertificateParams,
    kind: &'static rcgen::SignatureAlgorithm,
) -> String {
    let key = KeyPair::generate_for(kind).unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap()
}

/// Whether rcgen reads the request, too.
pub(crate) fn rcgen_reads(csr_pem: &str) -> bool {
    CertificateSigningRequestParams::from_pem(csr_pem).is_ok()
}
