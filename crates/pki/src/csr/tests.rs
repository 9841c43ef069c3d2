//! Tests of certificate requests, ours and others'.
//!
//! Absent on purpose: what an authority makes of them.

use proptest::prelude::*;

use super::*;
use crate::fixture::{
    CSR_2018, DOMAIN_2018, domain, foreign_request, leaf_params, rcgen_reads, request, service,
};
use crate::spiffe::TrustDomain;

fn der_of(text: &str) -> Vec<u8> {
    pem::all(text, SectionKind::Csr, "certificate request").unwrap().remove(0)
}

fn pem_of(der: &[u8]) -> String {
    pem::encode("CERTIFICATE REQUEST", der).to_string()
}

#[test]
fn ours_are_read_back_here_and_elsewhere() {
    let key = PrivateKey::generate().unwrap();
    for name in ["web", "a b/c", "käse", &"x".repeat(300)] {
        let id = service(name);
        let text = make(&id, &key).unwrap();
        assert!(rcgen_reads(&text));
        let csr = Csr::from_pem(&text).unwrap();
        assert_eq!(csr.uris(), [id.to_uri()]);
        assert_eq!(csr.spiffe_id().unwrap(), SpiffeId::Service(id));
        assert_eq!(csr.spki_der(), key.spki_der());
    }
    let text = make(&service("web"), &key).unwrap();
    let der = der_of(&text);
    let (_, parsed) = X509CertificationRequest::from_der(&der).unwrap();
    assert_eq!(parsed.certification_request_info.subject.to_string(), "CN=web");
}

#[test]
fn an_observed_one_is_read() {
    let csr = Csr::from_pem(CSR_2018).unwrap();
    let id = ServiceId::new(TrustDomain::new(DOMAIN_2018).unwrap(), "dc1", "web");
    assert_eq!(csr.spiffe_id().unwrap(), SpiffeId::Service(id));
}

#[test]
fn a_changed_byte_is_noticed() {
    let der = der_of(CSR_2018);
    // The last letter of the service's name, and the last byte of the signature.
    let name = der.windows(3).position(|window| window == b"web").unwrap();
    for at in [name + 2, der.len() - 1] {
        let mut changed = der.clone();
        changed[at] ^= 1;
        assert_eq!(Csr::from_pem(&pem_of(&changed)), Err(CsrError::Signature));
    }
    for end in 0..der.len() {
        assert!(Csr::from_pem(&pem_of(&der[..end])).is_err(), "{end}");
    }
    let longer = [der.as_slice(), &[0]].concat();
    assert!(matches!(Csr::from_pem(&pem_of(&longer)), Err(CsrError::Malformed(_))));
}

#[test]
fn exactly_one_uri_is_an_id() {
    let of = |uris: &[&str]| {
        let text = foreign_request(&leaf_params(uris), &rcgen::PKCS_ECDSA_P256_SHA256);
        Csr::from_pem(&text).unwrap()
    };
    assert_eq!(of(&[]).spiffe_id(), Err(CsrError::UriCount(0)));
    let web = service("web").to_uri();
    let two = of(&[&web, &web]);
    assert_eq!(two.uris().len(), 2);
    assert_eq!(two.spiffe_id(), Err(CsrError::UriCount(2)));
    assert_eq!(of(&["http://x"]).spiffe_id(), Err(CsrError::Id(SpiffeError::Scheme)));
    let signing = of(&[&domain().signing_uri()]).spiffe_id().unwrap();
    assert_eq!(signing, SpiffeId::Signing(domain()));
}

#[test]
fn some_kinds_of_keys_are_taken() {
    let web = service("web");
    let params = leaf_params(&[&web.to_uri()]);
    for kind in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let csr = Csr::from_pem(&foreign_request(&params, kind)).unwrap();
        assert_eq!(csr.spiffe_id().unwrap(), SpiffeId::Service(web.clone()));
    }
    let csr = Csr::from_pem(&foreign_request(&params, &rcgen::PKCS_RSA_SHA256)).unwrap();
    assert!(csr.spki_der().len() > 256);
    let edwards = foreign_request(&params, &rcgen::PKCS_ED25519);
    assert_eq!(Csr::from_pem(&edwards), Err(CsrError::Algorithm));
}

#[test]
fn what_is_no_request_is_refused() {
    let error = Csr::from_pem(crate::fixture::ROOT_2018).unwrap_err();
    assert_eq!(error.to_string(), "no PEM-encoded certificate request found");
    let long = CSR_2018.repeat(MAX_CSR_BYTES / CSR_2018.len() + 1);
    assert_eq!(Csr::from_pem(&long), Err(CsrError::TooLong(long.len())));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(der in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Csr::from_pem(&pem_of(&der)).is_err());
    }

    #[test]
    fn no_changed_byte_goes_unnoticed(at in any::<prop::sample::Index>(), change in 1_u8..) {
        let mut der = der_of(CSR_2018);
        let at = at.index(der.len());
        der[at] ^= change;
        // Either it is refused, or what changed was not part of what it says.
        if let Ok(csr) = Csr::from_pem(&pem_of(&der)) {
            prop_assert_eq!(csr, Csr::from_pem(CSR_2018).unwrap());
        }
    }

    #[test]
    fn requests_of_all_names_are_read_back(name in "\\PC{1,100}") {
        let id = service(&name);
        let csr = request(&id, &PrivateKey::generate().unwrap());
        prop_assert_eq!(csr.spiffe_id(), Ok(SpiffeId::Service(id)));
    }
}
