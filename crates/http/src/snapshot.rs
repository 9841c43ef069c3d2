//! `/v1/snapshot`: the whole state as an archive, and back.
//!
//! What an archive looks like is the server's.

use lictor_types::query::{Consistency, QueryOptions};

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;

const GZIP: &str = "application/x-gzip";

pub(crate) async fn save(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let query = &call.request.query;
    // Unlike other reads it knows no waiting, and only one way to be asked of any server.
    let options = QueryOptions {
        datacenter: query.text("dc").into_owned(),
        token: call.request.token(),
        consistency: match query.has("stale") {
            true => Consistency::Stale,
            false => Consistency::Leader,
        },
        ..QueryOptions::default()
    };
    let saved = door.servers().snapshot_save(&options).await?;
    Ok(Answer::pieces(Some(GZIP), saved.pieces).with_meta(&saved.meta))
}

pub(crate) async fn restore(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let archive = call.request.body.clone();
    door.servers().snapshot_restore(&call.request.write_options(), archive).await?;
    Ok(Answer::ok())
}
