//! The certificate authority: roots, configuration, signing.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_pki::{AgentId, Csr, Leaf, ServiceId, SpiffeId};
use lictor_state::{Table, Topic, View};
use lictor_types::ca::{CaChange, CaConfig, CaRoot, CaRoots, SignedLeaf};
use lictor_types::error::{EndpointError, text};
use lictor_types::limits::CSR_MAX;
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::ca::{Active, HIDDEN, Request, is_secret, trust_domain};
use crate::cache::Identity;
use crate::clock;
use crate::read::Read;
use crate::rights::{Anybody, Only, need};
use crate::server::Server;

impl Server {
    /// The trusted roots. While the authority is being established it
    /// is waited for.
    ///
    /// # Errors
    /// When the mesh is off; else see [`Server::catalog_nodes`].
    pub async fn ca_roots(&self, options: &QueryOptions) -> Result<Reply<CaRoots>, EndpointError> {
        self.check_datacenter(&options.datacenter)?;
        self.check_connect()?;
        self.until_roots().await;
        let evaluate = |view: &View| {
            let index = view.table_index(&[Table::ConnectCaRoots]);
            Ok(self.cache().get(Identity::plain("roots"), view.epoch(), index, || roots(view)))
        };
        let topics = || vec![Topic::Table(Table::ConnectCaRoots)];
        self.read(Read { evaluate, topics, rights: Anybody, options }).await
    }

    /// Waits while the authority is being established, for so long as one waits for a leader.
    pub(crate) async fn until_roots(&self) {
        if self.view().ca_roots().1.is_empty() && !self.follows() {
            let mut changes = self.store().watch(&[Topic::Table(Table::ConnectCaRoots)]);
            let known = async {
                while self.view().ca_roots().1.is_empty() {
                    changes.changed().await;
                }
            };
            // Without roots at the end of the wait the answer says so.
            let _ = tokio::time::timeout(self.config().hold_timeout, known).await;
        }
    }

    /// The configuration, without secrets.
    ///
    /// # Errors
    /// When the mesh is off or not ready; else see [`Server::catalog_nodes`].
    pub async fn ca_config(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<CaConfig>, EndpointError> {
        self.check_connect()?;
        let evaluate = |view: &View| {
            let (index, config) = view.ca_config();
            let config = config.ok_or_else(|| {
                EndpointError::refused("the certificate authority is not ready yet")
            })?;
            let mut shown = CaConfig::clone(&config);
            for (key, value) in &mut shown.config {
                if is_secret(key) && value.as_str().is_some_and(|text| !text.is_empty()) {
                    *value = Value::from(HIDDEN);
                }
            }
            Ok(Evaluated::new(index, shown))
        };
        let topics = || vec![Topic::Table(Table::ConnectCaConfig)];
        self.read(Read { evaluate, topics, rights: Only(Authorizer::operator_read), options }).await
    }

    /// Changes the configuration; another key or certificate rotates the root.
    ///
    /// # Errors
    /// When the provider or its settings are not in order; then nothing has changed.
    pub async fn ca_set_config(&self, token: &str, change: CaChange) -> Result<(), EndpointError> {
        need(self.authorizer(token)?.operator_write())?;
        // Whoever asks may go away meanwhile, which must not leave anything half done.
        let (server, (done, result)) = (self.clone(), oneshot::channel());
        self.tasks().spawn("change of the authority", async move {
            // Nobody waits any more: the log says what was done.
            let _ = done.send(server.change_authority(change).await);
        });
        let stopped = || EndpointError::refused("the server is stopping");
        result.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Signs a certificate request of a service or an agent of this datacenter.
    ///
    /// # Errors
    /// When the request is not in order or names an identity that is not ours to certify.
    pub async fn ca_sign(
        &self,
        token: &str,
        request_pem: &str,
    ) -> Result<SignedLeaf, EndpointError> {
        self.check_connect()?;
        let who = self.authorizer(token)?;
        if request_pem.len() > CSR_MAX {
            let text = format!("certificate request exceeds {CSR_MAX} bytes");
            return Err(EndpointError::bad_request(text));
        }
        let active = self.signing_authority().await?;
        let refused = |text: String| EndpointError::refused(text);
        let request = Csr::from_pem(request_pem).map_err(|e| refused(e.to_string()))?;
        let wish = Request { csr: &request, pem: request_pem };
        match request.spiffe_id().map_err(|e| refused(e.to_string()))? {
            SpiffeId::Service(id) => {
                if id.trust_domain != active.trust_domain {
                    return Err(refused(format!(
                        "SPIFFE ID in CSR from a different trust domain: {}, we are {}",
                        id.trust_domain, active.trust_domain
                    )));
                }
                need(who.service_write(&id.service))?;
                self.check_own_id(&id.datacenter)?;
                let signed = sign_service(&active, wish, id).await;
                signed.inspect_err(|_| self.authority().doubt(&active))
            }
            SpiffeId::Agent(id) => {
                need(who.node_write(&id.node))?;
                self.check_own_id(&id.datacenter)?;
                let signed = sign_agent(&active, wish, id).await;
                signed.inspect_err(|_| self.authority().doubt(&active))
            }
            SpiffeId::Signing(_) => {
                Err(refused("SPIFFE ID in CSR must be a service or agent ID".to_owned()))
            }
        }
    }

    /// Whether an identity is of this datacenter.
    fn check_own_id(&self, datacenter: &str) -> Result<(), EndpointError> {
        let own = &self.config().datacenter;
        if datacenter == *own {
            return Ok(());
        }
        Err(EndpointError::refused(format!(
            "SPIFFE ID in CSR from a different datacenter: {datacenter}, we are {own}"
        )))
    }

    /// What signs, once this server leads; it is waited for.
    pub(crate) async fn signing_authority(&self) -> Result<Arc<Active>, EndpointError> {
        self.wait_for_leadership().await?;
        let wait = tokio::time::timeout(self.config().hold_timeout, self.authority().ready());
        match (wait.await, self.authority().active()) {
            (Ok(()), Some(active)) => Ok(active),
            _ => Err(self.authority().not_ready()),
        }
    }

    pub(crate) fn check_connect(&self) -> Result<(), EndpointError> {
        match &self.config().ca {
            Some(_) => Ok(()),
            None => Err(EndpointError::refused(text::CONNECT_DISABLED)),
        }
    }
}

async fn sign_service(
    active: &Active,
    request: Request<'_>,
    id: ServiceId,
) -> Result<SignedLeaf, EndpointError> {
    let leaf = active.provider.sign_service(request, &id).await?;
    Ok(SignedLeaf { service_uri: id.to_string(), service: id.service, ..signed(active, leaf) })
}

/// Of an agent that asks for its first certificate the trust domain is not looked at: it does not
/// know it yet.
async fn sign_agent(
    active: &Active,
    request: Request<'_>,
    id: AgentId,
) -> Result<SignedLeaf, EndpointError> {
    let id = AgentId { trust_domain: active.trust_domain.clone(), ..id };
    let leaf = active.provider.sign_agent(request, &id).await?;
    Ok(SignedLeaf { agent_uri: id.to_string(), agent: id.node, ..signed(active, leaf) })
}

/// A leaf with those between it and a root.
fn signed(active: &Active, leaf: Leaf) -> SignedLeaf {
    let mut cert_pem = leaf.cert_pem;
    for intermediate in &active.intermediates {
        cert_pem.push_str(intermediate);
    }
    SignedLeaf {
        serial_number: leaf.serial_number,
        cert_pem,
        valid_after: clock::from_seconds(leaf.not_before),
        valid_before: clock::from_seconds(leaf.not_after),
        index: active.index,
        ..SignedLeaf::default()
    }
}

/// Roots of earlier states have a domain where others look for the cluster's ID.
fn with_cluster_id(mut root: CaRoot) -> CaRoot {
    if let Some((id, _)) = root.external_trust_domain.split_once('.') {
        root.external_trust_domain = id.to_owned();
    }
    root
}

fn roots(view: &View) -> CaRoots {
    let roots = view.ca_roots().1;
    let domain = view.ca_config().1.and_then(|config| trust_domain(&config).ok());
    CaRoots {
        active_root_id: roots
            .iter()
            .find(|root| root.active)
            .map(|root| root.id.clone())
            .unwrap_or_default(),
        trust_domain: domain.map(|domain| domain.to_string()).unwrap_or_default(),
        roots: roots.iter().cloned().map(with_cluster_id).map(Arc::new).collect(),
    }
}
