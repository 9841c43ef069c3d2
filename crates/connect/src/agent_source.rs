//! Fills the channels of this crate from an agent's HTTP API, by blocking queries.
//!
//! Every function here is one endless loop for one piece of knowledge; whoever wants it running
//! gives it to a task set. A silent agent changes nothing that is held: identities stay, endpoints
//! stay, and rules stay until their lease ends. There are no decisions in this file.

mod endpoints;
mod identity;
mod intentions;

use std::time::Duration;

use lictor_api::client::{Client, ClientError, Response};
use tokio::time::{Instant, sleep};

pub use endpoints::{Target, endpoints};
pub use identity::identity;
pub use intentions::intentions;

use crate::random;

/// Longest time that a query is left waiting at the agent.
const WAIT: Duration = Duration::from_secs(60);
/// Time between queries to an agent that does not block them.
const POLL: Duration = Duration::from_secs(1);
/// Time between executions of a prepared query, which never block.
pub const QUERY_POLL: Duration = Duration::from_secs(10);
/// First pause after a failure; it doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest pause after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Why an answer of the agent is of no use.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Content(String),
}

/// Asks for `path` again and again, each time it changes, and hands every answer to `take`.
/// With `every` the query is not expected to block and is repeated at that pace.
async fn follow(
    client: &Client,
    path: &str,
    wait: Duration,
    every: Option<Duration>,
    mut take: impl FnMut(&Response) -> Result<(), SourceError>,
) {
    let mut index = 0;
    let mut failures = Backoff::default();
    loop {
        let asked = Instant::now();
        let outcome = ask(client, path, index, wait.min(WAIT)).await;
        match outcome.and_then(|response| take(&response).map(|()| response)) {
            Ok(response) => {
                failures = Backoff::default();
                let last = std::mem::replace(&mut index, response.index());
                // An index that goes backwards is of another history.
                if index < last {
                    index = 0;
                }
                let unblocked = index == 0 || (index == last && asked.elapsed() < POLL);
                if let Some(pause) = every.or(unblocked.then_some(POLL)) {
                    index = if every.is_some() { 0 } else { index };
                    sleep(pause).await;
                }
            }
            Err(error) => {
                let pause = failures.pause();
                tracing::warn!(path, %error, retry = ?pause, "the agent gives no answer of use");
                // Ask for everything again: what was missed is not known.
                index = 0;
                sleep(pause).await;
            }
        }
    }
}

async fn ask(
    client: &Client,
    path: &str,
    index: u64,
    wait: Duration,
) -> Result<Response, SourceError> {
    Ok(client.get_blocking(path, index, wait).await?.expect_ok()?)
}

/// Pauses after failures in a row: growing, and never the same for two who failed together.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let full = BACKOFF_MIN.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let half = full / 2;
        half + Duration::from_nanos(random::below(half.as_nanos() as u64 + 1))
    }
}

#[cfg(test)]
mod tests;
