//! Who may do what on the server port, where certificates are demanded there.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use lictor_testkit::{Agent, free_ports};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

// First bytes of a connection.
const TLS: u8 = 3;
const CALLS: u8 = 4;
const PEERS: u8 = b'L';
/// "Are you there?" on a connection with several streams.
const PING: [u8; 12] = [0, 2, 0, 1, 0, 0, 0, 0, 7, 7, 7, 7];
/// The answer to it.
const PONG: [u8; 12] = [0, 2, 0, 2, 0, 0, 0, 0, 7, 7, 7, 7];
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// An authority, and the port where its certificates are demanded.
struct Port {
    authority: CertifiedIssuer<'static, KeyPair>,
    number: u16,
}

impl Port {
    /// A certificate for a name, and its key; PEM.
    fn issue(&self, name: SanType) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(name);
        let made = params.signed_by(&key, &self.authority).expect("a certificate");
        (made.pem(), key.serialize_pem())
    }

    /// Whether somebody with a certificate of this name is answered on a connection of this kind;
    /// otherwise it has been ended.
    fn answers(&self, name: SanType, kind: u8) -> bool {
        let (own, key) = self.issue(name);
        let der =
            |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.authority.pem())).expect("a root");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![der(&own)], key)
            .expect("a configuration");
        let server = "server.dc1.consul".try_into().expect("a name");
        let session = ClientConnection::new(Arc::new(config), server).expect("a session");
        let mut socket = TcpStream::connect(("127.0.0.1", self.number)).expect("a connection");
        socket.set_read_timeout(Some(ANSWER)).expect("a limit");
        socket.write_all(&[TLS]).expect("room for a byte");
        let mut stream = StreamOwned::new(session, socket);
        let mut answer = [0; PONG.len()];
        let sent = [&[kind][..], &PING].concat();
        match stream.write_all(&sent).and_then(|()| stream.read_exact(&mut answer)) {
            Ok(()) => answer == PONG,
            Err(error) => {
                let waited = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                assert!(!waited.contains(&error.kind()), "neither answered nor ended: {error}");
                false
            }
        }
    }
}

#[test]
fn agents_may_call_but_only_servers_take_part_in_consensus_and_services_do_neither() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");
    let [number] = free_ports();
    let port = Port { authority, number };
    let dns = |name: &str| SanType::DnsName(name.try_into().expect("a name"));
    let (own, key) = port.issue(dns("server.dc1.consul"));
    for (file, text) in [("ca", &port.authority.pem()), ("own", &own), ("key", &key)] {
        fs::write(folder.path().join(format!("{file}.pem")), text).expect("a file");
    }
    let extra = json!({
        "data_dir": "data", "ports": {"server": number},
        "ca_file": "ca.pem", "cert_file": "own.pem", "key_file": "key.pem",
        "verify_incoming": true, "verify_outgoing": true, "verify_server_hostname": true,
    });
    let agent = Agent::start_in(folder, &["-server", "-bootstrap-expect=1"], &extra);
    let service = "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/web";
    let uri = |text: &str| SanType::URI(text.try_into().expect("an address"));
    for (name, calls, consensus) in [
        (dns("server.dc1.consul"), true, true),
        (dns("client.dc1.consul"), true, false),
        (dns("server.dc2.consul"), true, false),
        (uri(service), false, false),
    ] {
        let log = || agent.program.output();
        assert_eq!(port.answers(name.clone(), CALLS), calls, "{name:?}\n{}", log());
        assert_eq!(port.answers(name.clone(), PEERS), consensus, "{name:?}\n{}", log());
    }
    for said in ["consensus with what is no server", "the certificate is that of a service"] {
        assert!(agent.program.output().contains(said), "the log does not say: {said}");
    }
}
