//! Joining pools by name or address: once, or until it succeeds.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lictor_pool::Pool;
use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

use super::settings::Retry;
use super::{Gossip, with_port};
use crate::error::AgentError;

/// How long it is looked for a name's addresses, and how many of them are tried.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
const ADDRESSES_MAX: usize = 16;

impl Gossip {
    /// Joins the pool of those at `addresses`; gives how many of them answered.
    ///
    /// # Errors
    /// When none did, why.
    pub(crate) async fn join(&self, addresses: &[String], wan: bool) -> Result<usize, AgentError> {
        let Some(pool) = self.pool(wan) else {
            return Err(AgentError::refused("Must be a server to join WAN cluster"));
        };
        let kind = if wan { "WAN" } else { "LAN" };
        tracing::info!(?addresses, "joining ({kind})");
        let (mut joined, mut problems) = (0, Vec::new());
        for text in addresses {
            match resolve(text, pool.address().port()).await {
                Ok(found) => {
                    for address in found {
                        match pool.join(address).await {
                            Ok(()) => joined += 1,
                            Err(error) => problems.push(failed(address, &error)),
                        }
                    }
                }
                Err(error) => problems.push(format!("Failed to resolve {text}: {error}")),
            }
        }
        tracing::info!(joined, problems = problems.len(), "joined ({kind})");
        if joined > 0 || problems.is_empty() {
            return Ok(joined);
        }
        let list = problems.join("\n* ");
        Err(AgentError::refused(format!("{} error(s) occurred:\n\n* {list}", problems.len())))
    }

    /// Tries to join until somebody answers.
    ///
    /// # Errors
    /// When that was tried as often as it may be.
    pub(crate) async fn join_until(&self, retry: &Retry, wan: bool) -> Result<(), String> {
        let kind = if wan { "WAN" } else { "LAN" };
        let mut attempt = 0;
        loop {
            match self.join(&retry.addresses, wan).await {
                Ok(joined) => {
                    tracing::info!(joined, "Join {kind} completed");
                    return Ok(());
                }
                Err(error) => {
                    attempt += 1;
                    if retry.most > 0 && attempt > retry.most {
                        return Err(format!("max join {kind} retry exhausted, exiting"));
                    }
                    let again = retry.interval;
                    tracing::warn!(%error, retry_in = ?again, "Join {kind} failed");
                    sleep(again).await;
                }
            }
        }
    }

    /// Joins one member of a pool, if it can be done.
    pub(super) async fn join_one(pool: &Pool, address: SocketAddr) -> bool {
        match pool.join(address).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%address, error, "a server was not joined");
                false
            }
        }
    }
}

fn failed(address: SocketAddr, error: &str) -> String {
    format!("Failed to join {}: {error}", address.ip())
}

async fn resolve(text: &str, usual: u16) -> io::Result<Vec<SocketAddr>> {
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no address"));
    }
    let text = with_port(text, usual);
    let found = timeout(LOOKUP_TIMEOUT, lookup_host(text.as_str()));
    let found = found.await.map_err(|_| io::ErrorKind::TimedOut)??;
    let mut found: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no addresses"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_may_lack_the_port() {
        for (text, found) in [
            ("127.0.0.1", "127.0.0.1:7"),
            ("127.0.0.1:3", "127.0.0.1:3"),
            ("::1", "[::1]:7"),
            ("[::1]", "[::1]:7"),
            ("[::1]:3", "[::1]:3"),
        ] {
            assert_eq!(resolve(text, 7).await.unwrap(), [found.parse().unwrap()], "{text}");
        }
        let named = resolve("localhost:5", 7).await.unwrap();
        assert!(named.iter().all(|address| address.port() == 5), "{named:?}");
        for text in ["", "127.0.0.1:x", "no such name"] {
            assert!(resolve(text, 7).await.is_err(), "{text}");
        }
    }
}
