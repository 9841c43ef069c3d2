//! `/v1/acl/token…`: tokens.

use std::sync::Arc;

use lictor_api::acl as body;
use lictor_server::{TokenFilter, TokenRequest};
use lictor_types::acl::AclToken;
use lictor_types::timestamp::Timestamp;

use crate::acl::{
    bad, decoded, enabled, found_or_denied, hash, links, links_given, nodes, nodes_given, services,
    services_given,
};
use crate::answer::{Answer, read};
use crate::door::{Call, Door};
use crate::error::HttpError;

const CLONE: &str = "/clone";

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let query = &call.request.query;
    let (policy, role) = (query.text("policy"), query.text("role"));
    let (method, service) = (query.text("authmethod"), query.text("servicename"));
    let filter =
        TokenFilter { policy: &policy, role: &role, auth_method: &method, service: &service };
    let reply = door.servers().acl_token_list(&options, filter).await;
    Ok(read(reply, |result| {
        let stub = |one: &Arc<AclToken>| body::AclToken {
            legacy: !one.rules.is_empty(),
            rules: String::new(),
            ..token(one)
        };
        Answer::json(&result.value.iter().map(stub).collect::<Vec<_>>(), call.pretty)
    }))
}

pub(crate) async fn get(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let accessor = call.argument("Bad request: Missing token ID")?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_token_read(&options, accessor).await;
    Ok(found_or_denied(reply, call.pretty, token))
}

pub(crate) async fn own(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_token_self(&options).await;
    Ok(found_or_denied(reply, call.pretty, token))
}

pub(crate) async fn create(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let request = requested(decoded(&call, "Token")?, true)?;
    let made = door.servers().acl_token_set(&call.request.write_options(), request).await?;
    Ok(Answer::json(&token(&made), call.pretty))
}

pub(crate) async fn put(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let given: body::AclToken = decoded(&call, "Token")?;
    if let Some(accessor) = call.rest.strip_suffix(CLONE) {
        let to = call.request.write_options();
        let made = door.servers().acl_token_clone(&to, accessor, &given.description).await?;
        return Ok(Answer::json(&token(&made), call.pretty));
    }
    if !given.accessor_id.is_empty() && given.accessor_id != call.rest {
        return Err(bad("Token Accessor ID in URL and payload do not match"));
    }
    let mut request = requested(given, false)?;
    call.rest.clone_into(&mut request.token.accessor_id);
    let made = door.servers().acl_token_set(&call.request.write_options(), request).await?;
    Ok(Answer::json(&token(&made), call.pretty))
}

pub(crate) async fn delete(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let accessor = call.argument("Bad request: Missing token ID")?;
    door.servers().acl_token_delete(&call.request.write_options(), accessor).await?;
    Ok(Answer::boolean(true, call.pretty))
}

fn requested(given: body::AclToken, create: bool) -> Result<TokenRequest, HttpError> {
    let end = match given.expiration_time.as_deref() {
        None => None,
        Some(text) => Some(Timestamp::parse_rfc3339(text).ok_or_else(|| {
            bad(&format!("Token decoding failed: {text:?} is no time (RFC 3339)"))
        })?),
    };
    let token = AclToken {
        accessor_id: given.accessor_id,
        secret_id: given.secret_id,
        description: given.description,
        policies: links_given(given.policies),
        roles: links_given(given.roles),
        service_identities: services_given(given.service_identities),
        node_identities: nodes_given(given.node_identities),
        rules: given.rules,
        local: given.local,
        auth_method: given.auth_method,
        expiration_time: end.filter(|end| end.0 != 0),
        ..AclToken::default()
    };
    Ok(TokenRequest { token, expiration_ttl: given.expiration_ttl.0, create })
}

/// A token as it is shown.
pub(crate) fn token(token: &AclToken) -> body::AclToken {
    body::AclToken {
        id: None,
        accessor_id: token.accessor_id.clone(),
        secret_id: token.secret_id.clone(),
        description: token.description.clone(),
        policies: links(&token.policies),
        roles: links(&token.roles),
        service_identities: services(&token.service_identities),
        node_identities: nodes(&token.node_identities),
        rules: token.rules.clone(),
        local: token.local,
        auth_method: token.auth_method.clone(),
        expiration_time: token.expiration_time.map(Timestamp::to_rfc3339),
        create_time: Some(token.create_time.to_rfc3339()),
        hash: hash(&token.hash),
        create_index: token.create_index,
        modify_index: token.modify_index,
        ..body::AclToken::default()
    }
}
