//! Bad requests are answered clearly, slow clients are cut, and nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use lictor_testkit::Agent;
use serde_json::{Value, json};

#[test]
fn oversized_and_malformed_bodies_are_refused() {
    let agent = Agent::dev(&json!({}));
    let big = "x".repeat(512 * 1024);
    assert_eq!(agent.http("PUT", "/v1/kv/big", &big).status, 200, "exactly the limit");
    let reply = agent.http("PUT", "/v1/kv/big", &format!("{big}x"));
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert_eq!(agent.http("GET", "/v1/kv/big?raw", "").body.len(), big.len(), "nothing was lost");
    let reply = agent.http("PUT", "/v1/agent/service/register", &"x".repeat(20 << 20));
    assert_eq!(reply.status, 413, "{}", reply.text());

    let posts = [
        ("PUT", "/v1/agent/service/register"),
        ("PUT", "/v1/agent/check/register"),
        ("PUT", "/v1/catalog/register"),
        ("PUT", "/v1/catalog/deregister"),
        ("POST", "/v1/connect/intentions"),
        ("PUT", "/v1/connect/ca/configuration"),
        ("POST", "/v1/agent/connect/authorize"),
    ];
    for (method, path) in posts {
        for body in ["", "{", "[]", "null", "{\"Name\": 1}", "\u{1}", "{\"Port\": \"x\"}"] {
            let reply = agent.http(method, path, body);
            let allowed = matches!(reply.status, 400 | 500);
            assert!(allowed, "{method} {path} {body:?}: {} {}", reply.status, reply.text());
            assert!(!reply.body.is_empty(), "{method} {path} {body:?}: no reason given");
        }
    }
    let services = agent.json("GET", "/v1/agent/services", &Value::Null);
    assert_eq!(services, json!({}), "nothing was half done");
}

#[test]
fn a_request_for_somebody_elses_identity_is_refused() {
    let agent = Agent::dev(&json!({}));
    for name in ["a/b", "../db", "%00", "a%0d%0ab"] {
        let reply = agent.http("GET", &format!("/v1/agent/connect/ca/leaf/{name}"), "");
        if reply.status == 200 {
            // A strange name is a name: it must be the one in the certificate, encoded.
            let uri = reply.json()["ServiceURI"].as_str().unwrap_or_default().to_owned();
            let last = uri.rsplit("/svc/").next().unwrap_or_default().to_owned();
            assert!(!last.contains('/') && !last.is_empty(), "{uri}");
        }
    }
}

#[test]
fn slow_and_half_open_clients_are_cut_and_others_served() {
    let agent = Agent::dev(&json!({}));
    let mut open = Vec::new();
    for start in
        ["", "GET /v1/kv/a HTTP/1.1\r\n", "PUT /v1/kv/a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"]
    {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(&agent.http).expect("it listens");
            stream.write_all(start.as_bytes()).expect("sent");
            open.push(stream);
        }
    }
    assert_eq!(agent.http("PUT", "/v1/kv/b", "1").status, 200, "others are served");
    let mut slow = TcpStream::connect(&agent.http).expect("it listens");
    slow.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket option");
    slow.write_all(b"GET /v1/kv/b HTTP/1.1\r\nX-Slow: ").expect("sent");
    let mut answer = Vec::new();
    // A client that does not finish its headers is cut off, not kept for ever.
    slow.read_to_end(&mut answer).expect("closed by the agent within its deadline");
    let reply = agent.http("GET", "/v1/kv/a", "");
    assert_eq!(reply.status, 404, "half a body was not stored");
}

#[test]
fn garbage_instead_of_http_is_survived() {
    let agent = Agent::dev(&json!({}));
    for noise in
        [&[0_u8; 100][..], b"\x16\x03\x01\x02\x00\x01", b"\r\n\r\n\r\n", b"G\0ET / HTTP/9\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(&agent.http).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket option");
        let _ = stream.write_all(noise);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    let long = "x".repeat(100_000);
    let reply = agent.http("GET", &format!("/v1/kv/{long}"), "");
    assert!(matches!(reply.status, 400 | 404 | 414 | 431), "{}", reply.status);
    assert_eq!(agent.http("GET", "/v1/status/leader", "").status, 200);
}
