//! `/v1/operator/keyring`: the keys of gossip.
//!
//! Which keys there are, and the rules of changing them, are the agents'.

use lictor_api::decode::parse_bool;
use lictor_api::keyring as body;
use lictor_forward::{KeyringArgs, KeyringOp, KeyringReply};

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;

/// Most members that answers may take a detour over.
const RELAYS_MAX: u8 = 5;

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let pools = operate(door, &call, KeyringOp::List, String::new()).await?;
    let shown = pools.into_iter().map(|pool| body::PoolKeys {
        wan: pool.wan,
        datacenter: pool.datacenter,
        segment: String::new(),
        keys: pool.keys,
        primary_keys: pool.primary_keys,
        num_nodes: pool.members,
        messages: pool.messages,
    });
    Ok(Answer::json(&shown.collect::<Vec<_>>(), call.pretty))
}

pub(crate) async fn install(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    change(door, call, KeyringOp::Install).await
}

pub(crate) async fn primary(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    change(door, call, KeyringOp::Use).await
}

pub(crate) async fn remove(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    change(door, call, KeyringOp::Remove).await
}

async fn change(door: &Door, call: Call<'_>, op: KeyringOp) -> Result<Answer, HttpError> {
    let given: body::KeyringChange = call.decode()?;
    operate(door, &call, op, given.key).await?;
    Ok(Answer::ok())
}

/// What all pools say; an error if one of them could not do it.
async fn operate(
    door: &Door,
    call: &Call<'_>,
    op: KeyringOp,
    key: String,
) -> Result<Vec<KeyringReply>, HttpError> {
    let (relay_factor, local_only) = (relays(call)?, is_local(call, op)?);
    let args = KeyringArgs { op, key, relay_factor, local_only, ..KeyringArgs::default() };
    let pools = door.servers().keyring(&call.request.token(), args).await?;
    problems(&pools).map_or(Ok(pools), |text| Err(HttpError::refused(text)))
}

/// A text about what pools could not do, and what their members said to that.
fn problems(pools: &[KeyringReply]) -> Option<String> {
    let mut problems = Vec::new();
    for pool in pools.iter().filter(|pool| !pool.error.is_empty()) {
        let place = if pool.wan { "WAN".to_owned() } else { format!("{} (LAN)", pool.datacenter) };
        problems.push(format!("{place} error: {}", pool.error));
        problems.extend(pool.messages.iter().map(|(node, text)| format!("{node}: {text}")));
    }
    let list = problems.join("\n* ");
    (!problems.is_empty()).then(|| format!("{} error(s) occurred:\n\n* {list}", problems.len()))
}

/// Whether only the pool of this datacenter is asked, which is for lists alone.
fn is_local(call: &Call<'_>, op: KeyringOp) -> Result<bool, HttpError> {
    let text = call.request.query.text("local-only");
    if text.is_empty() {
        return Ok(false);
    }
    match parse_bool(&text) {
        Some(true) if op != KeyringOp::List => Err(HttpError::bad_request(
            "Invalid use of local-only: local-only can only be set for list requests",
        )),
        Some(local) => Ok(local),
        None => {
            let problem = format!("strconv.ParseBool: parsing {text:?}: invalid syntax");
            Err(HttpError::bad_request(format!("Error parsing local-only: {problem}")))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pools_could_not_do_is_told() {
        let said = |name: &str| [(name.to_owned(), "no such key".to_owned())].into();
        let wan = KeyringReply {
            wan: true,
            error: "1/1 nodes reported failure".to_owned(),
            messages: said("n.dc1"),
            ..KeyringReply::default()
        };
        let lan = KeyringReply {
            wan: false,
            datacenter: "dc2".to_owned(),
            messages: said("n"),
            ..wan.clone()
        };
        let well = KeyringReply { messages: said("old"), ..KeyringReply::default() };
        assert_eq!(problems(std::slice::from_ref(&well)), None);
        assert_eq!(
            problems(&[wan, well, lan]).unwrap(),
            "4 error(s) occurred:\n\n* WAN error: 1/1 nodes reported failure\n* n.dc1: no such \
             key\n* dc2 (LAN) error: 1/1 nodes reported failure\n* n: no such key"
        );
    }
}
