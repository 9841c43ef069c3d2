//! `/v1/discovery-chain`: the way from the name of a service to instances.
//!
//! How a chain is shown is in [`shape`]; what it is, the server says.

mod shape;

use std::time::Duration;

use lictor_api::decode;
use lictor_api::discovery_chain as body;
use lictor_types::chain::ChainQuery;
use lictor_types::query::QueryOptions;

use crate::answer::{Answer, read_with_consistency};
use crate::door::{Call, Door};
use crate::error::HttpError;

/// The chain of a service as the configuration has it.
pub(crate) async fn get(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let asked = named(&call)?;
    answered(door, &call, &options, &asked).await
}

/// The same with wishes.
pub(crate) async fn post(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let named = named(&call)?;
    let undecodable = |why: String| {
        HttpError::bad_request(format!("Bad request: Request decoding failed: {why}"))
    };
    let given: body::ChainOverrides =
        decode::decode(&call.request.body).map_err(|error| undecodable(error.to_string()))?;
    let connect_timeout = given.connect_timeout().map_err(|error| {
        undecodable(format!(
            "1 error(s) decoding:\n\n* error decoding 'OverrideConnectTimeout': {error}"
        ))
    })?;
    let mesh_gateway = given.override_mesh_gateway.mode;
    if !matches!(&*mesh_gateway, "" | "none" | "local" | "remote") {
        return Err(HttpError::bad_request("Invalid OverrideMeshGateway.Mode parameter"));
    }
    let asked = ChainQuery {
        mesh_gateway,
        protocol: given.override_protocol,
        // Less than none is none.
        connect_timeout: Duration::from_nanos(u64::try_from(connect_timeout.0).unwrap_or(0)),
        ..named
    };
    answered(door, &call, &options, &asked).await
}

/// Whose chain is meant.
fn named(call: &Call<'_>) -> Result<ChainQuery, HttpError> {
    let service = call.argument("Bad request: Missing chain name")?.to_owned();
    let evaluate_in = call.request.query.text("compile-dc").into_owned();
    Ok(ChainQuery { service, evaluate_in, ..ChainQuery::default() })
}

async fn answered(
    door: &Door,
    call: &Call<'_>,
    options: &QueryOptions,
    asked: &ChainQuery,
) -> Result<Answer, HttpError> {
    let reply = door.servers().discovery_chain(options, asked).await;
    Ok(read_with_consistency(reply, |result| {
        Answer::shared(result, call.pretty, |chain| body::ChainAnswer {
            chain: chain.as_ref().map(shape::chain),
        })
    }))
}
