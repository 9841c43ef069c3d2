//! Tokens as version 1.2 has them: a secret, a type and rules of their own.
//!
//! A thin layer over [`super::acl_token`]: what it writes are tokens like any other, and it shows
//! those that have a type. One that has what 1.2 does not know cannot be changed here.

use std::sync::Arc;

use lictor_acl::{Authorizer, Rules};
use lictor_state::{TokenFilter, View};
use lictor_types::acl::{ANONYMOUS_SECRET, AclToken, CLIENT, LegacyAcl, MANAGEMENT};
use lictor_types::command::AclWrite;
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::query::{Evaluated, QueryOptions, Reply};

use crate::acl::duties::unused_id;
use crate::acl::{fingerprint, resolver};
use crate::clock;
use crate::endpoint::acl_token::token_topics;
use crate::read::Read;
use crate::rights::{Anybody, Only};
use crate::server::Server;

fn shown(token: &AclToken) -> Option<LegacyAcl> {
    let shown = LegacyAcl {
        id: token.secret_id.clone(),
        name: token.description.clone(),
        kind: token.kind.clone(),
        rules: token.rules.clone(),
        create_index: token.create_index,
        modify_index: token.modify_index,
    };
    (!token.kind.is_empty()).then_some(shown)
}

/// The anonymous token as the first leader makes it: to 1.2 it is a token like any other.
fn is_plain_anonymous(token: &AclToken) -> bool {
    let same_kind = AclToken { kind: CLIENT.to_owned(), ..token.clone() };
    token.secret_id == ANONYMOUS_SECRET && !same_kind.is_of_later_form()
}

impl Server {
    /// All tokens that 1.2 knows the form of.
    ///
    /// # Errors
    /// When the caller may not change tokens: their secrets are shown.
    pub async fn acl_legacy_list(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Vec<LegacyAcl>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, tokens) = view.tokens(TokenFilter::default());
            let now = clock::now();
            let shown =
                tokens.iter().filter(|token| !token.is_expired(now)).filter_map(|one| shown(one));
            Ok(Evaluated::new(index, shown.collect()))
        };
        let rights = Only(Authorizer::acl_write);
        self.read(Read { evaluate, topics: token_topics, rights, options }).await
    }

    /// One token; who knows its secret may see it.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn acl_legacy_info(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Option<LegacyAcl>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, found) = view.token_by_secret(id);
            let now = clock::now();
            let found = found.filter(|token| !token.is_expired(now));
            Ok(Evaluated::new(index, found.and_then(|token| shown(&token))))
        };
        self.read(Read { evaluate, topics: token_topics, rights: Anybody, options }).await
    }

    /// Creates a token, or changes the one with its secret; without one it is made up. Gives the
    /// secret.
    ///
    /// # Errors
    /// When the caller may not, or type or rules are not in order.
    pub async fn acl_legacy_set(
        &self,
        token: &str,
        mut acl: LegacyAcl,
    ) -> Result<String, EndpointError> {
        self.acl_writer(token).await?;
        let view = self.view();
        if acl.id.is_empty() {
            acl.id = unused_id(&view);
        }
        if !matches!(&*acl.kind, CLIENT | MANAGEMENT) {
            return Err(EndpointError::refused("Invalid ACL Type"));
        }
        let old = view.token_by_secret(&acl.id).1;
        if old.as_ref().is_some_and(|old| old.is_of_later_form() && !is_plain_anonymous(old)) {
            let text = "Cannot use legacy endpoint to modify a non-legacy token";
            return Err(EndpointError::refused(text));
        }
        if resolver::is_root(&acl.id) {
            return Err(denied("Cannot modify root ACL"));
        }
        if acl.id != ANONYMOUS_SECRET && view.token_by_accessor(&acl.id).1.is_some() {
            return Err(EndpointError::refused("Invalid Token: SecretID is already in use"));
        }
        Rules::parse_legacy(&acl.rules).map_err(|error| {
            EndpointError::refused(format!("ACL rule compilation failed: {error}"))
        })?;
        let secret = acl.id.clone();
        let mut written = AclToken::from(acl);
        if let Some(old) = &old {
            written.accessor_id.clone_from(&old.accessor_id);
            written.create_time = old.create_time;
        } else {
            written.create_time = clock::now();
        }
        if written.accessor_id.is_empty() {
            written.accessor_id = unused_id(&view);
        }
        written.create_index = old.map_or(0, |old| old.create_index);
        written.hash = fingerprint::token(&written);
        self.acl_write(AclWrite::TokenSet(written)).await?;
        Ok(secret)
    }

    /// Deletes the token with a secret; an unknown one is no error.
    ///
    /// # Errors
    /// When the caller may not, or it is the anonymous one.
    pub async fn acl_legacy_destroy(&self, token: &str, id: &str) -> Result<(), EndpointError> {
        self.acl_writer(token).await?;
        if id == ANONYMOUS_SECRET {
            return Err(denied("Cannot delete anonymous token"));
        }
        let found: Option<Arc<AclToken>> = self.view().token_by_secret(id).1;
        match found {
            Some(found) => self.acl_write(AclWrite::TokenDelete(found.accessor_id.clone())).await,
            None => Ok(()),
        }
    }
}

fn denied(why: &str) -> EndpointError {
    EndpointError::new(ErrorKind::PermissionDenied, format!("Permission denied: {why}"))
}
