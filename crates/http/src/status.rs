//! `/v1/status`: the leader and its peers.
//!
//! As in later versions, another datacenter may be asked about. Details of the consensus are in `operator`.

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;

pub(crate) async fn leader(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    Ok(Answer::json(
        &door.servers().status_leader(&call.request.query.text("dc")).await?,
        call.pretty,
    ))
}

pub(crate) async fn peers(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    Ok(Answer::json(
        &door.servers().status_peers(&call.request.query.text("dc")).await?,
        call.pretty,
    ))
}
