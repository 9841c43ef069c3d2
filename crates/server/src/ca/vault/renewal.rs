//! Keeps a token of Vault alive: a task that ends with the provider whose token it is.

use std::sync::Arc;
use std::time::Duration;

use lictor_task::{CancellationToken, TaskSet};
use lictor_vault::{Token, Vault};
use tokio::time::sleep;

/// Shortest and longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Shortest pause between renewals, whatever lives Vault gives.
const STEP_MIN: Duration = Duration::from_secs(1);

/// The renewal of a token; ends when this is dropped.
#[derive(Debug)]
pub(super) struct Renewal {
    stop: CancellationToken,
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Renewal {
    /// Starts it, if the token's life can be made longer and has an end.
    pub(super) fn start(tasks: &TaskSet, vault: &Arc<Vault>, token: Token) -> Option<Self> {
        if token.ttl.is_zero() {
            return None;
        }
        if !token.renewable {
            let seconds = token.ttl.as_secs();
            tracing::warn!(seconds, "the token of Vault cannot be renewed: give another in time");
            return None;
        }
        let stop = tasks.token().child_token();
        let (stopped, vault) = (stop.clone(), Arc::clone(vault));
        tasks.spawn("vault token", async move {
            tokio::select! {
                biased;
                () = stopped.cancelled() => {}
                () = renew(&vault, token) => {}
            }
        });
        Some(Self { stop })
    }
}

/// When two thirds of a life are over.
fn pause(ttl: Duration) -> Duration {
    (ttl * 2 / 3).max(STEP_MIN)
}

/// Renews as long as Vault does.
async fn renew(vault: &Vault, token: Token) {
    // What is left of a life may be little.
    let wish = token.ttl.max(token.whole);
    let mut next = pause(token.ttl);
    let mut failures = 0;
    loop {
        sleep(next).await;
        match vault.renew_token(wish).await {
            Ok(token) if token.ttl.is_zero() => return,
            Ok(token) => {
                failures = 0;
                next = pause(token.ttl);
                tracing::debug!(ttl = ?token.ttl, "renewed the token of Vault");
                if !token.renewable {
                    tracing::warn!("the token of Vault is at its last life: give another in time");
                    return;
                }
            }
            Err(error) => {
                next = (RETRY.0 * 2_u32.pow(failures)).min(RETRY.1);
                failures = (failures + 1).min(8);
                tracing::error!(%error, retry_in = ?next, "cannot renew the token of Vault");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_in_time_but_not_without_a_pause() {
        assert_eq!(pause(Duration::from_secs(90)), Duration::from_secs(60));
        assert_eq!(pause(Duration::from_millis(30)), STEP_MIN);
    }
}
