//! Listeners with TLS: handshakes, client certificates, reload, limits.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::HttpLimits;
use crate::connection::Answering;
use crate::request::Request;
use crate::tls::TlsConfig;

/// Answers with a body of the size that the path names, or with the length of what came.
struct Sizes;

impl Service for Sizes {
    fn body_limit(&self, _: &Request) -> (usize, Answer) {
        (10_000_000, Answer::empty(413))
    }

    fn prepare(&self, _: &mut Request) {}

    fn call<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        let size = request.path[1..].parse().unwrap_or(0);
        let body = if size > 0 { "x".repeat(size) } else { request.body.len().to_string() };
        let mut answer = Answer::text(200, "");
        answer.body = Bytes::from(body);
        Box::pin(std::future::ready(answer))
    }

    fn common_headers(&self) -> &[u8] {
        b""
    }
}

/// An authority that writes certificates into a folder.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// PEM of a certificate and of its key.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// Settings of a client that trusts this authority alone and presents a certificate, if any.
    fn client(&self, own: Option<(String, String)>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

fn put(folder: &Path, (cert, key): (String, String)) {
    fs::write(folder.join("cert.pem"), cert).unwrap();
    fs::write(folder.join("key.pem"), key).unwrap();
}

fn config(folder: &Path, limits: HttpLimits) -> HttpConfig {
    HttpConfig {
        tls_listeners: vec![Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))],
        tls: Some(TlsConfig {
            cert_file: folder.join("cert.pem"),
            key_file: folder.join("key.pem"),
            ..TlsConfig::default()
        }),
        limits,
        ..HttpConfig::default()
    }
}

async fn open(config: &HttpConfig) -> (HttpServer, LiveSettings) {
    let live = LiveSettings::load(config).unwrap();
    (HttpServer::open(config, live.clone(), Sizes).await.unwrap(), live)
}

async fn ask(server: &HttpServer, client: &TlsConnector, request: &str) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(server.addresses()[0]).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = client.connect(name, stream).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

const CLOSE: &str = "Host: h\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn requests_of_all_sizes_over_tls_and_certificates_that_are_replaced() {
    let (folder, one, other) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    put(folder.path(), one.issue());
    let config = config(folder.path(), HttpLimits::default());
    let (server, live) = open(&config).await;
    let client = one.client(None);
    for size in [1, 5_000, 3_000_000] {
        let answer = ask(&server, &client, &format!("GET /{size} HTTP/1.1\r\n{CLOSE}")).await;
        let answer = answer.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK") && answer.ends_with(b"x"), "{size}");
        assert!(answer.len() > size);
    }
    let body = "y".repeat(2_000_000);
    let head = format!("PUT / HTTP/1.1\r\nContent-Length: {}\r\n{CLOSE}", body.len());
    let answer = ask(&server, &client, &format!("{head}{body}")).await.unwrap();
    assert!(answer.ends_with(b"2000000"));

    fs::write(folder.path().join("key.pem"), "nothing").unwrap();
    assert!(live.reload(&config).is_err());
    assert!(ask(&server, &client, &format!("GET /1 HTTP/1.1\r\n{CLOSE}")).await.is_ok());
    put(folder.path(), other.issue());
    live.reload(&config).unwrap();
    assert!(ask(&server, &client, &format!("GET /1 HTTP/1.1\r\n{CLOSE}")).await.is_err());
    let client = other.client(None);
    assert!(ask(&server, &client, &format!("GET /1 HTTP/1.1\r\n{CLOSE}")).await.is_ok());
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn certificates_of_clients_can_be_demanded() {
    let (folder, one, other) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    put(folder.path(), one.issue());
    fs::write(folder.path().join("ca.pem"), one.0.pem()).unwrap();
    let mut config = config(folder.path(), HttpLimits::default());
    if let Some(tls) = &mut config.tls {
        (tls.verify_clients, tls.ca_file) = (true, Some(folder.path().join("ca.pem")));
    }
    let (server, _) = open(&config).await;
    let request = format!("GET /1 HTTP/1.1\r\n{CLOSE}");
    assert!(ask(&server, &one.client(None), &request).await.is_err());
    assert!(ask(&server, &one.client(Some(other.issue())), &request).await.is_err());
    assert!(ask(&server, &one.client(Some(one.issue())), &request).await.is_ok());
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn without_a_certificate_nobody_is_answered_until_a_reload_brings_one() {
    let (folder, one) = (tempfile::tempdir().unwrap(), Authority::new());
    put(folder.path(), one.issue());
    let given = config(folder.path(), HttpLimits::default());
    let (server, live) = open(&HttpConfig { tls: None, ..given.clone() }).await;
    let request = format!("GET /1 HTTP/1.1\r\n{CLOSE}");
    assert!(ask(&server, &one.client(None), &request).await.is_err());
    live.reload(&given).unwrap();
    assert!(ask(&server, &one.client(None), &request).await.is_ok());
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn handshakes_that_do_not_end_are_ended_and_bounded() {
    let (folder, one) = (tempfile::tempdir().unwrap(), Authority::new());
    put(folder.path(), one.issue());
    let limits = HttpLimits {
        handshake: Duration::from_millis(500),
        handshakes: 2,
        ..HttpLimits::default()
    };
    let (server, _) = open(&config(folder.path(), limits)).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(server.addresses()[0]).await.unwrap());
    }
    // The third is closed at once, the others when their time is up.
    for stream in silent.iter_mut().rev() {
        let mut byte = [0];
        let read = timeout(Duration::from_secs(10), stream.read(&mut byte)).await;
        assert!(matches!(read.expect("an end"), Ok(0) | Err(_)));
    }
    let free = async {
        while ask(&server, &one.client(None), &format!("GET /1 HTTP/1.1\r\n{CLOSE}")).await.is_err()
        {
        }
    };
    timeout(Duration::from_secs(10), free).await.expect("room for a real client");
    server.shutdown(Duration::from_secs(1)).await;
}
