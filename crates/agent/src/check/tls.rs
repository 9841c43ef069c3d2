//! TLS of checks: the system's roots or the agent's own, or no verification where the definition
//! says so.
//!
//! Certificates of the mesh play no part here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::CheckTlsFiles;

/// Where systems keep the roots that they trust; the first that exists is taken.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The two configurations of an agent's checks, with and without verification, each made when it
/// is first used.
#[derive(Debug, Default)]
pub(crate) struct CheckTls {
    /// Certificates and authorities of the agent, where checks are to use them.
    own: Option<Own>,
    verify: OnceLock<Result<Arc<ClientConfig>, String>>,
    skip: OnceLock<Result<Arc<ClientConfig>, String>>,
}

#[derive(Debug)]
struct Own {
    chain: Vec<CertificateDer<'static>>,
    key: Option<PrivateKeyDer<'static>>,
    /// Empty for the system's.
    roots: RootCertStore,
}

/// TLS of one check.
#[derive(Clone, Debug)]
pub(super) struct ProbeTls {
    pub(super) shared: Arc<CheckTls>,
    pub(super) skip_verify: bool,
}

impl CheckTls {
    /// Reads the agent's files.
    ///
    /// # Errors
    /// When one of them cannot be read or used.
    pub(crate) fn with_files(files: &CheckTlsFiles) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let mut authorities: Vec<PathBuf> = files.ca_file.iter().cloned().collect();
        if let Some(folder) = &files.ca_path {
            let entries = std::fs::read_dir(folder).map_err(|e| failed(folder, &e))?;
            authorities.extend(entries.flatten().map(|e| e.path()).filter(|path| path.is_file()));
        }
        for path in &authorities {
            read_bundle(path, &mut roots).map_err(|e| failed(path, &e))?;
        }
        let mut own = Own { chain: Vec::new(), key: None, roots };
        if let (Some(cert), Some(key)) = (&files.cert_file, &files.key_file) {
            let pem = std::fs::read(cert).map_err(|e| failed(cert, &e))?;
            let chain: Result<_, _> = CertificateDer::pem_slice_iter(&pem).collect();
            own.chain = chain.map_err(|e| failed(cert, &e))?;
            let pem = std::fs::read(key).map_err(|e| failed(key, &e))?;
            own.key = Some(PrivateKeyDer::from_pem_slice(&pem).map_err(|e| failed(key, &e))?);
        }
        let all = Self { own: Some(own), ..Self::default() };
        all.settings(false).map(|_| all)
    }

    fn settings(&self, skip_verify: bool) -> Result<Arc<ClientConfig>, String> {
        let slot = if skip_verify { &self.skip } else { &self.verify };
        slot.get_or_init(|| self.make(skip_verify)).clone()
    }

    fn make(&self, skip_verify: bool) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let builder = if skip_verify {
            let verifier = Arc::new(AcceptAny(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            let roots = match &self.own {
                Some(own) if !own.roots.is_empty() => own.roots.clone(),
                _ => system_roots(),
            };
            builder.with_root_certificates(roots)
        };
        let own = self.own.as_ref().and_then(|own| Some((own, own.key.as_ref()?)));
        let config =
            match own {
                Some((own, key)) => builder
                    .with_client_auth_cert(own.chain.clone(), key.clone_key())
                    .map_err(|e| format!("the agent's certificate cannot be used: {e}"))?,
                None => builder.with_no_client_auth(),
            };
        Ok(Arc::new(config))
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

impl ProbeTls {
    /// Speaks TLS over `stream`. `alpn` is offered if not empty.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
        alpn: &[u8],
    ) -> Result<TlsStream<TcpStream>, String> {
        let mut config = (*self.shared.settings(self.skip_verify)?).clone();
        if !alpn.is_empty() {
            config.alpn_protocols = vec![alpn.to_vec()];
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host.is_empty() { "localhost" } else { host };
        let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|e| e.to_string())
    }
}

fn system_roots() -> RootCertStore {
    let named = std::env::var_os("SSL_CERT_FILE");
    let mut store = RootCertStore::empty();
    let candidates = named.iter().map(Path::new).chain(BUNDLES.iter().map(Path::new));
    for path in candidates {
        match read_bundle(path, &mut store) {
            Ok(()) => return store,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read trusted roots");
            }
        }
    }
    tracing::warn!("no trusted roots found on this system; https checks will fail");
    store
}

fn read_bundle(path: &Path, store: &mut RootCertStore) -> io::Result<()> {
    let pem = std::fs::read(path)?;
    let found = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    store.add_parsable_certificates(found);
    Ok(())
}

/// Accepts every certificate, as `tls_skip_verify` asks for; the peer must still own its key.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
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
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
