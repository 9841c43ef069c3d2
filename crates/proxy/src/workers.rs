//! The threads that carry connections: one single-threaded runtime each.
//!
//! A connection stays on the thread that it was given to, so that its bytes, its keys and its
//! wake-ups stay in one core's caches. Nothing here knows what a connection is.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use lictor_task::{CancellationToken, TaskSet};
use tokio::runtime::{Builder, Handle};

/// Most threads, whatever the machine.
const WORKERS_MAX: usize = 8;
/// Threads of each worker for looking up names.
const LOOKUPS: usize = 2;

/// Threads that carry connections. Their owner calls [`Workers::shutdown`].
pub(crate) struct Workers {
    workers: Vec<Worker>,
    stop: CancellationToken,
}

struct Worker {
    runtime: Handle,
    tasks: TaskSet,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts as many threads as there are cores, up to a limit.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut started = Self { workers: Vec::new(), stop: CancellationToken::new() };
        for number in 0..cores.min(WORKERS_MAX) {
            let runtime =
                Builder::new_current_thread().enable_all().max_blocking_threads(LOOKUPS).build()?;
            let handle = runtime.handle().clone();
            let stop = started.stop.clone();
            let thread = std::thread::Builder::new()
                .name(format!("proxy-{number}"))
                .spawn(move || runtime.block_on(stop.cancelled()))?;
            let tasks = TaskSet::new("connections");
            started.workers.push(Worker { runtime: handle, tasks, thread: Some(thread) });
        }
        Ok(started)
    }

    /// Runs `future` on the thread that has the least to do.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(worker) = self.workers.iter().min_by_key(|worker| worker.tasks.len()) {
            let _inside = worker.runtime.enter();
            worker.tasks.spawn("connection", future);
        }
    }

    /// Connections that are open.
    pub(crate) fn len(&self) -> usize {
        self.workers.iter().map(|worker| worker.tasks.len()).sum()
    }

    /// Waits up to `grace` for all connections to end, then breaks the rest off; gives how many.
    pub(crate) async fn shutdown(&self, grace: Duration) -> usize {
        let deadline = tokio::time::Instant::now() + grace;
        let mut cut = 0;
        for worker in &self.workers {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            cut += worker.tasks.shutdown(left).await.aborted;
        }
        cut
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // It only waits for the token; a panic of a connection does not reach it.
                let _ = thread.join();
            }
        }
    }
}
