//! Settings, what a server says, and what of it is shown.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::*;

fn settings(address: &str) -> Settings {
    Settings { address: address.into(), token: "s.very-secret".into(), ..Settings::default() }
}

/// Answers one request with this; gives what was asked.
fn once(answer: &'static str) -> (Vault, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let n = stream.read(&mut buffer).unwrap();
            asked.extend_from_slice(&buffer[..n]);
            let text = String::from_utf8_lossy(&asked).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |n| n.parse().unwrap()) {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (Vault::new(&settings(&address)).unwrap(), served)
}

fn reply(status: &str, body: &str) -> &'static str {
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    Box::leak(text.into_boxed_str())
}

#[test]
fn addresses_are_told_what_they_lack() {
    for bad in ["", "vault:8200", "unix:///x", "ftp://x", "http://", "http://x:1/path"] {
        let error = Vault::new(&settings(bad)).unwrap_err().to_string();
        assert!(error.contains("https://host:port"), "{bad}: {error}");
    }
    for good in ["http://127.0.0.1:8200", "https://vault.example", "https://[::1]:8200/"] {
        let with_tls = Settings { tls_skip_verify: true, ..settings(good) };
        assert!(Vault::new(&with_tls).is_ok(), "{good}");
    }
    let missing = Settings { ca_file: "/nonexistent/ca.pem".into(), ..settings("https://x") };
    let error = Vault::new(&missing).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/ca.pem"), "{error}");
    let half = Settings {
        cert_file: "/nonexistent/cert.pem".into(),
        tls_skip_verify: true,
        ..settings("https://x")
    };
    assert!(Vault::new(&half).unwrap_err().to_string().contains("both"));
    let odd = Settings { token: "a\nb".into(), ..settings("http://x:1") };
    assert!(Vault::new(&odd).unwrap_err().to_string().contains("characters"));
}

#[tokio::test]
async fn calls_carry_the_token_and_nothing_shows_it() {
    let (vault, served) = once(reply("403 Forbidden", r#"{"errors":["permission denied"]}"#));
    assert!(!format!("{vault:?} {:?}", settings("http://x")).contains("secret"));
    let error = vault.token().await.unwrap_err();
    let asked = served.join().unwrap();
    assert!(asked.starts_with("GET /v1/auth/token/lookup-self HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("x-vault-token: s.very-secret\r\n"), "{asked}");
    assert_eq!(
        error.to_string(),
        "Vault refused GET /v1/auth/token/lookup-self: permission denied (status 403): the token \
         is wrong or its life is over"
    );
    assert!(error.is_refusal() && !error.is_absent() && !format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn whoever_does_not_answer_cannot_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Vault::new(&settings(&address)).unwrap().token().await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("Vault cannot be reached: ") && text.contains("refused"), "{text}");
    assert!(!error.is_refusal() && !format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn a_mount_is_absent_empty_or_has_a_certificate() {
    for (status, body, found) in [
        ("404 Not Found", r#"{"errors":["no handler for route"]}"#, Authority::Absent),
        ("204 No Content", "", Authority::Empty),
        ("200 OK", "", Authority::Empty),
        ("200 OK", "-----BEGIN", Authority::Certificate("-----BEGIN\n".into())),
    ] {
        let (vault, served) = once(reply(status, body));
        assert_eq!(vault.authority("pki/").await.unwrap(), found);
        assert!(served.join().unwrap().starts_with("GET /v1/pki/ca/pem "));
    }
    let (vault, _served) =
        once(reply("503 Service Unavailable", r#"{"errors":["Vault is sealed"]}"#));
    let error = vault.authority("pki/").await.unwrap_err();
    assert!(error.to_string().ends_with("(status 503): unseal it") && !error.is_refusal());
}

#[tokio::test]
async fn answers_that_are_not_vaults_are_refused() {
    for body in ["", "[]", "{}", r#"{"data":{}}"#, r#"{"data":{"certificate":7}}"#, "nonsense"] {
        let (vault, _served) = once(reply("200 OK", body));
        let error = vault.sign_self_issued("pki/", "x").await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{body}: {error}");
    }
    let (vault, _served) = once(reply("200 OK", &"x".repeat(ANSWER_MAX + 1)));
    let error = vault.sign_self_issued("pki/", "x").await.unwrap_err().to_string();
    assert!(error.contains("larger than"), "{error}");
}

#[tokio::test]
async fn several_issuers_are_told_apart() {
    let answer = reply("200 OK", r#"{"data":{"mapping":{"a":"","b":"key"}}}"#);
    let (vault, served) = once(answer);
    let issuers = vault.set_signed("int/", "PEM").await.unwrap();
    let issuer = |id: &str, key: &str| Issuer { id: id.into(), key_id: key.into() };
    assert_eq!(issuers, [issuer("a", ""), issuer("b", "key")]);
    let asked = served.join().unwrap();
    assert!(asked.starts_with("PUT /v1/int/intermediate/set-signed "), "{asked}");
    assert!(asked.ends_with(r#"{"certificate":"PEM"}"#), "{asked}");
    // Earlier versions say nothing.
    let (vault, _served) = once(reply("204 No Content", ""));
    assert_eq!(vault.set_signed("int/", "PEM").await.unwrap(), []);
}

#[tokio::test]
async fn a_renewed_token_tells_its_life() {
    let (vault, served) =
        once(reply("200 OK", r#"{"auth":{"lease_duration":60,"renewable":true}}"#));
    let renewed = vault.renew_token(Duration::from_secs(90)).await.unwrap();
    assert_eq!(
        renewed,
        Token { renewable: true, ttl: Duration::from_secs(60), whole: Duration::ZERO }
    );
    assert!(served.join().unwrap().ends_with(r#"{"increment":"90s"}"#));
}
