//! TLS between agents: what is presented, and what is demanded of others.
//!
//! As in the original, certificates are demanded in both directions only where the settings say so,
//! and without `verify_server_hostname` or `server_name` any certificate of the authority will do: it says that its
//! owner belongs to the cluster, not which of them it is.

use std::path::PathBuf;
use std::sync::Arc;

use lictor_http::{Held, TlsConfig, TlsError, TlsVersion};
use lictor_pki::certificate::Certificate;
use lictor_pki::spiffe::SpiffeId;
use lictor_rpc::client::ClientTls;
use lictor_rpc::server::{Acceptor, Judge, Standing};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
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
    pub(super) fn acceptor(
        &self,
        datacenter: &str,
        open: bool,
    ) -> Result<Option<Acceptor>, TlsError> {
        if self.cert_file.is_none() || self.key_file.is_none() {
            return Ok(None);
        }
        let files = self.files();
        let verify_clients = files.verify_clients && !open;
        let mut config = lictor_http::tls_server(&TlsConfig { verify_clients, ..files })?;
        config.alpn_protocols.clear();
        let server = format!("server.{datacenter}.{}", self.domain);
        let server = self.verify_server_hostname.then_some(server);
        let judge = verify_clients.then(|| judge(server));
        Ok(Some(Acceptor { tls: TlsAcceptor::from(Arc::new(config)), judge }))
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

/// Refuses services: where servers make agents' certificates, those of the mesh have the same
/// authority, and each service of it has one. And where servers have to have a name, only who has it
/// takes part in consensus: an agent could write to the log what it likes.
fn judge(server: Option<String>) -> Arc<Judge> {
    let expected = server.map(ServerName::try_from);
    Arc::new(move |presented| {
        let own = presented.first().ok_or("there is no certificate")?;
        // What cannot be read here has been verified, and is none that the mesh makes.
        let read = Certificate::from_der(own);
        let mut ids = read.iter().flat_map(Certificate::uris).map(|uri| SpiffeId::parse(uri));
        if let Some(id) = ids.find(|id| matches!(id, Ok(SpiffeId::Service(_)))) {
            let id = id.map(|id| id.to_uri()).unwrap_or_default();
            return Err(format!("the certificate is that of a service, {id}"));
        }
        let Some(expected) = &expected else { return Ok(Standing::Server) };
        let named = match expected {
            Ok(name) => ParsedCertificate::try_from(own)
                .and_then(|own| verify_server_name(&own, name))
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        Ok(named.map_or_else(Standing::Agent, |()| Standing::Server))
    })
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

    use lictor_pki::agent_id::AgentId;
    use lictor_pki::agent_tls::{AgentRequest, AuthorityRequest, make_authority, make_certificate};
    use lictor_pki::authority::{Leaf, Root};
    use lictor_pki::csr::{self, Csr};
    use lictor_pki::key::PrivateKey;
    use lictor_pki::spiffe::{ServiceId, TrustDomain};

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
            tls.acceptor("dc1", false).expect("files").expect("a certificate").tls,
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

    /// What a client is to a server.
    async fn judged(server: &RpcTls, client: &RpcTls) -> Result<Standing, String> {
        let acceptor = server.acceptor("dc1", false).expect("files").expect("a certificate");
        let client = client.client().expect("files").expect("a certificate");
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = (client.names)("dc1").expect("a name");
        let connecting = client.connector.connect(name, near);
        let (accepted, connected) = tokio::join!(acceptor.tls.accept(far), connecting);
        drop(connected);
        let accepted = accepted.map_err(|error| error.to_string())?;
        let presented = accepted.get_ref().1.peer_certificates().unwrap_or_default();
        acceptor.judge.expect("certificates are demanded")(presented)
    }

    #[tokio::test]
    async fn consensus_is_for_servers_where_their_name_is_demanded() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = files(folder.path(), "server.dc1.consul");
        let lax = RpcTls { verify_incoming: true, ..server };
        let strict = RpcTls { verify_server_hostname: true, ..lax.clone() };
        assert_eq!(judged(&strict, &strict).await, Ok(Standing::Server));
        let other = tempfile::tempdir().expect("a folder");
        for name in ["client.dc1.consul", "server.dc2.consul"] {
            let named = files(other.path(), name);
            // Of the same authority as the server, which is what counts for all else.
            let trusting = |tls: &RpcTls| RpcTls { ca_file: named.ca_file.clone(), ..tls.clone() };
            let client = RpcTls { ca_file: lax.ca_file.clone(), ..named.clone() };
            assert_eq!(judged(&trusting(&lax), &client).await, Ok(Standing::Server), "{name}");
            let judged = judged(&trusting(&strict), &client).await.expect("an agent");
            let Standing::Agent(why) = judged else { panic!("{name} is a server") };
            assert!(why.contains("not valid for name"), "{name}: {why}");
        }
    }

    #[tokio::test]
    async fn services_of_the_mesh_are_no_agents() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let domain = TrustDomain::new("a.consul").expect("a domain");
        let root = Root::generate(&domain, 1, now).expect("a root");
        let held = |leaf: &Leaf, key: &PrivateKey| Held {
            chain: leaf.cert_pem.clone(),
            key: key.to_pem(),
            authorities: Vec::new(),
        };
        let key = PrivateKey::generate().expect("a key");
        let service = ServiceId {
            trust_domain: domain.clone(),
            namespace: "default".to_owned(),
            datacenter: "dc1".to_owned(),
            service: "web".to_owned(),
        };
        let csr = Csr::from_pem(&csr::make(&service, &key).expect("a request")).expect("it");
        let service = held(&root.sign_leaf(&csr, &service, 3600, now).expect("a leaf"), &key);
        let agent =
            AgentId { trust_domain: domain, datacenter: "dc1".to_owned(), node: "c1".to_owned() };
        let csr = csr::make_for_agent(&agent, &[], &[], &key).expect("a request");
        let csr = Csr::from_pem(&csr).expect("it");
        let agent = held(&root.sign_agent(&csr, &agent, 3600, now).expect("a leaf"), &key);

        let own = files(folder.path(), "server.dc1.consul");
        let trusting = Held { authorities: vec![root.cert_pem().to_owned()], ..Held::default() };
        let server = RpcTls { verify_incoming: true, held: trusting, ..own.clone() };
        let client = |held: Held| RpcTls { auto: true, held, ..own.clone() };
        assert_eq!(judged(&server, &client(agent)).await, Ok(Standing::Server));
        let refused = judged(&server, &client(service)).await.expect_err("it is no agent");
        assert!(
            refused.contains("that of a service, spiffe://a.consul/ns/default/dc/dc1/svc/web"),
            "{refused}"
        );
    }
}
