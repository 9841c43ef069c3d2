//! `/v1/config`: configuration entries; `/v1/catalog/gateway-services/`: what those of gateways say.

use lictor_api::gateway as body;
use lictor_types::Index;
use lictor_types::config_entry::shown::Shown;
use lictor_types::config_entry::{ConfigEntry, Kind};
use serde_json::{Map, Value};

use crate::answer::{Answer, read_with_consistency};
use crate::door::{Call, Door};
use crate::error::HttpError;

/// Creates or replaces an entry.
pub(crate) async fn put(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let failed = |error: &dyn std::fmt::Display| {
        HttpError::bad_request(format!("Bad request: Request decoding failed: {error}"))
    };
    let given: Map<String, Value> =
        serde_json::from_slice(&call.request.body).map_err(|error| failed(&error))?;
    let entry = ConfigEntry::from_json(&given).map_err(|error| failed(&error))?;
    let cas = cas(&call)?;
    let to = call.request.write_options();
    let written = door.servers().config_entry_apply(&to, entry, cas).await?;
    Ok(Answer::boolean(written, call.pretty))
}

/// One entry, those of a kind, or all.
pub(crate) async fn get(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let Some((kind, name)) = call.rest.split_once('/') else {
        let found = door.servers().config_entries(&options, call.rest).await?;
        let shown: Vec<_> = found.result.value.iter().map(|entry| Shown(entry)).collect();
        return Ok(Answer::json(&shown, call.pretty).with_meta(&found.meta));
    };
    let wanted = Kind::parse(kind).map_err(|error| HttpError::refused(error.to_string()))?;
    let found = door.servers().config_entry(&options, wanted, name).await?;
    match &found.result.value {
        Some(entry) => Ok(Answer::json(&Shown(entry), call.pretty).with_meta(&found.meta)),
        None => {
            let text = format!("Config entry not found for {kind:?} / {name:?}");
            Ok(Answer::text(404, text).with_meta(&found.meta))
        }
    }
}

/// Deletes an entry.
pub(crate) async fn delete(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let Some((kind, name)) = call.rest.split_once('/') else {
        return Err(HttpError::not_found("Must provide both a kind and name to delete"));
    };
    let kind = match Kind::parse(kind) {
        Ok(kind) => kind,
        Err(error) => return Ok(Answer::text(400, error.to_string())),
    };
    let cas = cas(&call)?;
    let to = call.request.write_options();
    let deleted = door.servers().config_entry_delete(&to, kind, name, cas).await?;
    Ok(match cas {
        Some(_) => Answer::boolean(deleted, call.pretty),
        None => Answer::json(&Map::new(), call.pretty),
    })
}

/// The services that a gateway leads to.
pub(crate) async fn gateway_services(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let gateway = call.argument("Missing gateway name")?;
    let reply = door.servers().gateway_services(&options, gateway).await;
    Ok(read_with_consistency(reply, |result| {
        let shown = result.value.iter().map(|one| body::GatewayService {
            gateway: body::Named { name: gateway.to_owned() },
            service: body::Named { name: one.service.clone() },
            gateway_kind: one.kind.to_owned(),
            port: one.port,
            protocol: one.protocol.clone(),
            hosts: one.hosts.clone(),
            ca_file: one.ca_file.clone(),
            cert_file: one.cert_file.clone(),
            key_file: one.key_file.clone(),
            sni: one.sni.clone(),
            from_wildcard: one.from_wildcard,
            create_index: one.create_index,
            modify_index: one.modify_index,
        });
        let shown: Vec<_> = shown.collect();
        // None at all are no list, as in the original.
        Answer::json(&(!shown.is_empty()).then_some(shown), call.pretty)
    }))
}

/// The index that the last change must have had.
fn cas(call: &Call<'_>) -> Result<Option<Index>, HttpError> {
    match call.request.query.get("cas").as_deref() {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            HttpError::refused(format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))
        }),
    }
}
