//! `/v1/agent/check…`: checks of the local agent.
//!
//! Their rules are the agent's; what cannot be expressed in its terms is refused here.

use std::collections::BTreeMap;

use lictor_api::agent_check as body;
use lictor_types::check::Status;
use lictor_types::definition::{CheckDefinition, CheckKind};

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;
use crate::health;

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let filter = call.request.query.text("filter");
    let checks = door.agent().checks_for(&call.request.token(), &filter).await?;
    let shown: BTreeMap<_, _> =
        checks.iter().map(|check| (check.check_id.to_string(), health::check(check))).collect();
    Ok(Answer::json(&shown, call.pretty))
}

pub(crate) async fn register(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::CheckRegistration = call.decode()?;
    if given.name.is_empty() {
        return Err(HttpError::bad_request("Missing check name"));
    }
    let definition = defined(given, "Bad check status")?;
    door.agent().register_check(&call.request.token(), definition).await?;
    Ok(Answer::ok())
}

pub(crate) async fn deregister(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    door.agent().deregister_check(&call.request.token(), call.rest).await?;
    Ok(Answer::ok())
}

pub(crate) async fn pass(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    report(door, call, Status::Passing).await
}

pub(crate) async fn warn(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    report(door, call, Status::Warning).await
}

pub(crate) async fn fail(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    report(door, call, Status::Critical).await
}

async fn report(door: &Door, call: Call<'_>, status: Status) -> Result<Answer, HttpError> {
    let note = call.request.query.text("note").into_owned();
    door.agent().report_check(&call.request.token(), call.rest, status, &note).await?;
    Ok(Answer::ok())
}

pub(crate) async fn update(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::CheckUpdate = call.decode()?;
    let token = call.request.token();
    door.agent().update_check(&token, call.rest, &given.status, &given.output).await?;
    Ok(Answer::ok())
}

/// A check as the agent defines it; `bad_status` is what to say of a state that does not exist.
pub(crate) fn defined(
    given: body::CheckRegistration,
    bad_status: &'static str,
) -> Result<CheckDefinition, HttpError> {
    let status = match given.status.as_str() {
        "" => None,
        word => Some(Status::parse(word).ok_or_else(|| HttpError::bad_request(bad_status))?),
    };
    Ok(CheckDefinition {
        id: if given.id.is_empty() { given.check_id.clone() } else { given.id.clone() },
        name: given.name.clone(),
        notes: given.notes.clone(),
        service_id: given.service_id.clone(),
        token: given.token.clone(),
        status,
        interval: given.interval.0,
        timeout: given.timeout.0,
        deregister_critical_service_after: given.deregister_critical_service_after.0,
        success_before_passing: given.success_before_passing,
        failures_before_critical: given.failures_before_critical,
        kind: kind(given),
    })
}

/// The first kind that applies, in the original's order. A check of none is a TTL check without a
/// TTL, which the agent refuses.
fn kind(given: body::CheckRegistration) -> CheckKind {
    if given.ttl.0 > 0 {
        CheckKind::Ttl { ttl: given.ttl.0 }
    } else if !given.http.is_empty() {
        CheckKind::Http {
            url: given.http,
            method: given.method,
            header: given.header,
            body: given.body,
            tls_skip_verify: given.tls_skip_verify,
        }
    } else if !given.tcp.is_empty() {
        CheckKind::Tcp { address: given.tcp }
    } else if !given.udp.is_empty() {
        CheckKind::Udp { address: given.udp }
    } else if !given.grpc.is_empty() {
        CheckKind::Grpc {
            target: given.grpc,
            use_tls: given.grpc_use_tls,
            tls_skip_verify: given.tls_skip_verify,
        }
    } else if !given.h2ping.is_empty() {
        CheckKind::H2Ping {
            target: given.h2ping,
            use_tls: given.h2ping_use_tls.unwrap_or(true),
            tls_skip_verify: given.tls_skip_verify,
        }
    } else if given.args.is_empty()
        && !(given.alias_node.is_empty() && given.alias_service.is_empty())
    {
        CheckKind::Alias { node: given.alias_node, service: given.alias_service }
    } else if given.args.is_empty() {
        CheckKind::Ttl { ttl: given.ttl.0 }
    } else if given.docker_container_id.is_empty() {
        CheckKind::Script { args: given.args }
    } else {
        CheckKind::Docker {
            container: given.docker_container_id,
            shell: given.shell,
            args: given.args,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::decode::decode;

    fn definition(text: &str) -> Result<CheckDefinition, String> {
        defined(decode(text.as_bytes()).unwrap(), "Bad check status")
            .map_err(|e| e.text().to_owned())
    }

    fn kind_of(text: &str) -> CheckKind {
        definition(text).unwrap().kind
    }

    #[test]
    fn the_first_kind_that_applies_is_taken() {
        let all = r#"{"TTL":"1s","HTTP":"h","TCP":"t","UDP":"u","GRPC":"g","Args":["a"],
                      "DockerContainerID":"d"}"#;
        assert_eq!(kind_of(all), CheckKind::Ttl { ttl: 1_000_000_000 });
        let without = |names: &[&str]| {
            let mut text = all.to_owned();
            for name in names {
                text = text.replace(name, "x");
            }
            kind_of(&text)
        };
        assert!(matches!(without(&["TTL"]), CheckKind::Http { .. }));
        assert!(matches!(without(&["TTL", "HTTP"]), CheckKind::Tcp { .. }));
        assert!(matches!(without(&["TTL", "HTTP", "TCP"]), CheckKind::Udp { .. }));
        assert!(matches!(without(&["TTL", "HTTP", "TCP", "UDP"]), CheckKind::Grpc { .. }));
        let docker = without(&["TTL", "HTTP", "TCP", "UDP", "GRPC"]);
        assert!(matches!(docker, CheckKind::Docker { .. }));
        let script = without(&["TTL", "HTTP", "TCP", "UDP", "GRPC", "DockerContainerID"]);
        assert_eq!(script, CheckKind::Script { args: vec!["a".into()] });
        assert_eq!(kind_of(r#"{"DockerContainerID":"c"}"#), CheckKind::Ttl { ttl: 0 });
        assert_eq!(kind_of("{}"), CheckKind::Ttl { ttl: 0 });
    }

    #[test]
    fn states_must_exist() {
        assert_eq!(definition(r#"{"Status":"passing"}"#).unwrap().status, Some(Status::Passing));
        assert_eq!(definition("{}").unwrap().status, None);
        assert_eq!(definition(r#"{"Status":"bogus"}"#), Err("Bad check status".to_owned()));
    }
}
