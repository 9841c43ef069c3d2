//! Authorities below a root: one for each datacenter but the one whose root it is.
//!
//! A datacenter makes key and request, the root's signs, and from then on both sign leaves that
//! whoever trusts the root accepts. Follows the profile of Consul 1.10: the same URI as the root, and
//! no authority below it.

use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{BACKDATING, IssueError, Root, ToBeSigned, random_serial, subject_key_id};
use crate::certificate::{Certificate, CertificateError};
use crate::csr::{Csr, authority_name};
use crate::der;
use crate::key;
use crate::pem;
use crate::spiffe::{SpiffeId, TrustDomain};

/// How long such a certificate lives, in seconds: a year of 365 days.
pub const INTERMEDIATE_TTL: i64 = 365 * 86_400;

/// Basic constraints of an authority below which there is none.
const LAST_CA: &[u8] = &[0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00];

impl Root {
    /// Signs the certificate of an authority of `domain` that is not a root, as PEM.
    ///
    /// It is valid from a minute before `now` on for `ttl_secs`, but not longer than the root.
    ///
    /// # Errors
    /// [`IssueError`] if the request is not for the signing of that domain, the root has expired, the
    /// time to live is not longer than that minute or the cryptographic library fails.
    pub fn sign_intermediate(
        &self,
        csr: &Csr,
        domain: &TrustDomain,
        ttl_secs: i64,
        now: i64,
    ) -> Result<String, IssueError> {
        match csr.spiffe_id()? {
            SpiffeId::Signing(requested) if requested == *domain => {}
            other => {
                let (requested, granted) = (other.to_uri(), domain.signing_uri());
                return Err(IssueError::OtherId { requested, granted });
            }
        }
        let root = &self.inner.certificate;
        if root.not_after() <= now {
            return Err(IssueError::Expired);
        }
        let not_before = now.checked_sub(BACKDATING).ok_or(IssueError::Validity)?;
        let not_after = not_before.checked_add(ttl_secs).ok_or(IssueError::Validity)?;
        let not_after = not_after.min(root.not_after());
        if not_after <= now {
            return Err(IssueError::Validity);
        }
        let mut name = Vec::new();
        der::common_name(&mut name, &authority_name(domain, csr.spki_der()));
        let to_be_signed = ToBeSigned {
            serial: &random_serial()?,
            issuer: root.subject_der(),
            not_before,
            not_after,
            subject: &name,
            spki: csr.spki_der(),
        };
        let key_id = key::key_id(csr.spki_der());
        let signed_part = to_be_signed.encode(|out| {
            der::extension(out, der::OID_KEY_USAGE, true, |out| out.extend(super::ROOT_KEY_USAGE));
            der::extension(out, der::OID_BASIC_CONSTRAINTS, true, |out| out.extend(LAST_CA));
            subject_key_id(out, key_id.as_bytes());
            out.extend_from_slice(&self.inner.authority_key_id);
            der::uri_name(out, &domain.signing_uri());
        })?;
        let der = self.inner.key.sign_der(&signed_part)?;
        Ok(std::mem::take(&mut *pem::encode("CERTIFICATE", &der)))
    }

    /// See [`check_authority`], for what signs here.
    ///
    /// # Errors
    /// As there.
    pub fn check_issued_by(
        &self,
        root: &Certificate,
        domain: &TrustDomain,
    ) -> Result<(), IssueError> {
        check_authority(&self.inner.certificate, root, domain)
    }
}

/// Whether this certificate is that of an authority of `domain` which `root` has signed.
///
/// # Errors
/// [`IssueError`] if the root cannot be read, or it is none of that.
pub fn check_authority(
    own: &Certificate,
    root: &Certificate,
    domain: &TrustDomain,
) -> Result<(), IssueError> {
    let granted = domain.signing_uri();
    if own.uris() != [granted.as_str()] {
        let requested = own.uris().join(", ");
        return Err(IssueError::OtherId { requested, granted });
    }
    if !own.may_sign() {
        return Err(IssueError::NotAnAuthority);
    }
    check_signature(own, root)
}

/// Whether `issuer` is an authority that has signed this certificate.
pub(super) fn check_signature(own: &Certificate, issuer: &Certificate) -> Result<(), IssueError> {
    let malformed = |error: String| IssueError::from(CertificateError::Malformed(error));
    let (_, signed) =
        X509Certificate::from_der(own.der()).map_err(|error| malformed(error.to_string()))?;
    let (_, signer) =
        X509Certificate::from_der(issuer.der()).map_err(|error| malformed(error.to_string()))?;
    if signed.issuer().as_raw() != issuer.subject_der() || !issuer.may_sign() {
        return Err(IssueError::OtherIssuer);
    }
    signed.verify_signature(Some(signer.public_key())).map_err(|_| IssueError::OtherIssuer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::LEAF_TTL;
    use crate::csr;
    use crate::fixture::{NOW, bundle, ders, domain, request, root, service};
    use crate::key::PrivateKey;
    use crate::verify::{Purpose, verify_peer};

    /// An authority below a root, and its certificate.
    fn below(root: &Root) -> (Root, String) {
        let key = PrivateKey::generate().unwrap();
        let csr = Csr::from_pem(&csr::make_for_authority(&domain(), &key).unwrap()).unwrap();
        let pem = root.sign_intermediate(&csr, &domain(), INTERMEDIATE_TTL, NOW).unwrap();
        (Root::from_pem(&key.to_pem(), &pem).unwrap(), pem)
    }

    fn chain(pems: &[&str]) -> Vec<rustls_pki_types::CertificateDer<'static>> {
        ders(&pems.concat())
    }

    fn leaf(authority: &Root) -> String {
        let csr = request(&service("web"), &PrivateKey::generate().unwrap());
        authority.sign_leaf(&csr, &service("web"), LEAF_TTL, NOW).unwrap().cert_pem
    }

    #[test]
    fn who_trusts_the_root_accepts_leaves_of_the_authority_below() {
        let root = root(2);
        let (authority, pem) = below(&root);
        authority.check_issued_by(root.certificate(), &domain()).unwrap();
        assert!(authority.certificate().may_sign());
        let (leaf, id) = (leaf(&authority), service("web"));
        let trusted = bundle(&[&root]);
        for purpose in [Purpose::Client, Purpose::Server] {
            let with = chain(&[&leaf, &pem]);
            assert_eq!(verify_peer(&trusted, &with, purpose, NOW).unwrap().id, id);
            let without = chain(&[&leaf]);
            assert!(verify_peer(&trusted, &without, purpose, NOW).is_err());
        }
        // Who knows only the former root follows the certificate that it has signed for the new one.
        let former = crate::fixture::root(1);
        let crossed = former.cross_sign(root.certificate(), NOW).unwrap();
        let trusted = bundle(&[&former]);
        let with = chain(&[&leaf, &pem, &crossed]);
        assert_eq!(verify_peer(&trusted, &with, Purpose::Client, NOW).unwrap().id, id);
    }

    #[test]
    fn only_what_asks_for_the_domain_is_signed_and_only_what_is_signed_is_taken() {
        let root = root(2);
        let key = PrivateKey::generate().unwrap();
        let of_service = request(&service("web"), &key);
        let refused =
            root.sign_intermediate(&of_service, &domain(), INTERMEDIATE_TTL, NOW).unwrap_err();
        assert!(matches!(refused, IssueError::OtherId { .. }), "{refused:?}");
        let other = TrustDomain::new("other.consul").unwrap();
        let csr = Csr::from_pem(&csr::make_for_authority(&other, &key).unwrap()).unwrap();
        assert!(root.sign_intermediate(&csr, &domain(), INTERMEDIATE_TTL, NOW).is_err());
        for ttl in [0, -5, 60, i64::MAX] {
            let csr = Csr::from_pem(&csr::make_for_authority(&domain(), &key).unwrap()).unwrap();
            let signed = root.sign_intermediate(&csr, &domain(), ttl, NOW);
            assert_eq!(signed.unwrap_err(), IssueError::Validity, "{ttl}");
        }
        let (authority, _) = below(&root);
        let stranger = crate::fixture::root(3);
        let error = authority.check_issued_by(stranger.certificate(), &domain()).unwrap_err();
        assert_eq!(error, IssueError::OtherIssuer);
        assert!(authority.check_issued_by(root.certificate(), &other).is_err());
        // There is no authority below one that is not a root.
        let (lower, pem) = below(&authority);
        let with = chain(&[&leaf(&lower), &pem, authority.cert_pem()]);
        assert!(verify_peer(&bundle(&[&root]), &with, Purpose::Client, NOW).is_err());
    }
}
