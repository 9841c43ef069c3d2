//! Tests of the authority: its profile against observed certificates, and a second opinion.
//!
//! Absent on purpose: whether chains verify (`verify` and `tls` test that).

use proptest::prelude::*;

use super::*;
use crate::fixture::{
    DOMAIN_2018, LEAF_2018, NOW, ROOT_2018, ca_params, domain, foreign_request, issuer, leaf,
    leaf_params, request, root, service, spoilt_leaf,
};

/// The part of a certificate that is signed.
fn signed_part(certificate: &Certificate) -> Vec<u8> {
    let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
    parsed.tbs_certificate.as_ref().to_vec()
}

fn name(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    der::common_name(&mut out, text);
    out
}

#[test]
fn a_root_is_bit_for_bit_as_observed() {
    let observed = Certificate::from_pem(ROOT_2018).unwrap();
    let name = name("Consul CA 7");
    let ours = ToBeSigned {
        serial: &7_u64.to_be_bytes(),
        issuer: &name,
        not_before: observed.not_before(),
        not_after: observed.not_before() + ROOT_TTL,
        subject: &name,
        spki: observed.spki_der(),
    };
    let key_id = key::key_id(observed.spki_der());
    let domain = TrustDomain::new(DOMAIN_2018).unwrap();
    let ours = ours.encode(|out| root_extensions(out, &key_id, &domain)).unwrap();
    assert_eq!(ours, signed_part(&observed));
}

#[test]
fn a_leaf_is_bit_for_bit_as_observed() {
    let observed = Certificate::from_pem(LEAF_2018).unwrap();
    let root = Certificate::from_pem(ROOT_2018).unwrap();
    let ours = ToBeSigned {
        serial: &[8],
        issuer: root.subject_der(),
        not_before: observed.not_before(),
        not_after: observed.not_before() + LEAF_TTL,
        subject: &name("web"),
        spki: observed.spki_der(),
    };
    let id = ServiceId::new(TrustDomain::new(DOMAIN_2018).unwrap(), "dc1", "web");
    let ours = ours.encode(|out| {
        leaf_extensions(out, root.subject_key_id());
        der::uri_name(out, &id.to_uri());
    });
    assert_eq!(ours.unwrap(), signed_part(&observed));
}

#[test]
fn a_root_signs_itself() {
    let root = root(7);
    let facts = root.certificate();
    assert_eq!((facts.serial_hex().as_str(), facts.serial_u64()), ("07", 7));
    assert_eq!((facts.not_before(), facts.not_after()), (NOW, NOW + ROOT_TTL));
    assert_eq!(facts.uris(), [domain().signing_uri()]);
    assert!(facts.is_ca() && facts.may_sign());
    assert_eq!(facts.subject_key_id(), root.inner.key.key_id().as_bytes());
    let (_, parsed) = X509Certificate::from_der(facts.der()).unwrap();
    parsed.verify_signature(None).unwrap();
    assert!(!format!("{root:?}").contains("PRIVATE"));
}

#[test]
fn a_leaf_has_what_was_asked_for_and_what_is_ruled() {
    let root = root(7);
    let key = PrivateKey::generate().unwrap();
    let id = service("web");
    let leaf = root.sign_leaf(&request(&id, &key), &id, LEAF_TTL, NOW).unwrap();
    let facts = Certificate::from_pem(&leaf.cert_pem).unwrap();
    assert_eq!(facts.spki_der(), key.spki_der());
    assert_eq!(facts.uris(), [id.to_uri()]);
    assert_eq!(facts.serial_hex(), leaf.serial_number);
    assert_eq!((facts.not_before(), facts.not_after()), (leaf.not_before, leaf.not_after));
    assert_eq!((leaf.not_before, leaf.not_after), (NOW - 60, NOW - 60 + LEAF_TTL));
    assert!(!facts.is_ca() && !facts.may_sign() && facts.names_purposes());
    let (_, signer) = X509Certificate::from_der(root.certificate().der()).unwrap();
    let (_, parsed) = X509Certificate::from_der(facts.der()).unwrap();
    parsed.verify_signature(Some(signer.public_key())).unwrap();
    assert_eq!(parsed.subject().to_string(), "CN=web");
}

#[test]
fn serial_numbers_are_random_and_positive() {
    let serials: Vec<_> = (0..100).map(|_| random_serial().unwrap()).collect();
    let different: std::collections::HashSet<_> = serials.iter().collect();
    assert_eq!(different.len(), serials.len());
    assert!(serials.iter().all(|serial| (0x40..0x80).contains(&serial[0])));
}

#[test]
fn a_leaf_is_only_for_the_id_of_its_request() {
    let root = root(7);
    let asked = request(&service("web"), &PrivateKey::generate().unwrap());
    let error = root.sign_leaf(&asked, &service("db"), LEAF_TTL, NOW).unwrap_err();
    assert_eq!(
        error,
        IssueError::OtherId { requested: service("web").to_uri(), granted: service("db").to_uri() }
    );
    for uris in [&[][..], &["spiffe://a.consul/x", "spiffe://a.consul/y"]] {
        let csr = foreign_request(&leaf_params(uris), &rcgen::PKCS_ECDSA_P256_SHA256);
        let csr = Csr::from_pem(&csr).unwrap();
        let error = root.sign_leaf(&csr, &service("web"), LEAF_TTL, NOW).unwrap_err();
        assert_eq!(error, IssueError::Csr(CsrError::UriCount(uris.len())));
    }
}

#[test]
fn a_leaf_lives_within_its_root() {
    let root = root(7);
    let end = NOW + ROOT_TTL;
    let id = service("web");
    let csr = request(&id, &PrivateKey::generate().unwrap());
    let sign = |ttl, now| root.sign_leaf(&csr, &id, ttl, now);
    assert_eq!(sign(LEAF_TTL, end - 3600).unwrap().not_after, end);
    assert_eq!(sign(LEAF_TTL, end).unwrap_err(), IssueError::Expired);
    for ttl in [i64::MIN, -1, 0, 60, i64::MAX] {
        match sign(ttl, NOW) {
            Ok(leaf) => assert_eq!((ttl, leaf.not_after), (i64::MAX, end)),
            Err(error) => assert_eq!(error, IssueError::Validity),
        }
    }
    assert_eq!(sign(61, NOW).unwrap().not_after, NOW + 1);
    assert_eq!(sign(LEAF_TTL, i64::MIN).unwrap_err(), IssueError::Validity);
    assert_eq!(Root::generate(&domain(), 1, i64::MAX).unwrap_err(), IssueError::Validity);
    assert_eq!(Root::generate(&domain(), 1, 253_402_300_000).unwrap_err(), IssueError::Validity);
}

#[test]
fn a_root_is_taken_over_if_key_and_certificate_fit() {
    let original = root(7);
    let again = Root::from_pem(&original.key_pem(), original.cert_pem()).unwrap();
    assert_eq!(again.certificate(), original.certificate());
    assert_eq!(again.cert_pem(), original.cert_pem());
    let error = Root::from_pem(&root(7).key_pem(), original.cert_pem()).unwrap_err();
    assert_eq!(error, IssueError::KeyMismatch);
    let (cert, key) = leaf(&original, &service("web"), NOW);
    assert_eq!(Root::from_pem(&key, &cert).unwrap_err(), IssueError::NotAnAuthority);
    assert!(matches!(Root::from_pem("", original.cert_pem()), Err(IssueError::Key(_))));
    assert!(matches!(Root::from_pem(&key, ""), Err(IssueError::Certificate(_))));
}

#[test]
fn leaves_point_to_a_foreign_root_by_its_own_id() {
    let (cert, key) = spoilt_leaf(&ca_params(), &issuer(&root(7)));
    let foreign = Root::from_pem(&key, &cert).unwrap();
    let own_id = foreign.certificate().subject_key_id().to_vec();
    assert!(own_id.len() < 95);
    let (cert, _) = leaf(&foreign, &service("web"), NOW);
    let cert = Certificate::from_pem(&cert).unwrap();
    assert_eq!(cert.subject_key_id(), own_id);
}

#[test]
fn a_key_usage_without_certificates_makes_no_authority() {
    let mut params = ca_params();
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let (cert, key) = spoilt_leaf(&params, &issuer(&root(7)));
    assert_eq!(Root::from_pem(&key, &cert).unwrap_err(), IssueError::NotAnAuthority);
}

#[test]
fn a_cross_signed_certificate_is_the_new_root_by_the_old_one() {
    let (old, new) = (root(7), root(8));
    let cross = Certificate::from_pem(&old.cross_sign(new.certificate(), NOW).unwrap()).unwrap();
    assert_eq!(cross.subject_der(), new.certificate().subject_der());
    assert_eq!(cross.spki_der(), new.certificate().spki_der());
    assert_eq!(cross.subject_key_id(), new.certificate().subject_key_id());
    assert_eq!(cross.uris(), new.certificate().uris());
    assert_eq!(cross.not_before(), NOW - 60);
    assert_eq!(cross.not_after(), NOW - 60 + CROSS_SIGN_TTL);
    assert!(cross.may_sign());
    let (_, signer) = X509Certificate::from_der(old.certificate().der()).unwrap();
    let (_, parsed) = X509Certificate::from_der(cross.der()).unwrap();
    parsed.verify_signature(Some(signer.public_key())).unwrap();
    assert_eq!(parsed.issuer().as_raw(), old.certificate().subject_der());
    let ids: Vec<_> = parsed
        .iter_extensions()
        .filter_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|id| id.0.to_vec())
            }
            _ => None,
        })
        .collect();
    assert_eq!(ids, [old.certificate().subject_key_id().to_vec()]);
}

#[test]
fn only_authorities_are_cross_signed_but_by_expired_ones_too() {
    let (old, new) = (root(7), root(8));
    let (cert, _) = leaf(&old, &service("web"), NOW);
    let cert = Certificate::from_pem(&cert).unwrap();
    assert_eq!(old.cross_sign(&cert, NOW).unwrap_err(), IssueError::NotAnAuthority);
    assert!(old.cross_sign(new.certificate(), NOW + 2 * ROOT_TTL).is_ok());
}

#[test]
fn openssl_agrees_where_it_is_installed() {
    use std::process::Command;

    if Command::new("openssl").arg("version").output().is_err() {
        return;
    }
    let (old, new) = (root(7), root(8));
    let cross = old.cross_sign(new.certificate(), NOW).unwrap();
    let (leaf, _) = leaf(&new, &service("web"), NOW);
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (old, new) = (file("old.pem", old.cert_pem()), file("new.pem", new.cert_pem()));
    let (cross, leaf) = (file("cross.pem", &cross), file("leaf.pem", &leaf));
    let verify = |root: &std::path::Path, more: &[&std::ffi::OsStr]| {
        let mut command = Command::new("openssl");
        command.args(["verify", "-x509_strict", "-no-CApath", "-attime", &NOW.to_string()]);
        let command = command.arg("-CAfile").arg(root).args(more).arg(&leaf);
        command.output().unwrap().status.success()
    };
    assert!(verify(&new, &[]));
    assert!(verify(&old, &["-untrusted".as_ref(), cross.as_os_str()]));
    assert!(!verify(&old, &[]));
}

proptest! {
    #[test]
    fn leaves_of_all_names_are_read_back(
        datacenter in "[^\u{0}]{1,12}", name in "\\PC{1,200}",
    ) {
        let root = root(7);
        let id = ServiceId::new(domain(), datacenter, name);
        let csr = request(&id, &PrivateKey::generate().unwrap());
        let leaf = root.sign_leaf(&csr, &id, LEAF_TTL, NOW).unwrap();
        let cert = Certificate::from_pem(&leaf.cert_pem).unwrap();
        prop_assert_eq!(cert.uris(), [id.to_uri()]);
    }
}
