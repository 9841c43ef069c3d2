//! `/v1/health`: checks, and instances with their checks.
//!
//! Checks of the local agent are in `agent_check`.

use lictor_api::decode::parse_bool;
use lictor_api::duration::GoDuration;
use lictor_api::health as body;
use lictor_forward::Wanted;
use lictor_types::catalog::CheckServiceNode;
use lictor_types::check::{HealthCheck, HealthCheckDefinition, Status};

use crate::answer::{Answer, read_with_consistency};
use crate::catalog;
use crate::door::{Call, Door};
use crate::error::HttpError;

pub(crate) async fn node(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let name = call.argument("Missing node name")?;
    let reply = door.servers().health_node_checks(&options, name).await;
    Ok(checks_answer(reply, call.pretty))
}

pub(crate) async fn service_checks(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let name = call.argument("Missing service name")?;
    let meta = call.request.query.node_meta();
    let near = door.near(call.request);
    let reply = door.servers().health_service_checks(&options, &near, name, &meta).await;
    Ok(checks_answer(reply, call.pretty))
}

pub(crate) async fn state(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let state = call.argument("Missing check state")?;
    let meta = call.request.query.node_meta();
    let near = door.near(call.request);
    let reply = door.servers().health_checks_in_state(&options, &near, state, &meta).await;
    Ok(checks_answer(reply, call.pretty))
}

pub(crate) async fn service(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    instances(door, call, Of::Service).await
}

pub(crate) async fn connect(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    instances(door, call, Of::Connect).await
}

/// The gateways that lead from outside the mesh to a service.
pub(crate) async fn ingress(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    instances(door, call, Of::Ingress).await
}

/// Whose instances are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// The service's own.
    Service,
    /// Those that speak for it in the mesh.
    Connect,
    /// Those of gateways to it.
    Ingress,
}

async fn instances(door: &Door, call: Call<'_>, of: Of) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let name = call.argument("Missing service name")?;
    let query = &call.request.query;
    let meta = query.node_meta();
    let passing = match query.get("passing").as_deref() {
        None => false,
        Some("") => true,
        Some(value) => {
            parse_bool(value).ok_or_else(|| HttpError::bad_request("Invalid value for ?passing"))?
        }
    };
    let tags = if of == Of::Service { query.tags() } else { Vec::new() };
    let near = &door.near(call.request);
    let connect = of == Of::Connect;
    let wanted = Wanted { connect, tags: &tags, passing, meta: &meta, near };
    let reply = match of {
        Of::Ingress => door.servers().health_ingress(&options, name, &wanted).await,
        _ => door.servers().health_service_nodes(&options, name, &wanted).await,
    };
    let reply = door.located(&options.datacenter, reply);
    Ok(read_with_consistency(reply, |result| {
        Answer::shared(result, call.pretty, |rows| rows.iter().map(entry).collect::<Vec<_>>())
    })
    .with_cache(call.request))
}

fn checks_answer(
    reply: Result<
        lictor_types::query::Reply<Vec<std::sync::Arc<HealthCheck>>>,
        lictor_types::error::EndpointError,
    >,
    pretty: bool,
) -> Answer {
    read_with_consistency(reply, |result| {
        Answer::shared(result, pretty, |checks| {
            checks.iter().map(|one| check(one)).collect::<Vec<_>>()
        })
    })
}

fn entry(row: &CheckServiceNode) -> body::ServiceEntry {
    body::ServiceEntry {
        node: catalog::node(&row.node),
        service: catalog::service(&row.service),
        checks: row.checks.iter().map(|one| check(one)).collect(),
    }
}

/// A check as it is shown.
pub(crate) fn check(check: &HealthCheck) -> body::HealthCheck {
    body::HealthCheck {
        node: check.node.to_string(),
        check_id: check.check_id.to_string(),
        name: check.name.clone(),
        status: check.status.as_str().to_owned(),
        notes: check.notes.clone(),
        output: check.output.clone(),
        service_id: check.service_id.to_string(),
        service_name: check.service_name.to_string(),
        service_tags: check.service_tags.clone(),
        kind: check.kind.clone(),
        interval: check.interval.clone(),
        timeout: check.timeout.clone(),
        exposed_port: 0,
        definition: definition(&check.definition),
        create_index: check.create_index,
        modify_index: check.modify_index,
    }
}

fn definition(definition: &HealthCheckDefinition) -> body::HealthCheckDefinition {
    body::HealthCheckDefinition {
        http: definition.http.clone(),
        tls_skip_verify: definition.tls_skip_verify,
        header: definition.header.clone(),
        method: definition.method.clone(),
        tcp: definition.tcp.clone(),
        udp: definition.udp.clone(),
        interval: GoDuration(definition.interval),
        timeout: GoDuration(definition.timeout),
        deregister_critical_service_after: GoDuration(definition.deregister_critical_service_after),
    }
}

/// A check of a catalog registration.
pub(crate) fn stored_check(given: body::HealthCheck) -> Result<HealthCheck, HttpError> {
    let status = match given.status.as_str() {
        "" => Status::Critical,
        word => Status::parse(word)
            .ok_or_else(|| HttpError::refused(format!("Invalid check status: '{word}'")))?,
    };
    Ok(HealthCheck {
        node: given.node.into(),
        check_id: given.check_id.into(),
        name: given.name,
        status,
        notes: given.notes,
        output: given.output,
        service_id: given.service_id.into(),
        service_name: given.service_name.into(),
        service_tags: given.service_tags,
        definition: HealthCheckDefinition {
            http: given.definition.http,
            tls_skip_verify: given.definition.tls_skip_verify,
            header: given.definition.header,
            method: given.definition.method,
            tcp: given.definition.tcp,
            udp: given.definition.udp,
            interval: given.definition.interval.0,
            timeout: given.definition.timeout.0,
            deregister_critical_service_after: given.definition.deregister_critical_service_after.0,
        },
        kind: given.kind,
        interval: given.interval,
        timeout: given.timeout,
        create_index: 0,
        modify_index: 0,
    })
}
