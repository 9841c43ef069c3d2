//! The HTTP interface over TLS and over unix sockets, with the command line as its client; who may
//! write, and how many connections one client may have.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lictor_testkit::{Agent, Signal, binary, free_ports, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;

/// An authority with its certificate in `<name>-ca.pem` of a folder.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let made = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        fs::write(folder.join(format!("{name}-ca.pem")), made.pem()).expect("a file");
        Self(made)
    }

    /// Writes `<name>.pem` and `<name>-key.pem`.
    fn issue(&self, folder: &Path, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("parameters");
        let made = params.signed_by(&key, &self.0).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), made.pem()).expect("a file");
        fs::write(folder.join(format!("{name}-key.pem")), key.serialize_pem()).expect("a file");
    }
}

/// `kv get` and the like with these variables; exit code and both outputs.
fn cli(folder: &Path, variables: &[(&str, &str)], words: &[&str]) -> (i32, String) {
    let done = Command::new(binary())
        .args(words)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the binary can be started");
    let text = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_command_line_speaks_https_and_certificates_are_replaced_by_a_reload() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().to_owned();
    let (one, other) = (Authority::new(&at, "one"), Authority::new(&at, "other"));
    one.issue(&at, "server");
    one.issue(&at, "client");
    let [https] = free_ports::<1>();
    let extra = json!({
        "ports": {"https": https}, "verify_incoming_https": true,
        "cert_file": "server.pem", "key_file": "server-key.pem", "ca_file": "one-ca.pem",
    });
    let agent = Agent::start_in(folder, &["-dev"], &extra);
    let address = format!("127.0.0.1:{https}");
    let own = [("CONSUL_CLIENT_CERT", "client.pem"), ("CONSUL_CLIENT_KEY", "client-key.pem")];
    let with = |more: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        own.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let ask = |variables: &[(&str, String)], words: &[&str]| {
        let variables: Vec<_> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
        cli(&at, &variables, words)
    };
    let trusted = with(&[
        ("CONSUL_HTTP_ADDR", &address),
        ("CONSUL_HTTP_SSL", "true"),
        ("CONSUL_CACERT", "one-ca.pem"),
    ]);
    let (code, said) = ask(&trusted, &["kv", "put", "a", "1"]);
    assert_eq!((code, said.trim()), (0, "Success! Data written to: a"));
    // The same by flags alone.
    let url = format!("https://{address}");
    let flags = [
        "kv",
        "get",
        "-http-addr",
        &url,
        "-ca-file",
        "one-ca.pem",
        "-client-cert",
        "client.pem",
        "-client-key",
        "client-key.pem",
        "a",
    ];
    let (code, said) = ask(&[], &flags);
    assert_eq!((code, said.trim()), (0, "1"));
    let unverified = with(&[("CONSUL_HTTP_ADDR", &url), ("CONSUL_HTTP_SSL_VERIFY", "false")]);
    assert_eq!(ask(&unverified, &["kv", "get", "a"]).0, 0);
    // Whoever has no certificate, or trusts somebody else, has no answer.
    let nobody = vec![("CONSUL_HTTP_ADDR", url.clone()), ("CONSUL_CACERT", "one-ca.pem".into())];
    assert_eq!(ask(&nobody, &["kv", "get", "a"]).0, 1);
    let stranger = with(&[("CONSUL_HTTP_ADDR", &url), ("CONSUL_CACERT", "other-ca.pem")]);
    assert_eq!(ask(&stranger, &["kv", "get", "a"]).0, 1);
    let itself = agent.json("GET", "/v1/agent/self", &json!(null));
    assert_eq!(itself["DebugConfig"]["HTTPSAddrs"], json!([format!("tcp://{address}")]));

    // A reload with a broken certificate changes nothing; one with a good one, what is presented.
    fs::write(at.join("server.pem"), "broken").expect("a file");
    let reload = agent.http("PUT", "/v1/agent/reload", "");
    assert_eq!(reload.status, 500);
    assert!(reload.text().contains("server.pem"), "{}", reload.text());
    assert_eq!(ask(&trusted, &["kv", "get", "a"]).0, 0);
    other.issue(&at, "server");
    agent.program.signal(Signal::HUP);
    wait_for("the new certificate", Duration::from_secs(10), || {
        (ask(&stranger, &["kv", "get", "a"]).0 == 0).then_some(())
    });
    assert_eq!(ask(&trusted, &["kv", "get", "a"]).0, 1);
}

#[test]
fn unix_sockets_have_mode_and_owner_and_serve_the_command_line() {
    use std::os::unix::fs::MetadataExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().to_owned();
    let (user, group) = (
        rustix::process::geteuid().as_raw().to_string(),
        rustix::process::getegid().as_raw().to_string(),
    );
    let extra = json!({
        "addresses": {"http": "127.0.0.1 unix://http.sock"},
        "unix_sockets": {"mode": "0660", "user": user, "group": group},
        "http_config": {"allow_write_http_from": ["10.9.8.0/24"], "response_headers":
            {"Access-Control-Allow-Origin": "*"}, "block_endpoints": ["/v1/session"]},
        "limits": {"http_max_conns_per_client": 4},
    });
    let agent = Agent::start_in(folder, &["-dev"], &extra);
    let found = fs::metadata(at.join("http.sock")).expect("a socket");
    assert_eq!(found.mode() & 0o777, 0o660);
    assert_eq!((found.uid().to_string(), found.gid().to_string()), (user, group));
    // Over the socket one may write; from a network that is not allowed one may read alone.
    let socket = [("CONSUL_HTTP_ADDR", "unix://http.sock")];
    assert_eq!(cli(&at, &socket, &["kv", "put", "a", "1"]).0, 0);
    let refused = agent.http("PUT", "/v1/kv/a", "2");
    assert_eq!((refused.status, refused.text().as_str()), (403, "Access is restricted"));
    let read = agent.http("GET", "/v1/kv/a?raw", "");
    assert_eq!((read.status, read.text().as_str()), (200, "1"));
    assert_eq!(read.header("access-control-allow-origin"), Some("*"));
    assert_eq!(agent.http("GET", "/v1/session/list", "").status, 403);

    // One client has four connections, and a fifth when one of them is closed.
    let open = || {
        let mut stream = TcpStream::connect(&agent.http).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
        // The answer to a refused client may come before its request.
        let _ = stream.write_all(b"GET /v1/status/leader HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut start = [0; 12];
        let _ = stream.read_exact(&mut start);
        (stream, String::from_utf8_lossy(&start).into_owned())
    };
    let mut kept = wait_for("four connections", Duration::from_secs(10), || {
        let all: Vec<_> = (0..4).map(|_| open()).collect();
        all.iter().all(|(_, start)| start == "HTTP/1.1 200").then_some(all)
    });
    assert_eq!(open().1, "HTTP/1.1 429");
    kept.pop();
    wait_for("room", Duration::from_secs(10), || (open().1 == "HTTP/1.1 200").then_some(()));
}
