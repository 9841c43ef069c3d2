//! `/v1/agent/health/service`: the state of local services, for load balancers that ask an agent.
//!
//! The status tells the state: 200 passing, 429 warning, 503 critical, 404 not here. The node's
//! own checks count for every service.

use std::sync::Arc;

use lictor_agent::AgentService;
use lictor_api::agent_check::AgentServiceCheck;
use lictor_api::agent_service::AgentServiceHealth;
use lictor_types::check::{HealthCheck, Status};

use crate::agent_service;
use crate::answer::{Answer, JSON};
use crate::door::{Call, Door};
use crate::error::HttpError;

/// Checks with such names are marks of maintenance mode.
const NODE_MAINTENANCE: &str = "_node_maintenance";
const SERVICE_MAINTENANCE: &str = "_service_maintenance:";
const PLAIN: &str = "text/plain";

pub(crate) async fn by_id(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let id = call.rest;
    if id.is_empty() {
        return Err(HttpError::refused("Bad request: Missing serviceID"));
    }
    let services = door.agent().services();
    let Some(found) = services.iter().find(|one| &*one.service.id == id) else {
        if wants_text(&call) {
            let mut answer = Answer::body(JSON, format!("ServiceId {id} not found"));
            answer.status = 404;
            return Ok(answer);
        }
        let none = AgentServiceHealth {
            aggregated_status: Status::Critical.as_str().to_owned(),
            ..AgentServiceHealth::default()
        };
        return Ok(with_status(Answer::json(&none, call.pretty), 404));
    };
    let token = call.request.token();
    door.agent().check_service_read(&token, &found.service.name).await?;
    let shown = health(door, found, &door.agent().checks());
    let status = code(&shown.aggregated_status);
    if wants_text(&call) {
        return Ok(with_status(Answer::body(PLAIN, shown.aggregated_status), status));
    }
    Ok(with_status(Answer::json(&shown, call.pretty), status))
}

pub(crate) async fn by_name(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let name = call.rest;
    if name.is_empty() {
        return Err(HttpError::refused("Bad request: Missing service Name"));
    }
    door.agent().check_service_read(&call.request.token(), name).await?;
    let checks = door.agent().checks();
    let services = door.agent().services();
    let named = services.iter().filter(|one| &*one.service.name == name);
    let shown: Vec<_> = named.map(|one| health(door, one, &checks)).collect();
    // The worst one counts.
    let worst = shown.iter().max_by_key(|one| code(&one.aggregated_status));
    let status = worst.map_or(404, |one| code(&one.aggregated_status));
    if wants_text(&call) {
        let none = format!("ServiceName {name} Not Found");
        let text = worst.map_or(none, |one| one.aggregated_status.clone());
        return Ok(with_status(Answer::body(PLAIN, text), status));
    }
    Ok(with_status(Answer::json(&shown, call.pretty), status))
}

fn wants_text(call: &Call<'_>) -> bool {
    call.request.query.text("format") == "text"
}

fn with_status(mut answer: Answer, status: u16) -> Answer {
    answer.status = status;
    answer
}

/// The HTTP status of a state.
fn code(state: &str) -> u16 {
    match state {
        "passing" => 200,
        "warning" => 429,
        _ => 503,
    }
}

fn health(door: &Door, one: &AgentService, checks: &[Arc<HealthCheck>]) -> AgentServiceHealth {
    let concern = |check: &&Arc<HealthCheck>| {
        check.service_id.is_empty() || check.service_id == one.service.id
    };
    let checks: Vec<_> = checks.iter().filter(concern).collect();
    AgentServiceHealth {
        aggregated_status: worst(checks.iter().map(|check| &***check)).to_owned(),
        service: Some(agent_service::service(one, door)),
        checks: Some(checks.iter().map(|check| shown(check)).collect()),
    }
}

fn worst<'a>(checks: impl Iterator<Item = &'a HealthCheck>) -> &'static str {
    let mut worst = Status::Passing;
    for check in checks {
        let id = &*check.check_id;
        if id == NODE_MAINTENANCE || id.starts_with(SERVICE_MAINTENANCE) {
            return "maintenance";
        }
        worst = worst.max(check.status);
    }
    worst.as_str()
}

fn shown(check: &HealthCheck) -> AgentServiceCheck {
    AgentServiceCheck {
        node: check.node.to_string(),
        check_id: check.check_id.to_string(),
        name: check.name.clone(),
        status: check.status.as_str().to_owned(),
        notes: check.notes.clone(),
        output: check.output.clone(),
        service_id: check.service_id.to_string(),
        service_name: check.service_name.to_string(),
        service_tags: check.service_tags.clone(),
        ..AgentServiceCheck::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_state_counts() {
        let check = |id: &str, status| HealthCheck {
            check_id: id.into(),
            status,
            ..HealthCheck::default()
        };
        let of = |checks: &[HealthCheck]| worst(checks.iter());
        assert_eq!(of(&[]), "passing");
        let passing = check("a", Status::Passing);
        assert_eq!(of(&[passing.clone(), check("b", Status::Warning)]), "warning");
        assert_eq!(of(&[check("c", Status::Critical), passing.clone()]), "critical");
        let mark = check("_service_maintenance:web", Status::Critical);
        assert_eq!(of(&[passing, mark]), "maintenance");
        let codes = ["passing", "warning", "critical", "maintenance"].map(code);
        assert_eq!(codes, [200, 429, 503, 503]);
    }
}
