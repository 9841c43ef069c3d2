//! The configuration of a managed proxy, as its agent has it at any time.
//!
//! A configuration that cannot be read changes nothing. Putting one into effect is in `run`.

use std::time::Duration;

use lictor_api::agent_connect::ManagedProxyConfig;
use lictor_api::client::{Client, ClientError};
use lictor_api::url;
use lictor_connect::agent_source::Backoff;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::config::{ConfigError, ProxyConfig};

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
    let path = url::path("/v1/agent/connect/proxy/", proxy_id);
    let mut hash = String::new();
    let mut failures = Backoff::default();
    loop {
        let asked = Instant::now();
        match ask(client, &path, &hash).await {
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

async fn ask(
    client: &Client,
    path: &str,
    hash: &str,
) -> Result<(String, ProxyConfig), FollowError> {
    let response = client.get_blocking_hash(path, hash, WAIT).await?.expect_ok()?;
    let answer: ManagedProxyConfig = response.json()?;
    let config = ProxyConfig::from_agent(&answer.target_service_name, &answer.config)?;
    let header = response.content_hash();
    let hash = if header.is_empty() { answer.content_hash } else { header.to_owned() };
    Ok((hash, config))
}
