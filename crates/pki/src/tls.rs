//! TLS configurations for both sides of a connection in the mesh, and why a handshake failed.
//!
//! Absent on purpose: connections, host names and server name indication, session resumption and
//! early data (each connection is verified anew), application protocols (a proxy carries any),
//! and time-outs. Follows RFC 8446 and RFC 5246 as rustls implements them, with the profile of
//! Connect: both sides present a certificate, the client checks the id instead of a host name.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, CertificateError as TlsCertificateError, CipherSuite, ClientConfig,
    CommonState, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::certificate::{Certificate, CertificateError};
use crate::pem::MAX_TEXT_BYTES;
use crate::roots::TrustBundle;
use crate::spiffe::{ServiceId, SpiffeId};
use crate::verify::{PeerIdentity, Purpose, VerifyError, seconds, verify};

/// All of the cryptography. Its first key exchange is X25519MLKEM768, which keeps recorded
/// traffic closed to quantum computers; peers that do not know it fall back to X25519.
///
/// AES-128-GCM with SHA-256 comes first, as browsers have it: no attack on it is known, its records
/// cost a third less than those of AES-256, and processors have instructions for its hash.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
    Arc::new(provider)
});

const fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

/// Why there is no identity, or no configuration for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificates cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The private key cannot be read, or is of a kind that TLS does not know.
    #[error("private key: {0}")]
    Key(String),
    /// Key and leaf are not of one pair.
    #[error("the private key does not match the certificate")]
    KeyMismatch,
    /// The configuration is refused.
    #[error("TLS configuration: {0}")]
    Config(String),
}

/// What a service presents: leaf, intermediates and the private key. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    not_after: i64,
    id: Option<ServiceId>,
}

impl Identity {
    /// Reads a chain, leaf first, and the private key, which may be of any kind that TLS knows.
    ///
    /// # Errors
    /// [`IdentityError`] if one of them cannot be read or they do not belong together.
    pub fn from_pem(chain_pem: &str, key_pem: &str) -> Result<Self, IdentityError> {
        let chain = Certificate::chain_from_pem(chain_pem)?;
        if key_pem.len() > MAX_TEXT_BYTES {
            return Err(IdentityError::Key(format!("PEM text of {} bytes", key_pem.len())));
        }
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|error| IdentityError::Key(error.to_string()))?;
        let mut not_after = i64::MAX;
        let mut id = None;
        if let Some(leaf) = chain.first() {
            not_after = leaf.not_after();
            if let [uri] = leaf.uris() {
                id = SpiffeId::parse(uri).ok().and_then(SpiffeId::into_service);
            }
        }
        let ders = chain.iter().map(|cert| CertificateDer::from(cert.der().to_vec())).collect();
        let certified =
            CertifiedKey::from_der(ders, key, &PROVIDER).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => IdentityError::KeyMismatch,
                other => IdentityError::Key(other.to_string()),
            })?;
        Ok(Self { certified: Arc::new(certified), not_after, id })
    }

    /// The last second of the leaf's life, since 1970 UTC.
    #[must_use]
    pub const fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The service that the leaf is for, if it is for exactly one.
    #[must_use]
    pub const fn id(&self) -> Option<&ServiceId> {
        self.id.as_ref()
    }

    /// What is presented, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }
}

/// The one service that a server must be; any instance of it will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedPeer(pub ServiceId);

/// The settings of a server that demands a certificate of the bundle's trust domain.
///
/// Nothing is resumed, so each client is verified; secrets can be extracted, so that the kernel
/// may take the connection over. Whether the client may connect is for the caller to decide:
/// [`verified_peer`] tells who it is.
///
/// # Errors
/// [`IdentityError::Config`] if the TLS library refuses the settings.
pub fn server_config(
    identity: &Identity,
    bundle: &TrustBundle,
) -> Result<Arc<ServerConfig>, IdentityError> {
    let verifier = Arc::new(ClientVerifier { bundle: bundle.clone() });
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .map_err(|error| IdentityError::Config(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&identity.certified))));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// The settings of a client that demands exactly this service at the other end.
///
/// No host name is checked or sent; give [`server_name`] to the TLS library.
///
/// # Errors
/// [`IdentityError::Config`] if the TLS library refuses the settings.
pub fn client_config(
    identity: &Identity,
    bundle: &TrustBundle,
    expected: ExpectedPeer,
) -> Result<Arc<ClientConfig>, IdentityError> {
    let verifier = Arc::new(ServerVerifier { bundle: bundle.clone(), expected });
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .map_err(|error| IdentityError::Config(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(
            &identity.certified,
        ))));
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// A name for the TLS library, which wants one; it is neither sent nor checked.
#[must_use]
pub fn server_name() -> ServerName<'static> {
    Ipv4Addr::UNSPECIFIED.into()
}

/// Who is at the other end of a connection whose handshake has finished.
///
/// # Errors
/// [`VerifyError`] if the handshake has not come that far, or if the connection is not of a
/// configuration that was made here.
pub fn verified_peer(connection: &CommonState) -> Result<PeerIdentity, VerifyError> {
    PeerIdentity::of_verified(connection.peer_certificates().unwrap_or_default())
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The peer's certificates are not accepted.
    #[error(transparent)]
    Peer(#[from] VerifyError),
    /// The peer does not accept ours, or something else, and says so with this alert.
    #[error("peer refused the connection: {0:?}")]
    Refused(AlertDescription),
    /// What the peer sends is not TLS as we know it.
    #[error("TLS: {0}")]
    Protocol(String),
    /// The connection broke.
    #[error("connection: {message}")]
    Io {
        /// What kind of failure it was.
        kind: io::ErrorKind,
        /// The failure in words.
        message: String,
    },
}

impl From<&rustls::Error> for HandshakeError {
    fn from(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(alert) => Self::Refused(*alert),
            rustls::Error::NoCertificatesPresented => Self::Peer(VerifyError::NoCertificate),
            rustls::Error::InvalidCertificate(reason) => match from_tls(reason) {
                Some(error) => Self::Peer(error),
                None => Self::Protocol(reason.to_string()),
            },
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl From<&io::Error> for HandshakeError {
    fn from(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::from(error),
            None => Self::Io { kind: error.kind(), message: error.to_string() },
        }
    }
}

#[derive(Debug)]
struct ClientVerifier {
    bundle: TrustBundle,
}

impl ClientCertVerifier for ClientVerifier {
    /// No hints: a client has one identity, and during a rotation its issuer may be a root that
    /// is not yet known here, to which an intermediate leads.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        verify(&self.bundle, end_entity, intermediates, Purpose::Client, seconds(now))
            .map(|_| ClientCertVerified::assertion())
            .map_err(to_tls)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

#[derive(Debug)]
struct ServerVerifier {
    bundle: TrustBundle,
    expected: ExpectedPeer,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let peer = verify(&self.bundle, end_entity, intermediates, Purpose::Server, seconds(now))
            .map_err(to_tls)?;
        if peer.id != self.expected.0 {
            return Err(to_tls(VerifyError::OtherPeer {
                presented: peer.uri,
                expected: self.expected.0.to_uri(),
            }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

fn algorithms() -> &'static WebPkiSupportedAlgorithms {
    &PROVIDER.signature_verification_algorithms
}

/// The reason as the TLS library has it, so that the peer gets the alert that fits; what the
/// library has no word for travels inside.
fn to_tls(error: VerifyError) -> rustls::Error {
    use TlsCertificateError as Tls;

    let reason = match error {
        VerifyError::NoCertificate => return rustls::Error::NoCertificatesPresented,
        VerifyError::UnknownIssuer => Tls::UnknownIssuer,
        VerifyError::Signature => Tls::BadSignature,
        VerifyError::Expired { now, not_after } => {
            Tls::ExpiredContext { time: unix_time(now), not_after: unix_time(not_after) }
        }
        VerifyError::NotYetValid { now, not_before } => {
            Tls::NotValidYetContext { time: unix_time(now), not_before: unix_time(not_before) }
        }
        other => Tls::Other(OtherError(Arc::new(other))),
    };
    rustls::Error::InvalidCertificate(reason)
}

/// The reverse of [`to_tls`]; `None` for what does not come from there.
fn from_tls(reason: &TlsCertificateError) -> Option<VerifyError> {
    use TlsCertificateError as Tls;

    match reason {
        Tls::UnknownIssuer => Some(VerifyError::UnknownIssuer),
        Tls::BadSignature => Some(VerifyError::Signature),
        Tls::ExpiredContext { time, not_after } => {
            Some(VerifyError::Expired { now: seconds(*time), not_after: seconds(*not_after) })
        }
        Tls::NotValidYetContext { time, not_before } => {
            Some(VerifyError::NotYetValid { now: seconds(*time), not_before: seconds(*not_before) })
        }
        Tls::Other(OtherError(inner)) => inner.downcast_ref::<VerifyError>().cloned(),
        _ => None,
    }
}

fn unix_time(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

#[cfg(test)]
mod tests;
