//! The public listener lets in nobody without a valid certificate of the mesh.
//!
//! The peers here are openssl and raw sockets: nothing of the product speaks for it.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lictor_testkit::Agent;
use serde_json::{Value, json};

use crate::scene::{self, openssl};

/// Speaks TLS to the listener by openssl and gives what came back from the application.
pub(crate) fn knock(folder: &Path, port: u16, extra: &[&str]) -> String {
    let target = format!("127.0.0.1:{port}");
    let mut child = Command::new("openssl")
        .args(["s_client", "-quiet", "-no_ign_eof", "-connect", &target])
        .args(extra)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = child.stdout.take().expect("piped");
    let _ = stdin.write_all(b"hello\n");
    let reader = std::thread::spawn(move || {
        let mut line = [0; 6];
        stdout.read_exact(&mut line).map(|()| String::from_utf8_lossy(&line).into_owned())
    });
    // openssl ends by itself when it is refused; when it is let in the answer comes at once.
    let start = Instant::now();
    while !reader.is_finished() && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(stdin);
    let _ = child.kill();
    let _ = child.wait();
    reader.join().expect("no panic").unwrap_or_default()
}

fn write(folder: &Path, name: &str, value: &Value) {
    let text = value.as_str().expect("a PEM text");
    std::fs::write(folder.join(name), text).expect("the folder can be written");
}

/// A leaf for `service` as its files `NAME.pem` and `NAME.key`.
pub(crate) fn leaf(agent: &Agent, service: &str, name: &str) {
    let path = format!("/v1/agent/connect/ca/leaf/{service}");
    let leaf = agent.json("GET", &path, &Value::Null);
    let folder = agent.folder.path();
    write(folder, &format!("{name}.pem"), &leaf["CertPEM"]);
    write(folder, &format!("{name}.key"), &leaf["PrivateKeyPEM"]);
}

#[test]
fn only_certificates_of_the_mesh_get_in() {
    let pair = scene::pair(scene::echo(), scene::reaches);
    let folder = pair.agent.folder.path();
    leaf(&pair.agent, "web", "web");
    let own = ["-cert", "web.pem", "-key", "web.key"];
    assert_eq!(knock(folder, pair.public, &own), "hello\n", "a valid peer gets in");
    let tls12 = ["-cert", "web.pem", "-key", "web.key", "-tls1_2"];
    assert_eq!(knock(folder, pair.public, &tls12), "hello\n", "TLS 1.2 peers are served");

    assert_eq!(knock(folder, pair.public, &[]), "", "no certificate");

    let uri = |host: &str| format!("subjectAltName=URI:spiffe://{host}/ns/default/dc/dc1/svc/web");
    let roots = pair.agent.json("GET", "/v1/agent/connect/ca/roots", &Value::Null);
    let domain = roots["TrustDomain"].as_str().expect("a trust domain").to_owned();
    openssl(
        folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=foreign",
            "-keyout",
            "foreign.key",
            "-out",
            "foreign.pem",
            "-addext",
            &uri(&domain),
        ],
    );
    let foreign = ["-cert", "foreign.pem", "-key", "foreign.key"];
    assert_eq!(knock(folder, pair.public, &foreign), "", "a foreign CA");

    scene::intend(&pair.agent, "-deny", "web", "db");
    scene::wait_until_reaches(pair.local, false);
    assert_eq!(knock(folder, pair.public, &own), "", "a denied service");
}

#[test]
fn those_who_say_nothing_keep_nobody_out() {
    let agent = Agent::dev(&json!({}));
    let [public, outer, local] = lictor_testkit::free_ports::<3>();
    // The timeout alone would be no way in for anybody within a test.
    let limits = json!({"max_connections": 4, "handshake_timeout_ms": 600_000});
    let services = [
        json!({"Name": "db", "Port": scene::echo(),
               "Connect": {"SidecarService": {"Port": public, "Checks": [],
                                              "Proxy": {"Config": limits}}}}),
        json!({"Name": "web", "Port": 1, "Connect": {"SidecarService": {
            "Port": outer, "Checks": [{"TTL": "10m", "Status": "passing"}],
            "Proxy": {"Upstreams": [{"DestinationName": "db", "LocalBindPort": local}]}}}}),
    ];
    for service in services {
        let done = agent.http("PUT", "/v1/agent/service/register", &service.to_string());
        assert_eq!(done.status, 200, "{}", done.text());
    }
    let _server = scene::proxy(&agent, "server", &["-sidecar-for", "db"]);
    let _client = scene::proxy(&agent, "client", &["-sidecar-for", "web"]);
    scene::wait_until_reaches(local, true);
    let silent: Vec<_> = (0..12).map(|_| scene::connect(public).expect("a port")).collect();
    scene::wait_until_reaches(local, true);
    // The first were given up, the last two are waited for.
    let mut first = &silent[0];
    first.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    assert_eq!(first.read(&mut [0]).expect("its end"), 0);
}

#[test]
fn expired_and_wrongly_named_certificates_are_refused() {
    let pair = scene::pair(scene::echo(), scene::reaches);
    let folder = pair.agent.folder.path();
    let roots = pair.agent.json("GET", "/v1/agent/connect/ca/roots", &Value::Null);
    let domain = roots["TrustDomain"].as_str().expect("a trust domain").to_owned();

    // A CA whose key the test has, put in by a rotation.
    openssl(folder, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key"]);
    let key = std::fs::read_to_string(folder.join("ca.key")).expect("just written");
    let config = json!({"Provider": "consul", "Config": {"PrivateKey": key}});
    let reply = pair.agent.http("PUT", "/v1/connect/ca/configuration", &config.to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let roots = pair.agent.json("GET", "/v1/agent/connect/ca/roots", &Value::Null);
    let active = roots["Roots"]
        .as_array()
        .and_then(|list| list.iter().find(|root| root["Active"] == true))
        .expect("an active root");
    write(folder, "ca.pem", &active["RootCert"]);

    let sign = |name: &str, uri: &str, days: &str| {
        openssl(
            folder,
            &[
                "req",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                "/CN=web",
                "-keyout",
                &format!("{name}.key"),
                "-out",
                &format!("{name}.csr"),
            ],
        );
        let extensions = format!(
            "subjectAltName={uri}\nextendedKeyUsage=clientAuth,serverAuth\n\
             keyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:false\n"
        );
        std::fs::write(folder.join("ext"), extensions).expect("the folder can be written");
        openssl(
            folder,
            &[
                "x509",
                "-req",
                "-in",
                &format!("{name}.csr"),
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-set_serial",
                "77",
                "-days",
                days,
                "-extfile",
                "ext",
                "-out",
                &format!("{name}.pem"),
            ],
        );
    };
    let good = format!("URI:spiffe://{domain}/ns/default/dc/dc1/svc/web");
    let try_with = |name: &str| {
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        knock(folder, pair.public, &["-cert", &cert, "-key", &key])
    };
    sign("good", &good, "1");
    lictor_testkit::wait_for("the proxy to trust the new root", scene::PATIENCE, || {
        (try_with("good") == "hello\n").then_some(())
    });
    sign("expired", &good, "-1");
    assert_eq!(try_with("expired"), "", "an expired certificate");
    sign(
        "elsewhere",
        "URI:spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/web",
        "1",
    );
    assert_eq!(try_with("elsewhere"), "", "another trust domain");
    sign("dns", "DNS:web", "1");
    assert_eq!(try_with("dns"), "", "no SPIFFE identity");
    sign("two", &format!("{good},URI:spiffe://{domain}/ns/default/dc/dc1/svc/db"), "1");
    assert_eq!(try_with("two"), "", "two identities");
}

#[test]
fn garbage_and_silence_do_not_disturb_others() {
    let mut pair = scene::pair(scene::echo(), scene::reaches);
    // Half-open clients that never say anything, plain text, and a handshake that breaks off.
    let _silent: Vec<_> = (0..50).filter_map(|_| scene::connect(pair.public).ok()).collect();
    let hello: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for noise in
        [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[0xff; 5000], hello, &[0x16, 3, 3, 0xff, 0xff]]
    {
        let mut stream = scene::connect(pair.public).expect("the listener accepts");
        let _ = stream.write_all(noise);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a socket option");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 200, "at most an alert is answered, not {} bytes", answer.len());
    }
    assert!(scene::reaches(pair.local), "others are served");
    assert!(pair.server.ended().is_none(), "{}", pair.server.output());
}

#[test]
fn the_wire_carries_only_tls() {
    let application = scene::echo();
    let agent = Agent::dev(&json!({}));
    let [public, local] = lictor_testkit::free_ports::<2>();
    let listen = format!("127.0.0.1:{public}");
    let target = format!("127.0.0.1:{application}");
    let _server = scene::proxy(
        &agent,
        "server",
        &["-service", "db", "-service-addr", &target, "-listen", &listen],
    );
    let (tap, recorded) = scene::tap(public);
    let body = json!({"Kind": "connect-proxy", "Name": "db-proxy", "Port": tap,
        "Address": "127.0.0.1", "ProxyDestination": "db"});
    assert_eq!(agent.http("PUT", "/v1/agent/service/register", &body.to_string()).status, 200);
    let upstream = format!("db:127.0.0.1:{local}");
    let _client = scene::proxy(&agent, "client", &["-service", "web", "-upstream", &upstream]);
    scene::wait_until_reaches(local, true);

    let secret = b"attack at dawn, this must not be readable";
    let mut stream = scene::connect(local).expect("the upstream listens");
    scene::round_trip(&mut stream, secret).expect("allowed");
    for bytes in [&recorded.forth, &recorded.back] {
        let bytes = bytes.lock().expect("no panic while held").clone();
        assert!(bytes.len() > secret.len());
        assert!(!bytes.windows(8).any(|w| secret.windows(8).any(|s| s == w)), "plain text");
    }
    // The newest connection alone, so that the records can be followed from its first byte.
    let before = recorded.forth.lock().expect("no panic while held").len();
    let mut stream = scene::connect(local).expect("the upstream listens");
    scene::round_trip(&mut stream, secret).expect("allowed");
    let bytes = recorded.forth.lock().expect("no panic while held")[before..].to_vec();
    let mut rest = bytes.as_slice();
    let mut records = 0;
    while let [kind, 3, _, high, low, ..] = rest {
        assert!((20..=23).contains(kind), "no TLS record type: {kind}");
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest = rest.get(5 + length..).unwrap_or_default();
        records += 1;
    }
    assert!(rest.is_empty() && records >= 3, "{records} records, {} bytes left", rest.len());
}
