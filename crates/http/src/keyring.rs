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
    relays(&call)?;
    let pools = door.agent().keyring(&call.request.token(), KeyringOperation::List).await?;
    let shown = pools.into_iter().map(|pool| body::PoolKeys {
        wan: pool.wan,
        datacenter: door.datacenter().to_owned(),
        keys: pool.keys,
        num_nodes: pool.members,
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
    relays(&call)?;
    door.agent().keyring(&call.request.token(), operation).await?;
    Ok(Answer::ok())
}

/// Checks the number of relays, of which a pool of one has no use.
fn relays(call: &Call<'_>) -> Result<(), HttpError> {
    let text = call.request.query.text("relay-factor");
    if text.is_empty() {
        return Ok(());
    }
    match text.parse::<i64>() {
        Ok(number) if (0..=i64::from(RELAYS_MAX)).contains(&number) => Ok(()),
        Ok(_) => Err(HttpError::bad_request(
            "Invalid relay factor: Relay factor must be in range: [0, 5]",
        )),
        Err(_) => {
            let problem = format!("strconv.Atoi: parsing {text:?}: invalid syntax");
            Err(HttpError::bad_request(format!("Error parsing relay factor: {problem}")))
        }
    }
}
