//! Is this peer's chain good, and who is it?
//!
//! Absent on purpose: whether the peer may do what it wants (intentions), host names, which mean
//! nothing in the mesh, and revocation. Follows RFC 5280 as rustls-webpki implements it, and the
//! SPIFFE standard for X.509: the leaf has exactly one URI, the id of a service of the bundle's
//! trust domain. Stricter than both: the leaf must *say* that it is for the purpose at hand.

use std::fmt;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::aws_lc_rs as algorithms;
use webpki::{EndEntityCert, KeyUsage};

use crate::certificate::{Certificate, CertificateError};
use crate::roots::TrustBundle;
use crate::spiffe::{ServiceId, SpiffeError, SpiffeId};

/// The most certificates that a peer may present, leaf and intermediates.
pub const MAX_CHAIN: usize = 8;

/// With these, certificates of the mesh may be signed; Vault's authority may use RSA.
const SIGNATURES: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ECDSA_P521_SHA256,
    algorithms::ECDSA_P521_SHA384,
    algorithms::ECDSA_P521_SHA512,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
];

/// What a peer does on a connection, and what its certificate must therefore be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// It has connected to us.
    Client,
    /// We have connected to it.
    Server,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Why a peer's certificates are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It has presented none.
    #[error("peer presented no certificate")]
    NoCertificate,
    /// It has presented more than [`MAX_CHAIN`].
    #[error("peer presented {0} certificates")]
    TooManyCertificates(usize),
    /// Its leaf cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No trusted root leads to its leaf.
    #[error("certificate is signed by an unknown authority")]
    UnknownIssuer,
    /// A root of that name is trusted but has not signed, or the peer does not have the key.
    #[error("certificate or handshake has a wrong signature")]
    Signature,
    /// The leaf, or an intermediate that is needed, has expired. Seconds since 1970 UTC.
    #[error("certificate has expired: it is {now}, its last second was {not_after}")]
    Expired {
        /// The time of the verification.
        now: i64,
        /// The end of the certificate's life.
        not_after: i64,
    },
    /// The leaf, or an intermediate that is needed, is not valid yet. Seconds since 1970 UTC.
    #[error("certificate is not valid yet: it is {now}, its first second is {not_before}")]
    NotYetValid {
        /// The time of the verification.
        now: i64,
        /// The beginning of the certificate's life.
        not_before: i64,
    },
    /// The leaf does not say that it is for this.
    #[error("certificate is not for use as {0}")]
    Purpose(Purpose),
    /// The chain breaks another rule of RFC 5280.
    #[error("certificate chain is not valid: {0}")]
    Chain(String),
    /// Exactly one URI is needed; this is how many there are.
    #[error("certificate must have exactly one URI, has {0}")]
    UriCount(usize),
    /// The URI is not an id.
    #[error("certificate: {0}")]
    Id(#[from] SpiffeError),
    /// The id is that of an authority.
    #[error("certificate is not that of a service: {0}")]
    NotAService(String),
    /// The id is of another trust domain, whoever signed it.
    #[error("certificate is of trust domain {presented}, trusted is {trusted}")]
    TrustDomain {
        /// The domain in the certificate.
        presented: String,
        /// The domain of the bundle.
        trusted: String,
    },
    /// The peer is good, but not the one that was called.
    #[error("peer is {presented}, expected {expected}")]
    OtherPeer {
        /// Who answered.
        presented: String,
        /// Who was called.
        expected: String,
    },
}

/// Who a peer is, as its verified certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The id, read.
    pub id: ServiceId,
    /// The id as it stands in the certificate.
    pub uri: String,
    /// The leaf's serial number in hexadecimal with colons.
    pub serial_number: String,
    /// The last second of the leaf's life, since 1970 UTC.
    pub not_after: i64,
    /// What the peer presented, leaf first: enough to verify it again when the roots change.
    pub chain: Vec<CertificateDer<'static>>,
}

impl PeerIdentity {
    /// Reads who presents this chain, which a finished handshake has verified already.
    ///
    /// # Errors
    /// [`VerifyError`] if the chain is empty or its leaf is not that of one service.
    pub fn of_verified(chain: &[CertificateDer<'_>]) -> Result<Self, VerifyError> {
        let (leaf, intermediates) = chain.split_first().ok_or(VerifyError::NoCertificate)?;
        Self::read(&Certificate::from_der(leaf)?, leaf, intermediates)
    }

    fn read(
        facts: &Certificate,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<Self, VerifyError> {
        let [uri] = facts.uris() else {
            return Err(VerifyError::UriCount(facts.uris().len()));
        };
        let id = match SpiffeId::parse(uri)? {
            SpiffeId::Service(id) => id,
            SpiffeId::Agent(_) | SpiffeId::Signing(_) => {
                return Err(VerifyError::NotAService(uri.clone()));
            }
        };
        let all = std::iter::once(leaf).chain(intermediates);
        Ok(Self {
            id,
            uri: uri.clone(),
            serial_number: facts.serial_hex(),
            not_after: facts.not_after(),
            chain: all.map(|der| der.clone().into_owned()).collect(),
        })
    }
}

/// Verifies what a peer presents, leaf first, at `now` (seconds since 1970 UTC).
///
/// # Errors
/// [`VerifyError`]: the first reason that was found not to accept it.
pub fn verify_peer(
    bundle: &TrustBundle,
    chain_der: &[CertificateDer<'_>],
    purpose: Purpose,
    now: i64,
) -> Result<PeerIdentity, VerifyError> {
    let (leaf, intermediates) = chain_der.split_first().ok_or(VerifyError::NoCertificate)?;
    verify(bundle, leaf, intermediates, purpose, now)
}

/// As [`verify_peer`], for a chain that is split already.
pub(crate) fn verify(
    bundle: &TrustBundle,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    purpose: Purpose,
    now: i64,
) -> Result<PeerIdentity, VerifyError> {
    if intermediates.len() >= MAX_CHAIN {
        return Err(VerifyError::TooManyCertificates(intermediates.len() + 1));
    }
    let facts = Certificate::from_der(leaf)?;
    let usage = match purpose {
        Purpose::Client => KeyUsage::client_auth(),
        Purpose::Server => KeyUsage::server_auth(),
    };
    let seconds = Duration::from_secs(u64::try_from(now).unwrap_or_default());
    let to_error = |error| chain_error(error, purpose);
    EndEntityCert::try_from(leaf)
        .map_err(to_error)?
        .verify_for_usage(
            SIGNATURES,
            &bundle.anchors_at(now),
            intermediates,
            UnixTime::since_unix_epoch(seconds),
            usage,
            None,
            None,
        )
        .map_err(to_error)?;
    // The usage above may be absent, as it must be able to be in an intermediate.
    if !facts.names_purposes() {
        return Err(VerifyError::Purpose(purpose));
    }
    let peer = PeerIdentity::read(&facts, leaf, intermediates)?;
    if peer.id.trust_domain != *bundle.trust_domain() {
        return Err(VerifyError::TrustDomain {
            presented: peer.id.trust_domain.to_string(),
            trusted: bundle.trust_domain().to_string(),
        });
    }
    Ok(peer)
}

fn chain_error(error: webpki::Error, purpose: Purpose) -> VerifyError {
    use webpki::Error;

    match error {
        Error::UnknownIssuer => VerifyError::UnknownIssuer,
        Error::InvalidSignatureForPublicKey => VerifyError::Signature,
        Error::CertExpired { time, not_after } => {
            VerifyError::Expired { now: seconds(time), not_after: seconds(not_after) }
        }
        Error::CertNotValidYet { time, not_before } => {
            VerifyError::NotYetValid { now: seconds(time), not_before: seconds(not_before) }
        }
        Error::RequiredEkuNotFoundContext(_) => VerifyError::Purpose(purpose),
        other => VerifyError::Chain(other.to_string()),
    }
}

pub(crate) fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
