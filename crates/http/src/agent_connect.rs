//! `/v1/agent/connect`: what proxies and native applications ask of their agent.
//!
//! Certificates, decisions and configurations are made by the agent.

use std::time::Duration;

use lictor_agent::AuthorizeRequest;
use lictor_api::agent_connect as body;
use lictor_types::query::QueryOptions;

use crate::answer::Answer;
use crate::connect_ca;
use crate::door::{Call, Door};
use crate::error::HttpError;
use crate::query;

pub(crate) async fn roots(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let cached = door.agent().roots(&options).await?;
    let (result, meta) = (&cached.value.result, &cached.value.meta);
    let answer = Answer::shared(result, call.pretty, |list| {
        connect_ca::roots_body(&list.trust_domain, &list.roots)
    });
    Ok(answer.with_meta(meta).with_header("X-Cache", hit(cached.hit)))
}

pub(crate) async fn leaf(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    // A managed proxy's own token says for which service it asks.
    let options = QueryOptions { token: call.request.bearer(), ..call.request.read_options()? };
    door.check_datacenter(&options.datacenter)?;
    let cached = match door.agent().leaf(&options, call.rest).await {
        Ok(cached) => cached,
        // What failed was not found in the cache, and the original says so.
        Err(error) => {
            return Ok(Answer::from(HttpError::from(error)).with_header("X-Cache", hit(false)));
        }
    };
    let leaf = &cached.value;
    let shown = body::LeafCert {
        serial_number: leaf.serial_number.clone(),
        cert_pem: leaf.cert_pem.clone(),
        private_key_pem: leaf.private_key_pem.clone(),
        service: leaf.service.clone(),
        service_uri: leaf.service_uri.clone(),
        valid_after: leaf.valid_after.to_rfc3339(),
        valid_before: leaf.valid_before.to_rfc3339(),
        create_index: leaf.create_index,
        modify_index: leaf.modify_index,
    };
    let answer = Answer::json(&shown, call.pretty).with_index(leaf.modify_index);
    Ok(answer.with_header("X-Cache", hit(cached.hit)))
}

pub(crate) async fn authorize(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let given: body::AuthorizeRequest = call.decode()?;
    let token = call.request.token();
    let request = AuthorizeRequest {
        target: &given.target,
        client_cert_uri: &given.client_cert_uri,
        client_cert_serial: &given.client_cert_serial,
    };
    let (made, known) = door.agent().authorize(&token, &request).await?;
    let shown = body::Authorization { authorized: made.authorized, reason: made.reason };
    let answer = Answer::json(&shown, call.pretty);
    Ok(match known {
        Some(found) => answer.with_header("X-Cache", hit(found)),
        None => answer,
    })
}

pub(crate) async fn proxy(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let query = &call.request.query;
    let wait = match query.get("wait") {
        Some(text) if !text.is_empty() => query::wait(&text)?,
        _ => Duration::ZERO,
    };
    let token = call.request.bearer();
    let hash = query.text("hash");
    let config = door.agent().proxy_config(&token, call.rest, &hash, wait).await?;
    let hash = config.content_hash.clone();
    let shown = body::ManagedProxyConfig {
        proxy_service_id: config.proxy_service_id.clone(),
        target_service_id: config.target_service_id.clone(),
        target_service_name: config.target_service_name.clone(),
        content_hash: config.content_hash.clone(),
        exec_mode: config.exec_mode.clone(),
        command: config.command.clone(),
        config: config.config.clone(),
    };
    Ok(Answer::json(&shown, call.pretty).with_header("X-Consul-Contenthash", hash))
}

const fn hit(found: bool) -> &'static str {
    if found { "HIT" } else { "MISS" }
}
