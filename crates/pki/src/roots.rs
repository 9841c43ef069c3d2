//! The set of roots that is trusted now, and for which trust domain.
//!
//! Absent on purpose: intermediates, which come with a peer's chain and are trusted only through
//! it, which of the roots signs, and how the set is fetched. Follows RFC 5280, section 6.1: a
//! root is a name and a key; beyond that, one whose life is over is not trusted any longer.

use std::borrow::Cow;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::certificate::{Certificate, CertificateError};
use crate::spiffe::TrustDomain;

/// Why roots cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustBundleError {
    /// There is no root.
    #[error("no root certificates")]
    Empty,
    /// A root cannot be read.
    #[error("root certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// A certificate is not that of an authority.
    #[error("root certificate {0} is not that of a certificate authority")]
    NotAnAuthority(String),
    /// A root has constraints or extensions that cannot be obeyed.
    #[error("root certificate {fingerprint} cannot be used: {reason}")]
    Unusable {
        /// Which one.
        fingerprint: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A trust domain and the roots that vouch for its ids. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct TrustBundle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    domain: TrustDomain,
    roots: Vec<Certificate>,
    /// In the order of `roots`.
    anchors: Vec<TrustAnchor<'static>>,
    /// The first second after which a root is not valid any longer.
    first_end: i64,
}

impl TrustBundle {
    /// Reads the roots; a text may hold several.
    ///
    /// # Errors
    /// [`TrustBundleError`] if there is none, or if one of them cannot be used.
    pub fn new<'a>(
        domain: TrustDomain,
        root_pems: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, TrustBundleError> {
        let mut roots: Vec<Certificate> = Vec::new();
        let mut anchors = Vec::new();
        for text in root_pems {
            for root in Certificate::chain_from_pem(text)? {
                if roots.contains(&root) {
                    continue;
                }
                anchors.push(anchor(&root)?);
                roots.push(root);
            }
        }
        let first_end = roots.iter().map(Certificate::not_after).min();
        let first_end = first_end.ok_or(TrustBundleError::Empty)?;
        Ok(Self { inner: Arc::new(Inner { domain, roots, anchors, first_end }) })
    }

    /// The domain that ids of peers must be in.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.inner.domain
    }

    /// The roots, each of them once, in the order in which they were given.
    #[must_use]
    pub fn roots(&self) -> &[Certificate] {
        &self.inner.roots
    }

    /// The anchors of those roots whose life is not over.
    pub(crate) fn anchors_at(&self, now: i64) -> Cow<'_, [TrustAnchor<'static>]> {
        if now <= self.inner.first_end {
            return Cow::Borrowed(&self.inner.anchors);
        }
        let alive = |(root, anchor): (&Certificate, &TrustAnchor<'static>)| {
            (now <= root.not_after()).then(|| anchor.clone())
        };
        Cow::Owned(self.inner.roots.iter().zip(&self.inner.anchors).filter_map(alive).collect())
    }
}

fn anchor(root: &Certificate) -> Result<TrustAnchor<'static>, TrustBundleError> {
    if !root.may_sign() {
        return Err(TrustBundleError::NotAnAuthority(root.fingerprint()));
    }
    let der = CertificateDer::from(root.der());
    let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|error| {
        TrustBundleError::Unusable { fingerprint: root.fingerprint(), reason: error.to_string() }
    })?;
    Ok(anchor.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::ROOT_TTL;
    use crate::fixture::{LEAF_2018, NOW, ROOT_2018, bundle, domain, root};

    #[test]
    fn several_roots_each_once() {
        let (old, new) = (root(7), root(8));
        let both = format!("{}{}", old.cert_pem(), new.cert_pem());
        let bundle = TrustBundle::new(domain(), [both.as_str(), old.cert_pem()]).unwrap();
        assert_eq!(bundle.roots(), [old.certificate().clone(), new.certificate().clone()]);
        assert_eq!(bundle.trust_domain(), &domain());
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        let of = |texts: &[&str]| TrustBundle::new(domain(), texts.iter().copied()).unwrap_err();
        assert_eq!(of(&[]), TrustBundleError::Empty);
        assert!(matches!(of(&[ROOT_2018, "x"]), TrustBundleError::Certificate(_)));
        assert!(matches!(of(&[ROOT_2018, LEAF_2018]), TrustBundleError::NotAnAuthority(_)));
    }

    #[test]
    fn expired_roots_are_left_out() {
        let end = NOW + ROOT_TTL;
        let old = root(7);
        let new = crate::authority::Root::generate(&domain(), 8, NOW + 1).unwrap();
        let bundle = bundle(&[&old, &new]);
        for (now, count) in [(NOW, 2), (end, 2), (end + 1, 1), (end + 2, 0)] {
            assert_eq!(bundle.anchors_at(now).len(), count);
        }
    }
}
