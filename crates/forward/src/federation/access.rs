//! Policies, roles and tokens of the primary.
//!
//! Of each kind the primary tells a list when something has changed; what is not so here is fetched, and
//! written in portions. A primary of version 1.2 has tokens only, each with its rules.

use lictor_server::{Differences, Primary, Server};
use lictor_types::Index;
use lictor_types::acl::{AclReplication, AclToken};
use lictor_types::command::AclReplica;
use lictor_types::error::EndpointError;
use lictor_wire::acl::{self, PolicyIds, WithPolicy};
use lictor_wire::acl_legacy;
use lictor_wire::acl_token::{self, Accessors, TokenListArgs};
use lictor_wire::{Method, ReadRequest, Request};
use tokio::time::sleep;

use super::{OLD_PRIMARY, Pace, is_unknown_method};
use crate::servers::Servers;

/// Rows that are fetched at once.
const BATCH: usize = 256;
/// What stands for a secret that the caller may not see.
const HIDDEN: &str = "<hidden>";

/// Notes how a round went.
fn noted(
    server: &Server,
    round: Result<Index, EndpointError>,
    done: impl FnOnce(&mut AclReplication, Index),
) -> Result<Index, EndpointError> {
    match &round {
        Ok(index) => server.replication_done(|status| done(status, *index)),
        Err(error) if is_unknown_method(error) => {}
        Err(_) => server.replication_failed(),
    }
    round
}

/// Waits until a primary may have become newer that does not know a kind.
async fn or_later(result: Result<Index, EndpointError>) -> Result<Index, EndpointError> {
    match result {
        Err(error) if is_unknown_method(&error) => {
            sleep(OLD_PRIMARY).await;
            Ok(0)
        }
        result => result,
    }
}

impl Servers {
    /// Copies what the primary decides about access; never ends.
    pub(super) async fn copy_access(&self, server: &Server, primary: &Primary) {
        if !self.acl_enabled() {
            return;
        }
        server.replication_begun(primary);
        let policies = async {
            let mut pace = Pace::new("policies");
            loop {
                let round = self.copy_policies(server, primary, pace.after()).await;
                let round = noted(server, round, |status, index| status.index = index);
                pace.next(or_later(round).await).await;
            }
        };
        let roles = async {
            let mut pace = Pace::new("roles");
            loop {
                let round = self.copy_roles(server, primary, pace.after()).await;
                let round = noted(server, round, |status, index| status.role_index = index);
                pace.next(or_later(round).await).await;
            }
        };
        let tokens = async {
            if !primary.tokens {
                return;
            }
            let mut pace = Pace::new("tokens");
            loop {
                let round = self.copy_tokens(server, primary, pace.after()).await;
                let mut round = noted(server, round, |status, index| status.token_index = index);
                if round.as_ref().is_err_and(is_unknown_method) {
                    round = self.copy_tokens_of_old(server, primary, pace.after()).await;
                    round = noted(server, round, |status, index| {
                        "legacy".clone_into(&mut status.kind);
                        status.index = index;
                    });
                }
                pace.next(round).await;
            }
        };
        tokio::join!(policies, roles, tokens);
    }

    /// What the primary lists of a kind, once that is newer than `after`.
    async fn list_of<M, A>(
        &self,
        primary: &Primary,
        after: Index,
        args: impl Fn() -> A,
    ) -> Result<M::Reply, EndpointError>
    where
        M: Method<Request = ReadRequest<A>>,
        ReadRequest<A>: Request,
    {
        let _timed = self.meters().fetch_access.start();
        self.ask_primary::<M, A>(&self.question(primary, after), args).await
    }

    async fn copy_policies(
        &self,
        server: &Server,
        primary: &Primary,
        after: Index,
    ) -> Result<Index, EndpointError> {
        let listed = self.list_of::<acl::PolicyList, _>(primary, after, || ()).await?;
        let _timed = self.meters().copy_access.start();
        let Differences { gone, wanted } = server.policies_unlike(&listed.result.value, after);
        let mut replica = AclReplica { policies_gone: gone, ..AclReplica::default() };
        let options = self.question(primary, 0);
        for ids in wanted.chunks(BATCH) {
            let args = || PolicyIds { ids: ids.to_vec() };
            let found = self.ask_primary::<acl::PolicyBatchRead, _>(&options, args).await?;
            replica.policies.extend(found.result.value.0.iter().map(|one| (**one).clone()));
        }
        self.write_access(server, replica).await?;
        Ok(listed.result.index)
    }

    async fn copy_roles(
        &self,
        server: &Server,
        primary: &Primary,
        after: Index,
    ) -> Result<Index, EndpointError> {
        let all = || WithPolicy::default();
        let listed = self.list_of::<acl::RoleList, _>(primary, after, all).await?;
        let _timed = self.meters().copy_access.start();
        let Differences { gone, wanted } = server.roles_unlike(&listed.result.value, after);
        let roles = listed.result.value.iter().filter(|role| wanted.contains(&role.id));
        let roles = roles.map(|role| (**role).clone()).collect();
        let replica = AclReplica { roles_gone: gone, roles, ..AclReplica::default() };
        self.write_access(server, replica).await?;
        Ok(listed.result.index)
    }

    async fn copy_tokens(
        &self,
        server: &Server,
        primary: &Primary,
        after: Index,
    ) -> Result<Index, EndpointError> {
        let global = || TokenListArgs { global: true, ..TokenListArgs::default() };
        let listed = self.list_of::<acl_token::TokenList, _>(primary, after, global).await?;
        let _timed = self.meters().copy_access.start();
        let Differences { gone, wanted } = server.tokens_unlike(&listed.result.value, after);
        let tokens_gone = server.secrets_of(&gone);
        let mut replica = AclReplica { tokens_gone, ..AclReplica::default() };
        let options = self.question(primary, 0);
        for accessors in wanted.chunks(BATCH) {
            let args = || Accessors { accessors: accessors.to_vec() };
            let found = self.ask_primary::<acl_token::TokenBatchRead, _>(&options, args).await?;
            let found = &found.result.value;
            let is_hidden = |token: &AclToken| token.secret_id == HIDDEN;
            if found.redacted || found.tokens.iter().any(|token| is_hidden(token)) {
                let text = "the replication token may not see the secrets of tokens: it needs \
                            acl = \"write\" in the primary datacenter";
                return Err(EndpointError::refused(text));
            }
            let global = found.tokens.iter().filter(|token| !token.local);
            replica.tokens.extend(global.map(|one| (**one).clone()));
        }
        self.write_access(server, replica).await?;
        Ok(listed.result.index)
    }

    /// The tokens of a primary of version 1.2.
    async fn copy_tokens_of_old(
        &self,
        server: &Server,
        primary: &Primary,
        after: Index,
    ) -> Result<Index, EndpointError> {
        let listed = self.list_of::<acl_legacy::List, _>(primary, after, || ()).await?;
        let _timed = self.meters().copy_access.start();
        let replica = server.legacy_tokens_unlike(listed.result.value.clone());
        self.write_access(server, replica).await?;
        Ok(listed.result.index)
    }

    async fn write_access(
        &self,
        server: &Server,
        replica: AclReplica,
    ) -> Result<(), EndpointError> {
        let _timed = self.meters().write_access.start();
        server.acl_replicate(replica).await
    }
}
