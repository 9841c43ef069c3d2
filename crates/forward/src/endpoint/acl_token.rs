//! Tokens of access control.

use std::borrow::Cow;
use std::sync::Arc;

use lictor_server::{Server, TokenFilter, TokenRequest};
use lictor_types::acl::{AclToken, LegacyAcl};
use lictor_types::error::{EndpointError, text::ACL_DISABLED};
use lictor_types::query::{QueryOptions, Reply};
use lictor_wire::acl_legacy::{self, AclArgs, AclChange, AclOp};
use lictor_wire::acl_token::{self, Accessor, TokenArgs, TokenFound, TokenListArgs};

use crate::attempts::Attempts;
use crate::away::{Serving, WriteOptions, answers, mapped, read, write};
use crate::servers::Servers;

/// What stands for a secret that the caller may not see.
const HIDDEN: &str = "<hidden>";

impl Servers {
    /// Tokens, each without what is long.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn acl_token_list(
        &self,
        options: &QueryOptions,
        filter: TokenFilter<'_>,
    ) -> Result<Reply<Vec<Arc<AclToken>>>, EndpointError> {
        let args = || TokenListArgs {
            local: true,
            global: true,
            policy: filter.policy.to_owned(),
            role: filter.role.to_owned(),
            auth_method: filter.auth_method.to_owned(),
        };
        let options = &*self.of_tokens(options);
        let of_service = |token: &Arc<AclToken>| {
            let mut own = token.service_identities.iter();
            filter.service.is_empty() || own.any(|one| one.service_name == filter.service)
        };
        read!(
            self,
            options,
            |server| server.acl_token_list(options, filter),
            acl_token::TokenList,
            args(),
            |reply| mapped(reply, |tokens| tokens.into_iter().filter(of_service).collect()),
        )
    }

    /// A token by its accessor.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn acl_token_read(
        &self,
        options: &QueryOptions,
        accessor: &str,
    ) -> Result<Reply<Option<Arc<AclToken>>>, EndpointError> {
        let options = &*self.of_tokens(options);
        let args = || TokenArgs { id: accessor.to_owned(), by_secret: false };
        read!(
            self,
            options,
            |server| server.acl_token_read(options, accessor),
            acl_token::TokenRead,
            args(),
            |reply| mapped(reply, |found| found.token),
        )
    }

    /// The caller's token.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn acl_token_self(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Option<Arc<AclToken>>>, EndpointError> {
        let options = &*self.of_tokens(options);
        let args = || TokenArgs { id: options.token.clone(), by_secret: true };
        read!(
            self,
            options,
            |server| server.acl_token_self(options),
            acl_token::TokenRead,
            args(),
            |reply| mapped(reply, |found| found.token),
        )
    }

    /// Where a token is changed that is there: here if it is of this datacenter only. The leader knows.
    pub(crate) fn unless_local<'a>(
        &self,
        to: &'a WriteOptions,
        is_local: impl FnOnce(&Server) -> bool,
    ) -> Cow<'a, WriteOptions> {
        match self.writes_here(&to.datacenter) {
            Some(server) if !is_local(server) => self.of_access(to),
            _ => Cow::Borrowed(to),
        }
    }

    /// Creates or changes a token.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn acl_token_set(
        &self,
        to: &WriteOptions,
        request: TokenRequest,
    ) -> Result<Arc<AclToken>, EndpointError> {
        let to = match request.token.local {
            false => &*self.of_access(to),
            true if self.check_own(&to.datacenter).is_ok() && !self.keeps_tokens() => {
                return Err(EndpointError::refused("Local tokens are disabled"));
            }
            true => to,
        };
        write!(
            self,
            to,
            |server| server.acl_token_set(&to.token, request.clone()),
            acl_token::TokenSet,
            request.clone(),
        )
    }

    /// A copy of a token with another accessor and secret.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn acl_token_clone(
        &self,
        to: &WriteOptions,
        accessor: &str,
        description: &str,
    ) -> Result<Arc<AclToken>, EndpointError> {
        let args = || TokenRequest {
            token: AclToken {
                accessor_id: accessor.to_owned(),
                description: description.to_owned(),
                ..AclToken::default()
            },
            expiration_ttl: 0,
            create: false,
        };
        let to = &*self.unless_local(to, |server| server.is_local_token(accessor));
        write!(
            self,
            to,
            |server| server.acl_token_clone(&to.token, accessor, description),
            acl_token::TokenClone,
            args(),
        )
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn acl_token_delete(
        &self,
        to: &WriteOptions,
        accessor: &str,
    ) -> Result<(), EndpointError> {
        let args = || Accessor { accessor: accessor.to_owned() };
        let to = &*self.unless_local(to, |server| server.is_local_token(accessor));
        write!(
            self,
            to,
            |server| server.acl_token_delete(&to.token, accessor),
            acl_token::TokenDelete,
            args(),
            |_accessor| (),
        )
    }

    /// The first token.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`]; when it was made before.
    pub async fn acl_bootstrap(&self, to: &WriteOptions) -> Result<Arc<AclToken>, EndpointError> {
        if matches!(self.of_access(to), Cow::Owned(_)) {
            return Err(EndpointError::refused(ACL_DISABLED));
        }
        let options = QueryOptions { datacenter: to.datacenter.clone(), ..QueryOptions::default() };
        let mut attempts = Attempts::write(self, to);
        loop {
            if let Some(server) = self.writes_here(&to.datacenter) {
                match server.acl_bootstrap().await {
                    Err(error) if self.is_elsewhere(&error) => {}
                    done => return done,
                }
            }
            let away =
                self.read_away::<acl_token::BootstrapTokens, _>(&mut attempts, &options, || ());
            if let Some(made) = Box::pin(away).await? {
                return Ok(made);
            }
        }
    }

    /// All tokens as version 1.2 shows them.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn acl_legacy_list(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Vec<LegacyAcl>>, EndpointError> {
        let options = &*self.of_tokens(options);
        read!(self, options, |server| server.acl_legacy_list(options), acl_legacy::List, ())
    }

    /// A token by its secret.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn acl_legacy_info(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Option<LegacyAcl>>, EndpointError> {
        let options = &*self.of_tokens(options);
        let args = || AclArgs { id: id.to_owned() };
        read!(self, options, |server| server.acl_legacy_info(options, id), acl_legacy::Get, args(),)
    }

    /// Writes a token; gives its secret.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn acl_legacy_set(
        &self,
        to: &WriteOptions,
        acl: LegacyAcl,
    ) -> Result<String, EndpointError> {
        let to = &*self.of_access(to);
        write!(
            self,
            to,
            |server| server.acl_legacy_set(&to.token, acl.clone()),
            acl_legacy::Apply,
            AclChange { op: AclOp::Set, acl: acl.clone() },
        )
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn acl_legacy_destroy(
        &self,
        to: &WriteOptions,
        id: &str,
    ) -> Result<(), EndpointError> {
        let to = &*self.of_access(to);
        let acl = || LegacyAcl { id: id.to_owned(), ..LegacyAcl::default() };
        write!(
            self,
            to,
            |server| server.acl_legacy_destroy(&to.token, id),
            acl_legacy::Apply,
            AclChange { op: AclOp::Delete, acl: acl() },
            |_id| (),
        )
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    let to = |datacenter: String, token: String| WriteOptions { datacenter, token };
    answers! { method, body;
        acl_token::TokenList, r => async {
            let TokenListArgs { policy, role, auth_method, local, global } = &r.args;
            let filter = TokenFilter { policy, role, auth_method, service: "" };
            let reply = servers.acl_token_list(&r.options, filter).await?;
            Ok::<_, EndpointError>(match local == global {
                true => reply,
                // Other datacenters copy those that are valid everywhere.
                false => mapped(reply, |mut tokens| {
                    tokens.retain(|token| token.local == *local);
                    tokens
                }),
            })
        };
        acl_token::TokenRead, r => async {
            let reply = match r.args.by_secret {
                true => {
                    let options = QueryOptions { token: r.args.id, ..r.options };
                    servers.acl_token_self(&options).await?
                }
                false => servers.acl_token_read(&r.options, &r.args.id).await?,
            };
            Ok::<_, EndpointError>(mapped(reply, |token| TokenFound {
                redacted: token.as_ref().is_some_and(|token| token.secret_id == HIDDEN),
                source_datacenter: servers.config().datacenter.clone(),
                token,
            }))
        };
        acl_token::TokenSet, r => async {
            servers.acl_token_set(&to(r.datacenter, r.token), r.args).await
        };
        acl_token::TokenClone, r => async {
            let AclToken { accessor_id, description, .. } = &r.args.token;
            let to = to(r.datacenter, r.token);
            servers.acl_token_clone(&to, accessor_id, description).await
        };
        acl_token::TokenDelete, r => async {
            let to = to(r.datacenter, r.token);
            servers.acl_token_delete(&to, &r.args.accessor).await.map(|()| r.args.accessor)
        };
        acl_token::BootstrapTokens, r => async {
            servers.acl_bootstrap(&to(r.options.datacenter, r.options.token)).await
        };
    }
}

/// Answers calls of others in the form of version 1.2.
pub(crate) fn serve_legacy<'a>(
    servers: &'a Servers,
    method: &str,
    body: Vec<u8>,
) -> Option<Serving<'a>> {
    answers! { method, body;
        acl_legacy::List, r => servers.acl_legacy_list(&r.options);
        acl_legacy::Get, r => servers.acl_legacy_info(&r.options, &r.args.id);
        acl_legacy::Apply, r => async {
            let to = WriteOptions { datacenter: r.datacenter, token: r.token };
            let AclChange { op, acl } = r.args;
            let id = acl.id.clone();
            match op {
                AclOp::Set => servers.acl_legacy_set(&to, acl).await,
                AclOp::Delete => servers.acl_legacy_destroy(&to, &id).await.map(|()| id),
            }
        };
    }
}
