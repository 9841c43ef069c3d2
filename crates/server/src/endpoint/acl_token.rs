//! Tokens: who may do what their policies say.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::{TOKEN_TABLES, TokenFilter, Topic, View};
use lictor_types::acl::{
    ANONYMOUS_ACCESSOR, AclLink, AclRole, AclToken, RESERVED_PREFIX, TokenRequest,
};
use lictor_types::command::{AclWrite, Refusal};
use lictor_types::duration;
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use lictor_types::timestamp::Timestamp;

use crate::acl::duties::unused_id;
use crate::acl::{fingerprint, resolver};
use crate::clock;
use crate::endpoint::acl::{check_identities, is_uuid, lookup_id};
use crate::read::Read;
use crate::rights::{Anybody, Rights, need};
use crate::server::Server;

/// What stands for a secret that the caller may not see.
pub(crate) const HIDDEN: &str = "<hidden>";
/// Shortest and longest life that a token may be given, nanoseconds.
const LIFE_LEAST: i64 = 60 * 1_000_000_000;
const LIFE_MOST: i64 = 24 * 3600 * 1_000_000_000;

/// A range of lifetimes as the original words its refusals.
pub(crate) fn check_life(life: i64) -> Result<(), String> {
    let (least, most) = (duration::format(LIFE_LEAST), duration::format(LIFE_MOST));
    if life > LIFE_MOST {
        Err(format!("cannot be more than {most}"))
    } else if life < LIFE_LEAST {
        Err(format!("cannot be less than {least}"))
    } else {
        Ok(())
    }
}

impl Server {
    /// Tokens that a filter lets through; secrets are hidden from those who may not write them.
    ///
    /// # Errors
    /// When the caller may not read tokens, or asks for two things at once.
    pub async fn acl_token_list(
        &self,
        options: &QueryOptions,
        filter: TokenFilter<'_>,
    ) -> Result<Reply<Vec<Arc<AclToken>>>, EndpointError> {
        self.acl_on()?;
        let parts = [filter.policy, filter.role, filter.service, filter.auth_method];
        if parts.into_iter().filter(|part| !part.is_empty()).count() > 1 {
            let text =
                "can only filter by one of policy, role, serviceName, or methodName at a time";
            return Err(EndpointError::refused(text));
        }
        let evaluate = |view: &View| {
            let now = clock::now();
            let (index, mut tokens) = view.tokens(filter);
            tokens.retain(|token| !token.is_expired(now));
            Ok(Evaluated::new(index, tokens))
        };
        self.read(Read { evaluate, topics: token_topics, rights: Tokens, options }).await
    }

    /// The token with an accessor.
    ///
    /// # Errors
    /// When the caller may not read tokens, or the accessor is no UUID.
    pub async fn acl_token_read(
        &self,
        options: &QueryOptions,
        accessor: &str,
    ) -> Result<Reply<Option<Arc<AclToken>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let accessor = lookup_id("token", accessor)?;
            let (index, found) = view.token_by_accessor(&accessor);
            Ok(Evaluated::new(index, found.filter(|token| !token.is_expired(clock::now()))))
        };
        self.read(Read { evaluate, topics: token_topics, rights: Tokens, options }).await
    }

    /// The caller's own token; it needs no right.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn acl_token_self(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Option<Arc<AclToken>>>, EndpointError> {
        self.acl_on()?;
        let evaluate = |view: &View| {
            let (index, found) = view.token_by_secret(&options.token);
            Ok(Evaluated::new(index, found.filter(|token| !token.is_expired(clock::now()))))
        };
        self.read(Read { evaluate, topics: token_topics, rights: Anybody, options }).await
    }

    /// Creates or changes a token.
    ///
    /// # Errors
    /// When the caller may not, or what is wanted breaks a rule.
    pub async fn acl_token_set(
        &self,
        token: &str,
        request: TokenRequest,
    ) -> Result<Arc<AclToken>, EndpointError> {
        self.acl_writer(token).await?;
        let wanted = self.checked(request)?;
        self.write_token(wanted, AclWrite::TokenSet).await
    }

    /// A copy of a token with another accessor and secret.
    ///
    /// # Errors
    /// When the caller may not, or the token cannot be copied.
    pub async fn acl_token_clone(
        &self,
        token: &str,
        accessor: &str,
        description: &str,
    ) -> Result<Arc<AclToken>, EndpointError> {
        self.acl_writer(token).await?;
        let accessor = lookup_id("token", accessor)?;
        let found = self.view().token_by_accessor(&accessor).1;
        let found = found.filter(|token| !token.is_expired(clock::now()));
        let original = found.ok_or_else(EndpointError::acl_not_found)?;
        if !original.auth_method.is_empty() {
            let text = "Cannot clone a token created from an auth method";
            return Err(EndpointError::refused(text));
        }
        if !original.rules.is_empty() {
            let text = "Cannot clone a legacy ACL with this endpoint";
            return Err(EndpointError::refused(text));
        }
        let description =
            if description.is_empty() { &original.description } else { description }.to_owned();
        let copy = AclToken {
            description,
            policies: original.policies.clone(),
            roles: original.roles.clone(),
            service_identities: original.service_identities.clone(),
            node_identities: original.node_identities.clone(),
            local: original.local,
            expiration_time: original.expiration_time,
            ..AclToken::default()
        };
        let request = TokenRequest { token: copy, expiration_ttl: 0, create: true };
        let wanted = self.checked(request)?;
        self.write_token(wanted, AclWrite::TokenSet).await
    }

    /// Deletes a token; an unknown one is no error.
    ///
    /// # Errors
    /// When the caller may not, or it is the caller's own or the anonymous one.
    pub async fn acl_token_delete(&self, token: &str, accessor: &str) -> Result<(), EndpointError> {
        self.acl_writer(token).await?;
        if !is_uuid(accessor) {
            let text = "Accessor ID is missing or an invalid UUID";
            return Err(EndpointError::refused(text));
        }
        if accessor == ANONYMOUS_ACCESSOR {
            let text = "Delete operation not permitted on the anonymous token";
            return Err(EndpointError::refused(text));
        }
        let Some(found) = self.view().token_by_accessor(accessor).1 else { return Ok(()) };
        if found.secret_id == token {
            let text = "Deletion of the request's authorization token is not permitted";
            return Err(EndpointError::refused(text));
        }
        self.acl_write(AclWrite::TokenDelete(found.accessor_id.clone())).await
    }

    /// Writes a token that was checked, and gives it as it is now.
    pub(crate) async fn write_token(
        &self,
        token: AclToken,
        write: impl FnOnce(AclToken) -> AclWrite,
    ) -> Result<Arc<AclToken>, EndpointError> {
        let accessor = token.accessor_id.clone();
        self.acl_write(write(token)).await?;
        self.view().token_by_accessor(&accessor).1.ok_or_else(|| {
            EndpointError::new(ErrorKind::Internal, "Failed to retrieve the token after insertion")
        })
    }

    /// The token to be written for a request.
    fn checked(&self, request: TokenRequest) -> Result<AclToken, EndpointError> {
        let view = self.view();
        let now = clock::now();
        let accessor = &request.token.accessor_id;
        if !accessor.is_empty() {
            lookup_id("token", accessor).map_err(|error| {
                let text = format!("Failed acl token lookup by accessor: {error}");
                EndpointError::refused(text)
            })?;
        }
        let create = request.create || accessor.is_empty();
        let mut token = if create {
            if !request.token.auth_method.is_empty() {
                let text = "AuthMethod field is disallowed outside of Login";
                return Err(EndpointError::refused(text));
            }
            new_token(&view, request, now)?
        } else {
            changed_token(&view, request, now)?
        };
        complete(&view, &mut token)?;
        Ok(token)
    }
}

/// Checks and completes what is alike of new and changed tokens.
pub(crate) fn complete(view: &View, token: &mut AclToken) -> Result<(), EndpointError> {
    policy_links(view, &mut token.policies)?;
    role_links(view, &mut token.roles)?;
    check_identities(
        "token",
        token.local,
        &mut token.service_identities,
        &mut token.node_identities,
    )?;
    if !token.rules.is_empty() {
        return Err(EndpointError::refused("Rules cannot be specified for this token"));
    }
    token.kind.clear();
    token.hash = fingerprint::token(token);
    Ok(())
}

/// A token that is not there yet.
pub(crate) fn new_token(
    view: &View,
    request: TokenRequest,
    now: Timestamp,
) -> Result<AclToken, EndpointError> {
    let TokenRequest { mut token, expiration_ttl, .. } = request;
    token.accessor_id = free_id(view, token.accessor_id, "AccessorID")?;
    token.secret_id = free_id(view, token.secret_id, "SecretID")?;
    token.create_time = now;
    token.create_index = 0;
    let refused = |text: String| Err(EndpointError::refused(text));
    if expiration_ttl != 0 {
        if expiration_ttl < 0 {
            let life = duration::format(expiration_ttl);
            return refused(format!("Token Expiration TTL '{life}' should be > 0"));
        }
        if token.expiration_time.is_some() {
            let text = "Token Expiration TTL and Expiration Time cannot both be set";
            return refused(text.to_owned());
        }
        token.expiration_time = Some(Timestamp(now.0.saturating_add(expiration_ttl)));
    }
    if let Some(end) = token.expiration_time {
        if end < now {
            return refused("ExpirationTime cannot be before CreateTime".to_owned());
        }
        let life = end.0.saturating_sub(now.0);
        if let Err(fault) = check_life(life) {
            let life = duration::format(life);
            return refused(format!("ExpirationTime {fault} in the future (was {life})"));
        }
    }
    Ok(token)
}

/// An ID for a new token: as wished, if nobody has it.
fn free_id(view: &View, wished: String, what: &'static str) -> Result<String, EndpointError> {
    if wished.is_empty() {
        return Ok(unused_id(view));
    }
    let refused = |text: String| Err(EndpointError::refused(text));
    if !is_uuid(&wished) {
        return refused(format!("Invalid Token: {what} is not a valid UUID"));
    }
    let taken =
        view.token_by_accessor(&wished).1.is_some() || view.token_by_secret(&wished).1.is_some();
    if taken {
        return Err(Refusal::AclTokenTaken(what).into());
    }
    if wished.starts_with(RESERVED_PREFIX) {
        return refused(format!(
            "Invalid Token: UUIDs with the prefix {RESERVED_PREFIX:?} are reserved"
        ));
    }
    Ok(wished)
}

/// A token that is there, with another content.
fn changed_token(
    view: &View,
    request: TokenRequest,
    now: Timestamp,
) -> Result<AclToken, EndpointError> {
    let TokenRequest { mut token, expiration_ttl, .. } = request;
    if resolver::is_root(&token.secret_id) {
        let text = "Permission denied: Cannot modify root ACL";
        return Err(EndpointError::new(ErrorKind::PermissionDenied, text));
    }
    let old = view.token_by_accessor(&token.accessor_id).1.filter(|old| !old.is_expired(now));
    let refused = |text: String| Err(EndpointError::refused(text));
    let Some(old) = old else {
        return refused(format!("Cannot find token {:?}", token.accessor_id));
    };
    if !token.secret_id.is_empty() && token.secret_id != old.secret_id {
        return refused("Changing a tokens SecretID is not permitted".to_owned());
    }
    let accessor = &old.accessor_id;
    if token.local != old.local {
        return refused(format!("cannot toggle local mode of {accessor}"));
    }
    if !token.auth_method.is_empty() && token.auth_method != old.auth_method {
        return refused(format!("Cannot change AuthMethod of {accessor}"));
    }
    let other_end = token.expiration_time.is_some() && token.expiration_time != old.expiration_time;
    if expiration_ttl != 0 || other_end {
        return refused(format!("Cannot change expiration time of {accessor}"));
    }
    token.accessor_id.clone_from(accessor);
    token.secret_id.clone_from(&old.secret_id);
    token.auth_method.clone_from(&old.auth_method);
    token.expiration_time = old.expiration_time;
    token.create_time = old.create_time;
    token.create_index = old.create_index;
    Ok(token)
}

/// Finds policies by ID, or else by name; each is kept once.
pub(crate) fn policy_links(view: &View, links: &mut Vec<AclLink>) -> Result<(), EndpointError> {
    let id = |id: &str| view.policy(id).1.map(|policy| policy.id.clone());
    let name = |name: &str| view.policy_by_name(name).1.map(|policy| policy.id.clone());
    resolve("policy", links, id, name)
}

fn role_links(view: &View, links: &mut Vec<AclLink>) -> Result<(), EndpointError> {
    let own = |role: Option<Arc<AclRole>>| role.map(|role| role.id.clone());
    resolve("role", links, |id| own(view.role(id).1), |name| own(view.role_by_name(name).1))
}

fn resolve(
    what: &str,
    links: &mut Vec<AclLink>,
    by_id: impl Fn(&str) -> Option<String>,
    by_name: impl Fn(&str) -> Option<String>,
) -> Result<(), EndpointError> {
    let mut found: Vec<AclLink> = Vec::with_capacity(links.len());
    for link in links.drain(..) {
        let (how, key, id) = if link.id.is_empty() {
            ("name", &link.name, by_name(&link.name))
        } else {
            let id = lookup_id(what, &link.id).map_err(|error| {
                let text = format!("Error looking up {what} for id {:?}: {error}", link.id);
                EndpointError::refused(text)
            })?;
            ("ID", &link.id, by_id(&id))
        };
        let Some(id) = id else {
            return Err(EndpointError::refused(format!("No such ACL {what} with {how} {key:?}")));
        };
        if found.iter().all(|one| one.id != id) {
            found.push(AclLink { id, name: String::new() });
        }
    }
    *links = found;
    Ok(())
}

/// Who may read tokens sees them, and their secrets only who may write them.
pub(crate) struct Tokens;

impl Tokens {
    fn hidden(token: &Arc<AclToken>) -> Arc<AclToken> {
        Arc::new(AclToken { secret_id: HIDDEN.to_owned(), ..(**token).clone() })
    }
}

impl Rights<Vec<Arc<AclToken>>> for Tokens {
    fn allowed(&self, who: &Authorizer, _: &Vec<Arc<AclToken>>) -> Result<(), EndpointError> {
        need(who.acl_read())
    }

    fn seen(&self, who: &Authorizer, tokens: &Vec<Arc<AclToken>>) -> Option<Vec<Arc<AclToken>>> {
        (!who.acl_write()).then(|| tokens.iter().map(Self::hidden).collect())
    }
}

impl Rights<Option<Arc<AclToken>>> for Tokens {
    fn allowed(&self, who: &Authorizer, _: &Option<Arc<AclToken>>) -> Result<(), EndpointError> {
        need(who.acl_read())
    }

    fn seen(
        &self,
        who: &Authorizer,
        token: &Option<Arc<AclToken>>,
    ) -> Option<Option<Arc<AclToken>>> {
        (!who.acl_write()).then(|| token.as_ref().map(Self::hidden))
    }
}

pub(crate) fn token_topics() -> Vec<Topic> {
    TOKEN_TABLES.into_iter().map(Topic::Table).collect()
}
