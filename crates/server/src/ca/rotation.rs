//! Changing the authority's configuration, and with it perhaps the root, without a moment in which
//! two peers cannot verify each other.
//!
//! The old root signs the new one, and every leaf of the new one carries that certificate: who
//! knows only the old root still verifies it. Both roots stay trusted until no leaf of the old one
//! can be alive.

use lictor_types::ca::{CaConfig, CaRoot, CaWrite};
use lictor_types::command::Command;
use lictor_types::error::{EndpointError, text};
use lictor_types::timestamp::Timestamp;
use serde_json::{Map, Value};

use super::{Active, HIDDEN, describe, trust_domain};
use crate::clock;
use crate::server::Server;

/// The least that is taken for the life of a leaf, whatever the settings say now.
const LEAF_TTL: i64 = lictor_pki::authority::LEAF_TTL;

impl Server {
    /// Replaces the configuration; another root is rotated in.
    pub(crate) async fn change_authority(
        &self,
        provider: String,
        mut new: Map<String, Value>,
    ) -> Result<(), EndpointError> {
        if self.config().ca.is_none() {
            return Err(EndpointError::refused(text::CONNECT_DISABLED));
        }
        self.wait_for_leadership().await?;
        let _changing = self.authority().changing().await;
        let (Some(old), Some(active)) = (self.view().ca_config().1, self.authority().active())
        else {
            return Err(EndpointError::refused("the certificate authority is not ready yet"));
        };
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
        if !active.provider.is_root() {
            return self.change_below(config, &active, old.modify_index).await;
        }
        let (provider, state) = self.open_provider(&config)?;
        let domain = trust_domain(&config)?;
        let id = provider.root().certificate().fingerprint();
        let (index, roots) = self.view().ca_roots();
        let unchanged = roots.iter().any(|root| root.active && root.id == id);
        let expect = Some(old.modify_index);
        let intermediates;
        if unchanged {
            intermediates = active.intermediates.clone();
            let write = CaWrite::SetConfig { config, expect };
            self.propose(Command::Ca(Box::new(write))).await?;
            tracing::info!("CA provider config updated");
        } else {
            let now = clock::now_seconds();
            let cross_signed =
                active.provider.root().cross_sign(provider.root().certificate(), now).map_err(
                    |e| EndpointError::refused(format!("cannot cross-sign the root: {e}")),
                )?;
            intermediates = vec![cross_signed];
            let mut roots: Vec<CaRoot> =
                roots.iter().filter(|root| root.id != id).cloned().map(retired).collect();
            roots.push(describe(&provider, &config, intermediates.clone()));
            let write =
                CaWrite::SetRootsAndConfig { roots, expect: index, config, provider: state };
            self.propose(Command::Ca(Box::new(write))).await?;
            tracing::info!(root = id, "CA rotated to new root");
        }
        let old_state = active.provider.state_id().to_owned();
        let replaced = old_state != provider.state_id();
        let index = self.view().ca_config().0;
        let next = Active { provider, trust_domain: domain, intermediates, index };
        self.authority().appoint(next);
        if replaced {
            let write = CaWrite::DeleteProviderState { id: old_state };
            if let Err(error) = self.propose(Command::Ca(Box::new(write))).await {
                tracing::warn!(%error, "cannot forget the key of the former root");
            }
        }
        Ok(())
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

/// A key that comes back as it was shown is the one that is stored.
fn keep_hidden(new: &mut Map<String, Value>, old: &Map<String, Value>) {
    for (key, value) in new {
        if key.eq_ignore_ascii_case("PrivateKey")
            && value == HIDDEN
            && let Some((_, stored)) = old.iter().find(|(k, _)| k.eq_ignore_ascii_case(key))
        {
            value.clone_from(stored);
        }
    }
}
