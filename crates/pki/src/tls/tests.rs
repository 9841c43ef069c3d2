//! Tests of whole handshakes in memory: settings, peers that are refused, and the reasons.
//!
//! Absent on purpose: sockets, and every way in which a chain can be bad (`verify` tests that).

use std::io::{Read as _, Write as _};

use rustls::time_provider::TimeProvider;
use rustls::{ClientConnection, NamedGroup, ProtocolVersion, ServerConnection};

use super::*;
use crate::authority::LEAF_TTL;
use crate::fixture::{
    LEAF_2018, NOW, bundle, identity, issuer, leaf, leaf_params, root, service, spoilt_leaf,
};

#[derive(Debug)]
struct At(i64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0))
    }
}

/// A server at `now`, to be changed further.
fn server(identity: &Identity, bundle: &TrustBundle, now: i64) -> ServerConfig {
    let mut config = ServerConfig::clone(&server_config(identity, bundle).unwrap());
    config.time_provider = Arc::new(At(now));
    config
}

/// A client at `now` that expects the service `db`, to be changed further.
fn client(identity: &Identity, bundle: &TrustBundle, now: i64) -> ClientConfig {
    let expected = ExpectedPeer(service("db"));
    let mut config = ClientConfig::clone(&client_config(identity, bundle, expected).unwrap());
    config.time_provider = Arc::new(At(now));
    config
}

/// Both ends of a connection.
#[derive(Debug)]
struct Pair {
    client: ClientConnection,
    server: ServerConnection,
}

/// What each end says of a handshake that has failed, client first.
type Failure = (Option<HandshakeError>, Option<HandshakeError>);

impl Pair {
    fn new(client: ClientConfig, server: ServerConfig) -> Self {
        Self {
            client: ClientConnection::new(Arc::new(client), server_name()).unwrap(),
            server: ServerConnection::new(Arc::new(server)).unwrap(),
        }
    }

    /// Carries bytes until nobody has any left, or one end has failed and the other has heard.
    fn exchange(mut self) -> Result<Self, Failure> {
        let mut failure: Failure = (None, None);
        loop {
            let mut moved = false;
            let mut wire = Vec::new();
            while self.client.wants_write() {
                moved |= self.client.write_tls(&mut wire).unwrap() > 0;
            }
            if let Err(error) = feed(&mut self.server, &wire) {
                failure.1.get_or_insert(HandshakeError::from(&error));
            }
            wire.clear();
            while self.server.wants_write() {
                moved |= self.server.write_tls(&mut wire).unwrap() > 0;
            }
            if let Err(error) = feed(&mut self.client, &wire) {
                failure.0.get_or_insert(HandshakeError::from(&error));
            }
            if !moved {
                return if failure == (None, None) { Ok(self) } else { Err(failure) };
            }
        }
    }
}

fn feed<Data>(
    end: &mut rustls::ConnectionCommon<Data>,
    mut bytes: &[u8],
) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        end.read_tls(&mut bytes).unwrap();
        end.process_new_packets()?;
    }
    Ok(())
}

fn failure(client: ClientConfig, server: ServerConfig) -> Failure {
    Pair::new(client, server).exchange().unwrap_err()
}

#[test]
fn both_ends_know_each_other_afterwards() {
    let root = root(7);
    let (bundle, web, db) =
        (bundle(&[&root]), identity(&root, "web", ""), identity(&root, "db", ""));
    let pair = Pair::new(client(&web, &bundle, NOW), server(&db, &bundle, NOW));
    let mut pair = pair.exchange().unwrap();
    assert_eq!(verified_peer(&pair.server).unwrap().id, service("web"));
    assert_eq!(verified_peer(&pair.client).unwrap().id, service("db"));
    assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = pair.client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    let suite = pair.client.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
    assert_eq!(pair.server.server_name(), None);
    assert_eq!(pair.client.tls13_tickets_received(), 0);

    pair.client.writer().write_all(b"hello").unwrap();
    let mut pair = pair.exchange().unwrap();
    let mut received = [0; 5];
    pair.server.reader().read_exact(&mut received).unwrap();
    assert_eq!(&received, b"hello");
    assert!(pair.client.dangerous_extract_secrets().is_ok());
    assert!(pair.server.dangerous_extract_secrets().is_ok());
}

#[test]
fn older_peers_are_served() {
    let root = root(7);
    let (bundle, web, db) =
        (bundle(&[&root]), identity(&root, "web", ""), identity(&root, "db", ""));
    // A client of TLS 1.2 that knows no post-quantum key exchange.
    let mut provider = CryptoProvider::clone(&PROVIDER);
    provider.kx_groups.retain(|group| group.name() == NamedGroup::secp256r1);
    let expected = ExpectedPeer(service("db"));
    let verifier = Arc::new(ServerVerifier { bundle: bundle.clone(), expected });
    let mut old = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(web.certified)));
    old.time_provider = Arc::new(At(NOW));
    let pair = Pair::new(old, server(&db, &bundle, NOW)).exchange().unwrap();
    assert_eq!(pair.server.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(verified_peer(&pair.server).unwrap().id, service("web"));
}

#[test]
fn a_client_without_certificate_is_refused() {
    let root = root(7);
    let (bundle, web, db) =
        (bundle(&[&root]), identity(&root, "web", ""), identity(&root, "db", ""));
    let mut nobody = client(&web, &bundle, NOW);
    nobody.client_auth_cert_resolver = Arc::new(NoCertificate);
    let (at_client, at_server) = failure(nobody, server(&db, &bundle, NOW));
    assert_eq!(at_server, Some(HandshakeError::Peer(VerifyError::NoCertificate)));
    assert_eq!(at_client, Some(HandshakeError::Refused(AlertDescription::CertificateRequired)));
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn another_service_than_the_called_one_is_refused() {
    let root = root(7);
    let (bundle, web) = (bundle(&[&root]), identity(&root, "web", ""));
    let other = identity(&root, "other", "");
    let (at_client, at_server) = failure(client(&web, &bundle, NOW), server(&other, &bundle, NOW));
    let reason = VerifyError::OtherPeer {
        presented: service("other").to_uri(),
        expected: service("db").to_uri(),
    };
    assert_eq!(at_client, Some(HandshakeError::Peer(reason)));
    assert_eq!(at_server, Some(HandshakeError::Refused(AlertDescription::CertificateUnknown)));
}

#[test]
fn each_end_refuses_strangers_and_says_so() {
    let (ours, strange) = (root(7), root(8));
    let (ours, strange, [good, bad]) = (
        bundle(&[&ours]),
        bundle(&[&strange]),
        [&ours, &strange].map(|root| (identity(root, "web", ""), identity(root, "db", ""))),
    );
    let unknown = Some(HandshakeError::Peer(VerifyError::UnknownIssuer));
    let refused = Some(HandshakeError::Refused(AlertDescription::UnknownCA));
    let (at_client, at_server) =
        failure(client(&good.0, &ours, NOW), server(&bad.1, &strange, NOW));
    assert_eq!((at_client, at_server), (unknown.clone(), refused.clone()));
    // The client takes the server for good, but not the other way round.
    let (at_client, at_server) = failure(client(&bad.0, &ours, NOW), server(&good.1, &ours, NOW));
    assert_eq!((at_client, at_server), (refused, unknown));
}

#[test]
fn expiry_is_told_with_its_times() {
    let root = root(7);
    let (bundle, web, db) =
        (bundle(&[&root]), identity(&root, "web", ""), identity(&root, "db", ""));
    let (last, late) = (NOW - 60 + LEAF_TTL, NOW + LEAF_TTL);
    assert_eq!(web.not_after(), last);
    let (at_client, at_server) = failure(client(&web, &bundle, NOW), server(&db, &bundle, late));
    let expired = HandshakeError::Peer(VerifyError::Expired { now: late, not_after: last });
    assert_eq!(at_server, Some(expired.clone()));
    assert_eq!(at_client, Some(HandshakeError::Refused(AlertDescription::CertificateExpired)));
    let (at_client, _) = failure(client(&web, &bundle, late), server(&db, &bundle, NOW));
    assert_eq!(at_client, Some(expired));
    let early = NOW - 61;
    let (at_client, _) = failure(client(&web, &bundle, early), server(&db, &bundle, NOW));
    let reason = VerifyError::NotYetValid { now: early, not_before: NOW - 60 };
    assert_eq!(at_client, Some(HandshakeError::Peer(reason)));
}

#[test]
fn a_certificate_for_the_other_purpose_is_refused() {
    let root = root(7);
    let (bundle, db) = (bundle(&[&root]), identity(&root, "db", ""));
    let mut params = leaf_params(&[&service("web").to_uri()]);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let (cert, key) = spoilt_leaf(&params, &issuer(&root));
    let web = Identity::from_pem(&cert, &key).unwrap();
    let (_, at_server) = failure(client(&web, &bundle, NOW), server(&db, &bundle, NOW));
    assert_eq!(at_server, Some(HandshakeError::Peer(VerifyError::Purpose(Purpose::Client))));
}

#[test]
fn rotation_in_both_directions() {
    let (old, new) = (root(7), root(8));
    let cross = old.cross_sign(new.certificate(), NOW).unwrap();
    let (before, after) = (bundle(&[&old]), bundle(&[&old, &new]));
    let ahead = |name| identity(&new, name, &cross);
    let behind = |name| identity(&old, name, "");
    // One end has heard of the new root, the other has not.
    for (client, server) in [
        (client(&ahead("web"), &after, NOW), server(&behind("db"), &before, NOW)),
        (client(&behind("web"), &before, NOW), server(&ahead("db"), &after, NOW)),
    ] {
        Pair::new(client, server).exchange().unwrap();
    }
    // Without the cross-signed certificate only who has heard of it accepts the other.
    let bare = identity(&new, "web", "");
    let (_, at_server) = failure(client(&bare, &after, NOW), server(&behind("db"), &before, NOW));
    assert_eq!(at_server, Some(HandshakeError::Peer(VerifyError::UnknownIssuer)));
}

#[test]
fn an_identity_is_one_pair() {
    let root = root(7);
    let (cert, key) = leaf(&root, &service("web"), NOW);
    let web = Identity::from_pem(&(cert.clone() + root.cert_pem()), &key).unwrap();
    assert_eq!((web.id(), web.chain().len()), (Some(&service("web")), 2));
    let (_, other) = leaf(&root, &service("web"), NOW);
    assert_eq!(Identity::from_pem(&cert, &other).unwrap_err(), IdentityError::KeyMismatch);
    assert_eq!(Identity::from_pem(LEAF_2018, &key).unwrap_err(), IdentityError::KeyMismatch);
    assert!(matches!(Identity::from_pem(&cert, &cert), Err(IdentityError::Key(_))));
    assert!(matches!(Identity::from_pem(&key, &key), Err(IdentityError::Certificate(_))));
    let (cert, key) = spoilt_leaf(&leaf_params(&["http://x"]), &issuer(&root));
    assert_eq!(Identity::from_pem(&cert, &key).unwrap().id(), None);
}

#[test]
fn every_reason_survives_the_tls_library() {
    for error in [
        VerifyError::NoCertificate,
        VerifyError::TooManyCertificates(9),
        VerifyError::UnknownIssuer,
        VerifyError::Signature,
        VerifyError::Expired { now: 3, not_after: 2 },
        VerifyError::NotYetValid { now: 3, not_before: 4 },
        VerifyError::Purpose(Purpose::Server),
        VerifyError::Chain("x".to_owned()),
        VerifyError::UriCount(2),
    ] {
        let inside = io::Error::new(io::ErrorKind::InvalidData, to_tls(error.clone()));
        assert_eq!(HandshakeError::from(&inside), HandshakeError::Peer(error));
    }
    let broken = io::Error::from(io::ErrorKind::ConnectionReset);
    let error = HandshakeError::from(&broken);
    assert!(matches!(error, HandshakeError::Io { kind: io::ErrorKind::ConnectionReset, .. }));
    let other = HandshakeError::from(&rustls::Error::HandshakeNotComplete);
    assert!(matches!(other, HandshakeError::Protocol(_)));
}

#[test]
fn what_is_not_tls_is_a_protocol_error() {
    let root = root(7);
    let mut end = ServerConnection::new(
        server_config(&identity(&root, "db", ""), &bundle(&[&root])).unwrap(),
    )
    .unwrap();
    let error = feed(&mut end, b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
    assert!(matches!(HandshakeError::from(&error), HandshakeError::Protocol(_)));
    assert_eq!(verified_peer(&end), Err(VerifyError::NoCertificate));
}
