//! The Vault provider: root and keys are in Vault, which is asked for each signature.
//!
//! Two engines of the kind `pki` are used. One has the root; the other has a key of its own, whose
//! certificate the root has signed, and signs the leaves. Below another datacenter's root only the
//! second is used, and that root signs its certificate. Engines, root and role are made when they
//! are not there; what is there is used as it is. Paths, roles and names follow 1.10, so that one
//! Vault serves either program. Unlike there, an engine's certificate is used on as long as half of
//! its life is not over, by whoever leads next too.

mod renewal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lictor_pki::authority::{
    Wanted, check_agent_request, check_authority, check_cross_signed, check_leaf,
};
use lictor_pki::{AgentId, Certificate, Leaf, ServiceId, TrustDomain};
use lictor_types::error::EndpointError;
use lictor_vault::{Authority, NewAuthority, Vault};
use serde_json::{Map, Value};

use self::renewal::Renewal;
use super::provider::Request;
use super::secondary::is_half_over;
use super::settings::{ProviderSettings, VaultSettings};
use crate::clock;
use crate::server::Server;

/// The role that leaves of services are signed with, as 1.10 calls it.
const LEAF_ROLE: &str = "leaf-cert";
/// The role for leaves of agents. What they ask for has to be put right first: who asks for a first
/// certificate does not know the trust domain.
const AGENT_ROLE: &str = "agent-cert";

/// An authority in Vault. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct VaultAuthority {
    link: Arc<VaultLink>,
    root: Arc<Certificate>,
    /// What signs leaves, below the root.
    certificate: Arc<Certificate>,
    /// Whether the root is in Vault, not another datacenter's.
    has_root: bool,
    leaf_ttl: i64,
}

/// A Vault whose token is taken, and lives on.
#[derive(Debug)]
pub(crate) struct VaultLink {
    vault: Arc<Vault>,
    settings: VaultSettings,
    domain: TrustDomain,
    leaf_ttl: i64,
    /// Whether the role for agents is there: looked up when the first asks, and after a failure.
    has_agent_role: AtomicBool,
    _renewal: Option<Renewal>,
}

/// A key that was made in Vault, and the request for its certificate.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) csr: String,
    id: String,
}

fn refused(error: impl std::fmt::Display) -> EndpointError {
    EndpointError::refused(error.to_string())
}

/// Why there is no provider.
fn unusable(error: impl std::fmt::Display) -> EndpointError {
    EndpointError::refused(format!("could not initialize provider: {error}"))
}

/// Why there is no leaf.
fn unsigned(error: impl std::fmt::Display) -> EndpointError {
    EndpointError::refused(format!("error issuing cert: {error}"))
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or_default())
}

impl VaultLink {
    /// Asks Vault about the token, which is renewed from now on as long as this lives.
    pub(crate) async fn open(
        server: &Server,
        settings: &VaultSettings,
        domain: &TrustDomain,
        leaf_ttl: i64,
    ) -> Result<Arc<Self>, EndpointError> {
        let vault = Arc::new(Vault::new(&settings.server).map_err(unusable)?);
        let token = vault.token().await.map_err(unusable)?;
        let renewal = Renewal::start(server.tasks(), &vault, token);
        Ok(Arc::new(Self {
            vault,
            settings: settings.clone(),
            domain: domain.clone(),
            leaf_ttl,
            has_agent_role: AtomicBool::new(false),
            _renewal: renewal,
        }))
    }

    /// What an authority that is made now is called: another name each time, since a chain is
    /// followed by names.
    fn common_name(&self, kind: &str) -> String {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let (unique, cluster) = (&unique[..8], self.domain.as_str().get(..8).unwrap_or_default());
        format!("{kind}-{unique}.vault.ca.{cluster}.consul")
    }

    fn new_authority<'a>(&'a self, common_name: &'a str, uri: &'a str) -> NewAuthority<'a> {
        let VaultSettings { key_type, key_bits, .. } = &self.settings;
        NewAuthority { common_name, uri, key_type, key_bits: *key_bits }
    }

    /// The root in Vault, which is made if there is none.
    async fn root(&self, ttl: i64) -> Result<Certificate, EndpointError> {
        let (vault, path) = (&self.vault, &*self.settings.root_path);
        let failed = |error: &dyn std::fmt::Display| {
            EndpointError::refused(format!(
                "could not initialize provider: error generating CA root certificate: {error}"
            ))
        };
        let mut found = vault.authority(path).await.map_err(|e| failed(&e))?;
        if found == Authority::Absent {
            let purpose = "root CA backend for Consul Connect";
            vault.mount(path, purpose, seconds(ttl)).await.map_err(|e| failed(&e))?;
            found = Authority::Empty;
        }
        let pem = match found {
            Authority::Certificate(pem) => pem,
            Authority::Absent | Authority::Empty => {
                let (name, uri) = (self.common_name("pri"), self.domain.signing_uri());
                let new = self.new_authority(&name, &uri);
                let made = vault.generate_root(path, &new, seconds(ttl)).await;
                tracing::info!(path, "made a root in Vault");
                made.map_err(|e| failed(&e))?
            }
        };
        let root = Certificate::from_pem(&pem).map_err(|e| failed(&e))?;
        if !root.may_sign() {
            return Err(failed(&"its certificate is not that of a certificate authority"));
        }
        if root.not_after() <= clock::now_seconds() {
            return Err(failed(&format!("the root at {path} has expired: give another path")));
        }
        Ok(root)
    }

    /// Prepares the engine that signs leaves, and gives its certificate if it is below this root and
    /// half of its life is not over.
    pub(crate) async fn present(
        &self,
        root: &Certificate,
        intermediate_ttl: i64,
    ) -> Result<Option<Certificate>, EndpointError> {
        let (vault, path) = (&self.vault, &*self.settings.intermediate_path);
        let found = vault.authority(path).await.map_err(unusable)?;
        if found == Authority::Absent {
            let purpose = "intermediate CA backend for Consul Connect";
            vault.mount(path, purpose, seconds(intermediate_ttl)).await.map_err(unusable)?;
        }
        if !vault.has_role(path, LEAF_ROLE).await.map_err(unusable)? {
            vault.write_role(path, LEAF_ROLE, self.role()).await.map_err(unusable)?;
        }
        let Authority::Certificate(pem) = found else { return Ok(None) };
        let found = Certificate::from_pem(&pem).map_err(unusable)?;
        let is_good = check_authority(&found, root, &self.domain).is_ok()
            && !is_half_over(&found, clock::now_seconds());
        Ok(is_good.then_some(found))
    }

    fn role(&self) -> Map<String, Value> {
        let rules: [(&str, Value); 6] = [
            ("allow_any_name", true.into()),
            ("allowed_uri_sans", "spiffe://*".into()),
            ("key_type", "any".into()),
            ("max_ttl", format!("{}s", self.leaf_ttl).into()),
            ("no_store", true.into()),
            ("require_cn", false.into()),
        ];
        rules.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect()
    }

    /// Makes a key for the engine that signs leaves.
    pub(crate) async fn new_key(&self, kind: &str) -> Result<NewKey, EndpointError> {
        let (name, uri) = (self.common_name(kind), self.domain.signing_uri());
        let new = self.new_authority(&name, &uri);
        let path = &self.settings.intermediate_path;
        let made = self.vault.generate_intermediate(path, &new).await.map_err(unusable)?;
        Ok(NewKey { csr: made.csr, id: made.key_id })
    }

    /// Has the engine sign with this key and certificate from now on.
    pub(crate) async fn use_key(
        &self,
        key: &NewKey,
        signed_pem: &str,
        root: &Certificate,
    ) -> Result<Certificate, EndpointError> {
        let (vault, path) = (&self.vault, &*self.settings.intermediate_path);
        let certificate = Certificate::from_pem(signed_pem).map_err(unusable)?;
        check_authority(&certificate, root, &self.domain).map_err(unusable)?;
        let issuers = vault.set_signed(path, signed_pem).await.map_err(unusable)?;
        if self.signs_with(&certificate).await? {
            return Ok(certificate);
        }
        // Since 1.11 an engine has several, and the one that it had before goes on.
        let own = issuers.iter().find(|issuer| !key.id.is_empty() && issuer.key_id == key.id);
        if let Some(issuer) = own {
            vault.use_issuer(path, &issuer.id).await.map_err(unusable)?;
            if self.signs_with(&certificate).await? {
                return Ok(certificate);
            }
        }
        Err(unusable(format!("Vault does not use the certificate that was set at {path}")))
    }

    async fn signs_with(&self, certificate: &Certificate) -> Result<bool, EndpointError> {
        let path = &self.settings.intermediate_path;
        match self.vault.authority(path).await.map_err(unusable)? {
            Authority::Certificate(pem) => {
                Ok(Certificate::from_pem(&pem).map_err(unusable)?.der() == certificate.der())
            }
            Authority::Absent | Authority::Empty => Ok(false),
        }
    }

    /// Has the root in Vault sign a new key of the engine for leaves.
    async fn renew(&self, root: &Certificate, ttl: i64) -> Result<Certificate, EndpointError> {
        let key = self.new_key("pri").await?;
        let (vault, path) = (&self.vault, &self.settings.root_path);
        let signed = vault.sign_intermediate(path, &key.csr, seconds(ttl), false).await;
        self.use_key(&key, &signed.map_err(unusable)?, root).await
    }

    /// Takes away the engine that signs leaves.
    pub(crate) async fn unmount(&self) {
        let path = &self.settings.intermediate_path;
        match self.vault.unmount(path).await {
            Ok(()) => tracing::info!(path, "unmounted what signed leaves in Vault"),
            Err(error) => {
                tracing::warn!(path, %error, "failed to clean up old provider: unmount it yourself");
            }
        }
    }
}

impl VaultAuthority {
    /// An authority whose root is in Vault. What is missing there is made.
    pub(crate) async fn open(
        server: &Server,
        vault: &VaultSettings,
        settings: &ProviderSettings,
        domain: &TrustDomain,
    ) -> Result<Self, EndpointError> {
        let link = VaultLink::open(server, vault, domain, settings.leaf_ttl).await?;
        let root = link.root(settings.root_ttl).await?;
        let ttl = settings.intermediate_ttl;
        let certificate = match link.present(&root, ttl).await? {
            Some(present) => present,
            None => link.renew(&root, ttl).await?,
        };
        Ok(Self::new(link, root, certificate, true, settings.leaf_ttl))
    }

    /// An authority below another datacenter's root, of which this certificate is in Vault.
    pub(crate) fn below(
        link: Arc<VaultLink>,
        root: Certificate,
        certificate: Certificate,
        leaf_ttl: i64,
    ) -> Self {
        Self::new(link, root, certificate, false, leaf_ttl)
    }

    fn new(
        link: Arc<VaultLink>,
        root: Certificate,
        certificate: Certificate,
        has_root: bool,
        leaf_ttl: i64,
    ) -> Self {
        let (root, certificate) = (Arc::new(root), Arc::new(certificate));
        Self { link, root, certificate, has_root, leaf_ttl }
    }

    pub(crate) fn root(&self) -> &Certificate {
        &self.root
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(crate) const fn has_root(&self) -> bool {
        self.has_root
    }

    pub(crate) fn is_below(&self, root_pem: &str) -> bool {
        !self.has_root && self.root.to_pem().trim() == root_pem.trim()
    }

    pub(crate) fn is_of(&self, settings: &VaultSettings) -> bool {
        self.link.settings == *settings
    }

    pub(crate) const fn leaf_ttl(&self) -> i64 {
        self.leaf_ttl
    }

    pub(crate) fn with_leaf_ttl(&self, leaf_ttl: i64) -> Self {
        Self { leaf_ttl, ..self.clone() }
    }

    /// Whether leaves are signed by the same engine.
    pub(crate) fn shares_engine(&self, other: &Self) -> bool {
        let place = |vault: &Self| {
            let VaultSettings { server, intermediate_path, .. } = &vault.link.settings;
            (server.address.clone(), server.namespace.clone(), intermediate_path.clone())
        };
        place(self) == place(other)
    }

    pub(crate) async fn unmount(&self) {
        self.link.unmount().await;
    }

    /// The same with another key and certificate, if half of the present one's life is over or the
    /// engine uses another; `None` when all is well.
    pub(crate) async fn renewed(&self, ttl: i64) -> Result<Option<Self>, EndpointError> {
        let link = &self.link;
        let certificate = match link.present(&self.root, ttl).await? {
            Some(present) if present.der() == self.certificate.der() => return Ok(None),
            Some(present) => present,
            None => link.renew(&self.root, ttl).await?,
        };
        Ok(Some(Self { certificate: Arc::new(certificate), ..self.clone() }))
    }

    pub(crate) async fn sign_service(
        &self,
        request: Request<'_>,
        id: &ServiceId,
    ) -> Result<Leaf, EndpointError> {
        let (csr, uri) = (request.csr, id.to_uri());
        // Vault would sign them, and they may be the names of servers.
        if !csr.dns_names().is_empty() || !csr.addresses().is_empty() {
            return Err(unsigned("a service's certificate has no names of hosts"));
        }
        let also = Map::from_iter([("exclude_cn_from_sans".to_owned(), true.into())]);
        let wanted = Wanted {
            spki: csr.spki_der(),
            uri: &uri,
            dns_names: &[],
            addresses: &[],
            ttl: self.leaf_ttl,
            now: clock::now_seconds(),
        };
        self.sign(LEAF_ROLE, request.pem, also, &wanted).await
    }

    pub(crate) async fn sign_agent(
        &self,
        request: Request<'_>,
        id: &AgentId,
    ) -> Result<Leaf, EndpointError> {
        let (csr, uri) = (request.csr, id.to_uri());
        check_agent_request(csr, id).map_err(refused)?;
        if !self.link.has_agent_role.load(Ordering::Relaxed) {
            self.prepare_agents().await?;
            self.link.has_agent_role.store(true, Ordering::Relaxed);
        }
        let addresses: Vec<String> = csr.addresses().iter().map(ToString::to_string).collect();
        let also: [(&str, Value); 5] = [
            ("common_name", id.common_name().into()),
            ("exclude_cn_from_sans", true.into()),
            ("uri_sans", uri.clone().into()),
            ("alt_names", csr.dns_names().join(",").into()),
            ("ip_sans", addresses.join(",").into()),
        ];
        let also = also.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let wanted = Wanted {
            spki: csr.spki_der(),
            uri: &uri,
            dns_names: csr.dns_names(),
            addresses: csr.addresses(),
            ttl: self.leaf_ttl,
            now: clock::now_seconds(),
        };
        let signed = self.sign(AGENT_ROLE, request.pem, also, &wanted).await;
        signed.inspect_err(|_| self.link.has_agent_role.store(false, Ordering::Relaxed))
    }

    /// Makes the role for agents, if it is not there.
    async fn prepare_agents(&self) -> Result<(), EndpointError> {
        let (vault, path) = (&self.link.vault, &*self.link.settings.intermediate_path);
        if vault.has_role(path, AGENT_ROLE).await.map_err(unsigned)? {
            return Ok(());
        }
        let mut role = self.link.role();
        for name in ["use_csr_sans", "use_csr_common_name", "enforce_hostnames"] {
            role.insert(name.to_owned(), false.into());
        }
        vault.write_role(path, AGENT_ROLE, role).await.map_err(unsigned)
    }

    async fn sign(
        &self,
        role: &str,
        csr_pem: &str,
        also: Map<String, Value>,
        wanted: &Wanted<'_>,
    ) -> Result<Leaf, EndpointError> {
        let (vault, path) = (&self.link.vault, &self.link.settings.intermediate_path);
        let signed = vault.sign_leaf(path, role, csr_pem, seconds(self.leaf_ttl), also).await;
        let signed = signed.map_err(unsigned)?;
        check_leaf(&signed, wanted, &self.certificate).map_err(unsigned)
    }

    pub(crate) async fn sign_intermediate(
        &self,
        request: Request<'_>,
        domain: &TrustDomain,
        ttl: i64,
    ) -> Result<String, EndpointError> {
        let asked = request.csr.spiffe_id().map_err(refused)?;
        let (asked, granted) = (asked.to_uri(), domain.signing_uri());
        if asked != granted {
            return Err(refused(format!(
                "the certificate request is for {asked}, not for {granted}"
            )));
        }
        let (vault, path) = (&self.link.vault, &self.link.settings.root_path);
        let signed = vault.sign_intermediate(path, request.pem, seconds(ttl), true).await;
        let signed = Certificate::from_pem(&signed.map_err(refused)?).map_err(refused)?;
        check_authority(&signed, &self.root, domain).map_err(refused)?;
        if signed.spki_der() != request.csr.spki_der() {
            return Err(refused("Vault has signed another key than the requested one"));
        }
        Ok(signed.to_pem())
    }

    pub(crate) async fn cross_sign(&self, new: &Certificate) -> Result<String, EndpointError> {
        let (vault, path) = (&self.link.vault, &self.link.settings.root_path);
        let signed = vault.sign_self_issued(path, &new.to_pem()).await.map_err(refused)?;
        check_cross_signed(&signed, new, &self.root).map_err(refused)
    }
}
