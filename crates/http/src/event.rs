//! `/v1/event`: firing user events, and the last ones that reached this agent.
//!
//! Filters and the ring of events are the agent's.

use lictor_agent::{EventRequest, UserEvent};
use lictor_api::event as body;

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;

pub(crate) async fn fire(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let name = call.argument("Missing name")?;
    let query = &call.request.query;
    let text = |name: &str| query.text(name).into_owned();
    let request = EventRequest {
        datacenter: text("dc"),
        name: name.to_owned(),
        payload: call.request.body.clone(),
        node_filter: text("node"),
        service_filter: text("service"),
        tag_filter: text("tag"),
    };
    let event = door.agent().fire_event(&call.request.token(), request).await?;
    Ok(Answer::json(&shown(&event), call.pretty))
}

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let name = call.request.query.text("name");
    let (index, events) = door.agent().events(&options, &name).await?;
    let shown: Vec<_> = events.iter().map(|event| shown(event)).collect();
    Ok(Answer::json(&shown, call.pretty).with_index(index))
}

fn shown(event: &UserEvent) -> body::UserEvent {
    let request = &event.request;
    body::UserEvent {
        id: event.id.to_string(),
        name: request.name.clone(),
        payload: request.payload.to_vec(),
        node_filter: request.node_filter.clone(),
        service_filter: request.service_filter.clone(),
        tag_filter: request.tag_filter.clone(),
        version: event.version,
        time: event.time,
    }
}
