//! Changing the authority's configuration, and with it perhaps the root, without a moment in which
//! two peers cannot verify each other.
//!
//! The old root signs the new one, and every leaf of the new one carries that certificate: who
//! knows only the old root still verifies it. Both roots stay trusted until no leaf of the old one
//! can be alive.

use lictor_types::ca::{CaChange, CaConfig, CaProviderState, CaRoot, CaWrite};
use lictor_types::command::Command;
use lictor_types::error::{EndpointError, text};
use lictor_types::timestamp::Timestamp;

use super::settings::keep_hidden;
use super::{Active, Provider, describe, trust_domain, with_leaves, with_signer};
use crate::clock;
use crate::server::Server;

/// The least that is taken for the life of a leaf, whatever the settings say now.
const LEAF_TTL: i64 = lictor_pki::authority::LEAF_TTL;

/// What is to sign.
struct Next<'a> {
    provider: &'a Provider,
    /// What of it is to be stored.
    state: Option<CaProviderState>,
    config: CaConfig,
    force_without_cross_signing: bool,
}

impl Server {
    /// Replaces the configuration; another root is rotated in.
    pub(crate) async fn change_authority(&self, change: CaChange) -> Result<(), EndpointError> {
        let CaChange { provider, config: mut new, force_without_cross_signing } = change;
        if self.config().ca.is_none() {
            return Err(EndpointError::refused(text::CONNECT_DISABLED));
        }
        self.wait_for_leadership().await?;
        let _changing = self.authority().changing().await;
        let not_ready = || self.authority().not_ready();
        let old = self.view().ca_config().1.ok_or_else(not_ready)?;
        keep_hidden(&mut new, &old.config);
        let config = CaConfig {
            cluster_id: old.cluster_id.clone(),
            provider,
            config: new,
            create_index: 0,
            modify_index: 0,
        };
        if config.provider == old.provider && config.config == old.config {
            return Ok(());
        }
        let active = self.authority().active();
        if self.is_below() && active.as_ref().is_none_or(|active| !active.provider.is_root()) {
            return self.change_below(config, active.as_deref(), old.modify_index).await;
        }
        // A provider that is elsewhere may be away, and its settings may be why.
        if active.is_none() && !self.authority_is_remote() {
            return Err(not_ready());
        }
        let active = active.as_deref();
        let (provider, state) = self.open_provider(&config).await?;
        let next = Next { provider: &provider, state, config, force_without_cross_signing };
        let changed = self.take_over(active, next, old.modify_index).await;
        if let Err(error) = changed {
            self.back_out(active, &provider).await;
            return Err(error);
        }
        let Some(active) = active else { return Ok(()) };
        if let Some(id) = active.provider.state_id()
            && provider.state_id() != Some(id)
        {
            let write = CaWrite::DeleteProviderState { id: id.to_owned() };
            if let Err(error) = self.propose(Command::Ca(Box::new(write))).await {
                tracing::warn!(%error, "cannot forget the key of the former root");
            }
        }
        active.provider.clean_up(&provider).await;
        Ok(())
    }

    /// Has another provider sign; its root is rotated in if it is another one.
    async fn take_over(
        &self,
        active: Option<&Active>,
        next: Next<'_>,
        expect_config: u64,
    ) -> Result<(), EndpointError> {
        let Next { provider, state, config, force_without_cross_signing } = next;
        let trust_domain = trust_domain(&config)?;
        let id = provider.root().fingerprint();
        let (expect, roots) = self.view().ca_roots();
        let before = roots.iter().find(|root| root.active);
        let unchanged = before.filter(|root| root.id == id);
        let row = match (unchanged, before) {
            (Some(root), _) => with_signer(root, provider),
            (None, None) => describe(provider, &config, Vec::new()),
            (None, Some(_)) if force_without_cross_signing => {
                tracing::warn!(
                    root = id,
                    "the new root is not signed by the one before, as was asked for: who knows only \
                     that one does not accept it"
                );
                describe(provider, &config, Vec::new())
            }
            (None, Some(_)) => {
                let Some(active) = active else {
                    let text = "the present provider cannot be reached, and without it nobody who \
                                knows its root alone can trust another: first bring it back, with \
                                the settings that reach it, or set ForceWithoutCrossSigning";
                    return Err(EndpointError::refused(text));
                };
                let crossed = active.provider.cross_sign(provider.root()).await?;
                describe(provider, &config, vec![crossed])
            }
        };
        let intermediates = with_leaves(&row, provider);
        if unchanged == Some(&row) {
            let write = CaWrite::SetConfig { config, expect: Some(expect_config) };
            self.propose(Command::Ca(Box::new(write))).await?;
            tracing::info!("CA provider config updated");
        } else {
            let others = roots.iter().filter(|root| root.id != id).cloned();
            let mut roots: Vec<CaRoot> = others.map(retired).collect();
            roots.push(row);
            let write = CaWrite::SetRootsAndConfig { roots, expect, config, provider: state };
            self.propose(Command::Ca(Box::new(write))).await?;
            tracing::info!(root = id, "CA rotated to new root");
        }
        let index = self.view().ca_config().0;
        let provider = provider.clone();
        self.authority().appoint(Active { provider, trust_domain, intermediates, index });
        Ok(())
    }

    /// A provider was not taken over: the one before signs on. If both use one engine of Vault, that has
    /// got another key meanwhile and is put right.
    async fn back_out(&self, active: Option<&Active>, tried: &Provider) {
        let Some(Provider::Vault(old)) = active.map(|active| &active.provider) else { return };
        let Provider::Vault(tried) = tried else { return };
        if old.shares_engine(tried)
            && let Err(error) = self.renew_signer().await
        {
            tracing::error!(%error, "cannot restore what signed before in Vault");
        }
    }

    /// Drops roots that no living leaf can need.
    pub(crate) async fn prune_roots(&self) {
        let (index, roots) = self.view().ca_roots();
        let Some(active) = self.authority().active() else { return };
        // Leaves of the old root are gone, twice over.
        let kept = 2 * active.provider.leaf_ttl().max(LEAF_TTL);
        let before = clock::now().0.saturating_sub(clock::from_seconds(kept).0);
        let is_old = |root: &CaRoot| {
            !root.active && root.rotated_out_at.0 != 0 && root.rotated_out_at.0 < before
        };
        if !roots.iter().any(is_old) {
            return;
        }
        let kept = roots.iter().filter(|root| !is_old(root)).cloned().collect();
        let write = CaWrite::SetRoots { roots: kept, expect: index };
        if let Err(error) = self.propose(Command::Ca(Box::new(write))).await {
            tracing::warn!(%error, "cannot drop old roots");
        }
    }
}

/// A root that signs no more.
pub(super) fn retired(mut root: CaRoot) -> CaRoot {
    if root.active || root.rotated_out_at == Timestamp(0) {
        root.rotated_out_at = clock::now();
    }
    root.active = false;
    root
}
