//! TLS between agents: what is presented, and what is demanded of others.
//!
//! As in the original, certificates are demanded in both directions only where the settings say so,
//! and without `verify_server_hostname` or `server_name` any certificate of the authority will do: it says that its
//! owner belongs to the cluster, not which of them it is.

use std::path::PathBuf;
use std::sync::Arc;

use lictor_http::{Held, TlsConfig, TlsError, TlsVersion};
use lictor_rpc::client::ClientTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Settings of TLS between agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RpcTls {
    /// PEM file with the certificate, and with those between it and its root.
    pub(crate) cert_file: Option<PathBuf>,
    /// PEM file with the key.
    pub(crate) key_file: Option<PathBuf>,
    /// PEM file with authorities.
    pub(crate) ca_file: Option<PathBuf>,
    /// Folder of such files.
    pub(crate) ca_path: Option<PathBuf>,
    /// Whether others must speak TLS, with a certificate of one of these authorities.
    pub(crate) verify_incoming: bool,
    /// Whether servers are spoken to with TLS, and must have such a certificate.
    pub(crate) verify_outgoing: bool,
    /// Whether a server's certificate must name `server.<datacenter>.<domain>`.
    pub(crate) verify_server_hostname: bool,
    /// The name that a server's certificate must have otherwise; empty for any.
    pub(crate) server_name: String,
    /// That domain, without dots at its ends.
    pub(crate) domain: String,
    /// The oldest version that is spoken.
    pub(crate) min_version: TlsVersion,
    /// Suites of version 1.2 by their names; empty for all.
    pub(crate) suites: Vec<String>,
    /// Whether the server's order of suites counts.
    pub(crate) prefer_own_suites: bool,
    /// Whether servers make this agent's certificate: then they are spoken to with TLS.
    pub(crate) auto: bool,
    /// What comes from no file.
    pub(crate) held: Held,
}

impl RpcTls {
    fn files(&self) -> TlsConfig {
        TlsConfig {
            cert_file: self.cert_file.clone().unwrap_or_default(),
            key_file: self.key_file.clone().unwrap_or_default(),
            ca_file: self.ca_file.clone(),
            ca_path: self.ca_path.clone(),
            verify_clients: self.verify_incoming,
            min_version: self.min_version,
            suites: self.suites.clone(),
            prefer_own_suites: self.prefer_own_suites,
            held: self.held.clone(),
        }
    }

    /// Whether servers are spoken to with TLS.
    pub(crate) const fn is_secure(&self) -> bool {
        self.verify_outgoing || self.auto
    }

    /// The authorities of its files, PEM.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn authorities(&self) -> Result<Vec<String>, TlsError> {
        lictor_http::authority_texts(&self.files())
    }

    /// What connections are accepted with; `None` without a certificate. An `open` one asks for
    /// no certificate of the other side.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub(super) fn acceptor(&self, open: bool) -> Result<Option<TlsAcceptor>, TlsError> {
        if self.cert_file.is_none() || self.key_file.is_none() {
            return Ok(None);
        }
        let files = self.files();
        let verify_clients = files.verify_clients && !open;
        let mut config = lictor_http::tls_server(&TlsConfig { verify_clients, ..files })?;
        config.alpn_protocols.clear();
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }

    /// What servers are called with; `None` where they are called without TLS.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub(super) fn client(&self) -> Result<Option<ClientTls>, TlsError> {
        if !self.is_secure() {
            return Ok(None);
        }
        let parts = lictor_http::tls_client(&self.files())?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&parts.provider))
            .with_protocol_versions(parts.versions)?;
        let roots = Arc::new(parts.authorities);
        let named = self.verify_server_hostname || !self.server_name.is_empty();
        let verifier: Arc<dyn ServerCertVerifier> = match named {
            true => {
                let provider = Arc::clone(&parts.provider);
                let built = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
                built.map_err(|error| Error::General(error.to_string()))?
            }
            false => {
                let algorithms = parts.provider.signature_verification_algorithms;
                Arc::new(AnyName { roots, algorithms })
            }
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let config = match parts.own {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        let domain = self.domain.clone();
        let fixed = (!self.verify_server_hostname && named).then(|| self.server_name.clone());
        Ok(Some(ClientTls {
            connector: TlsConnector::from(Arc::new(config)),
            names: Arc::new(move |datacenter| {
                let name = format!("server.{datacenter}.{domain}");
                ServerName::try_from(fixed.clone().unwrap_or(name)).ok()
            }),
        }))
    }
}

/// Demands a certificate of an authority, whatever name is in it.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use lictor_pki::agent_tls::{AgentRequest, AuthorityRequest, make_authority, make_certificate};

    use super::*;

    /// Files of an authority, and of a certificate of it with this name.
    fn files(folder: &Path, name: &str) -> RpcTls {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let authority = AuthorityRequest {
            name: "CA".to_owned(),
            days: 3650,
            permitted: Vec::new(),
            uri: String::new(),
        };
        let authority = make_authority(&authority, now).expect("an authority");
        let request = AgentRequest {
            name: name.to_owned(),
            days: 3650,
            dns_names: vec![name.to_owned()],
            addresses: Vec::new(),
            for_tls: true,
        };
        let (ca, key) = (&authority.certificate, &authority.key);
        let issued = make_certificate(ca, key, &request, now).expect("a certificate");
        let write = |file: &str, text: &str| {
            let path = folder.join(file);
            fs::write(&path, text).expect("a file");
            Some(path)
        };
        RpcTls {
            ca_file: write("ca.pem", ca),
            cert_file: write("cert.pem", &issued.certificate),
            key_file: write("key.pem", &issued.key),
            verify_outgoing: true,
            domain: "consul".to_owned(),
            ..RpcTls::default()
        }
    }

    async fn connects(tls: &RpcTls) -> bool {
        let (acceptor, client) = (
            tls.acceptor(false).expect("files").expect("a certificate"),
            tls.client().expect("files").expect("a certificate"),
        );
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = (client.names)("dc1").expect("a name");
        let (accepted, connected) =
            tokio::join!(acceptor.accept(far), client.connector.connect(name, near));
        drop(accepted);
        connected.is_ok()
    }

    #[tokio::test]
    async fn servers_have_the_name_that_is_wanted() {
        let folder = tempfile::tempdir().expect("a folder");
        let any = files(folder.path(), "rpc.example.com");
        assert!(connects(&any).await);
        let named = |name: &str| RpcTls { server_name: name.to_owned(), ..any.clone() };
        assert!(connects(&named("rpc.example.com")).await);
        assert!(!connects(&named("other.example.com")).await);
        // The name of the role comes first.
        let strict = RpcTls { verify_server_hostname: true, ..named("rpc.example.com") };
        assert!(!connects(&strict).await);
        let by_role = files(folder.path(), "server.dc1.consul");
        let both = RpcTls { verify_server_hostname: true, ..by_role };
        assert!(connects(&RpcTls { server_name: "other".to_owned(), ..both }).await);
    }
}
