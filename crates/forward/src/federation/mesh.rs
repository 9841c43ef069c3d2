//! Roots, intentions and configuration entries of the primary.

use std::time::Duration;

use lictor_server::{Primary, REPLICATED_KINDS, Server};
use lictor_types::Index;
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_wire::config_entry::{self, AllReply, Kinds, Wrapped};
use lictor_wire::connect_ca::{self, SignArgs};
use lictor_wire::intention;
use tokio::time::sleep;

use super::{OLD_PRIMARY, Pace, is_unknown_method};
use crate::attempts::Attempts;
use crate::away::WriteOptions;
use crate::endpoint::all_received;
use crate::servers::Servers;

/// Not all of something was shown. What is not seen is not gone: it must not be taken away here.
fn unseen(what: &str, right: &str) -> EndpointError {
    let text = format!(
        "the replication token may not read all {what} of the primary datacenter: it needs \
         service_prefix \"\" with {right} = \"read\""
    );
    EndpointError::new(ErrorKind::PermissionDenied, text)
}

impl Servers {
    /// Keeps the authority here below the primary's root; never ends.
    pub(super) async fn follow_authority(&self, server: &Server, primary: &Primary) {
        if !primary.mesh || !server.has_mesh() {
            return;
        }
        let mut pace = Pace::new("roots");
        loop {
            let round = self.round_of_authority(server, primary, pace.after()).await;
            pace.next(round).await;
        }
    }

    async fn round_of_authority(
        &self,
        server: &Server,
        primary: &Primary,
        after: Index,
    ) -> Result<Index, EndpointError> {
        let mut options = self.question(primary, after);
        // Everybody may see them; a token could only be wrong.
        options.token.clear();
        let told = loop {
            tokio::select! {
                told = self.ask_primary::<connect_ca::Roots, _>(&options, || ()) => break told?,
                () = server.authority_wanting() => {
                    // It is asked without waiting for a change.
                    options.min_index = 0;
                    options.max_wait = Duration::ZERO;
                }
            }
        };
        let roots = &told.result.value;
        let Some(request) = server.below_roots(roots).await? else {
            return Ok(told.result.index);
        };
        match self.signed_by_primary(primary, request.csr()).await {
            Ok(signed) => server.adopt_intermediate(roots, request, &signed).await?,
            Err(error) if is_unknown_method(&error) => {
                tracing::warn!(
                    "the primary datacenter does not sign other authorities: this one has a root \
                     of its own until it does"
                );
                server.rule_own_mesh().await?;
                sleep(OLD_PRIMARY).await;
                return Ok(0);
            }
            Err(error) => return Err(error),
        }
        Ok(told.result.index)
    }

    async fn signed_by_primary(
        &self,
        primary: &Primary,
        csr: &str,
    ) -> Result<String, EndpointError> {
        let to = WriteOptions {
            datacenter: primary.datacenter.clone(),
            token: self.token_of_copying().to_string(),
        };
        let args = || SignArgs { csr: csr.to_owned() };
        let mut attempts = Attempts::write(self, &to);
        let signed =
            self.write_away::<connect_ca::SignIntermediate, _>(&mut attempts, &to, args).await?;
        signed.ok_or_else(EndpointError::no_path_to_datacenter)
    }

    /// Copies the intentions of the primary; never ends.
    pub(super) async fn copy_intentions(&self, server: &Server, primary: &Primary) {
        if !primary.mesh {
            return;
        }
        let mut pace = Pace::new("intentions");
        loop {
            let round = self.round_of_intentions(server, primary, pace.after()).await;
            pace.next(round).await;
        }
    }

    async fn round_of_intentions(
        &self,
        server: &Server,
        primary: &Primary,
        after: Index,
    ) -> Result<Index, EndpointError> {
        let options = self.question(primary, after);
        let listed = self.ask_primary::<intention::List, _>(&options, || ()).await?;
        if listed.meta.filtered {
            return Err(unseen("intentions", "intentions"));
        }
        let changed = server.intentions_replicate(&listed.result.value).await?;
        if changed > 0 {
            tracing::info!(changed, "took over intentions of the primary datacenter");
        }
        Ok(listed.result.index)
    }

    /// Copies the configuration entries of the primary; never ends.
    pub(super) async fn copy_config_entries(&self, server: &Server, primary: &Primary) {
        if !primary.mesh {
            return;
        }
        let mut pace = Pace::new("configuration entries");
        loop {
            let round = self.round_of_config_entries(server, primary, pace.after()).await;
            pace.next(round).await;
        }
    }

    async fn round_of_config_entries(
        &self,
        server: &Server,
        primary: &Primary,
        after: Index,
    ) -> Result<Index, EndpointError> {
        let options = self.question(primary, after);
        let kinds =
            || Kinds { kinds: REPLICATED_KINDS.iter().map(|k| k.as_str().to_owned()).collect() };
        let listed = match self.ask_primary::<config_entry::ListAll, _>(&options, kinds).await {
            Ok(listed) => listed,
            Err(error) if is_unknown_method(&error) => {
                sleep(OLD_PRIMARY).await;
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let Wrapped(AllReply { entries, meta }) = listed;
        if meta.filtered {
            return Err(unseen("configuration entries", "policy"));
        }
        let changed = server.config_entries_replicate(&all_received(&entries)).await?;
        if changed > 0 {
            tracing::info!(changed, "took over configuration entries of the primary datacenter");
        }
        Ok(meta.index)
    }
}
