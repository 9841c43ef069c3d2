//! `/v1/acl`: what is about no single thing, and what the other files of it share.
//!
//! Tokens are in [`crate::acl_token`], policies and roles in [`crate::acl_policy`], logging in in
//! [`crate::acl_auth`], the endpoints of 1.2 in [`crate::acl_legacy`]. While access control is off all
//! of them answer 401.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_api::acl as body;
use lictor_api::decode::{self, Body};
use lictor_server::AclQuestion;
use lictor_types::acl::{AclLink, NodeIdentity, ServiceIdentity};
use lictor_types::error::EndpointError;
use lictor_types::error::text::{ACL_DISABLED, ACL_NOT_FOUND};
use lictor_types::query::{QueryOptions, Reply};

use crate::acl_token;
use crate::answer::{Answer, read};
use crate::door::{Call, Door};
use crate::error::HttpError;

/// Questions of one request.
const QUESTIONS_MOST: usize = 64;

pub(crate) async fn bootstrap(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let made = door.servers().acl_bootstrap(&call.request.write_options()).await?;
    let shown = body::AclToken { id: Some(made.secret_id.clone()), ..acl_token::token(&made) };
    Ok(Answer::json(&shown, call.pretty))
}

pub(crate) async fn replication(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    // The leader alone knows.
    let datacenter = call.request.query.text("dc").into_owned();
    let options = QueryOptions { datacenter, ..QueryOptions::default() };
    let found = door.servers().acl_replication(&options).await?;
    let shown = body::AclReplication {
        enabled: found.enabled,
        running: found.running,
        source_datacenter: found.source_datacenter,
        replication_type: found.kind,
        replicated_index: found.index,
        replicated_role_index: found.role_index,
        replicated_token_index: found.token_index,
        last_success: found.last_success.to_rfc3339(),
        last_error: found.last_error.to_rfc3339(),
    };
    Ok(Answer::json(&shown, call.pretty))
}

pub(crate) async fn translate(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let rules = String::from_utf8_lossy(&call.request.body);
    let translated = door.servers().acl_translate(&call.request.token(), &rules).await?;
    Ok(Answer::text(200, translated))
}

pub(crate) async fn translate_token(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let accessor = call.argument("Bad request: Missing token ID")?;
    let mut options = call.request.read_options()?;
    options.min_index = 0;
    let reply = match door.servers().acl_token_read(&options, accessor).await {
        Ok(reply) => reply,
        Err(error) => return Err(HttpError::from(error).with_empty_meta()),
    };
    let Some(token) = &reply.result.value else {
        return Ok(Answer::from(not_found()).with_meta(&reply.meta));
    };
    let translated = door.servers().acl_translate_token(token)?;
    Ok(Answer::text(200, translated).with_meta(&reply.meta))
}

pub(crate) async fn authorize(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let mut asked: Vec<body::AclAuthorization> = decode::decode_list(&call.request.body)
        .map_err(|e| bad(&format!("Failed to decode request body: {e}")))?;
    if asked.len() > QUESTIONS_MOST {
        return Err(bad(&format!(
            "Refusing to process more than {QUESTIONS_MOST} authorizations at once"
        )));
    }
    let questions: Vec<_> = asked
        .iter()
        .map(|one| AclQuestion {
            resource: one.resource.clone(),
            access: one.access.clone(),
            segment: one.segment.clone(),
        })
        .collect();
    let options = QueryOptions {
        datacenter: call.request.query.text("dc").into_owned(),
        token: call.request.token(),
        ..QueryOptions::default()
    };
    let decisions = door.servers().acl_authorize(&options, &questions).await?;
    for (one, decision) in asked.iter_mut().zip(decisions) {
        one.allow = decision;
    }
    Ok(Answer::json(&asked, call.pretty))
}

/// Refuses while access control is off.
pub(crate) fn enabled(door: &Door) -> Result<(), HttpError> {
    if door.servers().acl_enabled() {
        return Ok(());
    }
    Err(HttpError::new(401, Cow::Borrowed(ACL_DISABLED)))
}

/// 400 in the words of the original.
pub(crate) fn bad(text: &str) -> HttpError {
    HttpError::bad_request(format!("Bad request: {text}"))
}

/// The body of a write, called `what` in the refusal.
pub(crate) fn decoded<T: Body>(call: &Call<'_>, what: &str) -> Result<T, HttpError> {
    decode::decode(&call.request.body).map_err(|e| bad(&format!("{what} decoding failed: {e}")))
}

fn not_found() -> HttpError {
    HttpError::new(403, Cow::Borrowed(ACL_NOT_FOUND))
}

/// The answer to a read of one thing, which hides whether there is none: 403.
pub(crate) fn found_or_denied<T, B: serde::Serialize>(
    reply: Result<Reply<Option<Arc<T>>>, EndpointError>,
    pretty: bool,
    shape: impl FnOnce(&T) -> B,
) -> Answer {
    read(reply, |result| match &result.value {
        Some(found) => Answer::json(&shape(found), pretty),
        None => not_found().into(),
    })
}

/// The answer to a read of one thing that may be missed: 404.
pub(crate) fn found_or_missing<T, B: serde::Serialize>(
    reply: Result<Reply<Option<Arc<T>>>, EndpointError>,
    pretty: bool,
    shape: impl FnOnce(&T) -> B,
) -> Answer {
    read(reply, |result| match &result.value {
        Some(found) => Answer::json(&shape(found), pretty),
        None => Answer::empty(404),
    })
}

/// A fingerprint as it is shown.
pub(crate) fn hash(hash: &[u8]) -> Option<String> {
    (!hash.is_empty()).then(|| STANDARD.encode(hash))
}

pub(crate) fn links(links: &[AclLink]) -> Vec<body::AclLink> {
    links
        .iter()
        .map(|link| body::AclLink { id: link.id.clone(), name: link.name.clone() })
        .collect()
}

pub(crate) fn links_given(links: Vec<body::AclLink>) -> Vec<AclLink> {
    links.into_iter().map(|link| AclLink { id: link.id, name: link.name }).collect()
}

pub(crate) fn services(identities: &[ServiceIdentity]) -> Vec<body::ServiceIdentity> {
    let shown = |one: &ServiceIdentity| body::ServiceIdentity {
        service_name: one.service_name.clone(),
        datacenters: one.datacenters.clone(),
    };
    identities.iter().map(shown).collect()
}

pub(crate) fn services_given(given: Vec<body::ServiceIdentity>) -> Vec<ServiceIdentity> {
    let taken = |one: body::ServiceIdentity| ServiceIdentity {
        service_name: one.service_name,
        datacenters: one.datacenters,
    };
    given.into_iter().map(taken).collect()
}

pub(crate) fn nodes(identities: &[NodeIdentity]) -> Vec<body::NodeIdentity> {
    let shown = |one: &NodeIdentity| body::NodeIdentity {
        node_name: one.node_name.clone(),
        datacenter: one.datacenter.clone(),
    };
    identities.iter().map(shown).collect()
}

pub(crate) fn nodes_given(given: Vec<body::NodeIdentity>) -> Vec<NodeIdentity> {
    let taken = |one: body::NodeIdentity| NodeIdentity {
        node_name: one.node_name,
        datacenter: one.datacenter,
    };
    given.into_iter().map(taken).collect()
}
