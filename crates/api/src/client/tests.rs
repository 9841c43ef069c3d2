//! The client against a scripted listener: what is sent, and what becomes of each way to fail.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue";

/// Reads one request (head and body) as text; empty when the peer closed.
async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut text = Vec::new();
    loop {
        let mut chunk = [0; 1024];
        let n = stream.read(&mut chunk).await.unwrap_or(0);
        if n == 0 {
            return String::from_utf8(text).unwrap();
        }
        text.extend_from_slice(&chunk[..n]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|l| {
                l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
            })
            .map_or(0, |n| n.parse::<usize>().unwrap());
        if body.len() >= length {
            return so_far;
        }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, text: &str) -> String {
    let request = read_request(stream).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    request
}

async fn listen() -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut config = ClientConfig::for_address(&address).unwrap();
    config.token = "t0k".into();
    config.datacenter = Some("dc 1".into());
    config.basic_auth = Some("user:pass".into());
    (listener, Client::new(&config).unwrap())
}

#[tokio::test]
async fn requests_carry_token_datacenter_parameters_and_body() {
    let (listener, client) = listen().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let first = answer(&mut stream, OK).await;
        (first, answer(&mut stream, OK).await)
    };
    let calls = async {
        let put = client.put("/v1/kv/a").pair("flags", "4 2").flag("raw").body("value");
        assert!(client.call_json::<bool>(put).await.unwrap());
        let other = client.with_token("").unwrap().with_datacenter("");
        other.call(other.get("/v1/x")).await.unwrap();
    };
    // One connection serves both calls, or the script would never end.
    let ((first, second), ()) = tokio::join!(server, calls);
    assert!(first.starts_with("PUT /v1/kv/a?dc=dc%201&flags=4%202&raw HTTP/1.1\r\n"), "{first}");
    assert!(first.contains("x-consul-token: t0k\r\n"), "{first}");
    assert!(first.contains("authorization: Basic dXNlcjpwYXNz\r\n"), "{first}");
    assert!(first.ends_with("\r\n\r\nvalue"), "{first}");
    assert!(second.starts_with("GET /v1/x HTTP/1.1\r\n"), "{second}");
    assert!(!second.contains("x-consul-token"), "{second}");
}

#[tokio::test]
async fn blocking_reads_send_index_and_wait_and_give_the_headers() {
    let (listener, client) = listen().await;
    let script = "HTTP/1.1 404 Not Found\r\nX-Consul-Index: 12\r\nX-Consul-ContentHash: ab\r\nContent-Length: 0\r\n\r\n";
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        (answer(&mut stream, script).await, answer(&mut stream, script).await)
    };
    let client = client.with_datacenter("");
    let calls = async {
        let wait = Duration::from_secs(5);
        let reply = client.get_blocking("/v1/kv/x?stale", 11, wait).await.unwrap();
        assert_eq!((reply.status, reply.index(), reply.content_hash()), (404, 12, "ab"));
        client.get_blocking_hash("/v1/p", "", wait).await.unwrap();
    };
    let ((first, second), ()) = tokio::join!(server, calls);
    assert!(first.starts_with("GET /v1/kv/x?stale&index=11&wait=5000ms HTTP"), "{first}");
    assert!(second.starts_with("GET /v1/p HTTP"), "{second}");
}

#[tokio::test]
async fn a_refusal_shows_status_and_text() {
    let (listener, client) = listen().await;
    let script = "HTTP/1.1 500 Internal\r\nContent-Length: 23\r\n\r\nNo path to datacenter\n\n";
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, script).await;
    };
    let (error, ()) = tokio::join!(client.call(client.get("/v1/x")), server);
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "Unexpected response code: 500 (No path to datacenter)");
    assert_eq!((error.status(), error.is_retriable()), (Some(500), true));
}

#[tokio::test]
async fn a_refused_connection_reads_like_the_original() {
    let (listener, client) = listen().await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client.with_datacenter("");
    let error = client.call(client.put("/v1/kv/x")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Put http://{address}/v1/kv/x: dial tcp {address}: connect: connection refused")
    );
    assert!(error.is_retriable());
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced() {
    let (listener, client) = listen().await;
    let server = async {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, OK).await;
            stream.shutdown().await.unwrap();
        }
    };
    let calls = async {
        for _ in 0..2 {
            client.call(client.get("/v1/x")).await.unwrap();
        }
    };
    tokio::join!(server, calls);
}

#[tokio::test]
async fn a_read_cut_before_the_answer_is_asked_again_a_write_is_not() {
    let (listener, client) = listen().await;
    let server = async {
        // Serve one request, then cut the connection after having read the next.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, OK).await;
            read_request(&mut stream).await;
        }
        listener
    };
    let calls = async {
        client.call(client.get("/v1/a")).await.unwrap();
        client.call(client.get("/v1/b")).await.unwrap();
        let error = client.call(client.put("/v1/c")).await.unwrap_err();
        assert!(matches!(error, ClientError::Transport { .. }), "{error}");
    };
    tokio::join!(server, calls);
}

#[tokio::test]
async fn oversized_and_late_answers_are_errors() {
    let (listener, client) = listen().await;
    let big = format!("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{}", "x".repeat(2000));
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, &big).await;
        let (mut silent, _) = listener.accept().await.unwrap();
        read_request(&mut silent).await;
        read_request(&mut silent).await
    };
    let calls = async {
        let error = client.call(client.get("/v1/x").limit(1999)).await.unwrap_err();
        assert!(error.to_string().ends_with("larger than 1999 bytes"), "{error}");
        let late = client.get("/v1/x").timeout(Duration::from_millis(50));
        let error = client.call(late).await.unwrap_err();
        assert!(error.to_string().contains("Client.Timeout"), "{error}");
    };
    tokio::join!(server, calls);
}

#[tokio::test]
async fn garbage_is_an_error() {
    let (listener, client) = listen().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, "\0\0\0 no HTTP at all\r\n\r\n").await;
    };
    let (error, ()) = tokio::join!(client.call(client.get("/v1/x")), server);
    assert!(matches!(error, Err(ClientError::Transport { .. })));
    assert!(client.with_token("a\nb").is_err());
    assert!(matches!(client.send(client.get("/a b")).await, Err(ClientError::Invalid(_))));
}

#[tokio::test]
async fn unix_sockets_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let config = ClientConfig::for_address(&format!("unix://{}", path.display())).unwrap();
    let client = Client::new(&config).unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, OK).await
    };
    let (request, reply) = tokio::join!(server, client.call(client.get("/v1/x")));
    assert!(request.starts_with("GET /v1/x HTTP/1.1\r\n"), "{request}");
    assert_eq!(reply.unwrap().body, "true");
}

/// A TLS listener's settings with a certificate for `agent.test`, and its PEM.
fn tls_server(require_client: Option<&str>) -> (tokio_rustls::TlsAcceptor, String) {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let made = rcgen::generate_simple_self_signed(vec!["agent.test".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match require_client {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider,
            );
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = builder.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    (tokio_rustls::TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

async fn ask_over_tls(acceptor: tokio_rustls::TlsAcceptor, tls: TlsConfig) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = ClientConfig::for_address(&format!("https://{address}")).unwrap();
    config.tls = Some(tls);
    let client = Client::new(&config).map_err(|e| e.to_string())?;
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            answer(&mut stream, OK).await;
        }
    };
    let (reply, ()) = tokio::join!(client.call(client.get("/v1/x")), server);
    reply.map(drop).map_err(|e| e.to_string())
}

#[tokio::test]
async fn tls_trusts_only_what_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, pem) = tls_server(None);
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &pem).unwrap();
    let named = TlsConfig { server_name: Some("agent.test".into()), ..TlsConfig::default() };

    let good = TlsConfig { ca_file: Some(ca_file.clone()), ..named.clone() };
    assert_eq!(ask_over_tls(acceptor.clone(), good).await, Ok(()));
    let folder_form = TlsConfig { ca_path: Some(folder.path().to_owned()), ..named.clone() };
    assert_eq!(ask_over_tls(acceptor.clone(), folder_form).await, Ok(()));
    let blind = TlsConfig { skip_verify: true, ..TlsConfig::default() };
    assert_eq!(ask_over_tls(acceptor.clone(), blind).await, Ok(()));

    let wrong_name = TlsConfig { ca_file: Some(ca_file), ..TlsConfig::default() };
    let error = ask_over_tls(acceptor.clone(), wrong_name).await.unwrap_err();
    assert!(error.contains("tls: "), "{error}");
    let (_, other) = tls_server(None);
    let foreign = folder.path().join("foreign.pem");
    std::fs::write(&foreign, other).unwrap();
    let error = ask_over_tls(acceptor, TlsConfig { ca_file: Some(foreign), ..named }).await;
    assert!(error.unwrap_err().contains("tls: "));
}

#[tokio::test]
async fn an_agent_without_tls_is_named_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let mut config = ClientConfig::for_address(&address).unwrap();
    config.tls = Some(TlsConfig { skip_verify: true, ..TlsConfig::default() });
    let client = Client::new(&config).unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (answer, _stream) = tokio::join!(client.call(client.get("/v1/kv/a")), server);
    let text = answer.unwrap_err().to_string();
    assert!(text.ends_with("http: server gave HTTP response to HTTPS client"), "{text}");
}

#[tokio::test]
async fn tls_presents_the_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let client = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
    let cert = folder.path().join("cert.pem");
    let key = folder.path().join("key.pem");
    std::fs::write(&cert, client.cert.pem()).unwrap();
    std::fs::write(&key, client.signing_key.serialize_pem()).unwrap();
    let (acceptor, _) = tls_server(Some(&client.cert.pem()));
    let with = TlsConfig {
        client_cert: Some(cert.clone()),
        client_key: Some(key),
        skip_verify: true,
        ..TlsConfig::default()
    };
    assert_eq!(ask_over_tls(acceptor.clone(), with).await, Ok(()));
    let half = TlsConfig { client_cert: Some(cert), skip_verify: true, ..TlsConfig::default() };
    assert!(ask_over_tls(acceptor, half).await.unwrap_err().contains("both client cert"));
}
