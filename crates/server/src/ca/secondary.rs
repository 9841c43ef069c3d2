//! The authority of a datacenter below another one's root.
//!
//! The primary datacenter's root signs one for each other datacenter, so that all trust the same roots.
//! Whoever can ask there brings the roots ([`Server::below_roots`]), has a request signed when that is
//! needed, and brings the certificate ([`Server::adopt_intermediate`]). Key and certificate are part of
//! the state: while the primary is away, whoever leads signs on. A key is kept only together with its
//! certificate, so that a request that is lost leaves nothing behind.
//!
//! When the primary's root changes, the old authority signs until the new one is there; leaves of the new
//! one carry its certificate, and the one that the old root has signed for the new root. Follows 1.10.
//!
//! With Vault as the provider the key is made and stays there, and nothing of it is stored here.

use std::sync::Arc;

use lictor_pki::authority::check_authority;
use lictor_pki::{Certificate, PrivateKey, Root, TrustDomain, csr};
use lictor_types::ca::{CaConfig, CaProviderState, CaRoot, CaRoots, CaWrite};
use lictor_types::command::Command;
use lictor_types::error::EndpointError;
use lictor_types::timestamp::Timestamp;

use super::settings::{Kind, VaultSettings};
use super::vault::{NewKey, VaultLink};
use super::{
    Active, BUILTIN, Builtin, Provider, ProviderSettings, Request, VaultAuthority, rotation,
    settings, trust_domain, with_leaves,
};
use crate::clock;
use crate::server::Server;

/// Under which key and certificate are stored; there is one of them.
const STATE_ID: &str = "below the primary's root";

/// A request for an authority below a root, and the key that it is for.
#[derive(Debug)]
pub struct IntermediateRequest {
    csr: String,
    key: Key,
}

/// Where the key is that a request is for.
#[derive(Debug)]
enum Key {
    Here(PrivateKey),
    InVault(Arc<VaultLink>, NewKey),
}

impl IntermediateRequest {
    /// What is to be signed, as PEM.
    #[must_use]
    pub fn csr(&self) -> &str {
        &self.csr
    }
}

fn unusable(error: &dyn std::fmt::Display) -> EndpointError {
    EndpointError::refused(format!("the intermediate certificate cannot be used: {error}"))
}

/// The root that signs among another datacenter's.
fn signing(roots: &CaRoots) -> Result<&CaRoot, EndpointError> {
    let active = roots.roots.iter().find(|root| root.active && root.id == roots.active_root_id);
    active.map(|root| &**root).ok_or_else(|| {
        EndpointError::refused("the primary datacenter has no active root for the mesh")
    })
}

/// The domain that another datacenter's roots sign for, and its cluster's ID.
fn domain_of(roots: &CaRoots) -> Result<(TrustDomain, String), EndpointError> {
    let (id, _) = roots.trust_domain.split_once('.').unwrap_or_default();
    let domain = TrustDomain::for_cluster(id).ok();
    let domain = domain.filter(|domain| *domain.as_str() == *roots.trust_domain);
    let unknown = || {
        let text = "the trust domain of the primary datacenter is not known yet";
        EndpointError::refused(text)
    };
    Ok((domain.ok_or_else(unknown)?, id.to_owned()))
}

/// Whether a certificate should be replaced: half of its life is over.
pub(super) fn is_half_over(certificate: &Certificate, now: i64) -> bool {
    let half = (certificate.not_after() - certificate.not_before()) / 2;
    now >= certificate.not_before().saturating_add(half)
}

/// Another datacenter's roots as this one keeps them: the one that signs with what leads from it to the
/// leaves here. Own roots that it does not know are retired.
fn rows(there: &CaRoots, own: &[CaRoot], authority: &Certificate) -> Vec<CaRoot> {
    let is_there = |root: &CaRoot| there.roots.iter().any(|one| one.id == root.id);
    let mut rows: Vec<CaRoot> =
        own.iter().filter(|root| !is_there(root)).cloned().map(rotation::retired).collect();
    rows.extend(there.roots.iter().map(|root| {
        let mut row = CaRoot::clone(root);
        row.active = row.id == there.active_root_id;
        if row.active {
            row.rotated_out_at = Timestamp(0);
            row.signing_key_id = authority.subject_key_id_hex();
            row.intermediate_certs.push(authority.to_pem());
        }
        row
    }));
    rows
}

/// Whether lists are the same but for when they were written.
fn are_same(a: &[CaRoot], b: &[CaRoot]) -> bool {
    let plain = |rows: &[CaRoot]| {
        let mut rows: Vec<CaRoot> = rows
            .iter()
            .map(|row| CaRoot { create_index: 0, modify_index: 0, ..row.clone() })
            .collect();
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        rows
    };
    plain(a) == plain(b)
}

impl Server {
    /// Whether another datacenter's root is above the authority here.
    pub(crate) fn is_below(&self) -> bool {
        self.primary().is_some_and(|primary| primary.mesh)
    }

    /// Brings up what is stored. Without anything the authority comes when the primary has been asked.
    pub(super) async fn reopen_below(&self) -> Result<(), EndpointError> {
        let view = self.view();
        let Some(config) = view.ca_config().1 else { return Ok(()) };
        let (_, roots) = view.ca_roots();
        let Some(active) = roots.iter().find(|root| root.active) else { return Ok(()) };
        let settings = ProviderSettings::read(&config.provider, &config.config)?;
        if let Kind::Vault(vault) = &settings.kind {
            let domain = trust_domain(&config)?;
            let link = VaultLink::open(self, vault, &domain, settings.leaf_ttl).await?;
            let Some(provider) = present_in_vault(&link, active, &settings).await? else {
                return Ok(());
            };
            self.appoint_below(provider, active, domain, config.modify_index);
            return Ok(());
        }
        if let Some(state) = view.ca_intermediate_below(&active.root_cert) {
            let provider = match Builtin::below(&state, settings.leaf_ttl) {
                Ok(provider) => Provider::Builtin(provider),
                Err(error) => {
                    // The key of another version may be of a kind that is not used here.
                    tracing::warn!(%error, "the stored authority cannot be used: another is asked for");
                    return Ok(());
                }
            };
            self.appoint_below(provider, active, trust_domain(&config)?, config.modify_index);
            return Ok(());
        }
        // It had a root of its own before: that one signs until the primary's is there.
        match view.ca_provider_state_of(&active.root_cert) {
            Some(_) => self.establish_own().await,
            None => Ok(()),
        }
    }

    /// Compares the primary's roots with what signs here, and takes them over. When something has to be
    /// signed there, gives the request for it; what signs until then does so on.
    ///
    /// # Errors
    /// When the roots are not in order, or this server does not lead.
    pub async fn below_roots(
        &self,
        there: &CaRoots,
    ) -> Result<Option<IntermediateRequest>, EndpointError> {
        if self.config().ca.is_none() {
            return Ok(None);
        }
        let (domain, _) = domain_of(there)?;
        let signing = signing(there)?;
        let _changing = self.authority().changing().await;
        let (_, settings) = self.settings_below()?;
        let active = self.authority().active();
        let serves = active.filter(|active| {
            let provider = &active.provider;
            provider.is_below(&signing.root_cert)
                && provider.is_of(&settings)
                && active.trust_domain == domain
                && !is_half_over(provider.certificate(), clock::now_seconds())
        });
        let Some(serves) = serves else {
            return match &settings.kind {
                Kind::Builtin(_) => request_here(&domain).map(Some),
                Kind::Vault(vault) => {
                    let asked = self.request_in_vault(there, signing, &domain, vault, &settings);
                    Box::pin(asked).await
                }
            };
        };
        let certificate = serves.provider.certificate();
        let (expect, own) = self.view().ca_roots();
        let roots = rows(there, &own, certificate);
        if !are_same(&roots, &own) {
            let write = CaWrite::SetRoots { roots, expect };
            self.propose(Command::Ca(Box::new(write))).await?;
            let provider = serves.provider.clone();
            self.appoint_below(provider, signing, serves.trust_domain.clone(), serves.index);
        }
        Ok(None)
    }

    /// What signs below a root of another datacenter signs from now on.
    fn appoint_below(&self, provider: Provider, root: &CaRoot, domain: TrustDomain, index: u64) {
        let intermediates = with_leaves(root, &provider);
        self.authority().appoint(Active { provider, trust_domain: domain, intermediates, index });
    }

    /// The configuration, as it is stored or as the first one will be, and its settings.
    fn settings_below(&self) -> Result<(CaConfig, ProviderSettings), EndpointError> {
        let config = match self.view().ca_config().1 {
            Some(config) => CaConfig::clone(&config),
            None => {
                let given = self.config().ca.clone().unwrap_or_default();
                let provider = Some(given.provider).filter(|name| !name.is_empty());
                CaConfig {
                    cluster_id: String::new(),
                    provider: provider.unwrap_or_else(|| BUILTIN.to_owned()),
                    config: settings::with_defaults(given.config),
                    create_index: 0,
                    modify_index: 0,
                }
            }
        };
        let settings = ProviderSettings::read(&config.provider, &config.config)?;
        Ok((config, settings))
    }

    /// Has Vault make a key. One that is there already, and that this root has signed, is taken up.
    async fn request_in_vault(
        &self,
        there: &CaRoots,
        signing: &CaRoot,
        domain: &TrustDomain,
        vault: &VaultSettings,
        settings: &ProviderSettings,
    ) -> Result<Option<IntermediateRequest>, EndpointError> {
        let link = VaultLink::open(self, vault, domain, settings.leaf_ttl).await?;
        if let Some(provider) = present_in_vault(&link, signing, settings).await? {
            self.take_over_below(there, provider, None).await?;
            return Ok(None);
        }
        let key = link.new_key("sec").await?;
        Ok(Some(IntermediateRequest { csr: key.csr.clone(), key: Key::InVault(link, key) }))
    }

    /// Takes up the authority that the primary has signed.
    ///
    /// # Errors
    /// When the certificate is not what was asked for, or this server does not lead.
    pub async fn adopt_intermediate(
        &self,
        there: &CaRoots,
        request: IntermediateRequest,
        signed_pem: &str,
    ) -> Result<(), EndpointError> {
        if self.config().ca.is_none() {
            return Ok(());
        }
        let (domain, _) = domain_of(there)?;
        let signing = signing(there)?;
        let root = Certificate::from_pem(&signing.root_cert).map_err(|e| unusable(&e))?;
        let _changing = self.authority().changing().await;
        let (_, settings) = self.settings_below()?;
        let (provider, state) = match request.key {
            Key::Here(key) => {
                let authority =
                    Root::from_pem(&key.to_pem(), signed_pem).map_err(|e| unusable(&e))?;
                authority.check_issued_by(&root, &domain).map_err(|e| unusable(&e))?;
                let state = CaProviderState {
                    id: STATE_ID.to_owned(),
                    private_key: key.to_pem().to_string(),
                    root_cert: signing.root_cert.clone(),
                    intermediate_cert: authority.cert_pem().to_owned(),
                    create_index: 0,
                    modify_index: 0,
                };
                let provider =
                    Builtin::below(&state, settings.leaf_ttl).map_err(|e| unusable(&e))?;
                (Provider::Builtin(provider), Some(state))
            }
            Key::InVault(link, key) => {
                // Checked before Vault is told.
                let signed = Certificate::from_pem(signed_pem).map_err(|e| unusable(&e))?;
                check_authority(&signed, &root, &domain).map_err(|e| unusable(&e))?;
                let certificate = link.use_key(&key, signed_pem, &root).await?;
                let vault = VaultAuthority::below(link, root, certificate, settings.leaf_ttl);
                (Provider::Vault(vault), None)
            }
        };
        if !provider.is_of(&settings) {
            let text = "the CA configuration has changed meanwhile: the primary is asked again";
            return Err(EndpointError::refused(text));
        }
        self.take_over_below(there, provider, state).await
    }

    /// Has another provider sign below the primary's root. Nobody else changes the authority meanwhile.
    async fn take_over_below(
        &self,
        there: &CaRoots,
        provider: Provider,
        state: Option<CaProviderState>,
    ) -> Result<(), EndpointError> {
        let (domain, cluster_id) = domain_of(there)?;
        let signing = signing(there)?;
        let (config, _) = self.settings_below()?;
        let config = CaConfig { cluster_id, ..config };
        let certificate = provider.certificate();
        let (expect, own) = self.view().ca_roots();
        let roots = rows(there, &own, certificate);
        let not_after = certificate.not_after();
        let write = CaWrite::SetRootsAndConfig { roots, expect, config, provider: state };
        self.propose(Command::Ca(Box::new(write))).await?;
        let index = self.view().ca_config().0;
        let before = self.authority().active();
        self.appoint_below(provider.clone(), signing, domain, index);
        tracing::info!(root = signing.id, not_after, "the authority is below the primary's root");
        if let Some(before) = before {
            if before.provider.state_id() == Some(STATE_ID) && provider.state_id().is_none() {
                let write = CaWrite::DeleteProviderState { id: STATE_ID.to_owned() };
                if let Err(error) = self.propose(Command::Ca(Box::new(write))).await {
                    tracing::warn!(%error, "cannot forget the key of the former authority");
                }
            }
            before.provider.clean_up(&provider).await;
        }
        Ok(())
    }

    /// The primary cannot sign authorities: as in 1.2, this datacenter has a root of its own until it can.
    ///
    /// # Errors
    /// When this server does not lead, or the settings cannot be used.
    pub async fn rule_own_mesh(&self) -> Result<(), EndpointError> {
        if self.config().ca.is_none() || self.authority().active().is_some() {
            return Ok(());
        }
        let _changing = self.authority().changing().await;
        self.establish_own().await
    }

    /// Signs the authority of another datacenter.
    ///
    /// # Errors
    /// When the caller may not, this datacenter does not have the root, or the request is not in order.
    pub async fn ca_sign_intermediate(
        &self,
        token: &str,
        request_pem: &str,
    ) -> Result<String, EndpointError> {
        self.check_connect()?;
        if self.is_below() {
            return Err(EndpointError::refused("not the primary datacenter"));
        }
        crate::rights::need(self.authorizer(token)?.operator_write())?;
        let active = self.signing_authority().await?;
        let ttl = self.intermediate_ttl()?;
        let refused = |error: &dyn std::fmt::Display| EndpointError::refused(error.to_string());
        let request = csr::Csr::from_pem(request_pem).map_err(|error| refused(&error))?;
        let domain = &active.trust_domain;
        let wish = Request { csr: &request, pem: request_pem };
        let signed = active.provider.sign_intermediate(wish, domain, ttl).await?;
        tracing::info!("signed the authority of another datacenter");
        Ok(signed)
    }

    fn intermediate_ttl(&self) -> Result<i64, EndpointError> {
        match self.view().ca_config().1 {
            Some(config) => {
                ProviderSettings::read(&config.provider, &config.config).map(|s| s.intermediate_ttl)
            }
            None => Ok(lictor_pki::authority::INTERMEDIATE_TTL),
        }
    }

    /// Changes the settings of an authority below a root; what is the root's is not changed here. Another
    /// provider takes over when the primary has signed for it, and until then the present one signs on.
    pub(super) async fn change_below(
        &self,
        config: CaConfig,
        active: Option<&Active>,
        expect: u64,
    ) -> Result<(), EndpointError> {
        let settings = ProviderSettings::read(&config.provider, &config.config)?;
        if settings.bring_a_root() {
            let text = "the root of the mesh is that of the primary datacenter: change it there";
            return Err(EndpointError::refused(text));
        }
        let stays = active.filter(|active| active.provider.is_of(&settings));
        if let (Kind::Vault(vault), None) = (&settings.kind, stays) {
            // Not stored unless it can be used.
            let domain = trust_domain(&config)?;
            VaultLink::open(self, vault, &domain, settings.leaf_ttl).await?;
        }
        let write = CaWrite::SetConfig { config, expect: Some(expect) };
        self.propose(Command::Ca(Box::new(write))).await?;
        if let Some(active) = stays {
            self.authority().appoint(Active {
                provider: active.provider.with_leaf_ttl(settings.leaf_ttl),
                trust_domain: active.trust_domain.clone(),
                intermediates: active.intermediates.clone(),
                index: self.view().ca_config().0,
            });
        } else {
            self.authority().wanting.notify_one();
        }
        Ok(())
    }

    /// Resolves when the primary has to be asked for a signature, though nothing has changed there.
    pub async fn authority_wanting(&self) {
        self.authority().wanting.notified().await;
    }
}

/// A key that is made here, and its request.
fn request_here(domain: &TrustDomain) -> Result<IntermediateRequest, EndpointError> {
    let failed = |error: &dyn std::fmt::Display| EndpointError::refused(error.to_string());
    let key = PrivateKey::generate().map_err(|error| failed(&error))?;
    let csr = csr::make_for_authority(domain, &key).map_err(|error| failed(&error))?;
    Ok(IntermediateRequest { csr, key: Key::Here(key) })
}

/// What signs in Vault below this root, if it does so already.
async fn present_in_vault(
    link: &Arc<VaultLink>,
    root: &CaRoot,
    settings: &ProviderSettings,
) -> Result<Option<Provider>, EndpointError> {
    let root = Certificate::from_pem(&root.root_cert).map_err(|e| unusable(&e))?;
    let present = link.present(&root, settings.intermediate_ttl).await?;
    Ok(present.map(|certificate| {
        let link = Arc::clone(link);
        Provider::Vault(VaultAuthority::below(link, root, certificate, settings.leaf_ttl))
    }))
}

#[cfg(test)]
mod tests;
