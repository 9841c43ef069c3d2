//! `/v1/operator/autopilot`: its settings, and the health of the servers.

use lictor_api::autopilot as body;
use lictor_api::decode;
use lictor_api::duration::GoDuration;
use lictor_server::{AutopilotHealth, ServerHealth};
use lictor_types::autopilot::{AutopilotConfig, AutopilotWrite};

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;

pub(crate) async fn configuration(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let config = door.servers().autopilot_config(&options).await?;
    let shown = body::AutopilotConfig {
        cleanup_dead_servers: config.cleanup_dead_servers,
        last_contact_threshold: GoDuration(config.last_contact_threshold),
        max_trailing_logs: config.max_trailing_logs,
        min_quorum: config.min_quorum,
        server_stabilization_time: GoDuration(config.server_stabilization_time),
        redundancy_zone_tag: config.redundancy_zone_tag,
        disable_upgrade_migration: config.disable_upgrade_migration,
        upgrade_version_tag: config.upgrade_version_tag,
        create_index: config.create_index,
        modify_index: config.modify_index,
    };
    Ok(Answer::json(&shown, call.pretty))
}

pub(crate) async fn set_configuration(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::AutopilotConfig = decode::decode(&call.request.body)
        .map_err(|e| HttpError::bad_request(format!("Error parsing autopilot config: {e}")))?;
    let cas = match call.request.query.get("cas").as_deref() {
        None | Some("") => None,
        Some(text) => Some(text.parse().map_err(|_| {
            let problem = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
            HttpError::bad_request(format!("Error parsing cas value: {problem}"))
        })?),
    };
    let config = AutopilotConfig {
        cleanup_dead_servers: given.cleanup_dead_servers,
        last_contact_threshold: given.last_contact_threshold.0,
        max_trailing_logs: given.max_trailing_logs,
        min_quorum: given.min_quorum,
        server_stabilization_time: given.server_stabilization_time.0,
        redundancy_zone_tag: given.redundancy_zone_tag,
        disable_upgrade_migration: given.disable_upgrade_migration,
        upgrade_version_tag: given.upgrade_version_tag,
        ..AutopilotConfig::default()
    };
    let to = call.request.write_options();
    let write = AutopilotWrite { config, cas };
    let written = door.servers().autopilot_set_config(&to, write).await?;
    Ok(Answer::boolean(written, call.pretty))
}

pub(crate) async fn health(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let health = door.servers().autopilot_health(&options).await?;
    let status = if health.healthy { 200 } else { 429 };
    let mut answer = Answer::json(&shown(health), call.pretty);
    if answer.status == 200 {
        answer.status = status;
    }
    Ok(answer)
}

pub(crate) async fn state(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let health = door.servers().autopilot_health(&options).await?;
    Ok(Answer::json(&state_of(health), call.pretty))
}

fn state_of(health: AutopilotHealth) -> body::AutopilotState {
    let ids = |those: fn(&ServerHealth) -> bool| {
        health.servers.iter().filter(move |server| those(server)).map(|server| server.id.clone())
    };
    let leader = ids(|server| server.leader).next().unwrap_or_default();
    let voters = ids(|server| server.voter).collect();
    let server = |server: ServerHealth| body::ServerState {
        status: match (server.leader, server.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "non-voter",
        }
        .to_owned(),
        id: server.id,
        name: server.name,
        address: server.address,
        node_status: match &*server.serf_status {
            known @ ("alive" | "failed" | "left") => known,
            _ => "unknown",
        }
        .to_owned(),
        version: server.version,
        last_contact: GoDuration(server.log.last_contact),
        last_term: server.log.last_term,
        last_index: server.log.last_index,
        healthy: server.healthy,
        stable_since: server.stable_since.to_rfc3339(),
        read_replica: false,
        meta: None,
        node_type: "voter".to_owned(),
    };
    body::AutopilotState {
        healthy: health.healthy,
        failure_tolerance: health.failure_tolerance,
        optimistic_failure_tolerance: 0,
        leader,
        voters,
        servers: health.servers.into_iter().map(|one| (one.id.clone(), server(one))).collect(),
    }
}

fn shown(health: AutopilotHealth) -> body::AutopilotHealth {
    let server = |server: ServerHealth| body::ServerHealth {
        id: server.id,
        name: server.name,
        address: server.address,
        serf_status: server.serf_status,
        version: server.version,
        leader: server.leader,
        last_contact: GoDuration(server.log.last_contact),
        last_term: server.log.last_term,
        last_index: server.log.last_index,
        healthy: server.healthy,
        voter: server.voter,
        stable_since: server.stable_since.to_rfc3339(),
    };
    body::AutopilotHealth {
        healthy: health.healthy,
        failure_tolerance: health.failure_tolerance,
        servers: health.servers.into_iter().map(server).collect(),
    }
}

#[cfg(test)]
mod tests {
    use lictor_server::LogStatus;
    use lictor_types::timestamp::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_tells_who_leads_and_who_votes() {
        let server = |id: &str, leader, voter, serf_status: &str| ServerHealth {
            id: id.to_owned(),
            name: format!("node-{id}"),
            address: "10.0.0.1:8300".to_owned(),
            serf_status: serf_status.to_owned(),
            version: "1.2.0".to_owned(),
            leader,
            log: LogStatus { last_contact: 1_000_000, last_term: 2, last_index: 3 },
            healthy: true,
            voter,
            stable_since: Timestamp(0),
        };
        let servers = vec![
            server("a", true, true, "alive"),
            server("b", false, true, "none"),
            server("c", false, false, "left"),
        ];
        let shown = state_of(AutopilotHealth { healthy: true, failure_tolerance: 0, servers });
        let shown = serde_json::to_value(&shown).unwrap();
        assert_eq!((&shown["Leader"], &shown["Voters"]), (&json!("a"), &json!(["a", "b"])));
        let of = |key: &str| {
            let one = |id: &str| shown["Servers"][id][key].clone();
            json!([one("a"), one("b"), one("c")])
        };
        assert_eq!(of("Status"), json!(["leader", "voter", "non-voter"]));
        assert_eq!(of("NodeStatus"), json!(["alive", "unknown", "left"]));
        assert_eq!(of("LastContact"), json!(["1ms", "1ms", "1ms"]));
        assert_eq!(of("Meta"), json!([null, null, null]));
    }
}
