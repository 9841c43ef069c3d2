//! The trusted roots, followed all the time so that nobody has to wait for them.
//!
//! What the agent has it goes on serving when the servers cannot be reached. Which roots there
//! are is decided by the servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lictor_server::CaRoots;
use lictor_types::error::EndpointError;
use lictor_types::query::{Consistency, Evaluated, QueryMeta, QueryOptions, Reply};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Cached, wait_time};
use crate::jitter;
use crate::upstream::Upstream;

/// Pauses after failed questions: from the first to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MOST: Duration = Duration::from_secs(15);

/// The last answer of the servers.
#[derive(Clone, Debug)]
pub(crate) struct KnownRoots {
    pub(crate) result: Arc<Evaluated<CaRoots>>,
    meta: QueryMeta,
}

/// What is known about the roots.
#[derive(Debug)]
pub(crate) struct Roots<U> {
    upstream: U,
    known: watch::Sender<Option<KnownRoots>>,
    /// Whether somebody outside asked before.
    asked: AtomicBool,
}

impl<U: Upstream> Roots<U> {
    pub(crate) fn new(upstream: U) -> Self {
        Self { upstream, known: watch::Sender::new(None), asked: AtomicBool::new(false) }
    }

    /// Keeps up with the servers until it is dropped. `rotated` is called when another root signs.
    pub(crate) async fn follow(&self, rotated: impl Fn()) {
        let mut pause = RETRY_FIRST;
        let mut options = QueryOptions { consistency: Consistency::Stale, ..Default::default() };
        loop {
            match self.upstream.ca_roots(&options).await {
                Ok(reply) => {
                    pause = RETRY_FIRST;
                    let index = reply.result.index;
                    // Never 0: that would not wait, and without roots there is nothing to gain.
                    options.min_index = if index < options.min_index { 1 } else { index.max(1) };
                    if self.learn(reply) {
                        rotated();
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, retry_in = ?pause, "cannot read the trusted roots");
                    options.min_index = 0;
                    tokio::time::sleep(jitter::between(pause / 2, pause)).await;
                    pause = (pause * 2).min(RETRY_MOST);
                }
            }
        }
    }

    /// The roots, for somebody outside. With an index, waits until they have a greater one.
    pub(crate) async fn get(
        &self,
        options: &QueryOptions,
    ) -> Result<Cached<Reply<CaRoots>>, EndpointError> {
        let hit = self.asked.swap(true, Ordering::Relaxed);
        let mut known = self.current().await?;
        if options.min_index > 0 {
            let deadline = Instant::now() + wait_time(options.max_wait);
            let mut changes = self.known.subscribe();
            let newer = changes.wait_for(|known| {
                known.as_ref().is_some_and(|known| known.result.index > options.min_index)
            });
            if let Ok(Ok(newer)) = tokio::time::timeout_at(deadline, newer).await {
                known = newer.clone().unwrap_or(known);
            }
        }
        Ok(Cached { value: Reply { result: known.result, meta: known.meta }, hit })
    }

    /// What is known, or what the servers say if nothing is.
    pub(crate) async fn current(&self) -> Result<KnownRoots, EndpointError> {
        if let Some(known) = self.known.borrow().clone() {
            return Ok(known);
        }
        let reply = self.upstream.ca_roots(&QueryOptions::default()).await?;
        Ok(KnownRoots { meta: reply.meta, result: reply.result })
    }

    /// Takes an answer over; whether another root signs since.
    fn learn(&self, reply: Reply<CaRoots>) -> bool {
        let mut rotated = false;
        self.known.send_if_modified(|known| {
            let same = known.as_ref().is_some_and(|known| {
                known.result.index == reply.result.index && known.result.value == reply.result.value
            });
            let signs = |roots: &CaRoots| roots.active_root_id != reply.result.value.active_root_id;
            rotated = known.as_ref().is_some_and(|known| signs(&known.result.value));
            *known = Some(KnownRoots { result: reply.result, meta: reply.meta });
            !same
        });
        rotated
    }
}
