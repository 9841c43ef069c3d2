//! `/v1/connect/intentions`: who may connect to whom.
//!
//! Unlike the original's, reads of lists and matches carry index headers, so that they can block.
//! Which intention wins is not decided here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lictor_api::decode;
use lictor_api::intentions as body;
use lictor_api::intentions::DEFAULT_INTENTION_HEADER;
use lictor_server::{IntentionMatches, intention_without_action};
use lictor_types::command::IntentionPair;
use lictor_types::intention::{Action, DEFAULT_NAMESPACE, Intention};
use lictor_types::query::QueryOptions;
use lictor_types::timestamp::Timestamp;

use crate::answer::{Answer, read, read_with_consistency};
use crate::door::{Call, Door};
use crate::error::HttpError;

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let reply = door.servers().intention_list(&options).await?;
    Ok(read::<_, HttpError>(Ok(reply), |result| {
        Answer::shared(result, call.pretty, |intentions| {
            intentions.iter().map(|one| intention(one)).collect::<Vec<_>>()
        })
    }))
}

pub(crate) async fn create(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    // The original reads the body of this one request in another way, and says so.
    let given: body::Intention = decode::decode(&call.request.body)
        .map_err(|e| HttpError::refused(format!("Failed to decode request body: {e}")))?;
    let given = stored(given)?;
    let id = door.servers().intention_create(&call.request.write_options(), given).await?;
    Ok(Answer::json(&body::IntentionId { id }, call.pretty))
}

pub(crate) async fn get(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let reply = door.servers().intention_get(&options, call.rest).await?;
    match &reply.result.value {
        None => Err(HttpError::not_found("Intention not found")),
        Some(found) => Ok(Answer::json(&intention(found), call.pretty).with_meta(&reply.meta)),
    }
}

pub(crate) async fn update(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let mut given = stored(call.decode()?)?;
    call.rest.clone_into(&mut given.id);
    let id = given.id.clone();
    door.servers().intention_update(&call.request.write_options(), given).await?;
    Ok(Answer::json(&body::IntentionId { id }, call.pretty))
}

pub(crate) async fn delete(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    door.servers().intention_delete(&call.request.write_options(), call.rest).await?;
    Ok(Answer::boolean(true, call.pretty))
}

pub(crate) async fn get_exact(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let pair = pair(&call)?;
    let reply = door.servers().intention_get_pair(&options, &pair).await?;
    match &reply.result.value {
        None => Err(HttpError::not_found("Intention not found")),
        Some(found) => Ok(Answer::json(&intention(found), call.pretty).with_meta(&reply.meta)),
    }
}

pub(crate) async fn put_exact(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let pair = pair(&call)?;
    let given: body::Intention = call.decode()?;
    let to = call.request.write_options();
    let options = QueryOptions {
        datacenter: to.datacenter.clone(),
        token: to.token.clone(),
        ..QueryOptions::default()
    };
    let place = door.servers().intention_place(&options, &pair).await?;
    if given.permissions.as_array().is_some_and(|list| !list.is_empty()) {
        return Err(HttpError::refused(if given.action.is_empty() {
            let name = &pair.destination.1;
            format!(
                "service {name:?} has protocol \"tcp\", which is incompatible with L7 intentions \
                 permissions"
            )
        } else {
            format!("Sources[{place}].Action must be omitted if Permissions are specified")
        }));
    }
    if !matches!(&*given.action, "allow" | "deny") {
        let text = format!("Sources[{place}].Action must be set to 'allow' or 'deny'");
        return Err(HttpError::refused(text));
    }
    let IntentionPair { source, destination } = pair;
    let given = body::Intention {
        source_ns: source.0,
        source_name: source.1,
        destination_ns: destination.0,
        destination_name: destination.1,
        ..given
    };
    door.servers().intention_put_pair(&to, stored(given)?).await?;
    Ok(Answer::boolean(true, call.pretty))
}

pub(crate) async fn delete_exact(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let pair = pair(&call)?;
    door.servers().intention_delete_pair(&call.request.write_options(), pair).await?;
    Ok(Answer::boolean(true, call.pretty))
}

/// The source and the destination that the query names.
fn pair(call: &Call<'_>) -> Result<IntentionPair, HttpError> {
    let side = |name: &'static str| {
        let text = once(call, name)?;
        if text.is_empty() {
            let text = format!("required query parameter '{name}' not set");
            return Err(HttpError::refused(text));
        }
        split(name, &text)
    };
    Ok(IntentionPair { source: side("source")?, destination: side("destination")? })
}

pub(crate) async fn matching(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let query = &call.request.query;
    let by_source = match &*once(&call, "by")? {
        "source" => true,
        "destination" => false,
        _ => {
            let text = "'by' parameter must be one of 'source' or 'destination'";
            return Err(HttpError::refused(text));
        }
    };
    let given: Vec<String> = query.all("name").map(|name| name.into_owned()).collect();
    if given.is_empty() {
        return Err(HttpError::refused("required query parameter 'name' not set"));
    }
    let names: Vec<(String, String)> =
        given.iter().map(|name| split("name", name)).collect::<Result<_, _>>()?;
    let reply = door.servers().intention_match(&options, by_source, &names).await?;
    let default_allow = reply.result.value.default_allow;
    let answer = read_with_consistency::<_, HttpError>(Ok(reply), |result| {
        let shape = |value: &IntentionMatches| {
            let matches = given.iter().zip(&value.matches);
            matches
                .map(|(name, found)| {
                    let list = (!found.is_empty())
                        .then(|| found.iter().map(|one| intention(one)).collect());
                    (name.clone(), list)
                })
                .collect::<BTreeMap<String, Option<Vec<body::Intention>>>>()
        };
        // The names as they were asked are part of the body: `db` and `default/db` are one query
        // with two bodies. The usual form, the one that proxies use, is the one that is kept.
        if given.iter().any(|name| name.contains('/')) {
            Answer::json(&shape(&result.value), call.pretty)
        } else {
            Answer::shared(result, call.pretty, shape)
        }
    });
    let word = if default_allow { "allow" } else { "deny" };
    Ok(answer.with_header(DEFAULT_INTENTION_HEADER, word))
}

pub(crate) async fn check(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let source = once(&call, "source")?;
    let destination = once(&call, "destination")?;
    match call.request.query.get("source-type").as_deref() {
        None | Some("consul") => {}
        Some(other) => {
            return Err(HttpError::refused(format!("unsupported SourceType: {other:?}")));
        }
    }
    let source = split("source", &source)?;
    let destination = split("destination", &destination)?;
    let allowed = door.servers().intention_check(&options, &source, &destination).await?;
    Ok(Answer::json(&body::IntentionCheck { allowed }, call.pretty))
}

fn stored(given: body::Intention) -> Result<Intention, HttpError> {
    let action = match given.action.as_str() {
        "allow" => Some(Action::Allow),
        "deny" => Some(Action::Deny),
        _ => None,
    };
    let intention = Intention {
        id: given.id,
        description: given.description,
        source_ns: given.source_ns,
        source_name: given.source_name,
        destination_ns: given.destination_ns,
        destination_name: given.destination_name,
        source_type: given.source_type,
        action: action.unwrap_or(Action::Deny),
        default_addr: given.default_addr,
        default_port: given.default_port,
        meta: given.meta,
        precedence: 0,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        create_index: 0,
        modify_index: 0,
    };
    match action {
        Some(_) => Ok(intention),
        None => Err(intention_without_action(intention).into()),
    }
}

/// The value of a parameter that must be given exactly once.
fn once<'a>(call: &'a Call<'_>, name: &'static str) -> Result<Cow<'a, str>, HttpError> {
    let mut values = call.request.query.all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(HttpError::refused(format!("required query parameter '{name}' not set"))),
    }
}

/// Namespace and name of `[ns/]name`.
fn split(what: &str, text: &str) -> Result<(String, String), HttpError> {
    let (namespace, name) = text.split_once('/').unwrap_or((DEFAULT_NAMESPACE, text));
    if name.contains('/') {
        let text = format!("{what} {text:?} is invalid: input can contain at most one '/'");
        return Err(HttpError::refused(text));
    }
    Ok((namespace.to_owned(), name.to_owned()))
}

/// An intention as it is shown.
pub(crate) fn intention(intention: &Intention) -> body::Intention {
    body::Intention {
        id: intention.id.clone(),
        description: intention.description.clone(),
        source_ns: intention.source_ns.clone(),
        source_name: intention.source_name.clone(),
        destination_ns: intention.destination_ns.clone(),
        destination_name: intention.destination_name.clone(),
        source_type: intention.source_type.clone(),
        action: intention.action.as_str().to_owned(),
        default_addr: intention.default_addr.clone(),
        default_port: intention.default_port,
        meta: intention.meta.clone(),
        precedence: intention.precedence,
        created_at: intention.created_at.to_rfc3339(),
        updated_at: intention.updated_at.to_rfc3339(),
        create_index: intention.create_index,
        modify_index: intention.modify_index,
        permissions: serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_a_namespace() {
        assert_eq!(split("name", "web").unwrap(), ("default".into(), "web".into()));
        assert_eq!(split("name", "ns/web").unwrap(), ("ns".into(), "web".into()));
        assert_eq!(
            split("name", "a/b/c").unwrap_err().text(),
            "name \"a/b/c\" is invalid: input can contain at most one '/'"
        );
    }
}
