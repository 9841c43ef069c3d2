//! `/v1/agent/service…`: services of the local agent.
//!
//! Their rules are the agent's; what cannot be expressed in its terms is refused here.

use std::collections::BTreeMap;
use std::time::Duration;

use lictor_agent::AgentService;
use lictor_api::agent_service as body;
use lictor_api::decode::parse_bool;
use lictor_types::catalog::{ManagedProxy, ServiceKind};
use lictor_types::definition::ServiceDefinition;

use crate::agent_check;
use crate::answer::Answer;
use crate::catalog;
use crate::door::{Call, Door};
use crate::error::HttpError;
use crate::query::{self, Query};

/// What to say of a check's state that does not exist.
const BAD_STATUS: &str = "Status for checks must 'passing', 'warning', 'critical'";

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let filter = call.request.query.text("filter");
    let services = door.agent().services_for(&call.request.token(), &filter).await?;
    let shown: BTreeMap<_, _> =
        services.iter().map(|one| (one.service.id.to_string(), service(one, door))).collect();
    Ok(Answer::json(&shown, call.pretty))
}

pub(crate) async fn one(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let query = &call.request.query;
    let wait = match query.get("wait") {
        Some(text) if !text.is_empty() => query::wait(&text)?,
        _ => Duration::ZERO,
    };
    let (token, hash) = (call.request.token(), query.text("hash"));
    match door.agent().service(&token, call.rest, &hash, wait).await? {
        None => Err(HttpError::not_found(format!("unknown service ID: {}", call.rest))),
        Some((found, digest)) => {
            let shown =
                body::AgentService { content_hash: digest.clone(), ..service(&found, door) };
            let answer = Answer::json(&shown, call.pretty);
            Ok(answer.with_header("X-Consul-Contenthash", digest))
        }
    }
}

pub(crate) async fn register(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::ServiceRegistration = call.decode()?;
    if given.name.is_empty() {
        return Err(HttpError::bad_request("Missing service name"));
    }
    let definition = defined(given)?;
    let query = &call.request.query;
    let replace = matches!(query.get("replace-existing-checks").as_deref(), Some("" | "true"));
    door.agent().register_service(&call.request.token(), definition, replace).await?;
    Ok(Answer::ok())
}

pub(crate) async fn deregister(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    door.agent().deregister_service(&call.request.token(), call.rest).await?;
    Ok(Answer::ok())
}

pub(crate) async fn maintenance(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    if call.rest.is_empty() {
        return Err(HttpError::bad_request("Missing service ID"));
    }
    let query = &call.request.query;
    let enable = enable(query)?;
    let token = call.request.token();
    door.agent().service_maintenance(&token, call.rest, enable, &query.text("reason")).await?;
    Ok(Answer::ok())
}

/// The required `enable` parameter.
pub(crate) fn enable(query: &Query) -> Result<bool, HttpError> {
    let Some(value) = query.get("enable") else {
        return Err(HttpError::bad_request("Missing value for enable"));
    };
    parse_bool(&value)
        .ok_or_else(|| HttpError::bad_request(format!("Invalid value for enable: {value:?}")))
}

/// A local service as it is shown.
pub(crate) fn service(one: &AgentService, door: &Door) -> body::AgentService {
    let service = &one.service;
    body::AgentService {
        kind: service.kind.as_str().to_owned(),
        id: service.id.to_string(),
        service: service.name.to_string(),
        tags: service.tags.clone(),
        meta: service.meta.clone(),
        port: i64::from(service.port),
        address: service.address.clone(),
        tagged_addresses: catalog::tagged_addresses(&service.tagged_addresses),
        socket_path: service.socket_path.clone(),
        locality: service.locality.as_ref().map(catalog::locality),
        weights: catalog::weights(service.weights),
        enable_tag_override: service.enable_tag_override,
        create_index: 0,
        modify_index: 0,
        proxy_destination: catalog::destination(service).to_owned(),
        proxy: (service.kind != ServiceKind::Typical).then(|| catalog::proxy_of(service)),
        connect: connect(one),
        datacenter: door.datacenter().to_owned(),
        content_hash: String::new(),
    }
}

fn connect(one: &AgentService) -> Option<body::AgentServiceConnect> {
    let native = one.service.connect.native;
    let proxy = one.managed.as_ref().map(|managed| body::AgentManagedProxy {
        exec_mode: managed.exec_mode.clone(),
        command: managed.command.clone(),
        config: managed.config.clone(),
    });
    (native || proxy.is_some()).then_some(body::AgentServiceConnect { native, proxy })
}

fn defined(given: body::ServiceRegistration) -> Result<ServiceDefinition, HttpError> {
    let one = given.check.filter(|check| !check.is_empty());
    let checks = one.into_iter().chain(given.checks);
    let connect = given.connect.unwrap_or_default();
    let sidecar = match connect.sidecar_service {
        Some(sidecar) => Some(Box::new(defined(*sidecar)?)),
        None => None,
    };
    Ok(ServiceDefinition {
        kind: given.kind.as_str().into(),
        id: given.id,
        name: given.name,
        tags: given.tags,
        address: given.address,
        tagged_addresses: catalog::stored_addresses(given.tagged_addresses)?,
        meta: given.meta,
        port: catalog::stored_port(given.port)?,
        socket_path: given.socket_path,
        locality: given.locality.map(catalog::stored_locality),
        weights: given.weights.map(catalog::stored_weights).transpose()?,
        token: given.token,
        enable_tag_override: given.enable_tag_override,
        checks: checks
            .map(|check| agent_check::defined(check, BAD_STATUS))
            .collect::<Result<_, _>>()?,
        proxy_destination: given.proxy_destination,
        proxy: given.proxy.map(catalog::stored_proxy).transpose()?,
        native: connect.native,
        managed_proxy: connect.proxy.map(|proxy| ManagedProxy {
            exec_mode: proxy.exec_mode,
            command: proxy.command,
            config: proxy.config,
        }),
        sidecar,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::decode::decode;

    fn definition(text: &str) -> Result<ServiceDefinition, (u16, String)> {
        defined(decode(text.as_bytes()).unwrap()).map_err(|e| (e.status(), e.text().to_owned()))
    }

    #[test]
    fn one_check_and_many_go_together() {
        let text = r#"{"Name":"x","Check":{"TTL":"1s"},"Checks":[{"TTL":"2s","CheckID":"c"}]}"#;
        let checks = definition(text).unwrap().checks;
        assert_eq!(checks.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["", "c"]);
        assert!(definition(r#"{"Name":"x","Check":{}}"#).unwrap().checks.is_empty());
    }

    #[test]
    fn ports_and_states() {
        assert_eq!(definition(r#"{"Port":-5}"#).unwrap().port, 0);
        assert_eq!(definition(r#"{"Port":65536}"#).unwrap_err().0, 400);
        let bad = r#"{"Check":{"TTL":"10m","Status":"bogus"}}"#;
        assert_eq!(definition(bad).unwrap_err(), (400, BAD_STATUS.to_owned()));
        let bad = r#"{"Weights":{"Passing":-1}}"#;
        assert_eq!(
            definition(bad).unwrap_err().1,
            "Invalid Weights: Passing must be greater than 0"
        );
    }

    #[test]
    fn the_mesh_part() {
        let text = r#"{"Kind":"connect-proxy","ProxyDestination":"api","Connect":{"Native":true,
            "Proxy":{"ExecMode":"daemon","Config":{"a":1}},"SidecarService":{"Port":9}}}"#;
        let got = definition(text).unwrap();
        assert!(got.native && got.kind.as_str() == "connect-proxy");
        assert_eq!(got.proxy_destination, "api");
        assert_eq!(got.managed_proxy.unwrap().config["a"], 1);
        assert_eq!(got.sidecar.unwrap().port, 9);
    }

    #[test]
    fn enabling_must_be_said() {
        let read = |raw: &str| enable(&Query::new(raw)).map_err(|e| e.text().to_owned());
        assert_eq!((read("enable=true"), read("enable=0")), (Ok(true), Ok(false)));
        assert_eq!(read(""), Err("Missing value for enable".to_owned()));
        assert_eq!(read("enable="), Err("Invalid value for enable: \"\"".to_owned()));
        assert_eq!(read("enable=maybe"), Err("Invalid value for enable: \"maybe\"".to_owned()));
    }
}
