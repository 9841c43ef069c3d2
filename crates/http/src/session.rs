//! `/v1/session`: sessions.
//!
//! Limits of their times are the server's.

use std::sync::Arc;

use lictor_api::session as body;
use lictor_types::SERF_HEALTH;
use lictor_types::error::EndpointError;
use lictor_types::query::Reply;
use lictor_types::session::{Session, SessionBehavior};

use crate::answer::{Answer, read};
use crate::door::{Call, Door};
use crate::error::HttpError;

/// Lock-delay of sessions that ask for none.
const LOCK_DELAY: i64 = 15_000_000_000;
/// Numbers below this are taken for seconds.
const SMALLEST_DELAY: i64 = 1000;
const SECOND: i64 = 1_000_000_000;

pub(crate) async fn create(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::SessionRequest =
        if call.request.body.is_empty() { Default::default() } else { call.decode()? };
    let session = requested(given, door.node_name())?;
    let id = door.servers().session_create(&call.request.write_options(), session).await?;
    Ok(Answer::json(&body::SessionId { id: id.to_string() }, call.pretty))
}

pub(crate) async fn destroy(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let id = call.argument("Missing session")?;
    door.servers().session_destroy(&call.request.write_options(), id).await?;
    Ok(Answer::boolean(true, call.pretty))
}

pub(crate) async fn renew(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let id = call.argument("Missing session")?;
    match door.servers().session_renew(&call.request.write_options(), id).await? {
        Some(found) => Ok(Answer::json(&[session(&found)], call.pretty)),
        None => Err(HttpError::not_found(format!("Session id '{id}' not found"))),
    }
}

pub(crate) async fn info(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let id = call.argument("Missing session")?;
    let reply = door.servers().session_info(&options, id).await;
    Ok(read(reply, |result| {
        Answer::shared(result, call.pretty, |found| {
            found.iter().map(|one| session(one)).collect::<Vec<_>>()
        })
    }))
}

pub(crate) async fn node(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let name = call.argument("Missing node name")?;
    Ok(list_answer(door.servers().session_node(&options, name).await, call.pretty))
}

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    Ok(list_answer(door.servers().session_list(&options).await, call.pretty))
}

fn list_answer(reply: Result<Reply<Vec<Arc<Session>>>, EndpointError>, pretty: bool) -> Answer {
    read(reply, |result| {
        Answer::shared(result, pretty, |sessions| {
            sessions.iter().map(|one| session(one)).collect::<Vec<_>>()
        })
    })
}

fn requested(given: body::SessionRequest, own_node: &str) -> Result<Session, HttpError> {
    let behavior = match given.behavior.as_deref() {
        None | Some("" | "release") => SessionBehavior::Release,
        Some("delete") => SessionBehavior::Delete,
        Some(other) => {
            return Err(HttpError::refused(format!("Invalid Behavior setting '{other}'")));
        }
    };
    let lock_delay = match given.lock_delay {
        None => LOCK_DELAY,
        Some(delay) if delay.0 < SMALLEST_DELAY => delay.0.saturating_mul(SECOND),
        Some(delay) => delay.0,
    };
    let node_checks = given.node_checks.or(given.checks);
    let mut checks = node_checks.unwrap_or_else(|| vec![SERF_HEALTH.to_owned()]);
    let mut service_checks: Vec<String> = Vec::new();
    for check in given.service_checks {
        if !checks.contains(&check.id) {
            checks.push(check.id.clone());
            service_checks.push(check.id);
        }
    }
    Ok(Session {
        name: given.name.unwrap_or_default(),
        node: given.node.as_deref().unwrap_or(own_node).into(),
        checks,
        service_checks,
        lock_delay,
        behavior,
        ttl: given.ttl.unwrap_or_default(),
        ..Session::default()
    })
}

fn session(session: &Session) -> body::Session {
    let of_service = |check: &&String| session.service_checks.contains(check);
    let shown = |check: &String| body::ServiceCheck { id: check.clone(), ..Default::default() };
    body::Session {
        id: session.id.to_string(),
        name: session.name.clone(),
        node: session.node.to_string(),
        checks: session.checks.clone(),
        node_checks: session.checks.iter().filter(|check| !of_service(check)).cloned().collect(),
        service_checks: (!session.service_checks.is_empty())
            .then(|| session.service_checks.iter().map(shown).collect()),
        lock_delay: session.lock_delay,
        behavior: match session.behavior {
            SessionBehavior::Release => "release",
            SessionBehavior::Delete => "delete",
        }
        .to_owned(),
        ttl: session.ttl.clone(),
        create_index: session.create_index,
        modify_index: session.modify_index,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::duration::GoDuration;

    #[test]
    fn what_is_not_said_has_a_default() {
        let session = requested(body::SessionRequest::default(), "n1").unwrap();
        assert_eq!((&*session.node, session.lock_delay), ("n1", LOCK_DELAY));
        assert_eq!(session.checks, [SERF_HEALTH]);
        let given = body::SessionRequest {
            checks: Some(vec![]),
            lock_delay: Some(GoDuration(20)),
            behavior: Some("delete".into()),
            ..Default::default()
        };
        let session = requested(given, "n1").unwrap();
        assert_eq!((session.lock_delay, session.checks.len()), (20 * SECOND, 0));
        assert_eq!(session.behavior, SessionBehavior::Delete);
        let given = body::SessionRequest { node_checks: Some(vec![]), ..Default::default() };
        assert!(requested(given, "n1").unwrap().checks.is_empty());
        let given = body::SessionRequest { node: Some(String::new()), ..Default::default() };
        assert_eq!(&*requested(given, "n1").unwrap().node, "");
        let given = body::SessionRequest { behavior: Some("explode".into()), ..Default::default() };
        assert_eq!(requested(given, "n").unwrap_err().text(), "Invalid Behavior setting 'explode'");
    }

    #[test]
    fn checks_of_services_are_told_apart() {
        let check = |id: &str| body::ServiceCheck { id: id.into(), ..Default::default() };
        let given = body::SessionRequest {
            checks: Some(vec!["old".into()]),
            node_checks: Some(vec!["node".into()]),
            service_checks: vec![check("web"), check("node"), check("web")],
            ..Default::default()
        };
        let made = requested(given, "n").unwrap();
        assert_eq!(made.checks, ["node", "web"]);
        let shown = session(&made);
        assert_eq!((shown.checks, shown.node_checks), (made.checks, vec!["node".to_owned()]));
        assert_eq!(shown.service_checks, Some(vec![check("web")]));
        assert_eq!(session(&Session::default()).service_checks, None);
    }
}
