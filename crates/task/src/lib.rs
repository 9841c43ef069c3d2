//! Owned background tasks: the only place of the workspace that spawns.
//!
//! A [`TaskSet`] names its tasks, hands each a cancellation token, counts panics instead of
//! letting them take the process down, and at the end waits for all of them with a deadline,
//! after which the rest is aborted. [`Places`] bound the number of those that have only begun. It
//! contains nothing else: no timers, no domain types.

mod places;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
pub use places::{Place, Places};
use std::panic::AssertUnwindSafe;
pub use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of tasks with one owner, one way to be stopped, and one end that can be awaited.
///
/// Clones share the group. Dropping every clone does not stop the tasks: the owner calls
/// [`TaskSet::shutdown`].
#[derive(Clone, Debug)]
pub struct TaskSet {
    name: &'static str,
    tracker: TaskTracker,
    cancel: CancellationToken,
    abort: CancellationToken,
    panics: Arc<AtomicUsize>,
}

/// How a [`TaskSet::shutdown`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Tasks that did not end by themselves before the deadline and were aborted.
    pub aborted: usize,
    /// Tasks that panicked during the life of the set.
    pub panics: usize,
}

impl TaskSet {
    /// A new, empty set; `name` appears in log lines.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self::with_token(name, CancellationToken::new())
    }

    /// A set that is also cancelled when `parent` is.
    #[must_use]
    pub fn child_of(name: &'static str, parent: &CancellationToken) -> Self {
        Self::with_token(name, parent.child_token())
    }

    fn with_token(name: &'static str, cancel: CancellationToken) -> Self {
        Self {
            name,
            tracker: TaskTracker::new(),
            cancel,
            abort: CancellationToken::new(),
            panics: Arc::default(),
        }
    }

    /// The token that says «stop»; a task that outlives single requests must watch it.
    #[must_use]
    pub const fn token(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Number of tasks that have not ended yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether no task is running.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Runs `future` until it ends, panics, or the set is aborted at the shutdown's deadline.
    /// The future is *not* cancelled by the token: it must watch [`TaskSet::token`] itself.
    pub fn spawn<F>(&self, task: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let abort = self.abort.clone();
        let set = self.name;
        let panics = Arc::clone(&self.panics);
        self.tracker.spawn(async move {
            let guarded = AssertUnwindSafe(future).catch_unwind();
            tokio::select! {
                biased;
                outcome = guarded => if outcome.is_err() {
                    panics.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(set, task, "task panicked");
                },
                () = abort.cancelled() => tracing::warn!(set, task, "task aborted"),
            }
        });
    }

    /// Runs `future` and drops it as soon as the set is told to stop: for tasks that may be cut
    /// at any await point.
    pub fn spawn_cut<F>(&self, task: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cancel = self.cancel.clone();
        self.spawn(task, async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = future => {}
            }
        });
    }

    /// Runs blocking `work` on the runtime's blocking threads and waits for its result;
    /// `None` when it panicked (which is logged and counted).
    pub async fn blocking<T, F>(&self, task: &'static str, work: F) -> Option<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let done = self.tracker.spawn_blocking(work).await;
        if done.is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(set = self.name, task, "blocking task panicked");
        }
        done.ok()
    }

    /// Says «stop» to every task, waits up to `grace` for them to end, then aborts the rest.
    pub async fn shutdown(&self, grace: Duration) -> Ended {
        self.cancel.cancel();
        self.tracker.close();
        let mut aborted = 0;
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_err() {
            aborted = self.tracker.len();
            self.abort.cancel();
            // Aborted futures end at their next poll; blocking work cannot be cut and is left.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.tracker.wait()).await;
        }
        Ended { aborted, panics: self.panics.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_watches_the_token_ends_in_grace() {
        let set = TaskSet::new("t");
        let token = set.token().clone();
        set.spawn("polite", async move { token.cancelled().await });
        assert_eq!(set.len(), 1);
        assert_eq!(set.shutdown(Duration::from_secs(5)).await, Ended { aborted: 0, panics: 0 });
        assert!(set.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stubborn_task_is_aborted_at_the_deadline() {
        let set = TaskSet::new("t");
        set.spawn("stubborn", std::future::pending());
        assert_eq!(set.shutdown(Duration::from_secs(5)).await, Ended { aborted: 1, panics: 0 });
        assert!(set.is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_contained() {
        let set = TaskSet::new("t");
        set.spawn("bad", async { panic!("on purpose") });
        set.spawn_cut("cut", std::future::pending());
        assert_eq!(set.blocking("sum", || 1 + 1).await, Some(2));
        assert_eq!(set.shutdown(Duration::from_secs(5)).await, Ended { aborted: 0, panics: 1 });
    }
}
