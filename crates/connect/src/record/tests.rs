//! Our record layer against rustls' own connections, byte by byte, without sockets once the
//! handshake is done.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, ServerConfig,
    ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

use proptest::prelude::*;

use super::*;
use crate::buffer::BUFFER_BYTES;
use crate::fixture::{Mesh, pair};
use crate::fuzzing::{Found, Link};
use crate::handshake;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// Believes everybody: who the peer is matters in other tests.
#[derive(Debug)]
struct Gullible(Arc<CryptoProvider>);

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A peer that is rustls alone.
fn peer(mesh: &Mesh, version: &'static SupportedProtocolVersion, is_server: bool) -> Connection {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (cert, key) = mesh.leaf("peer");
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    if is_server {
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        ServerConnection::new(Arc::new(config)).unwrap().into()
    } else {
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible(provider)))
            .with_client_auth_cert(chain, key)
            .unwrap();
        let name = lictor_pki::tls::server_name();
        ClientConnection::new(Arc::new(config), name).unwrap().into()
    }
}

/// Makes a session of ours with a peer of rustls; also gives what the peer sent right after its
/// handshake.
async fn session(
    version: &'static SupportedProtocolVersion,
    we_serve: bool,
) -> (Session, Connection, Vec<u8>) {
    let mesh = Mesh::new();
    let mut peer = peer(&mesh, version, !we_serve);
    let (mut ours, theirs) = pair().await;
    let mut theirs = theirs.into_std().unwrap();
    theirs.set_nonblocking(false).unwrap();
    let thread = std::thread::spawn(move || {
        while peer.is_handshaking() || peer.wants_write() {
            peer.complete_io(&mut theirs).unwrap();
        }
        (peer, theirs)
    });
    let finished = if we_serve {
        let config = mesh.identity("us").server_config();
        handshake::accept(&mut ours, config).await.unwrap()
    } else {
        let expected = crate::endpoint::ExpectedService::new("dc1", "peer");
        let config = mesh.identity("us").client_config(&expected).unwrap();
        handshake::connect(&mut ours, config, lictor_pki::tls::server_name()).await.unwrap()
    };
    let (peer, theirs) = thread.join().unwrap();
    drop(theirs);
    let mut leftover = finished.leftover;
    while ours.readable().await.is_ok() {
        let mut more = [0; 4096];
        match ours.try_read(&mut more) {
            Ok(0) => break,
            Ok(count) => leftover.extend_from_slice(&more[..count]),
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    (finished.session, peer, leftover)
}

/// Wire bytes of what `peer` wants to send.
fn sent(peer: &mut Connection) -> Vec<u8> {
    let mut wire = Vec::new();
    while peer.wants_write() {
        peer.write_tls(&mut wire).unwrap();
    }
    wire
}

/// What `peer` reads in `wire`.
fn received(peer: &mut Connection, mut wire: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while !wire.is_empty() {
        peer.read_tls(&mut wire).unwrap();
        let state = peer.process_new_packets().unwrap();
        let start = plain.len();
        plain.resize(start + state.plaintext_bytes_to_read(), 0);
        peer.reader().read_exact(&mut plain[start..]).unwrap();
    }
    plain
}

/// Everything in `wire`, and whether the peer ended.
fn open_all(session: &mut Session, wire: &mut [u8]) -> Result<(Vec<u8>, bool), RecordError> {
    let (mut plain, mut at) = (Vec::new(), 0);
    while at < wire.len() {
        match session.open(&mut wire[at..])? {
            Opened::Incomplete => panic!("{} bytes left", wire.len() - at),
            Opened::Closed => return Ok((plain, true)),
            Opened::Record { consumed, plain: range } => {
                plain.extend_from_slice(&wire[at..][range]);
                at += consumed;
            }
        }
    }
    Ok((plain, false))
}

/// One record of ours.
fn sealed(session: &mut Session, plain: &[u8]) -> Vec<u8> {
    let mut slot = vec![0; WIRE_RECORD_MAX];
    slot[HEADER..HEADER + plain.len()].copy_from_slice(plain);
    let size = session.seal(&mut slot, plain.len());
    let size = size.unwrap_or_else(|e| panic!("{e} {} {session:?}", plain.len()));
    slot.truncate(size);
    slot
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn data_goes_both_ways_in_every_version_and_role() {
    for version in VERSIONS {
        for we_serve in [true, false] {
            let (mut ours, mut peer, mut leftover) = session(version, we_serve).await;
            assert_eq!(open_all(&mut ours, &mut leftover).unwrap(), (Vec::new(), false));
            for size in [1, 15, 1000, PLAINTEXT_MAX] {
                let wire = sealed(&mut ours, &bytes(size));
                assert_eq!(received(&mut peer, &wire), bytes(size), "{version:?} {we_serve}");
            }
            for size in [1, 100, PLAINTEXT_MAX, 3 * PLAINTEXT_MAX + 5] {
                peer.writer().write_all(&bytes(size)).unwrap();
                let mut wire = sent(&mut peer);
                assert_eq!(open_all(&mut ours, &mut wire).unwrap(), (bytes(size), false));
            }
            assert!(ours.stride() <= WIRE_RECORD_MAX);
            const { assert!(4 * WIRE_RECORD_MAX <= BUFFER_BYTES) };
        }
    }
}

#[tokio::test]
async fn the_regular_end_is_told_both_ways() {
    for version in VERSIONS {
        let (mut ours, mut peer, _) = session(version, true).await;
        peer.writer().write_all(b"last").unwrap();
        peer.send_close_notify();
        let mut wire = sent(&mut peer);
        assert_eq!(open_all(&mut ours, &mut wire).unwrap(), (b"last".to_vec(), true));

        ours.queue_close().unwrap();
        let control = ours.control().to_vec();
        ours.control_sent(control.len());
        assert!(ours.control().is_empty());
        peer.read_tls(&mut control.as_slice()).unwrap();
        assert!(peer.process_new_packets().unwrap().peer_has_closed());
    }
}

#[tokio::test]
async fn a_changed_bit_anywhere_is_found() {
    for version in VERSIONS {
        let (mut ours, mut peer, _) = session(version, true).await;
        peer.writer().write_all(b"precious").unwrap();
        let mut wire = sent(&mut peer);
        let last = wire.len() - 1;
        wire[last] ^= 1;
        assert_eq!(ours.open(&mut wire), Err(RecordError::Undecryptable));
        let (mut ours, mut peer, _) = session(version, true).await;
        peer.writer().write_all(b"precious").unwrap();
        let mut wire = sent(&mut peer);
        wire[HEADER] ^= 0x80;
        assert_eq!(ours.open(&mut wire), Err(RecordError::Undecryptable));
    }
}

#[tokio::test]
async fn replayed_and_dropped_records_are_found() {
    for version in VERSIONS {
        let (mut ours, mut peer, _) = session(version, true).await;
        peer.writer().write_all(b"once").unwrap();
        let wire = sent(&mut peer);
        assert_eq!(open_all(&mut ours, &mut wire.clone()).unwrap().0, b"once");
        assert_eq!(ours.open(&mut wire.clone()), Err(RecordError::Undecryptable));

        let (mut ours, mut peer, _) = session(version, true).await;
        peer.writer().write_all(b"lost").unwrap();
        drop(sent(&mut peer));
        peer.writer().write_all(b"next").unwrap();
        assert_eq!(ours.open(&mut sent(&mut peer)), Err(RecordError::Undecryptable));
    }
}

#[tokio::test]
async fn every_beginning_of_a_record_is_incomplete() {
    let (mut ours, mut peer, _) = session(&TLS13, true).await;
    peer.writer().write_all(b"whole").unwrap();
    let mut wire = sent(&mut peer);
    for end in 0..wire.len() {
        assert_eq!(ours.open(&mut wire.clone()[..end]), Ok(Opened::Incomplete), "{end}");
    }
    assert_eq!(open_all(&mut ours, &mut wire).unwrap().0, b"whole");
}

#[tokio::test]
async fn keys_are_renewed_when_we_must_and_when_the_peer_asks() {
    let (mut ours, mut peer, _) = session(&TLS13, true).await;
    ours.renew_keys_after(3);
    for round in 0..10 {
        ours.renew_keys_if_due().unwrap();
        let mut wire = ours.control().to_vec();
        ours.control_sent(wire.len());
        assert_eq!(!wire.is_empty(), round > 0 && round % 3 == 0, "{round}");
        wire.extend(sealed(&mut ours, &bytes(round + 1)));
        assert_eq!(received(&mut peer, &wire), bytes(round + 1));
    }

    peer.refresh_traffic_keys().unwrap();
    peer.writer().write_all(b"under new keys").unwrap();
    let mut wire = sent(&mut peer);
    assert_eq!(open_all(&mut ours, &mut wire).unwrap().0, b"under new keys");
    let mut answer = ours.control().to_vec();
    assert!(!answer.is_empty(), "the peer's request is answered");
    ours.control_sent(answer.len());
    answer.extend(sealed(&mut ours, b"ours too"));
    assert_eq!(received(&mut peer, &answer), b"ours too");
}

#[tokio::test]
async fn old_peers_get_an_error_once_keys_are_used_up() {
    let (mut ours, _, _) = session(&TLS12, true).await;
    ours.renew_keys_after(2);
    ours.renew_keys_if_due().unwrap();
    let _ = (sealed(&mut ours, b"1"), sealed(&mut ours, b"2"));
    assert_eq!(ours.renew_keys_if_due(), Err(RecordError::KeysExhausted));
}

#[tokio::test]
async fn what_is_no_record_is_refused_by_its_header() {
    let (mut ours, _, _) = session(&TLS13, true).await;
    assert_eq!(ours.open(&mut b"GET / HTTP/1.1\r\n".to_vec()), Err(RecordError::NotTls));
    assert_eq!(ours.open(&mut [23, 3, 3, 0xff, 0xff]), Err(RecordError::Oversized(0xffff)));
    // Alerts in the clear mean nothing after the handshake.
    let alert = ours.open(&mut [21, 3, 3, 0, 2, 2, 40]);
    assert_eq!(alert, Err(RecordError::Unexpected("record type")));
}

#[tokio::test]
async fn a_fatal_alert_is_an_error_with_its_name() {
    let (mut ours, mut peer, _) = session(&TLS13, true).await;
    ours.queue_fatal(AlertDescription::AccessDenied).unwrap();
    peer.read_tls(&mut ours.control()).unwrap();
    let refusal = peer.process_new_packets().unwrap_err();
    assert_eq!(refusal, rustls::Error::AlertReceived(AlertDescription::AccessDenied));

    // A peer of ours is told in the same way.
    let error = RecordError::Alert(AlertDescription::AccessDenied);
    assert_eq!(error.to_string(), "remote error: tls: access denied");
}

/// A client and a server of ours.
fn link() -> Link {
    let mesh = Mesh::new();
    let expected = crate::endpoint::ExpectedService::new("dc1", "us");
    let client = mesh.identity("peer").client_config(&expected).unwrap();
    Link::new(client, mesh.identity("us").server_config()).unwrap()
}

/// What a stream gives until it ends or breaks.
fn opened(link: &mut Link, mut wire: &mut [u8]) -> (Vec<u8>, Result<(), RecordError>) {
    let mut plain = Vec::new();
    loop {
        match link.open(wire) {
            Ok(Found::Record(consumed, range)) => {
                plain.extend_from_slice(&wire[range]);
                wire = &mut wire[consumed..];
            }
            Ok(Found::Incomplete | Found::Closed) => return (plain, Ok(())),
            Err(error) => return (plain, Err(error)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_without_the_keys_are_never_data(
        kind in 19_u8..25, bytes in prop::collection::vec(any::<u8>(), 0..300), framed: bool,
    ) {
        let mut wire = if framed {
            [&[kind, 3, 3, 0, bytes.len().min(255) as u8][..], &bytes].concat()
        } else {
            bytes
        };
        let (plain, _) = opened(&mut link(), &mut wire);
        prop_assert_eq!(plain, Vec::<u8>::new());
    }

    #[test]
    fn a_peer_with_the_keys_can_say_anything(
        records in prop::collection::vec((
            prop_oneof![Just(23_u8), Just(22), Just(21), any::<u8>()],
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                Just(vec![24, 0, 0, 1, 1]), Just(vec![24, 0, 0]), Just(vec![4, 0, 0, 1, 0]),
                Just(vec![1, 0]), Just(vec![0, 0, 0]),
            ],
        ), 0..60),
    ) {
        let (mut link, mut said, mut heard) = (link(), Vec::new(), Vec::new());
        for (kind, payload) in &records {
            let mut wire = link.record(*kind, payload).unwrap();
            match link.open(&mut wire) {
                Ok(Found::Record(consumed, range)) => {
                    prop_assert_eq!(consumed, wire.len());
                    heard.extend_from_slice(&wire[range]);
                }
                Ok(Found::Incomplete) => prop_assert!(false, "a whole record"),
                Ok(Found::Closed) | Err(_) => break,
            }
            if *kind == 23 {
                said.extend_from_slice(payload);
            }
        }
        prop_assert_eq!(heard, said);
        // However many answers are asked for while none can be sent, one is kept.
        prop_assert!(link.answer().len() <= 64);
    }

    #[test]
    fn what_is_changed_on_the_way_ends_the_stream_there(
        sizes in prop::collection::vec(0_usize..400, 1..6),
        at in any::<prop::sample::Index>(), change in 1_u8..,
    ) {
        let mut link = link();
        let (mut wire, mut said, mut versions) = (Vec::new(), Vec::new(), Vec::new());
        for size in sizes {
            versions.push(wire.len() + 2);
            wire.extend(link.record(23, &bytes(size)).unwrap());
            said.extend(bytes(size));
        }
        let at = at.index(wire.len());
        wire[at] ^= change;
        let (heard, _) = opened(&mut link, &mut wire);
        prop_assert!(said.starts_with(&heard));
        // The second byte of a record's version is for nothing: RFC 8446, section 5.1.
        let all = versions.contains(&at);
        prop_assert!(all || heard.len() <= at, "nothing of the changed record or after it");
    }
}
