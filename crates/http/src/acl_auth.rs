//! `/v1/acl/auth-method…`, `binding-rule…`, `login` and `logout`.

use std::sync::Arc;

use lictor_api::acl_auth as body;
use lictor_api::duration::GoDuration;
use lictor_types::acl::{AclAuthMethod, AclBindingRule};
use lictor_types::error::text::ACL_NOT_FOUND;

use crate::acl::{bad, decoded, enabled, found_or_missing};
use crate::acl_token;
use crate::answer::{Answer, read};
use crate::door::{Call, Door};
use crate::error::HttpError;

pub(crate) async fn methods(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_auth_method_list(&options).await;
    Ok(read(reply, |result| {
        let stub = |one: &Arc<AclAuthMethod>| body::AuthMethod { config: None, ..method(one) };
        Answer::json(&result.value.iter().map(stub).collect::<Vec<_>>(), call.pretty)
    }))
}

pub(crate) async fn method_get(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let name = call.argument("Bad request: Missing auth method name")?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_auth_method_read(&options, name).await;
    Ok(found_or_missing(reply, call.pretty, method))
}

/// With or without a name in the path.
pub(crate) async fn method_put(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let mut given: body::AuthMethod = decoded(&call, "AuthMethod")?;
    if !call.rest.is_empty() {
        if !given.name.is_empty() && given.name != call.rest {
            return Err(bad("AuthMethod Name in URL and payload do not match"));
        }
        call.rest.clone_into(&mut given.name);
    }
    let wanted = AclAuthMethod {
        name: given.name,
        kind: given.kind,
        display_name: given.display_name,
        description: given.description,
        max_token_ttl: given.max_token_ttl.0,
        token_locality: given.token_locality,
        config: given.config.unwrap_or_default(),
        ..AclAuthMethod::default()
    };
    let made = door.servers().acl_auth_method_set(&call.request.write_options(), wanted).await?;
    Ok(Answer::json(&method(&made), call.pretty))
}

pub(crate) async fn method_delete(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let name = call.argument("Bad request: Missing auth method name")?;
    door.servers().acl_auth_method_delete(&call.request.write_options(), name).await?;
    Ok(Answer::boolean(true, call.pretty))
}

pub(crate) async fn rules(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let of = call.request.query.text("authmethod");
    let reply = door.servers().acl_binding_rule_list(&options, &of).await;
    Ok(read(reply, |result| {
        let shown: Vec<_> = result.value.iter().map(|one| rule(one)).collect();
        Answer::json(&shown, call.pretty)
    }))
}

pub(crate) async fn rule_get(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let id = call.argument("Bad request: Missing binding rule ID")?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_binding_rule_read(&options, id).await;
    Ok(found_or_missing(reply, call.pretty, rule))
}

/// With or without an ID in the path.
pub(crate) async fn rule_put(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let given: body::BindingRule = decoded(&call, "BindingRule")?;
    if !given.id.is_empty() && given.id != call.rest {
        return Err(bad("BindingRule ID in URL and payload do not match"));
    }
    let wanted = AclBindingRule {
        id: call.rest.to_owned(),
        description: given.description,
        auth_method: given.auth_method,
        selector: given.selector,
        bind_type: given.bind_type,
        bind_name: given.bind_name,
        ..AclBindingRule::default()
    };
    let made = door.servers().acl_binding_rule_set(&call.request.write_options(), wanted).await?;
    Ok(Answer::json(&rule(&made), call.pretty))
}

pub(crate) async fn rule_delete(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let id = call.argument("Bad request: Missing binding rule ID")?;
    door.servers().acl_binding_rule_delete(&call.request.write_options(), id).await?;
    Ok(Answer::boolean(true, call.pretty))
}

pub(crate) async fn login(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let given: body::Login = lictor_api::decode::decode(&call.request.body)
        .map_err(|e| bad(&format!("Failed to decode request body: {e}")))?;
    let datacenter = call.request.query.text("dc");
    let (method, bearer) = (&given.auth_method, &given.bearer_token);
    let made = door.servers().acl_login(&datacenter, method, bearer, &given.meta).await?;
    Ok(Answer::json(&acl_token::token(&made), call.pretty))
}

pub(crate) async fn logout(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let to = call.request.write_options();
    if to.token.is_empty() {
        return Err(HttpError::new(403, ACL_NOT_FOUND.into()));
    }
    door.servers().acl_logout(&to).await?;
    Ok(Answer::boolean(true, call.pretty))
}

fn method(method: &AclAuthMethod) -> body::AuthMethod {
    body::AuthMethod {
        name: method.name.clone(),
        kind: method.kind.clone(),
        display_name: method.display_name.clone(),
        description: method.description.clone(),
        max_token_ttl: GoDuration(method.max_token_ttl),
        token_locality: method.token_locality.clone(),
        config: Some(method.config.clone()),
        create_index: method.create_index,
        modify_index: method.modify_index,
    }
}

fn rule(rule: &AclBindingRule) -> body::BindingRule {
    body::BindingRule {
        id: rule.id.clone(),
        description: rule.description.clone(),
        auth_method: rule.auth_method.clone(),
        selector: rule.selector.clone(),
        bind_type: rule.bind_type.clone(),
        bind_name: rule.bind_name.clone(),
        create_index: rule.create_index,
        modify_index: rule.modify_index,
    }
}
