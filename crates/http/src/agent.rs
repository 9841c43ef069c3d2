//! `/v1/agent`: the agent itself, its members, maintenance and lifecycle.
//!
//! Services, checks and the mesh endpoints are in `agent_service`, `agent_check` and
//! `agent_connect`.

use lictor_api::agent as body;

use crate::agent_service::enable;
use crate::answer::Answer;
use crate::coordinate::coordinate;
use crate::door::{Call, Door};
use crate::error::HttpError;

pub(crate) async fn itself(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    door.agent().check_agent_read(&call.request.token()).await?;
    let info = door.agent().self_info();
    let config = info.config;
    let shown = body::AgentSelf {
        config: body::SelfConfig {
            datacenter: config.datacenter,
            node_name: config.node_name,
            node_id: config.node_id,
            revision: config.revision,
            server: config.server,
            version: config.version,
        },
        debug_config: info.debug_config,
        coord: door.agent().coordinate().await.as_ref().map(coordinate),
        member: member(info.member),
        stats: info.stats,
        meta: info.meta,
    };
    Ok(Answer::json(&shown, call.pretty))
}

pub(crate) async fn members(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let query = &call.request.query;
    let wan = !query.text("wan").is_empty();
    let segment = query.text("segment");
    if wan && !matches!(&*segment, "" | "_all") {
        return Err(HttpError::bad_request("Cannot provide a segment with wan=true"));
    }
    if !matches!(&*segment, "" | "_all") {
        return Err(HttpError::refused(
            "Network segments are not supported in this version of Consul",
        ));
    }
    let filter = query.text("filter");
    let members = door.agent().members_for(&call.request.token(), wan, &filter).await?;
    let shown: Vec<_> = members.into_iter().map(member).collect();
    Ok(Answer::json(&shown, call.pretty))
}

pub(crate) async fn maintenance(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let query = &call.request.query;
    let enable = enable(query)?;
    let token = call.request.token();
    door.agent().node_maintenance(&token, enable, &query.text("reason")).await?;
    Ok(Answer::ok())
}

pub(crate) async fn reload(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    door.agent().check_agent_write(&call.request.token()).await?;
    door.agent().reload().await?;
    Ok(Answer::ok())
}

pub(crate) async fn monitor(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let level = call.request.query.text("loglevel");
    let json = call.request.query.has("logjson");
    let lines = door.agent().monitor(&call.request.token(), &level, json).await?;
    Ok(Answer::pieces(None, lines))
}

pub(crate) async fn leave(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    door.agent().check_agent_write(&call.request.token()).await?;
    door.agent().leave().await;
    Ok(Answer::ok())
}

pub(crate) async fn join(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    door.agent().check_agent_write(&call.request.token()).await?;
    let wan = !call.request.query.text("wan").is_empty();
    door.agent().join(call.rest, wan).await?;
    Ok(Answer::ok())
}

pub(crate) async fn force_leave(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    door.agent().check_agent_write(&call.request.token()).await?;
    door.agent().force_leave(call.rest, call.request.query.has("prune")).await?;
    Ok(Answer::ok())
}

pub(crate) async fn set_token(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    crate::acl::enabled(door)?;
    let bearer = call.request.token();
    door.agent().check_agent_write(&bearer).await?;
    let given: lictor_api::acl::AgentToken = call.decode()?;
    door.agent().set_token(&bearer, call.rest, &given.token).await?;
    Ok(Answer::ok())
}

fn member(member: lictor_agent::Member) -> body::Member {
    let [protocol_min, protocol_max, protocol_cur] = member.protocol;
    let [delegate_min, delegate_max, delegate_cur] = member.delegate;
    body::Member {
        name: member.name.to_string(),
        addr: member.address.to_string(),
        port: member.port,
        tags: member.tags,
        status: member.status as i64,
        protocol_min,
        protocol_max,
        protocol_cur,
        delegate_min,
        delegate_max,
        delegate_cur,
    }
}
