//! `/v1/connect/ca`: roots and configuration of the certificate authority.
//!
//! The agent's copy of the roots, and leaf certificates, are in `agent_connect`.

use std::sync::Arc;

use lictor_api::connect_ca as body;
use lictor_types::ca::{CaChange, CaRoot};

use crate::answer::{Answer, read};
use crate::door::{Call, Door};
use crate::error::HttpError;

const STATE: &str =
    "Provider State is read-only. It must be omitted or identical to the current value";

pub(crate) async fn roots(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let reply = door.servers().ca_roots(&options).await;
    Ok(read(reply, |result| {
        Answer::shared(result, call.pretty, |list| roots_body(&list.trust_domain, &list.roots))
    }))
}

pub(crate) async fn configuration(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let reply = door.servers().ca_config(&options).await?;
    let config = &reply.result.value;
    let shown = body::CaConfig {
        provider: config.provider.clone(),
        config: config.config.clone(),
        state: None,
        force_without_cross_signing: false,
        create_index: config.create_index,
        modify_index: config.modify_index,
    };
    Ok(Answer::json(&shown, call.pretty))
}

pub(crate) async fn set_configuration(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::CaConfig = call.decode()?;
    if given.state.is_some_and(|state| !state.is_empty()) {
        return Err(HttpError::bad_request(STATE.to_owned()));
    }
    let to = call.request.write_options();
    let change = CaChange {
        provider: given.provider,
        config: given.config,
        force_without_cross_signing: given.force_without_cross_signing,
    };
    door.servers().ca_set_config(&to, change).await?;
    Ok(Answer::ok())
}

/// Roots as they are shown.
pub(crate) fn roots_body(trust_domain: &str, roots: &[Arc<CaRoot>]) -> body::CaRoots {
    let active = roots.iter().find(|root| root.active);
    body::CaRoots {
        active_root_id: active.map(|root| root.id.clone()).unwrap_or_default(),
        trust_domain: trust_domain.to_owned(),
        roots: roots.iter().map(|one| root(one)).collect(),
    }
}

fn root(root: &CaRoot) -> body::CaRoot {
    body::CaRoot {
        id: root.id.clone(),
        name: root.name.clone(),
        serial_number: root.serial_number,
        signing_key_id: root.signing_key_id.clone(),
        not_before: root.not_before.to_rfc3339(),
        not_after: root.not_after.to_rfc3339(),
        root_cert: root.root_cert.clone(),
        intermediate_certs: root.intermediate_certs.clone(),
        active: root.active,
        create_index: root.create_index,
        modify_index: root.modify_index,
    }
}
