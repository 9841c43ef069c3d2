//! `/v1/query`: prepared queries.
//!
//! Everything below `/v1/query/` is one endpoint, as in the original: what is to be done with a
//! query stands behind its ID or name, and the methods that are allowed depend on it. The order of
//! results and what a name means are the server's.

use std::collections::BTreeMap;

use lictor_api::decode::parse_bool;
use lictor_api::prepared_query as body;
use lictor_server::{QueryRequest, QueryResult};
use lictor_types::catalog::CheckServiceNode;
use lictor_types::prepared_query::{
    PreparedQuery, QueryDns, QueryFailover, QueryTemplate, ServiceQuery,
};
use lictor_types::query::{QueryMeta, QueryOptions, Reply};

use crate::answer::{Answer, read_with_consistency};
use crate::catalog;
use crate::door::{Call, Door, not_allowed};
use crate::error::HttpError;
use crate::health;
use crate::request::Method;

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let reply = door.servers().prepared_query_list(&options).await;
    Ok(read_with_consistency(reply, |result| {
        Answer::shared(result, call.pretty, |queries| {
            queries.iter().map(|one| query(one)).collect::<Vec<_>>()
        })
    }))
}

pub(crate) async fn create(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given = stored(call.decode()?);
    let id = door.servers().prepared_query_create(&call.request.write_options(), given).await?;
    Ok(Answer::json(&body::PreparedQueryId { id: id.to_string() }, call.pretty))
}

/// Whatever concerns one query.
pub(crate) async fn one(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let method = &call.request.method;
    if let Some(name) = before(call.rest, "execute") {
        return match method {
            Method::Get => execute(door, call, name).await,
            Method::Options => Ok(options("OPTIONS,GET", call.pretty)),
            _ => Ok(not_allowed(method, "GET")),
        };
    }
    if let Some(name) = before(call.rest, "explain") {
        return match method {
            Method::Get => explain(door, call, name).await,
            Method::Options => Ok(options("OPTIONS,GET", call.pretty)),
            _ => Ok(not_allowed(method, "GET")),
        };
    }
    match method {
        Method::Get => get(door, call).await,
        Method::Put => update(door, call).await,
        Method::Delete => delete(door, call).await,
        Method::Options => Ok(options("OPTIONS,GET,PUT,DELETE", call.pretty)),
        _ => Ok(not_allowed(method, "GET,PUT,DELETE")),
    }
}

/// The name before `/word`. The slash is the one that ends the endpoint's path where there is no
/// name; the word is the name then.
fn before<'a>(rest: &'a str, word: &'static str) -> Option<&'a str> {
    match rest.strip_suffix(word)? {
        "" => Some(word),
        name => name.strip_suffix('/'),
    }
}

/// The original sends an object with its methods here.
fn options(allow: &'static str, pretty: bool) -> Answer {
    Answer::json(&BTreeMap::<(), ()>::new(), pretty).with_header("Allow", allow)
}

async fn get(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    answered(door.servers().prepared_query_get(&options, call.rest).await, |reply| {
        Answer::json(&[query(&reply.result.value)], call.pretty)
    })
}

async fn update(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::PreparedQuery =
        if call.request.body.is_empty() { Default::default() } else { call.decode()? };
    let given = PreparedQuery { id: call.rest.into(), ..stored(given) };
    door.servers().prepared_query_update(&call.request.write_options(), given).await?;
    Ok(Answer::ok())
}

async fn delete(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    door.servers().prepared_query_delete(&call.request.write_options(), call.rest).await?;
    Ok(Answer::ok())
}

async fn explain(door: &Door, call: Call<'_>, name: &str) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    limit(&call)?;
    let request = QueryRequest { name, ..QueryRequest::default() };
    answered(door.servers().prepared_query_explain(&options, &request).await, |reply| {
        let query = query(&reply.result.value);
        let explanation = body::Explanation { query, meta: meta(&reply.meta) };
        Answer::json(&explanation, call.pretty)
    })
}

async fn execute(door: &Door, call: Call<'_>, name: &str) -> Result<Answer, HttpError> {
    let options: QueryOptions = call.request.read_options()?;
    let near = call.request.query.text("near");
    let request = QueryRequest {
        name,
        limit: limit(&call)?,
        connect: connect(&call)?,
        near: &near,
        address: call.request.source(),
        agent: door.node_name(),
        segment: "",
        datacenter: "",
    };
    let reply = door.servers().prepared_query_execute(&options, &request).await;
    // It may come from another datacenter than the one that was asked.
    let datacenter = reply.as_ref().ok().map(|reply| reply.result.value.datacenter.clone());
    let reply = door.located(&datacenter.unwrap_or_default(), reply);
    answered(reply, |reply| {
        let answer = Answer::json(&execution(&reply.result.value, &reply.meta), call.pretty);
        answer.with_cache(call.request)
    })
}

/// The answer to a read of one query. Unlike other failures, that there is none is told without
/// the headers of a read.
fn answered<T>(
    reply: Result<Reply<T>, lictor_types::error::EndpointError>,
    answer: impl FnOnce(&Reply<T>) -> Answer,
) -> Result<Answer, HttpError> {
    match reply {
        Ok(reply) => {
            let answer = answer(&reply);
            Ok(read_with_consistency::<_, HttpError>(Ok(reply), |_| answer))
        }
        Err(error) => {
            let error = HttpError::from(error);
            Err(if error.status() == 404 { error } else { error.with_empty_meta() })
        }
    }
}

/// Most results that are wanted; 0 for all.
fn limit(call: &Call<'_>) -> Result<usize, HttpError> {
    let text = call.request.query.text("limit");
    if text.is_empty() {
        return Ok(0);
    }
    match text.parse::<i64>() {
        Ok(limit) => Ok(usize::try_from(limit).unwrap_or(0)),
        Err(error) => {
            let overflow = std::num::IntErrorKind::PosOverflow;
            let overflow = [overflow, std::num::IntErrorKind::NegOverflow].contains(error.kind());
            let problem = if overflow { "value out of range" } else { "invalid syntax" };
            let told = format!("Bad limit: strconv.Atoi: parsing {text:?}: {problem}");
            Err(HttpError::refused(told))
        }
    }
}

fn connect(call: &Call<'_>) -> Result<bool, HttpError> {
    let text = call.request.query.text("connect");
    if text.is_empty() {
        return Ok(false);
    }
    parse_bool(&text).ok_or_else(|| {
        let told = "Error parsing 'connect' value: strconv.ParseBool: parsing";
        HttpError::refused(format!("{told} {text:?}: invalid syntax"))
    })
}

fn meta(meta: &QueryMeta) -> body::ExecutionMeta {
    body::ExecutionMeta {
        index: meta.index,
        last_contact: u64::try_from(meta.last_contact.as_nanos()).unwrap_or(u64::MAX),
        known_leader: meta.known_leader,
        consistency_level: meta.consistency.as_str().to_owned(),
    }
}

fn execution(result: &QueryResult, about: &QueryMeta) -> body::Execution {
    body::Execution {
        service: result.service.clone(),
        nodes: result.nodes.iter().map(instance).collect(),
        dns: body::QueryDns { ttl: result.dns.ttl.clone() },
        datacenter: result.datacenter.clone(),
        failovers: result.failovers,
        meta: meta(about),
    }
}

fn instance(row: &CheckServiceNode) -> body::Instance {
    body::Instance {
        node: catalog::node(&row.node),
        service: catalog::service(&row.service),
        checks: row.checks.iter().map(|one| health::check(one)).collect(),
    }
}

/// A query as it is shown.
fn query(query: &PreparedQuery) -> body::PreparedQuery {
    let (template, service) = (&query.template, &query.service);
    body::PreparedQuery {
        id: query.id.to_string(),
        name: query.name.clone(),
        session: query.session.to_string(),
        token: query.token.clone(),
        template: body::QueryTemplate {
            kind: template.kind.clone(),
            regexp: template.regexp.clone(),
            remove_empty_tags: template.remove_empty_tags,
        },
        service: body::ServiceQuery {
            service: service.service.clone(),
            failover: body::QueryFailover {
                nearest_n: service.failover.nearest_n,
                datacenters: service.failover.datacenters.clone(),
            },
            only_passing: service.only_passing,
            ignore_check_ids: service.ignore_check_ids.clone(),
            near: service.near.clone(),
            tags: service.tags.clone(),
            node_meta: service.node_meta.clone(),
            service_meta: service.service_meta.clone(),
            connect: service.connect,
        },
        dns: body::QueryDns { ttl: query.dns.ttl.clone() },
        create_index: query.create_index,
        modify_index: query.modify_index,
    }
}

fn stored(given: body::PreparedQuery) -> PreparedQuery {
    let (template, service) = (given.template, given.service);
    PreparedQuery {
        id: given.id.into(),
        name: given.name,
        session: given.session.into(),
        token: given.token,
        template: QueryTemplate {
            kind: template.kind,
            regexp: template.regexp,
            remove_empty_tags: template.remove_empty_tags,
        },
        service: ServiceQuery {
            service: service.service,
            failover: QueryFailover {
                nearest_n: service.failover.nearest_n,
                datacenters: service.failover.datacenters,
            },
            only_passing: service.only_passing,
            ignore_check_ids: service.ignore_check_ids,
            near: service.near,
            tags: service.tags,
            node_meta: service.node_meta,
            service_meta: service.service_meta,
            connect: service.connect,
        },
        dns: QueryDns { ttl: given.dns.ttl },
        create_index: 0,
        modify_index: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_stands_behind_the_name() {
        for (rest, name) in [
            ("q/execute", Some("q")),
            ("a/b/execute", Some("a/b")),
            ("execute", Some("execute")),
            ("q/explain", None),
            ("qexecute", None),
            ("", None),
        ] {
            assert_eq!(before(rest, "execute"), name, "{rest}");
        }
    }
}
