//! Tests of the verification of peers: who gets in, and why the others do not.
//!
//! Absent on purpose: handshakes (`tls` tests them).

use proptest::prelude::*;
use rcgen::{ExtendedKeyUsagePurpose, SanType};

use super::*;
use crate::authority::{CROSS_SIGN_TTL, LEAF_TTL, ROOT_TTL, Root};
use crate::fixture::{
    DOMAIN_2018, LEAF_2018, NOW, ROOT_2018, bundle, ca_params, ders, domain, issuer, leaf,
    leaf_params, root, service, spoilt_leaf,
};
use crate::spiffe::TrustDomain;

/// Verifies this chain for both purposes, which must agree.
fn check(bundle: &TrustBundle, chain_pem: &str, now: i64) -> Result<PeerIdentity, VerifyError> {
    let chain = ders(chain_pem);
    let as_client = verify_peer(bundle, &chain, Purpose::Client, now);
    assert_eq!(as_client, verify_peer(bundle, &chain, Purpose::Server, now));
    as_client
}

/// Why a leaf of these parameters, signed by a trusted root, is refused.
fn refusal(params: &rcgen::CertificateParams) -> VerifyError {
    let root = root(7);
    let (cert, _) = spoilt_leaf(params, &issuer(&root));
    check(&bundle(&[&root]), &cert, NOW).unwrap_err()
}

#[test]
fn a_leaf_tells_who_the_peer_is() {
    let root = root(7);
    let (cert, _) = leaf(&root, &service("web"), NOW);
    let peer = check(&bundle(&[&root]), &cert, NOW).unwrap();
    assert_eq!((&peer.id, &peer.uri), (&service("web"), &service("web").to_uri()));
    assert_eq!(peer.not_after, NOW - 60 + LEAF_TTL);
    assert_eq!(peer.serial_number, Certificate::from_pem(&cert).unwrap().serial_hex());
    assert_eq!(peer.chain, ders(&cert));
    assert_eq!(PeerIdentity::of_verified(&peer.chain), Ok(peer));
}

#[test]
fn an_observed_chain_is_good() {
    let domain = TrustDomain::new(DOMAIN_2018).unwrap();
    let bundle = TrustBundle::new(domain, [ROOT_2018]).unwrap();
    let peer = check(&bundle, LEAF_2018, 1_795_479_342).unwrap();
    assert_eq!((peer.id.service.as_str(), peer.serial_number.as_str()), ("web", "08"));
}

#[test]
fn the_first_and_the_last_second_count() {
    let root = root(7);
    let (cert, _) = leaf(&root, &service("web"), NOW);
    let bundle = bundle(&[&root]);
    let (first, last) = (NOW - 60, NOW - 60 + LEAF_TTL);
    assert!(check(&bundle, &cert, first).is_ok());
    assert!(check(&bundle, &cert, last).is_ok());
    let early = VerifyError::NotYetValid { now: first - 1, not_before: first };
    assert_eq!(check(&bundle, &cert, first - 1), Err(early));
    let late = VerifyError::Expired { now: last + 1, not_after: last };
    assert_eq!(check(&bundle, &cert, last + 1), Err(late));
    assert!(matches!(check(&bundle, &cert, -1), Err(VerifyError::NotYetValid { .. })));
}

#[test]
fn strangers_are_refused() {
    let (ours, twin, stranger) = (root(7), root(7), root(8));
    let bundle = bundle(&[&ours]);
    let (cert, _) = leaf(&stranger, &service("web"), NOW);
    assert_eq!(check(&bundle, &cert, NOW), Err(VerifyError::UnknownIssuer));
    // Bringing its own root along does not help it.
    let chain = cert + stranger.cert_pem();
    assert_eq!(check(&bundle, &chain, NOW), Err(VerifyError::UnknownIssuer));
    let (cert, _) = leaf(&twin, &service("web"), NOW);
    assert_eq!(check(&bundle, &cert, NOW), Err(VerifyError::Signature));
}

#[test]
fn roots_of_one_name_are_all_tried() {
    let (first, second) = (root(7), root(7));
    let (cert, _) = leaf(&second, &service("web"), NOW);
    assert!(check(&bundle(&[&first, &second]), &cert, NOW).is_ok());
    assert!(check(&bundle(&[&second, &first]), &cert, NOW).is_ok());
}

#[test]
fn an_expired_root_is_none() {
    let end = NOW + ROOT_TTL;
    let old = root(7);
    let (cert, _) = spoilt_leaf(
        &{
            let mut params = leaf_params(&[&service("web").to_uri()]);
            params.not_after = time::OffsetDateTime::from_unix_timestamp(end + 100).unwrap();
            params
        },
        &issuer(&old),
    );
    assert!(check(&bundle(&[&old]), &cert, end).is_ok());
    assert_eq!(check(&bundle(&[&old]), &cert, end + 1), Err(VerifyError::UnknownIssuer));
}

#[test]
fn the_purpose_must_be_said() {
    let root = root(7);
    let bundle = bundle(&[&root]);
    let web = service("web").to_uri();
    let mut params = leaf_params(&[&web]);
    let mut check = |purposes: &[ExtendedKeyUsagePurpose], purpose| {
        params.extended_key_usages = purposes.to_vec();
        let (cert, _) = spoilt_leaf(&params, &issuer(&root));
        verify_peer(&bundle, &ders(&cert), purpose, NOW).map(|peer| peer.uri)
    };
    use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
    assert_eq!(check(&[ClientAuth], Purpose::Client), Ok(web.clone()));
    assert_eq!(check(&[ServerAuth], Purpose::Server), Ok(web));
    for (purposes, purpose) in [
        (&[ServerAuth][..], Purpose::Client),
        (&[ClientAuth], Purpose::Server),
        (&[CodeSigning], Purpose::Client),
        (&[], Purpose::Client),
        (&[], Purpose::Server),
    ] {
        assert_eq!(check(purposes, purpose), Err(VerifyError::Purpose(purpose)));
    }
}

#[test]
fn exactly_one_uri_that_is_a_service() {
    let web = service("web").to_uri();
    assert_eq!(refusal(&leaf_params(&[])), VerifyError::UriCount(0));
    assert_eq!(refusal(&leaf_params(&[&web, &web])), VerifyError::UriCount(2));
    let db = service("db").to_uri();
    assert_eq!(refusal(&leaf_params(&[&web, &db])), VerifyError::UriCount(2));
    assert_eq!(refusal(&leaf_params(&["http://x"])), VerifyError::Id(SpiffeError::Scheme));
    let signing = domain().signing_uri();
    assert_eq!(refusal(&leaf_params(&[&signing])), VerifyError::NotAService(signing));
    let mut named = leaf_params(&[]);
    named.subject_alt_names.push(SanType::DnsName("web.example".try_into().unwrap()));
    assert_eq!(refusal(&named), VerifyError::UriCount(0));
}

#[test]
fn another_trust_domain_is_refused_whoever_signed() {
    let uri = "spiffe://other.consul/ns/default/dc/dc1/svc/web";
    let error = refusal(&leaf_params(&[uri]));
    assert_eq!(
        error,
        VerifyError::TrustDomain {
            presented: "other.consul".to_owned(),
            trusted: domain().to_string()
        }
    );
}

#[test]
fn authorities_are_not_services_and_services_not_authorities() {
    let root = root(7);
    let bundle = bundle(&[&root]);
    let mut params = ca_params();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = leaf_params(&[&service("web").to_uri()]).subject_alt_names;
    assert!(matches!(refusal(&params), VerifyError::Chain(_)));

    let web = service("web").to_uri();
    let (middle, key) = leaf(&root, &service("evil"), NOW);
    let key = crate::pem::sections(&key).unwrap().remove(0).1.to_vec();
    let key = rustls_pki_types::PrivateKeyDer::try_from(key).unwrap();
    let key = rcgen::KeyPair::try_from(&key).unwrap();
    let by = rcgen::Issuer::from_ca_cert_pem(&middle, key).unwrap();
    let (cert, _) = spoilt_leaf(&leaf_params(&[&web]), &by);
    let error = check(&bundle, &(cert + &middle), NOW).unwrap_err();
    assert!(matches!(error, VerifyError::Chain(_) | VerifyError::UnknownIssuer), "{error}");
}

/// A root that is replaced by another one, and leaves of both.
struct Rotation {
    old: Root,
    new: Root,
    cross: String,
    old_leaf: String,
    new_leaf: String,
}

impl Rotation {
    fn start() -> Self {
        let (old, new) = (root(7), root(8));
        let cross = old.cross_sign(new.certificate(), NOW).unwrap();
        let (old_leaf, _) = leaf(&old, &service("web"), NOW);
        let (new_leaf, _) = leaf(&new, &service("web"), NOW);
        Self { old, new, cross, old_leaf, new_leaf }
    }

    /// What a peer presents after the rotation.
    fn new_chain(&self) -> String {
        format!("{}{}", self.new_leaf, self.cross)
    }
}

#[test]
fn during_a_rotation_nobody_is_cut_off() {
    let rotation = Rotation::start();
    let (before, after) = (bundle(&[&rotation.old]), bundle(&[&rotation.old, &rotation.new]));
    for trusted in [&before, &after] {
        assert!(check(trusted, &rotation.old_leaf, NOW).is_ok());
        assert!(check(trusted, &rotation.new_chain(), NOW).is_ok());
    }
    assert!(check(&bundle(&[&rotation.new, &rotation.old]), &rotation.new_chain(), NOW).is_ok());
    assert!(check(&bundle(&[&rotation.new]), &rotation.new_chain(), NOW).is_ok());
}

#[test]
fn cross_signing_works_in_one_direction_and_for_its_time() {
    let rotation = Rotation::start();
    let (old, new) = (bundle(&[&rotation.old]), bundle(&[&rotation.new]));
    // Without it, who knows the old root only does not know the new one.
    assert_eq!(check(&old, &rotation.new_leaf, NOW), Err(VerifyError::UnknownIssuer));
    // The new root does not vouch for the old one.
    assert_eq!(check(&new, &rotation.old_leaf, NOW), Err(VerifyError::UnknownIssuer));
    let chain = format!("{}{}", rotation.old_leaf, rotation.cross);
    assert_eq!(check(&new, &chain, NOW), Err(VerifyError::UnknownIssuer));
    // Once it has expired, it is as if it were not there.
    let late = NOW + CROSS_SIGN_TTL;
    let (leaf, _) = leaf(&rotation.new, &service("web"), late);
    let chain = leaf + &rotation.cross;
    let expired = VerifyError::Expired { now: late, not_after: late - 60 };
    assert_eq!(check(&old, &chain, late), Err(expired));
    assert!(check(&bundle(&[&rotation.old, &rotation.new]), &chain, late).is_ok());
}

#[test]
fn what_is_no_chain_is_refused() {
    let root = root(7);
    let bundle = bundle(&[&root]);
    let of = |chain: &[CertificateDer<'_>]| {
        verify_peer(&bundle, chain, Purpose::Client, NOW).unwrap_err()
    };
    assert_eq!(of(&[]), VerifyError::NoCertificate);
    assert_eq!(PeerIdentity::of_verified(&[]), Err(VerifyError::NoCertificate));
    assert!(matches!(of(&[vec![1, 2, 3].into()]), VerifyError::Certificate(_)));
    let (cert, _) = leaf(&root, &service("web"), NOW);
    let chain = ders(&cert.repeat(MAX_CHAIN + 1));
    assert_eq!(of(&chain), VerifyError::TooManyCertificates(MAX_CHAIN + 1));
    assert!(verify_peer(&bundle, &chain[1..], Purpose::Client, NOW).is_ok());
}

proptest! {
    #[test]
    fn no_changed_byte_is_accepted(at in any::<prop::sample::Index>(), change in 1_u8..) {
        let domain = TrustDomain::new(DOMAIN_2018).unwrap();
        let bundle = TrustBundle::new(domain, [ROOT_2018]).unwrap();
        let mut der = ders(LEAF_2018).remove(0).to_vec();
        let at = at.index(der.len());
        der[at] ^= change;
        let chain = [CertificateDer::from(der)];
        prop_assert!(verify_peer(&bundle, &chain, Purpose::Client, 1_795_479_342).is_err());
    }
}
