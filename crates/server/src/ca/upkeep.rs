//! What an authority needs while it signs: a provider that was away is tried again, and what signs
//! below a root in Vault gets another key in time.
//!
//! This runs beside the leader's other duties, which do not wait for it.

use std::time::Duration;

use lictor_types::ca::{CaRoot, CaWrite};
use lictor_types::command::Command;
use lictor_types::error::EndpointError;
use tokio::time::{Instant, interval_at, sleep};

use super::{Active, Provider, ProviderSettings, VAULT, with_leaves, with_signer};
use crate::server::Server;

/// First and longest pause before a provider that is away is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often the life of what signs is looked at.
const STEP: Duration = Duration::from_secs(3600);
/// The least time between two looks, when signatures fail.
const LOOK: Duration = Duration::from_secs(5);

impl Server {
    /// Whether the provider is another program, which may be away.
    pub(crate) fn authority_is_remote(&self) -> bool {
        match (self.view().ca_config().1, &self.config().ca) {
            (Some(stored), Some(_)) => stored.provider == VAULT,
            (None, Some(given)) => given.provider == VAULT,
            (_, None) => false,
        }
    }

    /// Establishes an authority that is elsewhere, however long that takes, and keeps it; never ends.
    pub(crate) async fn keep_authority(&self) {
        let mut pause = RETRY.0;
        while self.authority_is_remote() && self.authority().active().is_none() {
            let Err(error) = self.establish_authority().await else { break };
            *self.authority().trouble.lock() = Some(error.text.clone());
            tracing::error!(%error, retry_in = ?pause, "the CA provider cannot be used yet");
            // Whoever changes the configuration meanwhile may have brought it up.
            tokio::select! {
                () = sleep(pause) => {}
                () = self.authority().ready() => {}
            }
            pause = (pause * 2).min(RETRY.1);
        }
        let mut steps = interval_at(Instant::now() + STEP, STEP);
        loop {
            tokio::select! {
                _ = steps.tick() => {}
                () = self.authority().doubtful.notified() => sleep(LOOK).await,
            }
            let _changing = self.authority().changing().await;
            if let Err(error) = self.renew_signer().await {
                tracing::warn!(%error, "cannot renew what signs leaves");
            }
        }
    }

    /// Gives what signs below a root in Vault another key when half of its life is over. Nobody else
    /// changes the authority meanwhile.
    pub(super) async fn renew_signer(&self) -> Result<(), EndpointError> {
        let (Some(active), (_, Some(config))) =
            (self.authority().active(), self.view().ca_config())
        else {
            return Ok(());
        };
        let Provider::Vault(vault) = &active.provider else { return Ok(()) };
        if !vault.has_root() {
            // The primary signs, and is asked when its roots are compared.
            return Ok(());
        }
        let ttl = ProviderSettings::read(&config.provider, &config.config)?.intermediate_ttl;
        let Some(renewed) = vault.renewed(ttl).await? else { return Ok(()) };
        let provider = Provider::Vault(renewed);
        let (expect, roots) = self.view().ca_roots();
        let id = provider.root().fingerprint();
        let Some(row) = roots.iter().find(|root| root.active && root.id == id) else {
            return Ok(());
        };
        let row = with_signer(row, &provider);
        let intermediates = with_leaves(&row, &provider);
        let mut roots: Vec<CaRoot> = roots.iter().filter(|root| root.id != id).cloned().collect();
        roots.push(row);
        let write = CaWrite::SetRoots { roots, expect };
        self.propose(Command::Ca(Box::new(write))).await?;
        let (trust_domain, index) = (active.trust_domain.clone(), active.index);
        self.authority().appoint(Active { provider, trust_domain, intermediates, index });
        tracing::info!("what signs leaves in Vault has another key");
        Ok(())
    }
}
