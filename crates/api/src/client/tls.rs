//! TLS to the agent: whom to trust, and what to present.
//!
//! Only the settings of one client are here; certificates of the mesh are another matter.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{ConfigError, TlsConfig};

/// Where systems keep their trusted authorities.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(super) struct TlsDialer {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsDialer {
    pub(super) fn new(config: &TlsConfig, address: &str) -> Result<Self, ConfigError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if config.skip_verify {
            Arc::new(TrustAnything(Arc::clone(&provider)))
        } else {
            let roots = Arc::new(trusted(config)?);
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|e| unusable("CA certificates", Path::new(""), &e))?
        };
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable("TLS settings", Path::new(""), &e))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let tls = match (&config.client_cert, &config.client_key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates("client cert", cert)?;
                let key_der = PrivateKeyDer::from_pem_file(key)
                    .map_err(|e| unusable("client key", key, &e))?;
                builder
                    .with_client_auth_cert(chain, key_der)
                    .map_err(|e| unusable("client cert", cert, &e))?
            }
            _ => return Err(ConfigError::HalfPair),
        };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = config.server_name.as_deref().unwrap_or(host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| ConfigError::ServerName(host))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(tls)), name })
    }

    pub(super) async fn wrap(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

fn trusted(config: &TlsConfig) -> Result<RootCertStore, ConfigError> {
    let mut files = Vec::new();
    if let Some(file) = &config.ca_file {
        files.push(file.clone());
    } else if let Some(folder) = &config.ca_path {
        files = folder_files(folder)?;
    } else {
        files.extend(SYSTEM_BUNDLES.map(PathBuf::from).into_iter().find(|file| file.exists()));
    }
    let mut roots = RootCertStore::empty();
    for file in &files {
        // Authorities that cannot be read are left out, as long as one is left.
        roots.add_parsable_certificates(certificates("CA file", file)?);
    }
    if roots.is_empty() {
        let shown = files.first().cloned().unwrap_or_default();
        return Err(unusable("CA file", &shown, &"no certificate was found"));
    }
    Ok(roots)
}

fn folder_files(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let failed =
        |source| ConfigError::File { what: "CA path", path: folder.display().to_string(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn certificates(
    what: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let bytes = std::fs::read(file).map_err(|source| ConfigError::File {
        what,
        path: file.display().to_string(),
        source,
    })?;
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unusable(what, file, &e))
}

fn unusable(what: &'static str, file: &Path, reason: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::Certificate { what, path: file.display().to_string(), reason: reason.to_string() }
}

/// For `CONSUL_HTTP_SSL_VERIFY=false`: whoever has the key of the certificate is believed.
#[derive(Debug)]
struct TrustAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
