//! The certificate authority of this cluster, as the leader runs it.
//!
//! It is established when this server becomes leader: from what is stored, or afresh. A change of
//! its configuration goes through here, one at a time. Certificates are the `pki` crate's, the
//! stored rows the `state` crate's. Where the key is, and what signs with it, is the provider's:
//! the built-in one needs nothing but the state, Vault has to be reached (`upkeep`).

mod builtin;
mod provider;
mod rotation;
mod secondary;
mod settings;
mod upkeep;
mod vault;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use lictor_pki::{Certificate, TrustDomain};
use lictor_types::ca::{CaConfig, CaProviderState, CaRoot, CaWrite};
use lictor_types::command::Command;
use lictor_types::error::EndpointError;
use lictor_types::timestamp::Timestamp;
use tokio::sync::{Mutex, MutexGuard, Notify, watch};

pub(crate) use self::builtin::Builtin;
pub(crate) use self::provider::{Provider, Request};
pub use self::secondary::IntermediateRequest;
use self::settings::Kind;
pub(crate) use self::settings::{HIDDEN, ProviderSettings, is_secret};
pub(crate) use self::vault::VaultAuthority;
use crate::clock;
use crate::server::Server;

/// Name of the built-in provider.
pub(crate) const BUILTIN: &str = "consul";
/// Name of the provider whose keys are in Vault.
pub(crate) const VAULT: &str = "vault";

/// The authority's present shape. Empty unless this server leads.
#[derive(Debug)]
pub(crate) struct Authority {
    active: ArcSwapOption<Active>,
    ready: watch::Sender<bool>,
    /// Held by whoever changes the configuration.
    changing: Mutex<()>,
    /// Told when another datacenter's root has to sign for another provider.
    wanting: Notify,
    /// Told when Vault did not sign as it should: its engine may have been changed.
    doubtful: Notify,
    /// Why a provider that is elsewhere does not sign yet.
    trouble: parking_lot::Mutex<Option<String>>,
}

impl Default for Authority {
    fn default() -> Self {
        Self {
            active: ArcSwapOption::default(),
            ready: watch::Sender::new(false),
            changing: Mutex::default(),
            wanting: Notify::new(),
            doubtful: Notify::new(),
            trouble: parking_lot::Mutex::default(),
        }
    }
}

/// What signs.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) provider: Provider,
    pub(crate) trust_domain: TrustDomain,
    /// Sent with every leaf.
    pub(crate) intermediates: Vec<String>,
    /// Index of the configuration.
    pub(crate) index: u64,
}

impl Authority {
    /// What signs now.
    pub(crate) fn active(&self) -> Option<Arc<Active>> {
        self.active.load_full()
    }

    /// Waits until there is something that signs.
    pub(crate) async fn ready(&self) {
        // The sender lives as long as `self`.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Nobody changes the configuration, or replaces the state, while this is held.
    pub(crate) async fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Signs no longer.
    pub(crate) fn dismiss(&self) {
        self.active.store(None);
        self.ready.send_replace(false);
    }

    /// A signature was not to be had: what signs in Vault is looked at soon, not within an hour.
    pub(crate) fn doubt(&self, active: &Active) {
        if matches!(active.provider, Provider::Vault(_)) {
            self.doubtful.notify_one();
        }
    }

    /// What to say to those that ask before anything signs.
    pub(crate) fn not_ready(&self) -> EndpointError {
        let text = "the certificate authority is not ready yet";
        EndpointError::refused(match &*self.trouble.lock() {
            Some(trouble) => format!("{text}: {trouble}"),
            None => text.to_owned(),
        })
    }

    fn appoint(&self, active: Active) {
        *self.trouble.lock() = None;
        self.active.store(Some(Arc::new(active)));
        self.ready.send_replace(true);
    }
}

impl Server {
    /// Brings the authority up from what is stored; what is missing is made and stored.
    pub(crate) async fn establish_authority(&self) -> Result<(), EndpointError> {
        if self.config().ca.is_none() {
            return Ok(());
        }
        let _changing = self.authority().changing().await;
        if self.is_below() { self.reopen_below().await } else { self.establish_own().await }
    }

    /// The same for an authority that is above all; nobody else changes it meanwhile.
    async fn establish_own(&self) -> Result<(), EndpointError> {
        let Some(settings) = &self.config().ca else { return Ok(()) };
        if self.view().ca_config().1.is_none() {
            let cluster_id = match settings.cluster_id.as_str() {
                "" => uuid::Uuid::new_v4().to_string(),
                given => given.to_owned(),
            };
            let provider = match settings.provider.as_str() {
                "" => BUILTIN.to_owned(),
                given => given.to_owned(),
            };
            let config = settings::with_defaults(settings.config.clone());
            let config =
                CaConfig { cluster_id, provider, config, create_index: 0, modify_index: 0 };
            // Not stored unless it can be used.
            ProviderSettings::read(&config.provider, &config.config)?;
            let write = CaWrite::SetConfig { config, expect: Some(0) };
            self.propose(Command::Ca(Box::new(write))).await?;
        }
        let view = self.view();
        let Some(config) = view.ca_config().1 else {
            return Err(EndpointError::refused("the CA configuration is missing"));
        };
        let (provider, state) = self.open_provider(&config).await?;
        if let Some(state) = state {
            let write = CaWrite::SetProviderState(state);
            self.propose(Command::Ca(Box::new(write))).await?;
        }
        let (index, roots) = self.view().ca_roots();
        let own = provider.root().fingerprint();
        let active = roots.iter().find(|root| root.active);
        let row = match active {
            Some(root) if root.id == own => with_signer(root, &provider),
            active => {
                if let Some(root) = active {
                    // An archive of 1.2 has no key: who knows the old root goes on trusting it.
                    tracing::warn!(
                        active = root.id,
                        now = own,
                        "the key of the active root is not there: another root takes its place"
                    );
                }
                describe(&provider, &config, Vec::new())
            }
        };
        let intermediates = with_leaves(&row, &provider);
        if active != Some(&row) {
            let others = roots.iter().filter(|root| root.id != own).cloned();
            let mut roots: Vec<CaRoot> = others.map(rotation::retired).collect();
            roots.push(row);
            let write = CaWrite::SetRoots { roots, expect: index };
            self.propose(Command::Ca(Box::new(write))).await?;
        }
        let trust_domain = trust_domain(&config)?;
        let index = config.modify_index;
        self.authority().appoint(Active { provider, trust_domain, intermediates, index });
        Ok(())
    }

    /// The provider of a configuration, with the state to store if it is new.
    async fn open_provider(
        &self,
        config: &CaConfig,
    ) -> Result<(Provider, Option<CaProviderState>), EndpointError> {
        let settings = ProviderSettings::read(&config.provider, &config.config)?;
        let domain = trust_domain(config)?;
        let given = match &settings.kind {
            Kind::Builtin(given) => given,
            Kind::Vault(vault) => {
                let opened = VaultAuthority::open(self, vault, &settings, &domain);
                return Ok((Provider::Vault(Box::pin(opened).await?), None));
            }
        };
        let view = self.view();
        let stored = view.ca_provider_state(&given.state_id()).or_else(|| {
            // Later versions of the original, whose archive this may be, name the state otherwise.
            let (_, roots) = view.ca_roots();
            let active = roots.iter().find(|root| root.active)?;
            view.ca_provider_state_of(&active.root_cert).filter(|_| given.is_empty())
        });
        let serial = view.index().saturating_add(1);
        let now = clock::now_seconds();
        let opened = Builtin::open(given, &settings, stored.as_deref(), &domain, serial, now);
        let (builtin, state) = opened.map_err(|e| {
            let text = format!("could not initialize provider: error generating CA: {e}");
            EndpointError::refused(text)
        })?;
        Ok((Provider::Builtin(builtin), state))
    }
}

/// The trust domain of a configuration.
pub(crate) fn trust_domain(config: &CaConfig) -> Result<TrustDomain, EndpointError> {
    TrustDomain::for_cluster(&config.cluster_id)
        .map_err(|e| EndpointError::refused(format!("cluster ID {:?}: {e}", config.cluster_id)))
}

/// The row of a provider's root, active.
fn describe(provider: &Provider, config: &CaConfig, intermediate_certs: Vec<String>) -> CaRoot {
    let root = provider.root();
    let name = match provider {
        Provider::Builtin(_) => "Consul CA Root Cert",
        Provider::Vault(_) => "Vault CA Root Cert",
    };
    let row = CaRoot {
        id: root.fingerprint(),
        name: name.to_owned(),
        serial_number: root.serial_u64(),
        signing_key_id: String::new(),
        external_trust_domain: config.cluster_id.clone(),
        not_before: clock::from_seconds(root.not_before()),
        not_after: clock::from_seconds(root.not_after()),
        root_cert: root.to_pem(),
        intermediate_certs,
        active: true,
        rotated_out_at: Timestamp(0),
        create_index: 0,
        modify_index: 0,
    };
    with_signer(&row, provider)
}

/// The row of a provider's root with what signs leaves below it, instead of what did before. As in
/// 1.10 it is the last of the row's certificates.
fn with_signer(row: &CaRoot, provider: &Provider) -> CaRoot {
    let signer = provider.certificate();
    let mut row = row.clone();
    if signer.der() == provider.root().der() && !row.signing_key_id.is_empty() {
        return row;
    }
    let before = std::mem::replace(&mut row.signing_key_id, signer.subject_key_id_hex());
    if signer.der() == provider.root().der() {
        return row;
    }
    row.intermediate_certs.retain(|pem| {
        let key = Certificate::from_pem(pem).map(|one| one.subject_key_id_hex());
        key.is_ok_and(|key| key != before && key != row.signing_key_id)
    });
    row.intermediate_certs.push(signer.to_pem());
    row
}

/// What is sent with every leaf: what has signed it, then what leads from other roots to the one above
/// that.
fn with_leaves(row: &CaRoot, provider: &Provider) -> Vec<String> {
    let signer = provider.certificate();
    if provider.is_root() && signer.der() == provider.root().der() {
        return row.intermediate_certs.clone();
    }
    let own = signer.to_pem();
    let others = row.intermediate_certs.iter().filter(|pem| pem.trim() != own.trim());
    std::iter::once(own.clone()).chain(others.cloned()).collect()
}

#[cfg(test)]
mod tests;
