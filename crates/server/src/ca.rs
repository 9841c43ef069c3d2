//! The certificate authority of this cluster, as the leader runs it.
//!
//! It is established when this server becomes leader: from what is stored, or afresh. A change of
//! its configuration goes through here, one at a time. Certificates are the `pki` crate's, the
//! stored rows the `state` crate's.

mod builtin;
mod rotation;
mod secondary;
mod settings;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use lictor_pki::TrustDomain;
use lictor_types::ca::{CaConfig, CaProviderState, CaRoot, CaWrite};
use lictor_types::command::Command;
use lictor_types::error::EndpointError;
use lictor_types::timestamp::Timestamp;
use tokio::sync::{Mutex, MutexGuard, watch};

pub(crate) use self::builtin::Builtin;
pub use self::secondary::IntermediateRequest;
pub(crate) use self::settings::{HIDDEN, ProviderSettings};
use crate::clock;
use crate::server::Server;

/// Name of the built-in provider.
pub(crate) const BUILTIN: &str = "consul";

/// The authority's present shape. Empty unless this server leads.
#[derive(Debug)]
pub(crate) struct Authority {
    active: ArcSwapOption<Active>,
    ready: watch::Sender<bool>,
    /// Held by whoever changes the configuration.
    changing: Mutex<()>,
}

impl Default for Authority {
    fn default() -> Self {
        Self {
            active: ArcSwapOption::default(),
            ready: watch::Sender::new(false),
            changing: Mutex::default(),
        }
    }
}

/// What signs.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) provider: Builtin,
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

    fn appoint(&self, active: Active) {
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
        let (provider, state) = self.open_provider(&config)?;
        if let Some(state) = state {
            let write = CaWrite::SetProviderState(state);
            self.propose(Command::Ca(Box::new(write))).await?;
        }
        let (index, roots) = self.view().ca_roots();
        let own = provider.root().certificate().fingerprint();
        let intermediates = match roots.iter().find(|root| root.active) {
            Some(root) if root.id == own => root.intermediate_certs.clone(),
            active => {
                if let Some(root) = active {
                    // An archive of 1.2 has no key: who knows the old root goes on trusting it.
                    tracing::warn!(
                        active = root.id,
                        now = own,
                        "the key of the active root is not there: another root takes its place"
                    );
                }
                let others = roots.iter().filter(|root| root.id != own).cloned();
                let mut roots: Vec<CaRoot> = others.map(rotation::retired).collect();
                roots.push(describe(&provider, &config, Vec::new()));
                let write = CaWrite::SetRoots { roots, expect: index };
                self.propose(Command::Ca(Box::new(write))).await?;
                Vec::new()
            }
        };
        let trust_domain = trust_domain(&config)?;
        let index = config.modify_index;
        self.authority().appoint(Active { provider, trust_domain, intermediates, index });
        Ok(())
    }

    /// The provider of a configuration, with the state to store if it is new.
    fn open_provider(
        &self,
        config: &CaConfig,
    ) -> Result<(Builtin, Option<CaProviderState>), EndpointError> {
        let view = self.view();
        let settings = ProviderSettings::read(&config.provider, &config.config)?;
        let stored = view.ca_provider_state(&settings.state_id()).or_else(|| {
            // Later versions of the original, whose archive this may be, name the state otherwise.
            let (_, roots) = view.ca_roots();
            let active = roots.iter().find(|root| root.active)?;
            view.ca_provider_state_of(&active.root_cert).filter(|_| settings.makes_its_own())
        });
        let domain = trust_domain(config)?;
        let serial = view.index().saturating_add(1);
        Builtin::open(&settings, stored.as_deref(), &domain, serial, clock::now_seconds()).map_err(
            |e| {
                let text = format!("could not initialize provider: error generating CA: {e}");
                EndpointError::refused(text)
            },
        )
    }
}

/// The trust domain of a configuration.
pub(crate) fn trust_domain(config: &CaConfig) -> Result<TrustDomain, EndpointError> {
    TrustDomain::for_cluster(&config.cluster_id)
        .map_err(|e| EndpointError::refused(format!("cluster ID {:?}: {e}", config.cluster_id)))
}

/// The row of a provider's root, active.
fn describe(provider: &Builtin, config: &CaConfig, intermediate_certs: Vec<String>) -> CaRoot {
    let certificate = provider.root().certificate();
    CaRoot {
        id: certificate.fingerprint(),
        name: "Consul CA Root Cert".to_owned(),
        serial_number: certificate.serial_u64(),
        signing_key_id: certificate.subject_key_id_hex(),
        external_trust_domain: config.cluster_id.clone(),
        not_before: clock::from_seconds(certificate.not_before()),
        not_after: clock::from_seconds(certificate.not_after()),
        root_cert: provider.root().cert_pem().to_owned(),
        intermediate_certs,
        active: true,
        rotated_out_at: Timestamp(0),
        create_index: 0,
        modify_index: 0,
    }
}

#[cfg(test)]
mod tests;
