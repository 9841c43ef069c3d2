//! TLS of the listeners: which certificate is presented, and which is demanded of clients.
//!
//! Versions 1.2 and 1.3 (RFC 5246, RFC 8446) with the suites that rustls has; nothing older. The
//! certificates of the mesh play no part here. Connections are in [`crate::socket`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite};
use zeroize::Zeroizing;

/// Most certificates of authorities that are read.
const AUTHORITIES_MAX: usize = 4096;
/// Largest file of certificates or keys, in bytes.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    #[default]
    V12,
    /// 1.3.
    V13,
}

/// Settings of the listeners with TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file with the certificate, and with those between it and its root.
    pub cert_file: PathBuf,
    /// PEM file with the key.
    pub key_file: PathBuf,
    /// PEM file with authorities of clients.
    pub ca_file: Option<PathBuf>,
    /// Folder of such files.
    pub ca_path: Option<PathBuf>,
    /// Whether clients must present a certificate of one of these authorities.
    pub verify_clients: bool,
    /// The oldest version.
    pub min_version: TlsVersion,
    /// Suites of version 1.2 by their IANA names; empty for all. Those of 1.3 are always there.
    pub suites: Vec<String>,
    /// Whether the server's order of suites counts, not the client's.
    pub prefer_own_suites: bool,
    /// What comes from no file.
    pub held: Held,
}

impl TlsConfig {
    /// Whether there is a certificate to present.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        self.has_files() || !self.held.chain.is_empty()
    }

    fn has_files(&self) -> bool {
        let named = |path: &Path| !path.as_os_str().is_empty();
        named(&self.cert_file) && named(&self.key_file)
    }
}

/// Certificates that are in memory only, all as PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// A certificate, with those between it and its root; empty for none.
    pub chain: String,
    /// Its key.
    pub key: Zeroizing<String>,
    /// Authorities beside those of files.
    pub authorities: Vec<String>,
}

impl std::fmt::Debug for Held {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

/// Why the listeners cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {what} {path}: {source}", path = path.display())]
    Read {
        /// What it should hold.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("cannot use {what} {path}: {reason}", path = path.display())]
    Unusable {
        /// What it should hold.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Clients cannot be verified without authorities.
    #[error("verify_incoming needs certificates of authorities: set ca_file or ca_path")]
    NoAuthorities,
    /// What was allowed leaves nothing to speak.
    #[error("no cipher suite is left: {0} are not spoken, or only with TLS 1.2")]
    NoSuites(String),
    /// The TLS library refuses.
    #[error("TLS settings: {0}")]
    Refused(#[from] rustls::Error),
}

/// Whether `name` is that of a suite that the original knows: `Some(true)` if it is spoken here,
/// `Some(false)` if it is known and too weak, `None` if nobody knows it.
#[must_use]
pub fn known_suite(name: &str) -> Option<bool> {
    if aws_lc_rs::ALL_CIPHER_SUITES.iter().any(|suite| iana_name(suite) == name) {
        return Some(true);
    }
    let weak = ["RSA", "ECDHE_RSA", "ECDHE_ECDSA"].iter().any(|exchange| {
        let rest = name.strip_prefix(&format!("TLS_{exchange}_WITH_"));
        let weak = [
            "RC4_128_SHA",
            "3DES_EDE_CBC_SHA",
            "AES_128_CBC_SHA",
            "AES_256_CBC_SHA",
            "AES_128_CBC_SHA256",
            "AES_128_GCM_SHA256",
            "AES_256_GCM_SHA384",
        ];
        rest.is_some_and(|rest| weak.contains(&rest))
    });
    weak.then_some(false)
}

fn iana_name(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    // The library writes TLS13_ for what is called TLS_ elsewhere.
    name.strip_prefix("TLS13_").map(|rest| format!("TLS_{rest}")).unwrap_or(name)
}

/// Versions that are spoken.
type Versions = &'static [&'static rustls::SupportedProtocolVersion];

static FROM_V12: [&rustls::SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static FROM_V13: [&rustls::SupportedProtocolVersion; 1] = [&TLS13];

fn versions(config: &TlsConfig) -> Versions {
    match config.min_version {
        TlsVersion::V12 => &FROM_V12,
        TlsVersion::V13 => &FROM_V13,
    }
}

/// What the client of another interface needs of the same files.
#[derive(Debug)]
pub struct ClientParts {
    /// Suites.
    pub provider: Arc<CryptoProvider>,
    /// Versions.
    pub versions: Versions,
    /// Whom it trusts.
    pub authorities: RootCertStore,
    /// The certificate with its key, if it has one.
    pub own: Option<Own>,
}

/// Reads the files for a client of another interface; certificate and key may be left out. A
/// certificate in memory comes before that of the files.
///
/// # Errors
/// When a file cannot be used, or there are no authorities.
pub fn client(config: &TlsConfig) -> Result<ClientParts, TlsError> {
    let own = match (config.held.chain.is_empty(), config.has_files()) {
        (false, _) => Some(held(&config.held)?),
        (true, true) => Some(own(config)?),
        (true, false) => None,
    };
    Ok(ClientParts {
        provider: Arc::new(provider(config)?),
        versions: versions(config),
        authorities: authorities(config)?,
        own,
    })
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The certificate with its key.
fn own(config: &TlsConfig) -> Result<Own, TlsError> {
    let what = "certificate";
    let chain = certificates(what, &config.cert_file)?;
    if chain.is_empty() {
        return Err(unusable(what, &config.cert_file, "there is no certificate in it"));
    }
    let text = read("key", &config.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| unusable("key", &config.key_file, error))?;
    Ok((chain, key))
}

fn held(held: &Held) -> Result<Own, TlsError> {
    let place = Path::new("in memory");
    let what = "certificate";
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(held.chain.as_bytes()).collect();
    let chain = chain.map_err(|error| unusable(what, place, error))?;
    let key = PrivateKeyDer::from_pem_slice(held.key.as_bytes());
    Ok((chain, key.map_err(|error| unusable("key", place, error))?))
}

/// The certificates of authorities as their files have them.
///
/// # Errors
/// When one cannot be read.
pub fn authority_texts(config: &TlsConfig) -> Result<Vec<String>, TlsError> {
    let files = authority_files(config)?;
    let text = |file: &PathBuf| {
        let text = read(AUTHORITIES, file)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    files.iter().map(text).collect()
}

/// Reads the files and makes the settings of the HTTPS interface.
pub(crate) fn load(config: &TlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let mut tls = server(config)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

/// Reads the files and makes the settings of any server. A certificate of files comes before that in
/// memory.
///
/// # Errors
/// When a file cannot be used, or authorities are needed and there are none.
pub fn server(config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(provider(config)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(config))?;
    let builder = if config.verify_clients {
        let roots = Arc::new(authorities(config)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
        builder.with_client_cert_verifier(verifier.map_err(|_| TlsError::NoAuthorities)?)
    } else {
        builder.with_no_client_auth()
    };
    let (chain, key) = match config.has_files() || config.held.chain.is_empty() {
        true => own(config)?,
        false => held(&config.held)?,
    };
    let mut tls = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            unusable("key", &config.key_file, "it does not belong to the certificate")
        }
        other => unusable("certificate", &config.cert_file, other),
    })?;
    tls.ignore_client_order = config.prefer_own_suites;
    Ok(tls)
}

fn provider(config: &TlsConfig) -> Result<CryptoProvider, TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    if !config.suites.is_empty() {
        provider.cipher_suites.retain(|suite| {
            let new = matches!(suite, SupportedCipherSuite::Tls13(_));
            new || config.suites.contains(&iana_name(suite))
        });
        let old = |suite: &SupportedCipherSuite| matches!(suite, SupportedCipherSuite::Tls12(_));
        if config.min_version == TlsVersion::V12 && !provider.cipher_suites.iter().any(old) {
            return Err(TlsError::NoSuites(config.suites.join(", ")));
        }
    }
    Ok(provider)
}

/// What files of authorities hold, in errors.
const AUTHORITIES: &str = "CA certificates";

fn authority_files(config: &TlsConfig) -> Result<Vec<PathBuf>, TlsError> {
    let mut files: Vec<PathBuf> = config.ca_file.iter().cloned().collect();
    if let Some(folder) = &config.ca_path {
        let failed = |source| TlsError::Read { what: AUTHORITIES, path: folder.clone(), source };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() {
                files.push(path);
            }
        }
    }
    Ok(files)
}

fn authorities(config: &TlsConfig) -> Result<RootCertStore, TlsError> {
    let what = AUTHORITIES;
    let files = authority_files(config)?;
    let mut roots = RootCertStore::empty();
    for text in &config.held.authorities {
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let place = Path::new("in memory");
            let certificate = certificate.map_err(|error| unusable(what, place, error))?;
            roots.add(certificate).map_err(|error| unusable(what, place, error))?;
        }
    }
    for file in &files {
        for certificate in certificates(what, file)? {
            roots.add(certificate).map_err(|error| unusable(what, file, error))?;
        }
        if roots.len() > AUTHORITIES_MAX {
            return Err(unusable(what, file, format!("there are more than {AUTHORITIES_MAX}")));
        }
    }
    if roots.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(roots) }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(what, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    all.map_err(|error| unusable(what, path, error))
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { what, path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > FILE_MAX {
        return Err(unusable(what, path, format!("{size} bytes are too many")));
    }
    fs::read(path).map_err(failed)
}

fn unusable(what: &'static str, path: &Path, reason: impl ToString) -> TlsError {
    TlsError::Unusable { what, path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, TlsConfig) {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let config = TlsConfig {
            cert_file: folder.path().join("c.pem"),
            key_file: folder.path().join("k.pem"),
            ..TlsConfig::default()
        };
        fs::write(&config.cert_file, made.cert.pem()).unwrap();
        fs::write(&config.key_file, made.signing_key.serialize_pem()).unwrap();
        (folder, config)
    }

    fn refusal(config: &TlsConfig) -> String {
        load(config).unwrap_err().to_string()
    }

    #[test]
    fn settings_are_made_or_refused_with_the_file() {
        let (folder, good) = files();
        assert_eq!(load(&good).unwrap().alpn_protocols, [b"http/1.1"]);
        let other = files().1;
        let mixed = TlsConfig { key_file: other.cert_file, ..good.clone() };
        assert!(refusal(&mixed).starts_with("cannot read key "));
        let (_kept, other) = files();
        let mixed = TlsConfig { key_file: other.key_file, ..good.clone() };
        assert!(refusal(&mixed).ends_with("k.pem: it does not belong to the certificate"));
        let swapped = TlsConfig { cert_file: good.key_file.clone(), ..good.clone() };
        assert!(refusal(&swapped).ends_with("there is no certificate in it"));
        let verify = TlsConfig { verify_clients: true, ..good.clone() };
        assert!(matches!(load(&verify), Err(TlsError::NoAuthorities)));
        let file = TlsConfig { ca_file: Some(good.cert_file.clone()), ..verify.clone() };
        assert!(load(&file).is_ok());
        let authorities = folder.path().join("authorities");
        fs::create_dir(&authorities).unwrap();
        let all = TlsConfig { ca_path: Some(authorities.clone()), ..verify };
        assert!(matches!(load(&all), Err(TlsError::NoAuthorities)));
        fs::copy(&good.cert_file, authorities.join("one.pem")).unwrap();
        assert!(load(&all).is_ok());
    }

    #[test]
    fn certificates_may_be_in_memory() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let held = Held {
            chain: made.cert.pem(),
            key: made.signing_key.serialize_pem().into(),
            authorities: vec![made.cert.pem()],
        };
        let none = TlsConfig::default();
        assert!(!none.has_certificate() && server(&none).is_err());
        assert!(matches!(client(&none), Err(TlsError::NoAuthorities)));
        let config = TlsConfig { held, verify_clients: true, ..TlsConfig::default() };
        assert!(config.has_certificate() && server(&config).is_ok());
        let parts = client(&config).unwrap();
        assert_eq!((parts.own.map(|own| own.0.len()), parts.authorities.len()), (Some(1), 1));
        assert!(!format!("{config:?}").contains("PRIVATE"));
        let damaged = Held { key: "x".to_owned().into(), ..config.held.clone() };
        assert!(server(&TlsConfig { held: damaged, ..config }).is_err());
        let (_folder, good) = files();
        let texts = authority_texts(&TlsConfig { ca_file: Some(good.cert_file), ..none }).unwrap();
        assert!(texts.len() == 1 && texts[0].contains("BEGIN CERTIFICATE"));
    }

    #[test]
    fn suites_are_chosen_by_name() {
        let (_folder, good) = files();
        let one = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let chosen = TlsConfig { suites: vec![one.to_owned()], ..good.clone() };
        let suites = provider(&chosen).unwrap().cipher_suites;
        let old: Vec<_> =
            suites.iter().filter(|s| matches!(s, SupportedCipherSuite::Tls12(_))).collect();
        assert_eq!((old.len(), iana_name(old[0])), (1, one.to_owned()));
        assert!(load(&chosen).is_ok());
        let weak = "TLS_RSA_WITH_AES_128_CBC_SHA";
        let none = TlsConfig { suites: vec![weak.to_owned()], ..good };
        assert!(matches!(load(&none), Err(TlsError::NoSuites(_))));
        assert_eq!(known_suite(one), Some(true));
        assert_eq!(known_suite("TLS_AES_128_GCM_SHA256"), Some(true));
        assert_eq!(known_suite(weak), Some(false));
        assert_eq!(known_suite("TLS_FAST"), None);
    }
}
