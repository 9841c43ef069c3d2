//! A stand-in for Vault: its tokens, mounts and the `pki` engine, as far as an authority of the mesh
//! uses them.
//!
//! It really signs, refuses tokens that it does not know, and keeps several issuers in an engine as
//! Vault does since 1.11. What it answers was compared with a real one. It ends with the process.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Map, Value, json};

use super::signing::{self, Issued, Leaf};

/// How it can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// It takes connections, and closes them.
    Away,
    Sealed,
    /// It signs leaves for a key of its own.
    OtherKey,
    /// It adds the name of a server to leaves.
    MoreNames,
    /// It signs no other root.
    NoCrossing,
    /// It gives leaves ten times the life.
    LongLives,
}

#[derive(Debug)]
struct Token {
    ttl: Duration,
    ends: Option<Instant>,
    renewals: u32,
}

struct Issuer {
    id: String,
    key_id: String,
    pem: String,
    key: Option<Arc<KeyPair>>,
}

#[derive(Default)]
struct Mount {
    issuers: Vec<Issuer>,
    /// Which of them signs.
    usual: String,
    /// Keys without a certificate yet, by id.
    keys: BTreeMap<String, Arc<KeyPair>>,
    roles: BTreeMap<String, Value>,
}

struct State {
    mood: Mood,
    tokens: BTreeMap<String, Token>,
    mounts: BTreeMap<String, Mount>,
    /// Every call: method and path.
    calls: Vec<String>,
    count: u32,
}

/// The stand-in; clones are the same one.
#[derive(Clone)]
pub(crate) struct FakeVault {
    state: Arc<Mutex<State>>,
    pub(crate) address: String,
}

/// The token that is known from the beginning.
pub(crate) const TOKEN: &str = "s.the-token-of-the-mesh";

type Answer = (u16, Value);

fn no(status: u16, text: &str) -> Answer {
    (status, json!({ "errors": [text] }))
}

fn data(data: Value) -> Answer {
    (200, json!({ "data": data }))
}

impl FakeVault {
    pub(crate) fn start() -> Self {
        Self::with(None)
    }

    /// With TLS; also its certificate.
    pub(crate) fn start_tls() -> (Self, String) {
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a key");
        let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.expect("a key"))
        .expect("a certificate");
        (Self::with(Some(Arc::new(config))), own.cert.pem())
    }

    fn with(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = format!("{scheme}://{}", listener.local_addr().expect("bound"));
        let state = State {
            mood: Mood::Well,
            tokens: BTreeMap::new(),
            mounts: BTreeMap::new(),
            calls: Vec::new(),
            count: 0,
        };
        let vault = Self { state: Arc::new(Mutex::new(state)), address };
        vault.add_token(TOKEN, None);
        let served = vault.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (vault, tls) = (served.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => vault.serve(stream),
                    Some(tls) => {
                        let session = rustls::ServerConnection::new(tls).expect("settings");
                        vault.serve(rustls::StreamOwned::new(session, stream));
                    }
                });
            }
        });
        vault
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// A token that lives so long unless it is renewed, or without end.
    pub(crate) fn add_token(&self, token: &str, ttl: Option<Duration>) {
        let ends = ttl.map(|ttl| Instant::now() + ttl);
        let new = Token { ttl: ttl.unwrap_or_default(), ends, renewals: 0 };
        self.state().tokens.insert(token.to_owned(), new);
    }

    pub(crate) fn renewals(&self, token: &str) -> u32 {
        self.state().tokens.get(token).map_or(0, |token| token.renewals)
    }

    pub(crate) fn mounts(&self) -> Vec<String> {
        self.state().mounts.keys().cloned().collect()
    }

    /// Somebody unmounts an engine.
    pub(crate) fn unmount(&self, mount: &str) {
        self.state().mounts.remove(mount).expect("it is mounted");
    }

    /// How often a call was made whose method and path begin so.
    pub(crate) fn calls(&self, start: &str) -> usize {
        self.state().calls.iter().filter(|call| call.starts_with(start)).count()
    }

    /// The certificate that signs in a mount.
    pub(crate) fn certificate(&self, mount: &str) -> String {
        let state = self.state();
        let mount = state.mounts.get(mount).expect("it is mounted");
        mount.usual().expect("it has a certificate").pem.clone()
    }

    fn serve(&self, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        while self.state().mood != Mood::Away {
            let Some((head, token, body)) = read_request(&mut stream) else { return };
            let (method, path) = head.split_once(' ').unwrap_or_default();
            let path = path.split(' ').next().unwrap_or_default();
            let (status, body) = self.answer(method, path, &token, &body);
            let body = match body {
                Value::Null => String::new(),
                Value::String(text) => text,
                other => other.to_string(),
            };
            let length = body.len();
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
            if stream.get_mut().write_all(text.as_bytes()).is_err() {
                return;
            }
            let _ = stream.get_mut().flush();
        }
    }

    fn answer(&self, method: &str, path: &str, token: &str, body: &[u8]) -> Answer {
        let mut state = self.state();
        state.calls.push(format!("{method} {path}"));
        if state.mood == Mood::Sealed {
            return no(503, "Vault is sealed");
        }
        let Some(path) = path.strip_prefix("/v1/") else { return no(404, "unsupported path") };
        if method == "GET" && path.ends_with("/ca/pem") {
            let mount = path.trim_end_matches("ca/pem");
            return match state.mounts.get(mount) {
                None => no(404, "no handler for route"),
                Some(mount) => match mount.usual() {
                    Some(issuer) => (200, issuer.pem.clone().into()),
                    None => (204, Value::Null),
                },
            };
        }
        let now = Instant::now();
        let known = state.tokens.get_mut(token).filter(|one| one.ends.is_none_or(|end| now < end));
        let Some(known) = known else { return no(403, "permission denied") };
        let body: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        match (method, path) {
            ("GET", "auth/token/lookup-self") => {
                let left = known.ends.map_or(0, |end| (end - now).as_secs().max(1));
                let (renewable, whole) = (known.ends.is_some(), known.ttl.as_secs());
                data(json!({ "renewable": renewable, "ttl": left, "creation_ttl": whole }))
            }
            ("PUT", "auth/token/renew-self") => {
                known.renewals += 1;
                known.ends = Some(now + known.ttl);
                let auth = json!({ "lease_duration": known.ttl.as_secs(), "renewable": true });
                (200, json!({ "auth": auth }))
            }
            ("POST" | "DELETE", path) if path.starts_with("sys/mounts/") => {
                let name = format!("{}/", path.trim_start_matches("sys/mounts/"));
                if method == "DELETE" {
                    state.mounts.remove(&name);
                } else if state.mounts.contains_key(&name) || name == "secret/" {
                    return no(400, &format!("path is already in use at {name}"));
                } else {
                    state.mounts.insert(name, Mount::default());
                }
                (204, Value::Null)
            }
            (method, path) => state.engine(method, path, &body),
        }
    }
}

impl State {
    fn fresh(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}-{}", self.count)
    }

    /// A call of an engine of the kind `pki`.
    fn engine(&mut self, method: &str, path: &str, body: &Map<String, Value>) -> Answer {
        let Some((name, rest)) = path.split_once('/') else { return no(404, "no handler") };
        let (name, mood) = (format!("{name}/"), self.mood);
        let (key_id, issuer_id) = (self.fresh("key"), self.fresh("issuer"));
        let Some(mount) = self.mounts.get_mut(&name) else {
            return no(404, "no handler for route");
        };
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let seconds = |text: &str| text.trim_end_matches('s').parse::<i64>().unwrap_or(86_400);
        let new_key = || match text("key_type") {
            "rsa" => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
            _ => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        };
        match (method, rest) {
            ("PUT", "root/generate/internal") => {
                let key = Arc::new(new_key().expect("a key"));
                let ttl = seconds(text("ttl"));
                let pem = signing::root(&key, text("common_name"), text("uri_sans"), ttl);
                mount.take(Issuer { id: issuer_id, key_id, pem: pem.clone(), key: Some(key) });
                data(json!({ "certificate": pem }))
            }
            ("PUT", "intermediate/generate/internal") => {
                let key = Arc::new(new_key().expect("a key"));
                let csr = signing::request(&key, text("common_name"), text("uri_sans"));
                mount.keys.insert(key_id.clone(), key);
                data(json!({ "csr": csr, "key_id": key_id }))
            }
            ("PUT", "root/sign-intermediate") => {
                let Some(by) = mount.signer() else { return no(400, "no default issuer") };
                let pem = signing::intermediate(&by, text("csr"), seconds(text("ttl")));
                data(json!({ "certificate": pem, "issuing_ca": by.pem }))
            }
            ("PUT", "root/sign-self-issued") if mood == Mood::NoCrossing => {
                no(403, "1 error occurred:\n\t* permission denied\n\n")
            }
            ("PUT", "root/sign-self-issued") => {
                let Some(by) = mount.signer() else { return no(400, "no default issuer") };
                match signing::crossed(&by, text("certificate")) {
                    Some(pem) => data(json!({ "certificate": pem })),
                    None => no(400, "given certificate is not self-issued"),
                }
            }
            ("PUT", "intermediate/set-signed") => {
                let pem = text("certificate");
                let fits = |key: &&String| signing::is_for(pem, &mount.keys[key.as_str()]);
                let Some(key_id) = mount.keys.keys().find(fits).cloned() else {
                    return no(400, "no key of this engine fits the certificate");
                };
                let key = mount.keys.get(&key_id).cloned();
                let mapping = json!({ (issuer_id.clone()): key_id });
                mount.take(Issuer { id: issuer_id, key_id, pem: pem.to_owned(), key });
                data(json!({ "mapping": mapping }))
            }
            ("PUT", "config/issuers") => {
                let id = text("default").to_owned();
                if !mount.issuers.iter().any(|issuer| issuer.id == id) {
                    return no(400, "unable to find issuer");
                }
                mount.usual = id;
                data(json!({}))
            }
            ("GET", rest) if rest.starts_with("roles/") => {
                match mount.roles.get(rest.trim_start_matches("roles/")) {
                    Some(role) => data(role.clone()),
                    None => (404, json!({ "errors": [] })),
                }
            }
            ("PUT", rest) if rest.starts_with("roles/") => {
                let role = rest.trim_start_matches("roles/").to_owned();
                mount.roles.insert(role, Value::Object(body.clone()));
                (204, Value::Null)
            }
            ("PUT", rest) if rest.starts_with("sign/") => {
                if !mount.roles.contains_key(rest.trim_start_matches("sign/")) {
                    return no(400, "unknown role");
                }
                let Some(by) = mount.signer() else { return no(400, "no default issuer") };
                let days = if mood == Mood::LongLives { 10 } else { 1 };
                let leaf = Leaf {
                    csr: text("csr"),
                    ttl: seconds(text("ttl")) * days,
                    other_key: mood == Mood::OtherKey,
                    more: (mood == Mood::MoreNames).then_some("server.dc1.consul"),
                };
                data(json!({ "certificate": leaf.sign(&by), "issuing_ca": by.pem }))
            }
            _ => no(404, "unsupported path"),
        }
    }
}

impl Mount {
    fn usual(&self) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.id == self.usual)
    }

    fn signer(&self) -> Option<Issued> {
        let issuer = self.usual()?;
        Some(Issued { pem: issuer.pem.clone(), key: Arc::clone(issuer.key.as_ref()?) })
    }

    /// The first one signs until another is told to.
    fn take(&mut self, issuer: Issuer) {
        if self.issuers.is_empty() {
            self.usual.clone_from(&issuer.id);
        }
        assert!(!issuer.key_id.is_empty());
        self.issuers.push(issuer);
    }
}

/// First line, token and body of a request.
fn read_request(stream: &mut BufReader<impl Read>) -> Option<(String, String, Vec<u8>)> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|n| *n > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let (mut token, mut length) = (String::new(), 0);
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "x-vault-token" => value.clone_into(&mut token),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((first, token, body))
}
