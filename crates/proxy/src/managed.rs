//! The configuration of a proxy, as its agent has it at any time: that of a sidecar service, or of
//! a managed proxy.
//!
//! A configuration that cannot be read changes nothing. Putting one into effect is in `run`.

use std::time::Duration;

use lictor_api::agent_connect::ManagedProxyConfig;
use lictor_api::agent_service::AgentService;
use lictor_api::client::{Client, ClientError};
use lictor_api::url;
use lictor_connect::agent_source::Backoff;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::config::{ConfigError, ProxyConfig, join};

/// Longest time that a query is left waiting at the agent.
const WAIT: Duration = Duration::from_secs(60);
/// Least time between queries when nothing changed.
const POLL: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Keeps `into` filled with the configuration of `proxy_id`, for ever.
pub(crate) async fn follow(
    client: &Client,
    proxy_id: &str,
    into: &watch::Sender<Option<ProxyConfig>>,
) {
    let mut hash = String::new();
    let mut failures = Backoff::default();
    loop {
        let asked = Instant::now();
        match ask(client, proxy_id, &hash).await {
            Ok((new_hash, config)) => {
                failures = Backoff::default();
                let is_same = new_hash == hash;
                hash = new_hash;
                into.send_if_modified(|held| {
                    let changed = held.as_ref() != Some(&config);
                    if changed {
                        *held = Some(config);
                    }
                    changed
                });
                if hash.is_empty() || (is_same && asked.elapsed() < POLL) {
                    sleep(POLL).await;
                }
            }
            Err(error) => {
                let retry = failures.pause();
                tracing::error!(proxy_id, %error, ?retry, "no configuration of use");
                // The same answer must not be waited for to change.
                hash.clear();
                sleep(retry).await;
            }
        }
    }
}

/// Asks for a service with this ID first: an agent of the first version with a mesh knows managed
/// proxies only, and the service that it registers for one has no configuration.
async fn ask(
    client: &Client,
    proxy_id: &str,
    hash: &str,
) -> Result<(String, ProxyConfig), FollowError> {
    let path = url::path("/v1/agent/service/", proxy_id);
    let response = client.get_blocking_hash(&path, hash, WAIT).await?;
    if response.status == 200 {
        let service: AgentService = response.json()?;
        if service.proxy.as_ref().is_some_and(|proxy| !proxy.destination_service_id.is_empty()) {
            return Ok((response.content_hash().to_owned(), sidecar(&service)?));
        }
    }
    let path = url::path("/v1/agent/connect/proxy/", proxy_id);
    let response = client.get_blocking_hash(&path, hash, WAIT).await?.expect_ok()?;
    let answer: ManagedProxyConfig = response.json()?;
    let config = ProxyConfig::from_agent(&answer.target_service_name, &answer.config)?;
    let header = response.content_hash();
    let hash = if header.is_empty() { answer.content_hash } else { header.to_owned() };
    Ok((hash, config))
}

/// The configuration of a sidecar: its own settings, with what its registration says put in.
fn sidecar(service: &AgentService) -> Result<ProxyConfig, ConfigError> {
    let proxy = service.proxy.clone().unwrap_or_default();
    let mut config = match proxy.config {
        Value::Object(own) => own,
        _ => Map::new(),
    };
    let mut put = |key: &str, value: Value| {
        config.entry(key).or_insert(value);
    };
    put("bind_port", service.port.into());
    put("bind_address", service.address.as_str().into());
    let host = match proxy.local_service_address.as_str() {
        "" => "127.0.0.1",
        host => host,
    };
    let port = u16::try_from(proxy.local_service_port).unwrap_or(0);
    put("local_service_address", join(host, port).into());
    let upstreams = proxy.upstreams.iter().map(|upstream| {
        let mut all = match &upstream.config {
            Value::Object(own) => own.clone(),
            _ => Map::new(),
        };
        let said = json!({
            "destination_type": upstream.destination_type,
            "destination_namespace": upstream.destination_namespace,
            "destination_name": upstream.destination_name,
            "destination_datacenter": upstream.datacenter,
            "local_bind_address": upstream.local_bind_address,
            "local_bind_port": upstream.local_bind_port,
        });
        if let Value::Object(said) = said {
            all.extend(said);
        }
        Value::Object(all)
    });
    put("upstreams", upstreams.collect());
    ProxyConfig::from_agent(&proxy.destination_service_name, &config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_is_configured_by_its_registration() {
        let service: AgentService = serde_json::from_value(json!({
            "Kind": "connect-proxy", "ID": "web-sidecar-proxy", "Port": 21000,
            "Proxy": {
                "DestinationServiceName": "web", "DestinationServiceID": "web1",
                "LocalServiceAddress": "::1", "LocalServicePort": 80,
                "Config": {"local_connect_timeout_ms": 50, "bind_address": "127.0.0.1"},
                "Upstreams": [{"DestinationType": "prepared_query", "DestinationName": "db",
                               "LocalBindPort": 9191, "Config": {"connect_timeout_ms": 7}}],
            },
        }))
        .unwrap();
        let config = sidecar(&service).unwrap();
        assert_eq!(config.service, "web");
        let public = config.public.unwrap();
        assert_eq!(public.bind_addr(), "127.0.0.1:21000");
        assert_eq!(public.local_service_address, "[::1]:80");
        assert_eq!(public.local_connect_timeout, Duration::from_millis(50));
        let upstream = &config.upstreams[0];
        assert_eq!(upstream.destination.name, "db");
        assert_eq!((upstream.local_bind_port, upstream.bind_host()), (9191, "127.0.0.1"));
        assert_eq!(upstream.connect_timeout, Duration::from_millis(7));
    }
}
