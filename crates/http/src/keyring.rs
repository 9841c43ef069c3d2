//! `/v1/operator/keyring`: the keys of gossip.
//!
//! Which keys there are, and the rules of changing them, are the agent's.

use lictor_agent::KeyringOperation;
use lictor_api::keyring as body;

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;

/// Most members that answers may take a detour over.
const RELAYS_MAX: u8 = 5;

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let relays = relays(&call)?;
    let token = call.request.token();
    let pools = door.agent().keyring(&token, KeyringOperation::List, relays).await?;
    let shown = pools.into_iter().map(|pool| body::PoolKeys {
        wan: pool.wan,
        datacenter: door.datacenter().to_owned(),
        keys: pool.keys,
        num_nodes: pool.members,
        messages: pool.messages,
        ..body::PoolKeys::default()
    });
    Ok(Answer::json(&shown.collect::<Vec<_>>(), call.pretty))
}

pub(crate) async fn install(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::KeyringChange = call.decode()?;
    change(door, call, KeyringOperation::Install(&given.key)).await
}

pub(crate) async fn primary(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::KeyringChange = call.decode()?;
    change(door, call, KeyringOperation::Use(&given.key)).await
}

pub(crate) async fn remove(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::KeyringChange = call.decode()?;
    change(door, call, KeyringOperation::Remove(&given.key)).await
}

async fn change(
    door: &Door,
    call: Call<'_>,
    operation: KeyringOperation<'_>,
) -> Result<Answer, HttpError> {
    let relays = relays(&call)?;
    door.agent().keyring(&call.request.token(), operation, relays).await?;
    Ok(Answer::ok())
}

/// How many members answers take a detour over.
fn relays(call: &Call<'_>) -> Result<u8, HttpError> {
    let text = call.request.query.text("relay-factor");
    if text.is_empty() {
        return Ok(0);
    }
    match text.parse::<i64>().map(u8::try_from) {
        Ok(Ok(number)) if number <= RELAYS_MAX => Ok(number),
        Ok(_) => Err(HttpError::bad_request(
            "Invalid relay factor: Relay factor must be in range: [0, 5]",
        )),
        Err(_) => {
            let problem = format!("strconv.Atoi: parsing {text:?}: invalid syntax");
            Err(HttpError::bad_request(format!("Error parsing relay factor: {problem}")))
        }
    }
}
