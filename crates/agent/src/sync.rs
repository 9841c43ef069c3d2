//! Anti-entropy: the catalog is made to say what the local state says.
//!
//! One task compares everything now and then, and pushes each change as soon as it happens.
//! What there is to push is worked out by [`crate::local`]; how the catalog is reached is behind
//! [`Catalog`]. Timing follows section 11 of the observed behaviour.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, TryStreamExt as _};
use lictor_task::CancellationToken;
use lictor_types::command::{DeregisterRequest, RegisterRequest};
use lictor_types::error::{EndpointError, ErrorKind};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::jitter;
use crate::local::{LocalState, Push, Remote, Settled};
use crate::tokens::Tokens;

/// Writes that are under way at once.
const CONCURRENT: usize = 16;
/// First pauses after a failure while the catalog has never been reached.
const FIRST_RETRY: Duration = Duration::from_millis(20);

/// How long whoever changed something waits for the catalog to hear of it.
const TELL_MOST: Duration = Duration::from_secs(2);

/// The catalog of the datacenter, as far as an agent needs it for its own node.
pub(crate) trait Catalog: Send + Sync + 'static {
    /// What there is about `node`.
    fn node(
        &self,
        token: &str,
        node: &str,
    ) -> impl Future<Output = Result<Remote, EndpointError>> + Send;
    /// Adds or changes.
    fn register(
        &self,
        token: &str,
        request: RegisterRequest,
    ) -> impl Future<Output = Result<(), EndpointError>> + Send;
    /// Removes; unknown things are no error.
    fn deregister(
        &self,
        token: &str,
        request: DeregisterRequest,
    ) -> impl Future<Output = Result<(), EndpointError>> + Send;
}

/// How often things are done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncTiming {
    /// Between full comparisons, and as much again at random.
    pub(crate) full: Duration,
    /// After a failure, and as much again at random.
    pub(crate) retry: Duration,
}

impl Default for SyncTiming {
    fn default() -> Self {
        Self { full: Duration::from_secs(60), retry: Duration::from_secs(15) }
    }
}

/// Keeps the catalog up to date.
#[derive(Debug)]
pub(crate) struct Syncer<C> {
    local: Arc<LocalState>,
    catalog: C,
    /// Of the agent's own reads and writes.
    tokens: Arc<Tokens>,
    timing: SyncTiming,
    pauses: Arc<Pauses>,
    rounds: Arc<Rounds>,
}

/// Lets others hold pushes back while they make several changes that belong together.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    count: AtomicUsize,
    resumed: Notify,
}

/// While it lives, nothing is pushed; then what changed is pushed at once.
#[derive(Debug)]
pub(crate) struct Pause<'a>(&'a Pauses);

impl Pauses {
    /// Pushes wait until this and all other pauses have ended.
    pub(crate) fn pause(&self) -> Pause<'_> {
        self.count.fetch_add(1, Ordering::AcqRel);
        Pause(self)
    }

    async fn over(&self) {
        while self.count.load(Ordering::Acquire) > 0 {
            self.resumed.notified().await;
        }
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.resumed.notify_one();
        }
    }
}

/// Rounds of pushes, so that whoever made a change can wait until it was pushed.
#[derive(Debug)]
pub(crate) struct Rounds(watch::Sender<Round>);

#[derive(Clone, Copy, Debug, Default)]
struct Round {
    begun: u64,
    ended: u64,
}

impl Default for Rounds {
    fn default() -> Self {
        Self(watch::Sender::new(Round::default()))
    }
}

impl Rounds {
    /// The round that takes up whatever changes from now on.
    pub(crate) fn next(&self) -> u64 {
        self.0.borrow().begun + 1
    }

    /// Waits until a round has ended, whether it succeeded or not; not longer than [`TELL_MOST`].
    pub(crate) async fn ended(&self, round: u64) {
        let mut rounds = self.0.subscribe();
        let ended = rounds.wait_for(|now| now.ended >= round);
        let _ = tokio::time::timeout(TELL_MOST, ended).await;
    }

    fn begin(&self) {
        self.0.send_modify(|now| now.begun += 1);
    }

    fn end(&self) {
        self.0.send_modify(|now| now.ended = now.begun);
    }
}

impl<C: Catalog> Syncer<C> {
    pub(crate) fn new(
        local: Arc<LocalState>,
        catalog: C,
        tokens: Arc<Tokens>,
        timing: SyncTiming,
        pauses: Arc<Pauses>,
        rounds: Arc<Rounds>,
    ) -> Self {
        Self { local, catalog, tokens, timing, pauses, rounds }
    }

    /// Runs until cancelled.
    pub(crate) async fn run(&self, cancel: CancellationToken) {
        let mut reached = false;
        let mut failures = 0_u32;
        let mut full_at = Instant::now();
        // Pushes of changes wait until then after a failure.
        let mut quiet_until = full_at;
        loop {
            let deferred = self.local.flush_deferred(Instant::now());
            let wake = deferred.map_or(full_at, |due| due.min(full_at)).max(quiet_until);
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep_until(wake) => {}
                () = self.changed(quiet_until) => {}
                // What a token did not suffice for is tried again with the new one.
                () = self.tokens.changed() => {
                    full_at = Instant::now();
                    quiet_until = full_at;
                }
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = self.pauses.over() => {}
            }
            let now = Instant::now();
            self.local.flush_deferred(now);
            let full = full_at <= now;
            self.rounds.begin();
            let round = async {
                if full {
                    self.compare().await?;
                }
                self.push().await
            };
            let result = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                result = round => result,
            };
            self.rounds.end();
            match result {
                Ok(()) => {
                    if full {
                        let wait = self.timing.full + jitter::below(self.timing.full);
                        full_at = Instant::now() + wait;
                    }
                    reached = true;
                    failures = 0;
                }
                Err(error) => {
                    let wait = self.retry_pause(reached, failures);
                    failures = failures.saturating_add(1);
                    if reached || failures > 10 {
                        tracing::error!(%error, retry_in = ?wait, "failed to sync with the catalog");
                    } else {
                        tracing::debug!(%error, retry_in = ?wait, "the catalog is not there yet");
                    }
                    quiet_until = Instant::now() + wait;
                    full_at = quiet_until;
                }
            }
        }
    }

    /// At the start the catalog is expected any moment; later a failure means trouble.
    fn retry_pause(&self, reached: bool, failures: u32) -> Duration {
        let long = self.timing.retry + jitter::below(self.timing.retry);
        if reached { long } else { long.min(FIRST_RETRY * 2_u32.pow(failures.min(10))) }
    }

    async fn changed(&self, quiet_until: Instant) {
        tokio::time::sleep_until(quiet_until).await;
        self.local.dirty().await;
    }

    /// Finds out what differs.
    async fn compare(&self) -> Result<(), EndpointError> {
        let node = self.local.node().name;
        let remote = self.catalog.node(&self.tokens.agent_token(), &node).await?;
        self.local.compare(&remote);
        Ok(())
    }

    /// Pushes what is marked, removals before additions.
    async fn push(&self) -> Result<(), EndpointError> {
        let pushes = self.local.pending(&self.tokens.agent_token());
        let (removals, additions): (Vec<_>, Vec<_>) =
            pushes.into_iter().partition(|push| matches!(push, Push::Deregister { .. }));
        for group in [removals, additions] {
            stream::iter(group.into_iter().map(Ok))
                .try_for_each_concurrent(CONCURRENT, |push| self.push_one(push))
                .await?;
        }
        Ok(())
    }

    async fn push_one(&self, push: Push) -> Result<(), EndpointError> {
        let result = match &push {
            Push::Register { request, token, .. } => {
                self.catalog.register(token, (**request).clone()).await
            }
            Push::Deregister { request, token } => {
                let own = self.tokens.agent_token();
                let token = if token.is_empty() { &*own } else { token };
                self.catalog.deregister(token, request.clone()).await
            }
        };
        match result {
            Ok(()) => {
                report(&push);
                self.local.settle(&push, Settled::Done);
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::PermissionDenied => {
                tracing::warn!(push = ?names(&push), "the catalog refuses a change: {error}");
                self.local.settle(&push, Settled::Denied);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn report(push: &Push) {
    match push {
        Push::Register { .. } => tracing::info!(synced = ?names(push), "synced with the catalog"),
        Push::Deregister { .. } => {
            tracing::info!(removed = ?names(push), "removed from the catalog");
        }
    }
}

/// What a push is about, for log lines.
fn names(push: &Push) -> Vec<String> {
    match push {
        Push::Register { service, checks, .. } => {
            let services = service.iter().map(|(id, _)| format!("service:{id}"));
            let names: Vec<_> =
                services.chain(checks.iter().map(|(id, _)| format!("check:{id}"))).collect();
            if names.is_empty() { vec!["node".to_owned()] } else { names }
        }
        Push::Deregister { request, .. } if request.service_id.is_empty() => {
            vec![format!("check:{}", request.check_id)]
        }
        Push::Deregister { request, .. } => vec![format!("service:{}", request.service_id)],
    }
}

#[cfg(test)]
mod tests;
